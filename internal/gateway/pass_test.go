package gateway

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

func TestARequestIsPassedOnAsItCame(t *testing.T) {
	up := proxytest.Serve(t, echo)
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		a := p.ask(t, method, "/a%20b/%C3%A9?q=1;x&y=%zz", "the body", "X-Mine", "yes")
		host := strings.TrimPrefix(p.server.URL, "http://")
		if a.status != 200 || a.header.Get("X-Asked") != method+" /a%20b/%C3%A9?q=1;x&y=%zz "+host {
			t.Errorf("%s: %d %q %v", method, a.status, a.header.Get("X-Asked"), a.err)
		}
		if !strings.HasSuffix(a.body, "\r\nthe body") || !strings.Contains(a.body, "X-Mine: yes") {
			t.Errorf("%s: %q", method, a.body)
		}
	}
}

func TestAnUpstreamLearnsWhoAsksAndIsToldNothingForged(t *testing.T) {
	up := proxytest.Serve(t, echo)
	v := variantOf("stable", upstreamOf(t, up.URL()))
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{v}})
	a := p.ask(t, "GET", "/", "",
		"X-Forwarded-For", "10.9.9.9", "X-Forwarded-Host", "evil", "X-Forwarded-Proto", "https", "X-Forwarded-User", "root", "Forwarded", "for=10.9.9.9",
		"X-Real-Ip", "10.9.9.9", "X_Forwarded_For", "10.9.9.9", "Serin-Decision", "mine", "Serin_variant", "mine", "Serin-Anything", "mine", "X-Request-Id", "req 1")
	for _, forged := range []string{"10.9.9.9", "evil", "https", "root", "mine", "req 1"} {
		if strings.Contains(a.body, forged) {
			t.Errorf("%q came through:\n%s", forged, a.body)
		}
	}
	_, decisions := p.written(t, 1)
	for _, want := range []string{
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: " + strings.TrimPrefix(p.server.URL, "http://"), "Serin-Variant: stable",
		"Serin-Decision: " + a.header.Get("Serin-Decision"), "X-Request-Id: " + decisions[0].ID.String(),
	} {
		if !strings.Contains(a.body, want+"\r\n") {
			t.Errorf("there is no %q in:\n%s", want, a.body)
		}
	}
}

func TestAnUpstreamsOwnFieldsStandAboveAllOthers(t *testing.T) {
	up := proxytest.Serve(t, echo)
	v := variantOf("stable", upstreamOf(t, up.URL()))
	v.Host = "movies.internal"
	v.Header = []proxy.Field{{Name: "X-Team", Value: "movies"}, {Name: "X-Forwarded-Proto", Value: "https"}, {Name: "Cookie"}, {Name: "X-Request-Id"}}
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{v}})
	a := p.ask(t, "GET", "/", "", "X-Team", "mine", "Cookie", "a=b", "X-Other", "kept")
	for part, there := range map[string]bool{
		"X-Team: movies\r\n": true, "X-Forwarded-Proto: https\r\n": true, "X-Other: kept\r\n": true, "mine": false, "X-Forwarded-Proto: http\r\n": false, "Cookie": false, "X-Request-Id": false,
	} {
		if strings.Contains(a.body, part) != there {
			t.Errorf("%q: %v in\n%s", part, !there, a.body)
		}
	}
	if !strings.HasSuffix(a.header.Get("X-Asked"), " movies.internal") {
		t.Error(a.header.Get("X-Asked"))
	}
	v.Host = HostOfUpstream
	p = newPassing(t, ServiceOptions{Variants: []VariantOptions{v}})
	if a := p.ask(t, "GET", "/", ""); !strings.HasSuffix(a.header.Get("X-Asked"), " "+up.Addr()) {
		t.Error(a.header.Get("X-Asked"))
	}
}

func TestARequestsOwnIDIsKept(t *testing.T) {
	up := proxytest.Serve(t, echo)
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
	a := p.ask(t, "GET", "/", "", "X-Request-Id", "req-1")
	if !strings.Contains(a.body, "X-Request-Id: req-1\r\n") {
		t.Error(a.body)
	}
	if _, decisions := p.written(t, 1); decisions[0].RequestID != "req-1" {
		t.Errorf("%+v", decisions[0])
	}
}

func TestAnAnswerIsPassedBackAsItIs(t *testing.T) {
	handlers := map[string]struct {
		answer http.HandlerFunc
		status int
		body   string
		header http.Header // nil: the field is not there
	}{
		"no content type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte("<html>"))
		}, 200, "<html>", http.Header{"Content-Type": nil, "X-Content-Type-Options": nil, "Content-Length": {"6"}}},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, 204, "", http.Header{"Content-Length": nil}},
		"not modified": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		}, 304, "", http.Header{"Etag": {`"x"`}}},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) }, 302, "<a href=\"/there\">Found</a>.\n\n", http.Header{"Location": {"/there"}}},
		"cookies":  {func(w http.ResponseWriter, _ *http.Request) { w.Header()["Set-Cookie"] = []string{"a=1", "b=2"} }, 200, "", http.Header{"Set-Cookie": {"a=1", "b=2"}}},
		"ours forged": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Serin-Fallback", "timeout")
			w.Header().Set("Serin-Decision", "forged")
		}, 200, "", http.Header{"Serin-Fallback": nil}},
		"in pieces": {func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = w.Write([]byte("piece "))
				_ = http.NewResponseController(w).Flush()
			}
		}, 200, "piece piece piece ", nil},
		"an error": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "own words", http.StatusServiceUnavailable)
		}, 503, "own words\n", http.Header{"Content-Type": {"text/plain; charset=utf-8"}}},
		"long": {func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				_, _ = w.Write([]byte(strings.Repeat("x", 10_000)))
			}
		}, 200, strings.Repeat("x", 1_000_000), nil},
		"a HEAD": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "12345") }, 200, "", http.Header{"Content-Length": {"12345"}}},
	}
	for name, tt := range handlers {
		t.Run(name, func(t *testing.T) {
			up := proxytest.Serve(t, tt.answer)
			p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
			method := "GET"
			if name == "a HEAD" {
				method = "HEAD"
			}
			a := p.ask(t, method, "/", "")
			if a.status != tt.status || a.body != tt.body || a.err != nil {
				t.Errorf("%d %.100q %v", a.status, a.body, a.err)
			}
			for field, values := range tt.header {
				if fmt.Sprint(a.header[field]) != fmt.Sprint(values) {
					t.Errorf("%s is %q, want %q", field, a.header[field], values)
				}
			}
			if token := a.header.Get("Serin-Decision"); token == "" || token == "forged" {
				t.Errorf("the decision is %q", token)
			}
		})
	}
}

// What an upstream does to a request, and what its client then gets, by the time that the service promises.
func TestWhateverAnUpstreamDoesItsClientIsAnsweredInTime(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), descriptorCount(t)
	t.Run("all", everyFault)
	settled(t, goroutines, descriptors)
}

func everyFault(t *testing.T) {
	for _, tt := range []struct {
		name   string
		does   proxytest.Behaviour
		status int
		why    failure
		cut    bool // the answer has begun: its client sees that it is not whole
	}{
		{"hangs after accept", proxytest.HangAfterAccept, 504, tooLate, false},
		{"hangs after its head", proxytest.HangAfterHead, 504, tooLate, false},
		{"resets before it answers", proxytest.ResetBeforeAnswer, 502, erred, false},
		{"resets within its body", proxytest.ResetMidBody, 502, erred, false},
		{"says less than it claims", proxytest.Short, 502, erred, false},
		{"ends within a chunk", proxytest.ShortChunks, 502, erred, false},
		{"never reads", proxytest.NeverReads, 504, tooLate, false},
		{"speaks something else", proxytest.Garbage, 502, erred, false},
		{"drips its head", proxytest.DripHead(20 * time.Millisecond), 504, tooLate, false},
		{"drips its body", proxytest.DripBody(20 * time.Millisecond), 504, tooLate, false},
		{"says too much", proxytest.Huge(10<<30, true), 504, tooLate, true},
		{"says too much in chunks", proxytest.Huge(10<<30, false), 504, tooLate, true},
	} {
		for _, fallback := range []*Fallback{nil, {Status: 203, Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte("stand-in")}} {
			t.Run(fmt.Sprintf("%s, fallback %v", tt.name, fallback != nil), func(t *testing.T) {
				t.Parallel()
				up := proxytest.Misbehave(t, tt.does)
				p := newPassing(t, ServiceOptions{
					Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Timeout: 300 * time.Millisecond, Fallback: fallback,
				})
				a := p.ask(t, "POST", "/x", "question")
				switch {
				case tt.cut:
					if a.status != 200 || a.err == nil {
						t.Errorf("the answer was taken for whole: %d, %d bytes, %v", a.status, len(a.body), a.err)
					}
				case fallback != nil:
					if a.status != 203 || a.body != "stand-in" || a.header.Get("Serin-Fallback") != tt.why.String() || a.header.Get("Content-Type") != "text/plain" {
						t.Errorf("%d %q %v %v", a.status, a.body, a.header, a.err)
					}
				default:
					if a.status != tt.status || !strings.HasPrefix(a.body, `{"error":"`) || strings.Contains(a.body, "127.0.0.1") {
						t.Errorf("%d %q %v, want %d", a.status, a.body, a.err, tt.status)
					}
				}
				tallies, decisions := p.written(t, 1)
				tally, class := tallies["stable"], event.Server
				if tt.why == tooLate {
					class = event.Timeout
				}
				fell := fallback != nil && !tt.cut
				if tally.Requests != 1 || tally.Errors[class] != 1 || tally.FirstErrors != 1 || tally.Latency.Count() != 0 || tally.Fallbacks == 1 != fell {
					t.Errorf("counted: %+v", tally)
				}
				if d := decisions[0]; d.Assigned != "stable" || (d.Answered == "fallback") != fell || (d.Reason == event.Fallback) != fell {
					t.Errorf("written: %+v", d)
				}
				if n := p.counted("fallbacks", "movies", "stable", tt.why.String()); (n == 1) != fell {
					t.Errorf("%v fallbacks", n)
				}
			})
		}
	}
}
