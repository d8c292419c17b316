package gateway

import "github.com/serin-ml/serin/internal/wire"

const mlflowLabel = "mlflow"

// routeMLflow mounts MLflow's scoring server, which has one model: the default service's.
func (g *Gateway) routeMLflow() {
	g.mux.HandleFunc("/invocations", g.predict(place{spot: g.spotAt(spot{label: mlflowLabel, route: "/invocations"}), dialect: wire.MLflow{}}, byDefault))
	alive := g.text("application/json", "\n", func() error {
		s, err := g.services.Load().unnamed()
		if err != nil {
			return err
		}
		return g.whetherServiceReady(s, "")
	})
	g.mux.HandleFunc("/ping", alive)
	g.mux.HandleFunc("/health", alive)
	g.mux.HandleFunc("/version", g.text("text/plain; charset=utf-8", g.options.Version, nil))
}
