package gateway

import (
	"net/http"
	"strings"

	"github.com/serin-ml/serin/internal/wire"
)

const seldonLabel = "seldon"

// seldonVersions are those of the Seldon protocol's paths; the second is the same protocol under the path of its first years.
var seldonVersions = [...]string{"/api/v1.0", "/api/v0.1"}

// routeSeldon mounts the Seldon v1 protocol: with and without a namespace, which says nothing here, under the prefix its ingress adds, and
// bare as its executor has it; and the predictions and health of its model microservice, whose paths are shorter still.
func (g *Gateway) routeSeldon() {
	predictions := place{spot: g.spotAt(spot{label: seldonLabel, route: "/api/v1.0/predictions", cors: true}), dialect: wire.Seldon{}}
	explain := place{spot: g.spotAt(spot{label: seldonLabel, route: "/api/v1.0/explain", cors: true, explain: true}), dialect: wire.Seldon{Explain: true}}
	g.seldonPaths("/predictions", func(find find) http.HandlerFunc { return g.predict(predictions, find) })
	g.seldonPaths("/explain", func(find find) http.HandlerFunc { return g.predict(explain, find) })
	for _, version := range seldonVersions {
		// An explainer is a service of its own there: its name is that of what it explains, and a suffix.
		g.mux.HandleFunc("/seldon/{namespace}/{name}/{predictor}"+version+"/explain", g.predict(explain, byExplainer("name")))
	}
	for path, document := range map[string]func(s *Service, r *http.Request) ([]byte, error){
		"/metadata":         g.seldonGraph,
		"/metadata/{model}": g.seldonModel,
		"/status":           g.seldonStatus,
		"/status/{model}":   g.seldonStatus,
		"/health/status":    g.seldonStatus,
	} {
		g.seldonPaths(path, func(find find) http.HandlerFunc {
			return g.document(wire.Seldon{}, http.MethodGet, func(r *http.Request, _ []byte) ([]byte, error) {
				s, _, err := find(g.services.Load(), r)
				if err != nil {
					return nil, err
				}
				return document(s, r)
			})
		})
	}
	g.mux.HandleFunc("/predict", g.predict(place{spot: g.spotAt(spot{label: seldonLabel, route: "/predict"}), dialect: wire.Seldon{}}, byDefault))
	g.mux.HandleFunc("/health/ping", g.text("text/plain; charset=utf-8", "pong", nil))
	g.mux.HandleFunc("/health/status", g.document(wire.Seldon{}, http.MethodGet, func(r *http.Request, _ []byte) ([]byte, error) {
		s, _, err := byDefault(g.services.Load(), r)
		if err != nil {
			return nil, err
		}
		return g.seldonStatus(s, r)
	}))
}

// seldonPaths mounts a call of the Seldon protocol under all forms of its path.
func (g *Gateway) seldonPaths(call string, handler func(find) http.HandlerFunc) {
	bare, named, two := handler(byDefault), handler(byPath), handler(byPath)
	if call == "/explain" {
		two = handler(byExplainer("namespace"))
	}
	for _, version := range seldonVersions {
		g.mux.HandleFunc(version+call, bare)
		g.mux.HandleFunc("/seldon/{name}"+version+call, named)
		g.mux.HandleFunc("/seldon/{namespace}/{name}"+version+call, two)
	}
}

// byExplainer finds the service of an explainer's path, NAME-explainer/PREDICTOR. Which part is the name is open where there is room for a
// namespace too: if part does not end as an explainer's does, or there is no such service, the path names a service as any other does.
func byExplainer(part string) find {
	return func(t *table, r *http.Request) (*Service, string, error) {
		if name, found := strings.CutSuffix(r.PathValue(part), "-explainer"); found && t.byName[name] != nil {
			s, err := t.spoken(name)
			return s, "", err
		}
		return byPath(t, r)
	}
}

// preflight answers a browser that asks whether a page of another origin may call. Without Options.AllowOrigin the answer allows nothing:
// to let every page of the web call a server in somebody's own network is for its owner to decide.
func (g *Gateway) preflight(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	if origin := g.options.AllowOrigin; origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		if origin != "*" {
			h.Add("Vary", "Origin")
		}
	}
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Allow", "POST, OPTIONS")
	if g.options.AllowOrigin != "" {
		h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, X-CSRF-Token")
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return true
}

// text returns the handler of a text that never changes, or of an error in its place while there is one.
func (g *Gateway) text(contentType, text string, whether func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := allow(w, r, http.MethodGet)
		if err == nil && whether != nil {
			err = whether()
		}
		if err != nil {
			retryAfter(w.Header(), err)
			g.send(w, r, statusOf(err), wire.Frame{ContentType: "text/plain; charset=utf-8"}, []byte(explained(err)+"\n"))
			return
		}
		g.send(w, r, http.StatusOK, wire.Frame{ContentType: contentType}, []byte(text))
	}
}
