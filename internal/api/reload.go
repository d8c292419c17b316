package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
)

// Reloaded is what a reload of the configuration has changed. Names are in the order of the files.
type Reloaded struct {
	File      string          `json:"file" doc:"that was read; empty: the server runs without one"`
	Added     []string        `json:"added" doc:"services that there were not before"`
	Changed   []string        `json:"changed" doc:"services with other settings than before"`
	Removed   []string        `json:"removed" doc:"services that there are no more"`
	Unchanged []string        `json:"unchanged" doc:"services that go on as if nothing had been read"`
	Loaded    []LoadedVersion `json:"loaded" doc:"versions that were loaded, checked and warmed up; what was live already is not among them"`
	Server    []string        `json:"server" doc:"keys of the server itself that have other values than before" example:"[\"drain\"]"`
}

// LoadedVersion is a version that answers for a variant.
type LoadedVersion struct {
	Service string `json:"service"`
	Variant string `json:"variant"`
	Model   string `json:"model"`
	Version int    `json:"version" doc:"the registry's number"`
	Semver  string `json:"semver"`
	Digest  string `json:"digest"`
}

// Nothing tells whether all is as it was.
func (r Reloaded) Nothing() bool {
	return len(r.Added)+len(r.Changed)+len(r.Removed)+len(r.Server) == 0
}

func (c *control) routeReload(h huma.API) {
	type output struct{ Body Reloaded }
	handle(h, huma.Operation{
		OperationID: "reload", Method: http.MethodPost, Path: "/api/v1/reload", Summary: "Read the configuration file anew",
		Description: "Everything new is checked, loaded and warmed up before anything is changed; then it is changed at once. Where something is wrong, all stays as it was.",
	}, func(ctx context.Context, _ *struct{}) (*output, error) {
		if c.Reload == nil {
			return nil, fault.Unavailablef("no server runs here that could reload its configuration")
		}
		done, err := c.Reload(ctx)
		if err != nil {
			return nil, err
		}
		for _, list := range []*[]string{&done.Added, &done.Changed, &done.Removed, &done.Unchanged, &done.Server} {
			*list = orEmpty(*list)
		}
		done.Loaded = orEmpty(done.Loaded)
		return &output{done}, nil
	})
}

// Reload lets the server read its configuration file anew.
func (c *Client) Reload(ctx context.Context) (done Reloaded, err error) {
	err = c.call(ctx, http.MethodPost, path("reload"), nil, &done)
	return done, err
}
