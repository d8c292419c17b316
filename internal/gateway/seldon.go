package gateway

import (
	"net/http"

	"github.com/serin-ml/serin/internal/wire"
)

const seldonLabel = "seldon"

// routeSeldon mounts the Seldon v1 protocol: with and without a namespace, under the prefix its ingress adds, and bare.
func (g *Gateway) routeSeldon() {
	bare := g.predict(wire.Seldon{}, seldonLabel, func(t *table, _ *http.Request) (*Service, error) { return t.unnamed() })
	named := g.predict(wire.Seldon{}, seldonLabel, func(t *table, r *http.Request) (*Service, error) { return t.named(r.PathValue("name")) })
	for _, version := range []string{"v1.0", "v0.1"} { // the same protocol under the path of its first years
		call := "/api/" + version + "/predictions"
		g.mux.HandleFunc(call, bare)
		g.mux.HandleFunc("/seldon/{name}"+call, named)
		g.mux.HandleFunc("/seldon/{namespace}/{name}"+call, named)
	}
}
