package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/notify/email"
	"github.com/serin-ml/serin/internal/notify/webhook"
	"github.com/serin-ml/serin/internal/release"
)

// buildReleases makes what runs releases and tells people of them, and reads those that are under way, so that what they pin is pinned from
// the first look of the follower on.
func (s *server) buildReleases(ctx context.Context, c *config.Config) error {
	senders, err := sendersOf(c)
	if err != nil {
		return err
	}
	s.outbox = notify.New(notify.Options{State: s.dir.state, Senders: senders, Log: s.options.Log, Now: s.options.Now})
	s.releases = newReleases(releasesOptions{
		State: s.dir.state, Traffic: s.traffic, Registry: s.dir.registry, Plane: plane{s.gateway}, Evidence: newEvidence(s.telemetry.sink, s.telemetry.follower.Lag),
		Plan: func(name string) (release.Plan, error) { return s.settings.Load().ReleasePlan(name) },
		Told: s.outbox.Nudge, Moved: s.follower.Nudge, Log: s.options.Log, Now: s.options.Now,
	})
	s.follower.pinned = s.releases.pinned
	return s.releases.Load(ctx)
}

// planRelease tells what a release by a template would find out.
func (s *server) planRelease(ctx context.Context, name string) (api.ReleasePlan, error) {
	return planRelease(ctx, s.settings.Load(), name, telemetryFile(filepath.Join(s.options.DataDir, telemetryName)), s.options.Now())
}

// releaser starts and commands releases, and tells what they would find out.
type releaser struct {
	*releases
	plan func(ctx context.Context, name string) (api.ReleasePlan, error)
}

// PlanRelease implements api.Releaser.
func (r releaser) PlanRelease(ctx context.Context, name string) (api.ReleasePlan, error) {
	return r.plan(ctx, name)
}

// changed is called after a change of the registry.
func (s *server) changed() {
	s.releases.Nudge()
	s.follower.Nudge()
}

// sendersOf makes the ways of telling people that a configuration names.
func sendersOf(c *config.Config) (senders []notify.Sender, err error) {
	for i := range c.Notify {
		sender, err := senderOf(&c.Notify[i])
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "notify %s: %w", c.Notify[i].Name, err)
		}
		senders = append(senders, namedSender{sender, c.Notify[i].Name})
	}
	return senders, nil
}

func senderOf(n *config.Notify) (notify.Sender, error) {
	if n.Kind == config.NotifyEmail {
		password, err := secret(n.PasswordFile)
		if err != nil {
			return nil, err
		}
		return email.New(email.Options{Server: n.SMTP, Password: password, From: n.From, To: n.To})
	}
	key, err := secret(n.SecretFile)
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Options{URL: n.URL, Form: webhook.Form(n.Form), Headers: n.Headers, Secret: key})
}

// secret reads a file with one line; "" of none.
func secret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fault.Invalidf("a secret cannot be read: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// namedSender is a sender under the name that the file gives it.
type namedSender struct {
	notify.Sender
	name string
}

// Name implements notify.Sender.
func (n namedSender) Name() string { return n.name }
