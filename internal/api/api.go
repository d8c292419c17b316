// Package api is the control plane: what can be looked at and changed while Serin runs, as HTTP handlers described by OpenAPI, and the
// client for them. Command line and console speak to these handlers alone, over TCP, over the data directory's socket, or in-process.
//
// No request names a path on the server: files are sent as bytes.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/payload"
	"github.com/serin-ml/serin/internal/registry"
)

// Options are what the control plane shows and changes.
type Options struct {
	Version  string // of Serin
	Registry *registry.Registry
	Log      *slog.Logger
	Services func() []Service // the running services; nil where no server runs
	Changed  func()           // called after a change of the registry, so that a server looks at once; may be nil
	Metrics  http.Handler     // answers /metrics; may be nil
	Now      func() time.Time // the clock; nil is time.Now
	Traffic  Traffic          // who wants which weights; nil where none is kept

	// What was measured; nil where there is no telemetry.
	Telemetry Querier
	Views     []View // what Telemetry can be asked about, as documented
	Export    Exporter
	Measure   Summariser
	Shadows   Shadower
	Token     func(text string) (Token, error) // reads and verifies a decision's token; nil: there are no keys here

	// Payload returns what was captured of a decision, by the reference that it holds; nil: nothing is read. NotFound: it is not kept any more.
	Payload func(service, decision, ref string) (payload.Record, error)

	Releases Releases      // what releases there are; nil: none are kept here
	Releaser Releaser      // starts and commands them; nil: no server runs
	Beat     time.Duration // how often a stream of events says something; 0 means 15 s

	// Reload reads the server's configuration anew. What cannot be applied as a whole is an error, and changes nothing. Nil: no server runs.
	Reload func(context.Context) (Reloaded, error)
}

// control holds the handlers' common needs.
type control struct{ Options }

// New returns the control plane's handler: everything under /api/v1, its description at /api/v1/openapi.json, and /metrics.
func New(o Options) http.Handler {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Services == nil {
		o.Services = func() []Service { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Beat <= 0 {
		o.Beat = keepAlive
	}
	c := &control{o}
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Serin control plane", o.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/api/v1/openapi", "", ""
	config.CreateHooks = nil // they would add a $schema link to every answer
	h := humago.New(mux, config)
	c.routeModels(h)
	c.routeImport(h)
	c.routeServices(h)
	c.routeReload(h)
	c.routeTraffic(h)
	c.routeQuery(h)
	c.routeDecisions(h)
	c.routeExport(h)
	c.routeSummary(h)
	c.routeShadows(h)
	c.routeReleases(h)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fault.NotFoundf("the control plane has nothing at %.200q", r.URL.Path).
			WithHint("/api/v1/openapi.json describes what there is"))
	})
	return mux
}

// handle mounts an operation whose handler returns errors with kinds.
func handle[I, O any](h huma.API, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	op.Errors = []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}
	huma.Register(h, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, problemOf(fault.HTTPStatus(err), err)
		}
		return out, nil
	})
}

// problem is an error as a client sees it: RFC 9457, with our kind and hint.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Kind   string `json:"kind"`
	Hint   string `json:"hint,omitempty"`
}

func problemOf(status int, err error) *problem {
	return &problem{http.StatusText(status), status, err.Error(), fault.KindOf(err).String(), fault.HintOf(err)}
}

// Error, GetStatus and ContentType make a problem what huma answers with.
func (p *problem) Error() string             { return p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return "application/problem+json" }

// text is the problem as JSON.
func (p *problem) text() []byte {
	b, _ := json.Marshal(p) // strings and a number always encode
	return b
}

// refuse answers with a problem outside of huma.
func refuse(w http.ResponseWriter, status int, err error) {
	body := problemOf(status, err).text()
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}
