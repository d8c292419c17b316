package app

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
)

// limitsOf makes the limits of a service. Each is named after what it goes by and its window: client/1m, header:X-User-Id/1h; where two
// would have one name, the second gets a number.
func limitsOf(s *config.Service) ([]*gateway.Limit, error) {
	limits := make([]*gateway.Limit, len(s.RateLimit))
	named := map[string]int{}
	for i := range s.RateLimit {
		r := &s.RateLimit[i]
		name := r.Key + "/" + gateway.ShortDuration(r.Per)
		if named[name]++; named[name] > 1 {
			name += fmt.Sprintf(" (%d)", named[name])
		}
		var err error
		limits[i], err = gateway.NewLimit(gateway.LimitOptions{Options: r.Limit(), Name: name, Key: limitKey(r.Key), Routes: r.Routes, Paths: r.Paths})
		if err != nil {
			return nil, err
		}
	}
	return limits, nil
}

// limitKey reads what clients are told apart by.
func limitKey(text string) gateway.LimitKey {
	kind, name, _ := strings.Cut(text, ":")
	switch kind {
	case "header":
		return gateway.LimitKey{From: gateway.ByHeader, Name: http.CanonicalHeaderKey(name)}
	case "cookie":
		return gateway.LimitKey{From: gateway.ByCookie, Name: name}
	case "apiKey":
		return gateway.LimitKey{From: gateway.ByAPIKey}
	}
	return gateway.LimitKey{From: gateway.ByClient}
}
