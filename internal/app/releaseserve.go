package app

import (
	"context"
	"os"
	"reflect"
	"strings"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/notify/email"
	"github.com/serin-ml/serin/internal/notify/webhook"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/release/prometheus"
)

// buildReleases makes what runs releases and tells people of them, and reads those that are under way, so that what they pin is pinned from
// the first look of the follower on.
func (s *server) buildReleases(ctx context.Context, c *config.Config, metrics prom.Registerer) error {
	senders, err := sendersOf(c)
	if err != nil {
		return err
	}
	s.outbox = notify.New(notify.Options{State: s.dir.state, Senders: senders, Log: s.options.Log, Now: s.options.Now})
	servers, err := serversOf(c)
	if err != nil {
		return err
	}
	s.queries = newQueries(servers, s.options.Now)
	s.releases = newReleases(releasesOptions{
		State: s.dir.state, Traffic: s.traffic, Registry: s.dir.registry, Plane: plane{s.gateway}, Evidence: newEvidence(s.telemetry.sink, s.telemetry.follower.Lag), Queries: s.queries,
		Plan: func(name string) (release.Plan, error) { return s.settings.Load().ReleasePlan(name) },
		Told: s.outbox.Nudge, Moved: s.follower.Nudge, Log: s.options.Log, Now: s.options.Now,
	})
	metrics.MustRegister(s.releases.metrics)
	s.follower.pinned = s.releases.pinned
	return s.releases.Load(ctx)
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

// toldAnew is what a configuration says of those who are told, and asked, besides the services.
type toldAnew struct {
	senders []notify.Sender
	servers map[string]asker
}

// tellAnew makes what a new configuration names; release uses it.
func tellAnew(c *config.Config) (t toldAnew, err error) {
	if t.senders, err = sendersOf(c); err == nil {
		t.servers, err = serversOf(c)
	}
	return t, err
}

// adoptTold lets what tellAnew made take the place of what there was. Servers that stay as they are keep what they have answered.
func (s *server) adoptTold(before, c *config.Config, t toldAnew) {
	s.outbox.SetSenders(t.senders)
	if !reflect.DeepEqual(before.Prometheus, c.Prometheus) {
		s.queries.setServers(t.servers)
	}
}

// serversOf makes the Prometheus servers that a configuration names. None is asked yet.
func serversOf(c *config.Config) (map[string]asker, error) {
	servers := map[string]asker{}
	for i := range c.Prometheus {
		p := &c.Prometheus[i]
		server, err := prometheus.New(prometheus.Options{URL: p.URL, BearerFile: p.BearerFile, Timeout: p.Timeout})
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "prometheus %s: %w", p.Name, err)
		}
		servers[p.Name] = server
	}
	return servers, nil
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
