package api

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/traffic"
)

// Traffic keeps what operators want of the services' traffic. Services are those that a server has run with; others are NotFound.
type Traffic interface {
	// Load returns the named services, or all by name, each with at most that many of its last changes, newest first.
	Load(ctx context.Context, changes int, services ...string) ([]ServiceTraffic, error)
	// Set puts weights above those of the file.
	Set(ctx context.Context, service string, o TrafficOverride) error
	// Clear takes them away again.
	Clear(ctx context.Context, service string, c TrafficClear) error
}

// ServiceTraffic is how the traffic of a service is shared now, and why.
type ServiceTraffic struct {
	Service       string             `json:"service"`
	Epoch         uint32             `json:"epoch" doc:"the assignment epoch: a new one draws every user afresh"`
	PolicyVersion uint64             `json:"policyVersion" doc:"grows with every change; decisions name it"`
	Variants      []string           `json:"variants" doc:"as the server last ran with; none: the service is not in its file any more"`
	Source        traffic.Source     `json:"source" enum:"release,override,file" doc:"whose weights hold"`
	Weights       traffic.Weights    `json:"weights" doc:"that hold"`
	Shares        map[string]float64 `json:"shares" doc:"of the traffic, by these weights"`
	Layers        []traffic.Layer    `json:"layers" doc:"all that want a say, uppermost first"`
	Override      *traffic.Override  `json:"override,omitempty"`
	Changes       []TrafficChange    `json:"changes" doc:"the last ones, newest first"`
}

// TrafficChange is one change of a service's traffic. They are kept for good.
type TrafficChange struct {
	PolicyVersion uint64          `json:"policyVersion" doc:"that it made"`
	Epoch         uint32          `json:"epoch"`
	What          string          `json:"what" enum:"file,set,clear,expire,gone" doc:"file: the server's file says something else; gone: it names the service no more; expire: an override's time was over"`
	Weights       traffic.Weights `json:"weights,omitempty" doc:"that were set, or that the file gives now"`
	Expires       time.Time       `json:"expires,omitzero"`
	At            time.Time       `json:"at"`
	By            string          `json:"by"`
	Why           string          `json:"why,omitempty"`
}

// TrafficOverride is weights that an operator wants to hold above the file's.
type TrafficOverride struct {
	Weights SentWeights `json:"weights"`
	By      string      `json:"by" doc:"who wants it"`
	Why     string      `json:"why" doc:"the reason; others will ask"`
	For     string      `json:"for,omitempty" default:"24h" example:"2h" doc:"how long, like 90m, 2h or 14d, at most a year; 0: until it is cleared"`
	Expect  *uint64     `json:"expect,omitempty" doc:"the policyVersion there must be now; otherwise 409"`
}

// TrafficClear says who takes an override away, and why.
type TrafficClear struct {
	By     string  `json:"by"`
	Why    string  `json:"why"`
	Expect *uint64 `json:"expect,omitempty" doc:"the policyVersion there must be now; otherwise 409"`
}

// Duration reads For; 0 is for good.
func (o TrafficOverride) Duration() (time.Duration, error) {
	const usual = 24 * time.Hour
	if o.For == "" {
		return usual, nil
	}
	d, err := strictyaml.ParseDuration(o.For)
	if err != nil || d < 0 {
		return 0, fault.Invalidf("for: %.40q is no duration", o.For).WithHint("write a number with a unit, like 90m, 2h or 14d; 0 is until it is cleared")
	}
	return d, nil
}

// SentWeights are weights in a request: decimals as numbers or as text.
type SentWeights traffic.Weights

// Schema tells huma what the weights' own decoder takes.
func (SentWeights) Schema(huma.Registry) *huma.Schema {
	zero := 0.0
	return &huma.Schema{
		Type: huma.TypeObject, Description: "The share of each variant; they need not add up to anything. A variant that is left out gets nobody.",
		Examples: []any{map[string]any{"stable": 80, "canary": 20}},
		AdditionalProperties: &huma.Schema{OneOf: []*huma.Schema{
			{Type: huma.TypeNumber, Minimum: &zero},
			{Type: huma.TypeString, Pattern: traffic.WeightPattern},
		}},
	}
}

// changesShown is how many changes of a service are sent unless told otherwise.
const changesShown = 20

func (c *control) routeTraffic(h huma.API) {
	type many struct{ Body []ServiceTraffic }
	handle(h, huma.Operation{
		OperationID: "list-traffic", Method: http.MethodGet, Path: "/api/v1/traffic", Summary: "How the traffic of every service is shared",
	}, func(ctx context.Context, _ *struct{}) (*many, error) {
		all, err := c.loadTraffic(ctx, 1)
		return &many{all}, err
	})

	type one struct{ Body ServiceTraffic }
	type named struct {
		Service string `path:"service" example:"sentiment"`
		Changes int    `query:"changes" default:"20" minimum:"0" maximum:"1000" doc:"how many of the last changes to send"`
	}
	show := func(ctx context.Context, service string, changes int) (*one, error) {
		all, err := c.loadTraffic(ctx, changes, service)
		if err != nil {
			return nil, err
		}
		return &one{all[0]}, nil
	}
	handle(h, huma.Operation{
		OperationID: "show-traffic", Method: http.MethodGet, Path: "/api/v1/traffic/{service}", Summary: "How a service's traffic is shared, by whom, and since when",
	}, func(ctx context.Context, in *named) (*one, error) { return show(ctx, in.Service, in.Changes) })

	type set struct {
		Service string `path:"service" example:"sentiment"`
		Body    TrafficOverride
	}
	handle(h, huma.Operation{
		OperationID: "set-traffic", Method: http.MethodPut, Path: "/api/v1/traffic/{service}", Summary: "Put weights above those of the file, for a time",
	}, func(ctx context.Context, in *set) (*one, error) {
		if err := c.hasTraffic(); err != nil {
			return nil, err
		}
		if err := checkTexts(in.Body.By, in.Body.Why); err != nil {
			return nil, err
		}
		if err := c.Traffic.Set(ctx, in.Service, in.Body); err != nil {
			return nil, err
		}
		return show(ctx, in.Service, changesShown)
	})

	type clearing struct {
		Service string `path:"service" example:"sentiment"`
		Body    TrafficClear
	}
	handle(h, huma.Operation{
		OperationID: "clear-traffic", Method: http.MethodDelete, Path: "/api/v1/traffic/{service}", Summary: "Take the weights above the file's away",
	}, func(ctx context.Context, in *clearing) (*one, error) {
		if err := c.hasTraffic(); err != nil {
			return nil, err
		}
		if err := checkTexts(in.Body.By, in.Body.Why); err != nil {
			return nil, err
		}
		if err := c.Traffic.Clear(ctx, in.Service, in.Body); err != nil {
			return nil, err
		}
		return show(ctx, in.Service, changesShown)
	})
}

func (c *control) hasTraffic() error {
	if c.Traffic == nil {
		return fault.NotFoundf("no traffic is kept here").WithHint("ask the control plane of a server, or name its data directory")
	}
	return nil
}

// loadTraffic loads services, with lists and maps that are empty rather than null.
func (c *control) loadTraffic(ctx context.Context, changes int, services ...string) ([]ServiceTraffic, error) {
	if err := c.hasTraffic(); err != nil {
		return nil, err
	}
	all, err := c.Traffic.Load(ctx, changes, services...)
	if err != nil {
		return nil, err
	}
	for i := range all {
		s := &all[i]
		s.Variants, s.Changes, s.Layers = orEmpty(s.Variants), orEmpty(s.Changes), orEmpty(s.Layers)
		s.Weights = orNothing(s.Weights)
		s.Shares = make(map[string]float64, len(s.Weights))
		for name := range s.Weights {
			s.Shares[name] = s.Weights.Share(name)
		}
		for j := range s.Layers {
			l := &s.Layers[j]
			l.Weights, l.Notes = orNothing(l.Weights), orEmpty(l.Notes)
		}
	}
	return orEmpty(all), nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orNothing(w traffic.Weights) traffic.Weights {
	if w == nil {
		return traffic.Weights{}
	}
	return w
}

// checkTexts refuses an author or a reason that would garble a log or a table.
func checkTexts(by, why string) error {
	var all fault.List
	for _, text := range []struct{ name, value string }{{"by", by}, {"why", why}} {
		all.If(strings.TrimSpace(text.value) == "", "%s: it is empty; say who wants this, and why: others will ask", text.name)
		all.If(len(text.value) > 500, "%s: it is longer than 500 bytes", text.name)
		all.If(!utf8.ValidString(text.value) || strings.ContainsFunc(text.value, unicode.IsControl), "%s: it holds a control character, or is not valid UTF-8", text.name)
	}
	return all.Err()
}

// Traffic returns how the traffic of every service is shared.
func (c *Client) Traffic(ctx context.Context) (all []ServiceTraffic, err error) {
	err = c.call(ctx, http.MethodGet, path("traffic"), nil, &all)
	return all, err
}

// ServiceTraffic returns how the traffic of one service is shared, with its last changes.
func (c *Client) ServiceTraffic(ctx context.Context, service string) (s ServiceTraffic, err error) {
	err = c.call(ctx, http.MethodGet, path("traffic", service), nil, &s)
	return s, err
}

// SetTraffic puts weights above those of the file.
func (c *Client) SetTraffic(ctx context.Context, service string, o TrafficOverride) (s ServiceTraffic, err error) {
	err = c.call(ctx, http.MethodPut, path("traffic", service), o, &s)
	return s, err
}

// ClearTraffic takes them away again.
func (c *Client) ClearTraffic(ctx context.Context, service string, r TrafficClear) (s ServiceTraffic, err error) {
	err = c.call(ctx, http.MethodDelete, path("traffic", service), r, &s)
	return s, err
}
