package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

// Repository loads and unloads services by name.
type Repository interface {
	// Load brings to life what the service's references name now. The error tells why one could not be.
	Load(ctx context.Context, service string) error
	// Unload lets the service answer nothing until it is loaded again.
	Unload(ctx context.Context, service string) error
}

// routeRepository mounts the model repository extension of Open Inference. Which models there are is told to anybody; to load and unload
// them is refused unless Options.RepositoryControl allows it.
func (g *Gateway) routeRepository() {
	browsers := http.NewCrossOriginProtection()
	post := func(path string, answer func(r *http.Request, body []byte) ([]byte, error)) {
		g.mux.HandleFunc(path, g.document(wire.OpenInference{}, http.MethodPost, answer))
	}
	index := func(_ *http.Request, body []byte) ([]byte, error) {
		q, err := wire.ReadRepositoryQuery(body)
		return wire.AppendRepositoryIndex(nil, g.index(q)), err
	}
	for _, repository := range []string{"/v2/repository", "/v2/repository/{repository}"} { // there is one, whatever it is called
		post(repository+"/index", index)
		for _, load := range []bool{true, false} {
			verb := "/unload"
			if load {
				verb = "/load"
			}
			post(repository+"/models/{name}"+verb, func(r *http.Request, body []byte) ([]byte, error) {
				call, err := wire.ReadRepositoryCall(body)
				if err != nil {
					return nil, err
				}
				if err := browsers.Check(r); err != nil { // a page somewhere on the web, in the browser of somebody who reaches this server
					return nil, &statusError{http.StatusForbidden, fault.Invalidf("pages of other origins may not load and unload models")}
				}
				call.Model = r.PathValue("name")
				return nil, g.control(r.Context(), call, load)
			})
		}
	}
}

// index lists the versions that are live, and the services that have none. Why is for those who run the server.
func (g *Gateway) index(q wire.RepositoryQuery) []wire.RepositoryEntry {
	list := []wire.RepositoryEntry{}
	for _, s := range g.Services() {
		if !s.speaks {
			continue
		}
		missing := wire.RepositoryEntry{Name: s.Name()}
		seen := map[string]bool{}
		for _, v := range s.variants {
			live := v.Live()
			switch state := v.State(); {
			case live != nil && !seen[live.number()]:
				seen[live.number()] = true
				list = append(list, wire.RepositoryEntry{Name: s.Name(), Version: live.number(), State: wire.StateReady})
			case live != nil:
			case state == Failed:
				missing.State, missing.Reason = wire.StateUnavailable, "it could not be loaded"
			case missing.State == "" && state == Unloaded:
				missing.State, missing.Reason = wire.StateUnavailable, "it was unloaded"
			case missing.State == "":
				missing.State = wire.StateLoading
			}
		}
		if missing.State != "" && !q.Ready {
			list = append(list, missing)
		}
	}
	return list
}

// control loads or unloads what the call says. Its errors begin as Triton's do, which clients look for.
func (g *Gateway) control(ctx context.Context, call wire.RepositoryCall, load bool) error {
	verb, act := "unload", func() error { return g.options.Repository.Unload(ctx, call.Model) }
	if load {
		verb, act = "load", func() error { return g.options.Repository.Load(ctx, call.Model) }
	}
	failed := func(err error) error {
		if fault.KindOf(err) == fault.Internal {
			g.options.Log.ErrorContext(ctx, "a model could not be "+verb+"ed", "service", call.Model, "error", err)
			err = &statusError{http.StatusInternalServerError, fault.Invalidf("the log of the server says why")}
		}
		return &statusError{statusOf(err), fault.New(fault.KindOf(err), "failed to %s '%.80s', %w", verb, call.Model, err)}
	}
	if !g.options.RepositoryControl || g.options.Repository == nil {
		return failed(&statusError{http.StatusForbidden, fault.Invalidf("this server lets no client load and unload models")})
	}
	if _, err := g.services.Load().spoken(call.Model); err != nil {
		return failed(err)
	}
	if call.Config != "" || len(call.Files) > 0 {
		return failed(fault.Invalidf("a model is loaded from the registry: a call brings no configuration and no files"))
	}
	if err := act(); err != nil {
		if ctx.Err() != nil {
			return errors.Join(errGone, err)
		}
		return failed(err)
	}
	return nil
}
