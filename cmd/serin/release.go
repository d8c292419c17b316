package main

import (
	"context"
	"fmt"
	"io"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/release"
)

// releaseCmd is the commands about releases.
type releaseCmd struct {
	Plan    releasePlanCmd    `cmd:"" help:"Tell what a release would do, and what it would find out when, before it starts."`
	Start   releaseStartCmd   `cmd:"" help:"Begin a release by a template of the server's file."`
	Watch   releaseWatchCmd   `cmd:"" help:"Tell what happens to a release until it ends: exit code 0 if it is promoted, 3 if it is rolled back."`
	Status  releaseStatusCmd  `cmd:"" help:"Show how a release stands: its step, its share, its metrics."`
	Show    releaseShowCmd    `cmd:"" help:"Show all of a release: its plan, how it stands, and who did what when."`
	List    releaseListCmd    `cmd:"" help:"List releases, those that run first."`
	Approve releaseApproveCmd `cmd:"" help:"Approve the step that a release waits at."`
	Resume  releaseResumeCmd  `cmd:"" help:"Let a release go on from where it is held."`
	Retry   releaseRetryCmd   `cmd:"" help:"Let a release try again what failed."`
	Promote releasePromoteCmd `cmd:"" help:"Promote the candidate at once, whatever steps are left."`
	Abort   releaseAbortCmd   `cmd:"" help:"Take a release back: all traffic to stable, at once."`
}

// releases returns a way to ask about releases: the server that runs, which knows the figures of now, else the data directory. The caller
// calls the function that it returns when it is done.
func (c *cli) releases(ctx context.Context, say *speaker) (*api.Client, func(), error) {
	if server, err := app.Running(c.DataDir); err == nil {
		return server, func() {}, nil
	}
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return nil, nil, err
	}
	return control.Client, func() { control.Close() }, nil
}

// release asks for one.
func (c *cli) release(ctx context.Context, say *speaker, id string) (api.Release, error) {
	client, done, err := c.releases(ctx, say)
	if err != nil {
		return api.Release{}, err
	}
	defer done()
	return client.Release(ctx, id)
}

type releaseStartCmd struct {
	Name      string `arg:"" help:"Name of the template, under releases in the server's file."`
	Why       string `placeholder:"TEXT" help:"The reason, for the history."`
	Supersede bool   `help:"Abort the release of the service that is under way, and begin anew with the versions that there are now."`
}

// Run begins a release.
func (s *releaseStartCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	server, err := app.Running(c.DataDir)
	if err != nil {
		return err
	}
	r, err := server.StartRelease(ctx, s.Name, api.ReleaseStart{By: whoAmI(), Why: s.Why, Supersede: s.Supersede})
	if err != nil {
		return err
	}
	return say.answer(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s has begun: %s\n", r.ID, standing(&r))
		fmt.Fprintf(w, "`serin release watch %s` tells what happens\n", r.ID)
	})
}

// wished is what all wishes have in common: of whom, and why.
type wished struct {
	ID  string `arg:"" name:"release" help:"The release, such as movies-12, or a template's name: its newest."`
	Why string `placeholder:"TEXT" help:"The reason, for the history."`
}

func (w *wished) run(ctx context.Context, c *cli, say *speaker, what release.Wish) error {
	server, err := app.Running(c.DataDir)
	if err != nil {
		return err
	}
	r, err := server.CommandRelease(ctx, w.ID, release.Command{What: what, By: whoAmI(), Why: w.Why})
	if err != nil {
		return err
	}
	return say.answer(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n", r.ID, standing(&r))
		line(w, "why", oneLine(r.Reason))
	})
}

type (
	releaseApproveCmd struct{ wished }
	releaseResumeCmd  struct{ wished }
	releaseRetryCmd   struct{ wished }
	releasePromoteCmd struct{ wished }
	releaseAbortCmd   struct{ wished }
)

// Run approves.
func (r *releaseApproveCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	return r.run(ctx, c, say, release.WantApproval)
}

// Run resumes.
func (r *releaseResumeCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	return r.run(ctx, c, say, release.WantResume)
}

// Run tries again.
func (r *releaseRetryCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	return r.run(ctx, c, say, release.WantRetry)
}

// Run promotes.
func (r *releasePromoteCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	return r.run(ctx, c, say, release.WantPromotion)
}

// Run aborts.
func (r *releaseAbortCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	return r.run(ctx, c, say, release.WantAbort)
}
