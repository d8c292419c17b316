package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

const openInferenceLabel = "openinference"

// routeOpenInference mounts the Open Inference Protocol v2. A service is the protocol's model; a version in the path is the
// registry's number, and only the one that is live answers.
func (g *Gateway) routeOpenInference() {
	named := func(t *table, r *http.Request) (*Service, error) { return t.named(r.PathValue("name")) }
	infer := g.predict(wire.OpenInference{}, openInferenceLabel, named)
	g.get("/v2", func(*http.Request) ([]byte, error) {
		return wire.AppendServerMetadata(nil, wire.ServerInfo{Name: "serin", Version: g.options.Version}), nil
	})
	g.get("/v2/health/live", func(*http.Request) ([]byte, error) { return wire.AppendServerLive(nil, true), nil })
	g.get("/v2/health/ready", func(*http.Request) ([]byte, error) {
		if !g.Ready() {
			return nil, fault.Unavailablef("not every service is ready")
		}
		return wire.AppendServerReady(nil, true), nil
	})
	g.get("/v2/models", func(*http.Request) ([]byte, error) {
		names := []string{}
		for _, s := range g.Services() {
			names = append(names, s.Name())
		}
		return wire.AppendModelList(nil, names), nil
	})
	for _, model := range []string{"/v2/models/{name}", "/v2/models/{name}/versions/{version}"} {
		g.mux.HandleFunc(model+"/infer", infer)
		g.get(model, func(r *http.Request) ([]byte, error) {
			live, err := g.live(r)
			if err != nil {
				return nil, err
			}
			return wire.AppendModelMetadata(nil, wire.ModelInfo{
				Name: r.PathValue("name"), Versions: []string{strconv.Itoa(live.Number)}, Platform: "serin_" + live.Runtime,
				Signature: live.Model.Signature(),
			}), nil
		})
		g.get(model+"/ready", func(r *http.Request) ([]byte, error) {
			if _, err := g.live(r); err != nil {
				return nil, err
			}
			return wire.AppendModelReady(nil, r.PathValue("name"), true), nil
		})
	}
}

// live finds the live version of the service that the path names.
func (g *Gateway) live(r *http.Request) (*Live, error) {
	s, err := g.services.Load().named(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	live := s.Live()
	if live == nil {
		return nil, fault.Unavailablef("service %q has no model ready to answer", s.Name())
	}
	if v := r.PathValue("version"); v != "" && v != strconv.Itoa(live.Number) {
		return nil, notThisVersion(v, live)
	}
	return live, nil
}

// get mounts a document that takes no body, with errors in the Open Inference form.
func (g *Gateway) get(path string, document func(*http.Request) ([]byte, error)) {
	g.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		var body []byte
		var err error
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			err = &statusError{http.StatusMethodNotAllowed, fault.Invalidf("%s is read with GET", r.URL.Path)}
		} else {
			body, err = document(r)
		}
		status := statusOf(err)
		if err != nil {
			body = wire.OpenInference{}.Error(nil, status, err)
		}
		g.write(w, status, body, time.Time{})
	})
}
