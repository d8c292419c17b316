package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
)

// upstreamService is a service of upstreams that are spoken to in a dialect, where there is a model, or passed on to.
func upstreamService(name string, model predict.Model, ups ...*scripted) *Service {
	o := ServiceOptions{Name: name}
	for i, u := range ups {
		o.Variants = append(o.Variants, VariantOptions{Name: "v" + string(rune('0'+i)), Upstream: u, Passed: model == nil})
	}
	s := NewService(o)
	for _, v := range s.Variants() {
		live := upstreamLive(v.Name())
		live.Model, live.Semver = model, "1.4.0"
		v.Swap(live)
	}
	return s
}

func TestAnUpstreamsServiceIsReadyWhileItCanBeAsked(t *testing.T) {
	up, other := saying(200), saying(200)
	up.absent = true
	s := upstreamService("movies", nil, up, other)
	g, ask := serve(t, s)
	state := func(when string, status int, part string) {
		t.Helper()
		if got, body := ask("GET", "/readyz", ""); got != status || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s, want %d %s", when, got, body, status, part)
		}
	}
	other.absent = true
	state("none can be asked", 503, `"state":"unavailable"`)
	other.absent = false
	state("one can be asked", 200, `"state":"unavailable"`)
	up.absent = false
	state("both can be asked", 200, `"state":"ready"`)
	up.absent, other.absent = true, true
	state("none can be asked any more, and there is nothing else", 503, `"state":"unavailable"`)
	g.SetServices([]*Service{s, ready("a", 1)})
	state("another service can", 200, `{"name":"movies","state":"unavailable"},{"name":"a","state":"ready","version":1}`)
	g.SetServices([]*Service{s})
	s.options.Fallback = &Fallback{Status: 200}
	state("the fallback answers", 200, `"state":"unavailable"`)
}

// To those who ask for models, a service that is passed on is none; one that is spoken to is as any other.
func TestWhatProtocolsTellOfUpstreams(t *testing.T) {
	spoken := upstreamService("spoken", sums{}, saying(200))
	g, ask := serve(t, upstreamService("passed", nil, saying(200)), spoken)
	_ = g
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v2/models", "", 200, `{"models":["spoken"]}`},
		{"GET", "/v1/models", "", 200, `{"models":["spoken"]}`},
		{"GET", "/v2/models/spoken", "", 200, `"versions":["1.4.0"],"platform":"serin_upstream"`},
		{"GET", "/v2/models/spoken/ready", "", 200, `true`},
		{"GET", "/v2/models/spoken/versions/1.4.0/ready", "", 200, `true`},
		{"GET", "/v2/models/spoken/versions/2/ready", "", 404, `version 1.4.0 is`},
		{"GET", "/v2/models/spoken/stats", "", 200, `"version":"1.4.0"`},
		{"GET", "/v2/models/spoken/config", "", 200, `"name":"spoken"`},
		{"GET", "/v1/models/spoken", "", 200, `"version":"1.4.0"`},
		{"GET", "/v1/models/spoken/metadata", "", 200, `"version":"1.4.0"`},
		{"GET", "/seldon/spoken/api/v1.0/metadata", "", 200, `"name":"spoken"`},
		{"POST", "/seldon/spoken/api/v1.0/predictions", oneRow, 200, `[0.75]`},
		{"POST", "/v2/repository/index", "{}", 200, `[{"name":"spoken","version":"1.4.0","state":"READY","reason":""}]`},
		{"GET", "/openapi.json", "", 200, `"Answered by a server of its own."`},
		{"GET", "/openapi.json", "", 200, `"Requests are passed on as they come, at /."`},
		{"GET", "/v2/models/passed", "", 404, `passed on as it comes`},
		{"GET", "/v2/models/passed/ready", "", 404, `passed on as it comes`},
		{"GET", "/v2/models/passed/stats", "", 404, `passed on as it comes`},
		{"GET", "/v1/models/passed", "", 404, `passed on as it comes`},
		{"GET", "/seldon/passed/api/v1.0/metadata", "", 404, `passed on as it comes`},
		{"GET", "/v2/models/stats", "", 200, `"model_stats":[{"name":"spoken"`},
		{"POST", "/v2/models/passed/infer", "{}", 404, `passed on as it comes`},
		{"POST", "/v1/models/passed:predict", "{}", 404, `passed on as it comes`},
		{"POST", "/seldon/passed/api/v1.0/predictions", "{}", 404, `passed on as it comes`},
		{"POST", "/seldon/prod/passed-explainer/p/api/v1.0/explain", "{}", 404, `passed on as it comes`},
		{"POST", "/v2/repository/models/passed/unload", "{}", 403, ``},
		{"POST", "/invocations", "{}", 404, `none of the 2 is marked default`},
	} {
		if status, body := ask(tt.method, tt.path, tt.body); status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.path, status, body, tt.status, tt.want)
		}
	}
	spoken.Variants()[0].options.Upstream.(*scripted).absent = true
	if status, _ := ask("GET", "/v2/models/spoken/ready", ""); status != http.StatusServiceUnavailable {
		t.Errorf("%d", status)
	}
}

// Who has been drawn stays where it was, and its upstream's cookies are its own.
func TestAStickyClientKeepsItsVariant(t *testing.T) {
	variants := []VariantOptions{variantOf("stable", saying(200)), variantOf("canary", saying(200))}
	p := newPassing(t, ServiceOptions{Variants: variants, Policy: sharing(t, byUser, weights(t, "stable", "50", "canary", "50"), variants)})
	for range 10 {
		first := p.ask(t, "GET", "/", "")
		cookie, _, ok := strings.Cut(first.header.Get("Set-Cookie"), ";")
		if !ok {
			t.Fatalf("no cookie is set: %v", first.header)
		}
		for range 3 {
			if a := p.ask(t, "GET", "/", "", "Cookie", cookie); a.header.Get("Set-Cookie") != "" {
				t.Errorf("another one is set: %v", a.header)
			}
		}
	}
	_, decisions := p.written(t, 40)
	of := map[string]string{}
	for _, d := range decisions {
		if before := of[d.Unit]; before != "" && before != d.Assigned {
			t.Errorf("%s moved from %s to %s", d.Unit, before, d.Assigned)
		}
		of[d.Unit] = d.Assigned
	}
	if len(of) != 10 {
		t.Errorf("%d units", len(of))
	}
}
