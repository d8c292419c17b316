package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// ReleaseRequest asks for a release to begin.
type ReleaseRequest struct {
	Name string `json:"name" example:"movies" doc:"the template in the server's file"`
	ReleaseStart
}

// ReleaseCommand says who wants something of a release, and why.
type ReleaseCommand struct {
	By  string `json:"by" doc:"who wants it"`
	Why string `json:"why,omitempty" doc:"the reason; others will ask"`
}

// wishes are what can be wanted of a release, each at an address of its own.
var wishes = []struct {
	wish    release.Wish
	summary string
}{
	{release.WantPromotion, "Promote a release's candidate at once, whatever steps are left"},
	{release.WantAbort, "Take a release back: all traffic to stable"},
	{release.WantApproval, "Approve the step that a release waits at"},
	{release.WantResume, "Let a release go on from where it is held"},
	{release.WantRetry, "Let a release try again what failed"},
}

func (c *control) routeReleases(h huma.API) {
	type many struct{ Body []Release }
	type one struct{ Body Release }
	type named struct {
		ID string `path:"id" example:"movies-12" doc:"a release, or a template's name: its newest"`
	}
	handle(h, huma.Operation{
		OperationID: "list-releases", Method: http.MethodGet, Path: "/api/v1/releases", Summary: "All releases, those that run first, then the newest first",
	}, func(ctx context.Context, _ *struct{}) (*many, error) {
		if err := c.hasReleases(); err != nil {
			return nil, err
		}
		all, err := c.Releases.Releases(ctx)
		return &many{orEmpty(all)}, err
	})
	handle(h, huma.Operation{
		OperationID: "show-release", Method: http.MethodGet, Path: "/api/v1/releases/{id}", Summary: "A release as it stands, and all that happened",
	}, func(ctx context.Context, in *named) (*one, error) {
		if err := c.hasReleases(); err != nil {
			return nil, err
		}
		r, err := c.Releases.Release(ctx, in.ID)
		return &one{r}, err
	})
	c.routeFollow(h)
	c.routeReleaser(h)
}

// routeReleaser mounts what only a running server can do.
func (c *control) routeReleaser(h huma.API) {
	type one struct{ Body Release }
	type start struct{ Body ReleaseRequest }
	handle(h, huma.Operation{
		OperationID: "start-release", Method: http.MethodPost, Path: "/api/v1/releases", Summary: "Begin a release by the template of a name",
		Description: "Stable and candidate are bound to the versions that they are now. One release of a service runs at a time.",
	}, func(ctx context.Context, in *start) (*one, error) {
		if err := c.hasReleaser(); err != nil {
			return nil, err
		}
		if err := checkCommand(in.Body.By, in.Body.Why); err != nil {
			return nil, err
		}
		r, err := c.Releaser.StartRelease(ctx, in.Body.Name, in.Body.ReleaseStart)
		return &one{r}, err
	})
	type command struct {
		ID   string `path:"id" example:"movies-12" doc:"a release, or a template's name: its newest"`
		Body ReleaseCommand
	}
	for _, w := range wishes {
		handle(h, huma.Operation{
			OperationID: fmt.Sprintf("%s-release", w.wish), Method: http.MethodPost, Path: fmt.Sprintf("/api/v1/releases/{id}/%s", w.wish), Summary: w.summary,
		}, func(ctx context.Context, in *command) (*one, error) {
			if err := c.hasReleaser(); err != nil {
				return nil, err
			}
			if err := checkCommand(in.Body.By, in.Body.Why); err != nil {
				return nil, err
			}
			r, err := c.Releaser.CommandRelease(ctx, in.ID, release.Command{What: w.wish, By: in.Body.By, Why: in.Body.Why})
			return &one{r}, err
		})
	}
	type planned struct {
		Name string `path:"name" example:"movies" doc:"the template in the server's file"`
	}
	type plan struct{ Body ReleasePlan }
	handle(h, huma.Operation{
		OperationID: "plan-release", Method: http.MethodGet, Path: "/api/v1/release-plans/{name}", Summary: "What a release would find out, and when, by the traffic of the last hour",
	}, func(ctx context.Context, in *planned) (*plan, error) {
		if err := c.hasReleaser(); err != nil {
			return nil, err
		}
		p, err := c.Releaser.PlanRelease(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		p.Steps, p.Metrics, p.Says, p.Warnings = orEmpty(p.Steps), orEmpty(p.Metrics), orEmpty(p.Says), orEmpty(p.Warnings)
		for i := range p.Metrics {
			p.Metrics[i].Warnings = orEmpty(p.Metrics[i].Warnings)
		}
		return &plan{p}, nil
	})
}

func (c *control) hasReleases() error {
	if c.Releases == nil {
		return fault.NotFoundf("no releases are kept here").WithHint("ask the control plane of a server, or name its data directory")
	}
	return nil
}

func (c *control) hasReleaser() error {
	if c.Releaser == nil {
		return fault.Unavailablef("no server runs here that could run releases").WithHint("start one with `serin serve`, and try again")
	}
	return nil
}

// checkCommand is checkTexts where a reason may be left out.
func checkCommand(by, why string) error {
	if why == "" {
		why = "-"
	}
	return checkTexts(by, why)
}
