package app

import (
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/wire"
)

// routesOf makes a service's routes of its settings, which have been read without a mistake.
func routesOf(s *config.Service) ([]gateway.Route, error) {
	routes := make([]gateway.Route, len(s.Routes))
	for i, r := range s.Routes {
		dialect, err := wire.CompileMapping(r.Mapping)
		if err != nil {
			return nil, fault.Invalidf("service %q, route %s %s: %w", s.Name, r.Method, r.Path, err)
		}
		routes[i] = gateway.Route{Method: r.Method, Path: r.Pattern, Dialect: dialect}
	}
	return routes, nil
}
