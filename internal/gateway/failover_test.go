package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// scripted is an upstream that fails, or answers, as it is told.
type scripted struct {
	failure *proxy.Failure
	status  int
	absent  bool
	asked   atomic.Int64
}

func (s *scripted) Ask(_ context.Context, r *proxy.Request, a *proxy.Answer) error {
	s.asked.Add(1)
	if s.failure != nil {
		return s.failure
	}
	a.Status, a.Header, a.Body = s.status, http.Header{"Content-Type": {"text/plain"}}, []byte(fmt.Sprintf("%d to %s %s", s.status, r.Method, r.Body))
	a.Length = int64(len(a.Body))
	return nil
}

func (s *scripted) Available() bool { return !s.absent }

func failing(why proxy.Why, sent bool) *scripted {
	return &scripted{failure: &proxy.Failure{Why: why, Sent: sent, Err: errors.New("10.1.2.3:80 said no")}}
}

func saying(status int) *scripted { return &scripted{status: status} }

// Where the assigned variant fails, another is asked if that can do no harm; what counts is that the assigned one has failed.
func TestAnotherVariantStandsInForOneThatFails(t *testing.T) {
	stand := &Fallback{Status: 299, Body: []byte("stand-in")}
	for _, tt := range []struct {
		name     string
		method   string
		canary   *scripted
		stable   *scripted
		off      bool // no failover
		again    bool // NonIdempotent
		fallback *Fallback
		status   int
		answered string
		class    event.ErrorClass
		fine     bool // the assigned variant has not failed
		why      string
	}{
		{name: "it answers", method: "GET", canary: saying(200), stable: saying(200), status: 200, answered: "canary", fine: true},
		{name: "a refusal is an answer", method: "GET", canary: saying(404), stable: saying(200), fallback: stand, status: 404, answered: "canary", class: event.Client},
		{name: "429 is an answer", method: "GET", canary: saying(429), stable: saying(200), fallback: stand, status: 429, answered: "canary", class: event.Client},
		{name: "5xx", method: "GET", canary: saying(500), stable: saying(200), status: 200, answered: "stable", class: event.Server},
		{name: "5xx to a POST", method: "POST", canary: saying(500), stable: saying(200), status: 500, answered: "canary", class: event.Server},
		{name: "5xx to a POST that may be asked again", method: "POST", again: true, canary: saying(500), stable: saying(201), status: 201, answered: "stable", class: event.Server},
		{name: "5xx without failover", method: "GET", off: true, canary: saying(503), stable: saying(200), status: 503, answered: "canary", class: event.Server},
		{name: "5xx everywhere", method: "GET", canary: saying(500), stable: saying(502), status: 502, answered: "stable", class: event.Server},
		{name: "5xx everywhere, with a fallback", method: "GET", canary: saying(500), stable: saying(502), fallback: stand, status: 299, answered: "fallback", class: event.Server, why: "error"},
		{name: "5xx to a POST, with a fallback", method: "POST", canary: saying(500), stable: saying(200), fallback: stand, status: 299, answered: "fallback", class: event.Server, why: "error"},
		{name: "down", method: "GET", canary: failing(proxy.Down, false), stable: saying(200), status: 200, answered: "stable", class: event.Server},
		{name: "down, and a POST", method: "POST", canary: failing(proxy.Down, false), stable: saying(200), status: 200, answered: "stable", class: event.Server},
		{name: "down everywhere", method: "POST", canary: failing(proxy.Down, false), stable: failing(proxy.Down, false), status: 503, answered: "stable", class: event.Server},
		{name: "down everywhere, with a fallback", method: "POST", canary: failing(proxy.Down, false), stable: failing(proxy.Broken, true), fallback: stand, status: 299, answered: "fallback", class: event.Server, why: "unavailable"},
		{name: "broken", method: "PUT", canary: failing(proxy.Broken, true), stable: saying(200), status: 200, answered: "stable", class: event.Server},
		{name: "broken, and a POST", method: "POST", canary: failing(proxy.Broken, true), stable: saying(200), status: 502, answered: "canary", class: event.Server},
		{name: "broken before it was sent", method: "POST", canary: failing(proxy.Broken, false), stable: saying(200), status: 200, answered: "stable", class: event.Server},
		{name: "full", method: "POST", canary: failing(proxy.Full, false), stable: saying(200), status: 503, answered: "canary", class: event.Server},
		{name: "full, with a fallback", method: "POST", canary: failing(proxy.Full, false), stable: saying(200), fallback: stand, status: 299, answered: "fallback", class: event.Server, why: "overload"},
		{name: "late", method: "GET", canary: failing(proxy.Late, true), stable: saying(200), status: 504, answered: "canary", class: event.Timeout},
		{name: "late, with a fallback", method: "GET", canary: failing(proxy.Late, true), stable: saying(200), fallback: stand, status: 299, answered: "fallback", class: event.Timeout, why: "timeout"},
		{name: "nothing to ask", method: "POST", canary: &scripted{absent: true, failure: failing(proxy.Down, false).failure}, stable: saying(200), status: 200, answered: "stable", class: event.Server},
		{name: "nothing to ask without failover", method: "POST", off: true, canary: &scripted{absent: true, failure: failing(proxy.Down, false).failure}, stable: saying(200), status: 503, answered: "canary", class: event.Server},
	} {
		t.Run(tt.name, func(t *testing.T) {
			variants := []VariantOptions{variantOf("stable", tt.stable), variantOf("canary", tt.canary)}
			variants[1].NonIdempotent = tt.again
			p := newPassing(t, ServiceOptions{
				Variants: variants, Failover: !tt.off, Fallback: tt.fallback,
				Policy: sharing(t, nil, weights(t, "stable", "50", "canary", "50"), variants),
			})
			const asked = 40
			got := map[string]int{}
			for range asked {
				a := p.ask(t, tt.method, "/x", "q")
				got[fmt.Sprint(a.status, a.header.Get("Serin-Fallback"), strings.Contains(a.body, "10.1.2.3"))]++
			}
			tallies, decisions := p.written(t, asked)
			canary := tallies["canary"]
			if canary == nil || canary.Requests+tallies["stable"].Requests != asked {
				t.Fatalf("of %d requests: %+v", asked, tallies)
			}
			if tt.fine {
				if canary.Latency.Count() != canary.Requests || canary.Errors != [event.NumClasses]uint64{} {
					t.Errorf("counted: %+v", canary)
				}
			} else if canary.Errors[tt.class] != canary.Requests || canary.Latency.Count() != 0 || canary.Micros != 0 {
				t.Errorf("the canary's errors are %v of %d, and %d latencies", canary.Errors, canary.Requests, canary.Latency.Count())
			}
			if (canary.Fallbacks == canary.Requests) != (tt.answered == "fallback") {
				t.Errorf("%d fallbacks of %d requests", canary.Fallbacks, canary.Requests)
			}
			for _, d := range decisions {
				if d.Assigned != "canary" {
					continue
				}
				reason, version := event.Weights, "at "+tt.answered
				switch tt.answered {
				case "stable":
					reason = event.Failover
				case "fallback":
					reason, version = event.Fallback, ""
				}
				if d.Answered != tt.answered || int(d.Status) != tt.status || d.Reason != reason || d.Version != version || d.Propensity != 0.5 {
					t.Fatalf("written: %+v, want %s %d", d, tt.answered, tt.status)
				}
			}
			if want := fmt.Sprint(tt.status, tt.why, false); got[want] == 0 {
				t.Errorf("no client was told %q: %v", want, got)
			}
			if tt.answered == "stable" && p.counted("failovers", "movies", "canary", failureText(tt.canary)) != float64(canary.Requests) {
				t.Errorf("%d requests failed over, and are not told of", canary.Requests)
			}
		})
	}
}

func failureText(s *scripted) string {
	if s.absent {
		return unready.String()
	}
	if s.failure == nil {
		return erred.String()
	}
	return failureOf(s.failure, 500).String()
}

// What stable answers in the canary's place is neither the canary's success nor the time that it takes.
func TestTheVersionThatIsCountedIsTheAssignedOnes(t *testing.T) {
	variants := []VariantOptions{variantOf("stable", saying(200)), variantOf("canary", failing(proxy.Broken, true))}
	p := newPassing(t, ServiceOptions{Variants: variants, Failover: true, Policy: sharing(t, nil, weights(t, "stable", "50", "canary", "50"), variants)})
	for range 20 {
		p.ask(t, "GET", "/", "")
	}
	p.written(t, 20)
	for _, r := range p.log.records {
		if r.Tally != nil && r.Tally.Version != "at "+r.Tally.Variant {
			t.Errorf("%s is counted with version %q", r.Tally.Variant, r.Tally.Version)
		}
	}
}

func TestEachVariantIsAskedOnce(t *testing.T) {
	var ups []*scripted
	var variants []VariantOptions
	shares := traffic.Weights{}
	for i := range 5 {
		ups = append(ups, failing(proxy.Broken, true))
		variants = append(variants, variantOf(fmt.Sprint("v", i), ups[i]))
		for name, w := range weights(t, variants[i].Name, "1") {
			shares[name] = w
		}
	}
	idle := saying(200)
	variants = append(variants, variantOf("idle", idle)) // of no weight
	p := newPassing(t, ServiceOptions{Variants: variants, Failover: true, Policy: sharing(t, nil, shares, variants)})
	if a := p.ask(t, "GET", "/", ""); a.status != 502 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for i, u := range ups {
		if n := u.asked.Load(); n != 1 {
			t.Errorf("variant %d was asked %d times", i, n)
		}
	}
	if idle.asked.Load() != 0 {
		t.Error("a variant without weight was asked")
	}
}

// The variants of a service that is asked in dialects stand in for each other as those that are passed on to do; a question changes nothing.
func TestPredictionsFailOverAndFallBack(t *testing.T) {
	stand := &Fallback{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"label":"unknown"}`)}
	for _, tt := range []struct {
		name     string
		x        float64 // which tells the models what to do
		off      bool
		fallback *Fallback
		canary   predict.Model // nil: it has none ready
		status   int
		want     string
		class    event.ErrorClass
		why      string
	}{
		{name: "an error", x: errs, canary: misbehaving{}, status: 200, want: `"ndarray":[7`, class: event.Server},
		{name: "a panic", x: panics, canary: misbehaving{}, status: 200, want: `"ndarray":[7`, class: event.Server},
		{name: "none ready", x: errs, status: 200, want: `"ndarray":[7`, class: event.Server},
		{name: "an error without failover", x: errs, off: true, canary: misbehaving{}, status: 500, want: `"code":500`, class: event.Server},
		{name: "an error and a fallback", x: errs, off: true, canary: misbehaving{}, fallback: stand, status: 200, want: `{"label":"unknown"}`, class: event.Server, why: "error"},
		{name: "late", x: hangs, canary: misbehaving{}, status: 503, want: `no answer within`, class: event.Timeout},
		{name: "late and a fallback", x: hangs, canary: misbehaving{}, fallback: stand, status: 200, want: `{"label":"unknown"}`, class: event.Timeout, why: "timeout"},
		{name: "an upstream broke", x: broke, off: true, canary: misbehaving{}, fallback: stand, status: 200, want: `{"label":"unknown"}`, class: event.Server, why: "error"},
		{name: "an upstream is full", x: full, off: true, canary: misbehaving{}, fallback: stand, status: 200, want: `{"label":"unknown"}`, class: event.Server, why: "overload"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "50", "canary", "50"), Sticky: byUser}, 0)
			o := &s.service.options
			o.Failover, o.Fallback, o.Timeout = !tt.off, tt.fallback, soonEnough
			if tt.class == event.Timeout {
				o.Timeout = 50 * time.Millisecond
			}
			stable, canary := s.service.variants[0], s.service.variants[1]
			stable.Swap(&Live{Model: sevens{}, Name: "m", Number: 1, Digest: "one"})
			canary.Unload()
			if tt.canary != nil {
				canary.Swap(&Live{Model: tt.canary, Name: "m", Number: 2, Digest: "two"})
			}
			n := 0
			for i := range 20 {
				w, token := s.ask(t, fmt.Sprint("user", i), fmt.Sprintf(`{"data": {"ndarray": [[%v, 0]]}}`, tt.x))
				if token.Variant != canary.hash {
					continue
				}
				n++
				if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) || w.Header().Get("Serin-Fallback") != tt.why {
					t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
				}
			}
			s.write(t)
			tally := s.log.tallied()["canary"]
			if n == 0 || tally.Requests != uint64(n) || tally.Errors[tt.class] != uint64(n) || tally.Latency.Count() != 0 || len(tally.Labels) != 0 || (tally.Fallbacks == uint64(n)) != (tt.why != "") {
				t.Errorf("%d were asked: %+v", n, tally)
			}
			for _, r := range s.log.records {
				if r.Tally == nil || r.Tally.Variant != "canary" {
					continue
				}
				if want := map[bool]string{true: "two"}[tt.canary != nil]; r.Tally.Version != want {
					t.Errorf("counted for version %q", r.Tally.Version)
				}
			}
			if tt.why != "" && testutil.ToFloat64(s.Gateway.metrics.fallbacks.WithLabelValues("sums", "canary", tt.why)) != float64(n) {
				t.Error("the metric has another number")
			}
		})
	}
}

const (
	broke = -11
	full  = -12
)

// misbehaving is a model that does as the first number of its row says.
type misbehaving struct{ sums }

func (m misbehaving) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	x, err := r.Inputs[0].Float32s()
	if err != nil {
		return nil, err
	}
	switch x[0] {
	case broke:
		return nil, &proxy.Failure{Why: proxy.Broken, Sent: true, Err: errors.New("reset")}
	case full:
		return nil, &proxy.Failure{Why: proxy.Full, Err: errors.New("full")}
	}
	return m.sums.Predict(ctx, r)
}

// sevens answers 7, whatever it is asked.
type sevens struct{ sums }

func (sevens) Predict(_ context.Context, r *tensor.Request) (*tensor.Response, error) {
	return &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{1}, []float32{7})}}, nil
}

// A client's own mistakes, and what it may not ask, are its own to hear of.
func TestNoFallbackStandsInForAClientsMistake(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1", "canary", "0"), Sticky: byUser}, 0)
	s.service.options.Fallback = &Fallback{Status: 200, Body: []byte("{}")}
	for body, status := range map[string]int{`{`: 400, `{"data": {"ndarray": [[1]]}}`: 400} {
		if w, _ := s.ask(t, "u", body); w.Code != status || w.Header().Get("Serin-Fallback") != "" {
			t.Errorf("%s: %d %v", body, w.Code, w.Header())
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/v2/models/nobody/infer", strings.NewReader(`{}`))
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 404 || w.Header().Get("Serin-Fallback") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	r = httptest.NewRequest(http.MethodPost, "/api/v1.0/explain", strings.NewReader(oneRow))
	w = httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 501 || w.Header().Get("Serin-Fallback") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// Whom there is no room for is answered at once, before its body has come, and is no failure of the variant's.
func TestAShedRequestIsAnsweredBeforeItsBody(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	up := proxytest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(held)
		<-hold
	}))
	p := newPassing(t, ServiceOptions{
		Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, InFlight: 1, Fallback: &Fallback{Status: 203, Body: []byte("busy")},
	})
	first := make(chan reply, 1)
	go func() { first <- p.ask(t, "GET", "/", "") }()
	<-held
	c := p.dial(t)
	_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n") // and no body
	head := make([]byte, 12)
	if _, err := c.Read(head); err != nil || string(head) != "HTTP/1.1 203" {
		t.Errorf("%q %v", head, err)
	}
	close(hold)
	if a := <-first; a.status != 200 {
		t.Errorf("%+v", a)
	}
	c.Close()
	tallies, decisions := p.written(t, 2)
	if tally := tallies["stable"]; tally.Requests != 2 || tally.Shed != 1 || tally.Fallbacks != 1 || tally.Errors != [event.NumClasses]uint64{} || tally.Latency.Count() != 1 {
		t.Errorf("counted: %+v", tally)
	}
	if p.counted("fallbacks", "movies", "stable", "overload") != 1 || decisions[0].Answered != "fallback" {
		t.Errorf("written: %+v", decisions)
	}
}

// An outage is told a few times a second, whatever number of requests meet it.
func TestAnOutageDoesNotFloodTheLog(t *testing.T) {
	var log strings.Builder
	g := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return time.Unix(100, 0) }})
	for _, fallback := range []*Fallback{nil, {Status: 200}} {
		s := upstreamService("movies", nil, failing(proxy.Down, false))
		s.options.Prefixes, s.options.Fallback = []Prefix{{Path: "/"}}, fallback
		g.SetServices([]*Service{s})
		log.Reset()
		for range 100 {
			g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
		if n := strings.Count(log.String(), "\n"); n != troublesTold || !strings.Contains(log.String(), "10.1.2.3") {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
		if left, tell := s.troubles.tell(time.Unix(101, 0)); left != 100-troublesTold || !tell {
			t.Errorf("%d are told to be left out", left)
		}
	}
}

// A variant that is not well, and that nobody can stand in for, is asked all the same; what it then answers is no failure.
func TestAVariantThatNobodyStandsInForIsAsked(t *testing.T) {
	canary := saying(200)
	canary.absent = true
	variants := []VariantOptions{variantOf("canary", canary)}
	p := newPassing(t, ServiceOptions{Variants: variants, Failover: true, Policy: sharing(t, nil, weights(t, "canary", "1"), variants)})
	if a := p.ask(t, "GET", "/", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	tallies, _ := p.written(t, 1)
	if tally := tallies["canary"]; tally.Latency.Count() != 1 || tally.Errors != [event.NumClasses]uint64{} {
		t.Errorf("counted: %+v", tally)
	}
}
