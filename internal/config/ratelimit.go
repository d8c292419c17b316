package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/limit"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// RateLimit is how many requests one client may send.
type RateLimit struct {
	Requests   int           `yaml:"requests,required" jsonschema:"required,minimum=1,maximum=1000000" jsonschema_description:"At most so many ..."`
	Per        time.Duration `yaml:"per,required" jsonschema:"required" jsonschema_description:"... in any span of time as long as this, wherever it begins. 1s to 24h."`
	Key        string        `yaml:"key" jsonschema:"default=client,pattern=^(client|apiKey|header:.+|cookie:.+)$,example=header:X-User-Id" jsonschema_description:"Who a client is: client (the address), header:NAME, cookie:NAME, or apiKey (the X-Api-Key or Authorization header). Requests without it are counted by address."`
	Burst      int           `yaml:"burst" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"Spreads requests evenly instead (GCRA): one every per/requests, and so many at once. Default: requests may come as they like within per."`
	AlertAbove int           `yaml:"alertAbove" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"Clients that send more than so many in per are counted by a gauge, for alerts: of the requests that were let through, so that it is below requests. Default: none are."`
	Routes     []string      `yaml:"routes" jsonschema:"uniqueItems=true,maxItems=100" jsonschema_description:"Only requests to these routes of the service, by path. Default: all requests."`
	Paths      []string      `yaml:"paths" jsonschema:"uniqueItems=true,maxItems=100" jsonschema_description:"Only requests whose path begins so. Default: all requests."`
}

// Limit returns the limit that is meant, if Read has found nothing wrong with it.
func (r *RateLimit) Limit() limit.Options {
	return limit.Options{Requests: r.Requests, Window: r.Per, Burst: r.Burst, Above: r.AlertAbove}
}

// RateLimits are those of a service. A file may leave out the list around a single one.
type RateLimits []RateLimit

// SetDefaults is what a RateLimit holds before the file says otherwise.
func (r *RateLimit) SetDefaults() { r.Key = "client" }

// Bounds of rate limits.
const (
	maxRateLimits = 16
	maxRequests   = 1_000_000
	minPer        = time.Second
	maxPer        = 24 * time.Hour
)

// checkRateLimits tells every mistake in the limits of a service.
func checkRateLimits(doc *strictyaml.Doc, service string, s *Service) {
	all := service + ".rateLimit"
	if len(s.RateLimit) > maxRateLimits {
		doc.Problem(all, fmt.Sprintf("there are %d limits", len(s.RateLimit)), fmt.Sprintf("keep to %d", maxRateLimits))
		return
	}
	for i, r := range s.RateLimit {
		at := all
		if doc.Has(all + "[0]") {
			at = fmt.Sprintf("%s[%d]", all, i)
		}
		if r.Requests < 1 || r.Requests > maxRequests {
			doc.Problem(at+".requests", fmt.Sprintf("%d is out of range", r.Requests), fmt.Sprintf("give 1 to %d", maxRequests))
		}
		if r.Per < minPer || r.Per > maxPer {
			doc.Problem(at+".per", fmt.Sprintf("%v is out of range", r.Per), "give 1s to 24h, like 1m")
		}
		kind, name, named := strings.Cut(r.Key, ":")
		if good := named && (kind == "header" || kind == "cookie") && headerName.MatchString(name) || r.Key == "client" || r.Key == "apiKey"; !good {
			doc.Problem(at+".key", fmt.Sprintf("%.80q says nothing", r.Key), "write client, apiKey, header:NAME or cookie:NAME")
		}
		if doc.Has(at+".burst") && (r.Burst < 1 || r.Burst > maxRequests) {
			doc.Problem(at+".burst", fmt.Sprintf("%d is out of range", r.Burst), fmt.Sprintf("give 1 to %d, or remove it: requests may then come as they like within per", maxRequests))
		}
		if doc.Has(at+".alertAbove") && (r.AlertAbove < 1 || r.AlertAbove >= r.Requests) {
			doc.Problem(at+".alertAbove", fmt.Sprintf("%d is never passed, or always", r.AlertAbove), "give 1 or more, and less than requests says")
		}
		if even := (limit.Options{Requests: r.Requests, Window: r.Per}); r.Burst > 0 && even.Check() == nil {
			even.Burst = r.Burst
			if err := even.Check(); err != nil {
				doc.Problem(at+".burst", err.Error(), "lower it, or remove it")
			}
		}
		for k, path := range r.Routes {
			here := fmt.Sprintf("%s.routes[%d]", at, k)
			if !hasRoute(s, path) {
				doc.Problem(here, fmt.Sprintf("the service has no route %.80q", path), "write the path of one of its routes, as it stands there")
			}
		}
		for k, path := range r.Paths {
			if err := checkPath(path); err != nil {
				doc.Problem(fmt.Sprintf("%s.paths[%d]", at, k), err.Error(), "write how paths begin, like /recommend/")
			}
		}
	}
}

func hasRoute(s *Service, path string) bool {
	for _, r := range s.Routes {
		if r.Path == path {
			return true
		}
	}
	return false
}
