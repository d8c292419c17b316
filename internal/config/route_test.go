package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/wire"
)

var samePath = cmp.Comparer(func(a, b gateway.RoutePath) bool { return a.String() == b.String() })

// routesConfig is what testdata/good/routes.yaml says.
func routesConfig() *Config {
	pattern := func(text string) gateway.RoutePath {
		p, _ := gateway.ParseRoutePath(text)
		return p
	}
	service := func(name string, labels Labels, routes ...Route) Service {
		return Service{
			Name: name, Variants: []Variant{modelVariant("stable", name)}, Labels: labels, Routes: routes,
			Timeout: time.Second, Limits: Limits{BodyBytes: 16 << 20, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
		}
	}
	named := wire.Labels{Classes: []string{"negative", "positive"}, Threshold: 0.5}
	form := func(t wire.Template) *wire.Template { return &t }
	return &Config{
		Services: []Service{
			service("sentiment", Labels{Classes: named.Classes, Threshold: 0.5},
				Route{
					Method: "POST", Path: "/predict", Missing: "refuse", Request: Request{"text": "review"},
					Response: map[string]any{
						"sentiment": "label", "p": "prediction",
						"served by": map[string]any{"version": "version", "fixed": "const:v2", "ok": true, "n": 1.5},
					},
					Pattern: pattern("/predict"),
					Mapping: wire.Mapping{
						Fields: []wire.MappedField{{Target: "text", From: "review"}}, Labels: named,
						Answer: form(wire.Template{Object: []wire.Member{
							{Key: "sentiment", Value: wire.Template{Word: "label"}}, {Key: "p", Value: wire.Template{Word: "prediction"}},
							{Key: "served by", Value: wire.Template{Object: []wire.Member{
								{Key: "version", Value: wire.Template{Word: "version"}}, {Key: "fixed", Value: wire.Template{Word: "const:v2"}},
								{Key: "ok", Value: wire.Template{Const: true}}, {Key: "n", Value: wire.Template{Const: 1.5}},
							}}},
						}}),
					},
				},
				Route{
					Method: "GET", Path: "/reviews/{user}/", Missing: "refuse", Pattern: pattern("/reviews/{user}/"),
					Mapping: wire.Mapping{Parameters: []string{"user"}, NoBody: true, Labels: named},
				},
				Route{
					Method: "PUT", Path: "/predict", Rows: "data.items", Missing: "nan", Strict: true,
					Request: Request{
						"lang":     map[string]any{"from": "header:Accept-Language", "values": map[string]any{"de": int64(0), "1": int64(1)}, "default": int64(2)},
						"age":      map[string]any{"from": "body:user.age", "missing": "refuse", "parse": true},
						"odd.name": map[string]any{"from": `["a.b"][0]`, "missing": "nan"},
						"bias":     map[string]any{"const": int64(1)},
					},
					Response: []any{map[string]any{"zeta": "score", "alpha": "output:margin"}},
					Pattern:  pattern("/predict"),
					Mapping: wire.Mapping{
						Rows: "data.items", Missing: true, Strict: true, Labels: named,
						Fields: []wire.MappedField{
							{Target: "age", From: "body:user.age", Missing: wire.Refused, Parse: true},
							{Target: "bias", Const: int64(1)},
							{Target: "lang", From: "header:Accept-Language", Values: map[string]any{"de": int64(0), "1": int64(1)}, Default: int64(2)},
							{Target: "odd.name", From: `["a.b"][0]`, Missing: wire.NotANumber},
						},
						Answer: &wire.Template{Each: form(wire.Template{Object: []wire.Member{
							{Key: "zeta", Value: wire.Template{Word: "score"}}, {Key: "alpha", Value: wire.Template{Word: "output:margin"}},
						}})},
					},
				}),
			service("other", Labels{Threshold: 0.5}, Route{
				Method: "POST", Path: "/predict/{x}", Missing: "refuse", Response: "prediction", Pattern: pattern("/predict/{x}"),
				Mapping: wire.Mapping{
					Parameters: []string{"x"}, Answer: form(wire.Template{Word: "prediction"}), Labels: wire.Labels{Threshold: 0.5},
				},
			}),
		},
		Server: Default().Server,
	}
}

func TestTheDefaultsOfARouteAreThoseOfTheSchema(t *testing.T) {
	const head = "services: [{name: a, variants: [{model: a}], routes: [{path: /p"
	implied, err := Read("implied", []byte(head+"}]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	explicit, err := Read("explicit", []byte(head+", method: POST, missing: refuse, strict: false}]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(implied, explicit, samePath); diff != "" {
		t.Error(diff)
	}
}
