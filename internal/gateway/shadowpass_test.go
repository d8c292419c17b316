package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
	"github.com/serin-ml/serin/internal/shadow"
)

// passedBeside is a service at b.example whose stable is one upstream, and its shadow another.
func passedBeside(t testing.TB, stable, next string, change func(*ServiceOptions)) *Service {
	t.Helper()
	shadows := shadowOf(t, shadow.Rule{By: shadow.ByNumeric})
	shadows.Methods, shadows.Upstream = []string{http.MethodGet, http.MethodHead}, upstreamTo(t, next)
	o := ServiceOptions{
		Name: "b", Timeout: time.Minute, Body: 1 << 20, Hosts: []string{"b.example"}, Shadows: []ShadowOptions{shadows},
		Variants: []VariantOptions{{Name: "stable", Upstream: upstreamTo(t, stable), Passed: true}, {Name: "next", Upstream: upstreamTo(t, next), Passed: true}},
	}
	if change != nil {
		change(&o)
	}
	s := NewService(o)
	s.Variants()[0].Swap(&Live{Name: "upstream", Runtime: "upstream", Digest: "1.4.0"})
	s.Variants()[1].Swap(&Live{Name: "upstream", Runtime: "upstream", Digest: "1.5.0"})
	return s
}

func upstreamTo(t testing.TB, url string) *proxy.Upstream {
	t.Helper()
	u, err := proxy.New(proxy.Defaults(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// seen is a server that keeps what it is asked, and answers with what it is told.
type seen struct {
	*proxytest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func newSeen(t testing.TB, answer http.HandlerFunc) *seen {
	s := &seen{}
	s.Server = proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
		s.mu.Unlock()
		answer(w, r)
	}))
	return s
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func TestAPassedRequestIsCopiedAsItCame(t *testing.T) {
	stable, next := newSeen(t, says(`{"id":1,"v":2}`)), newSeen(t, says(`{"v":2.5,"id":7}`))
	s := newShadowing(t, passedBeside(t, stable.URL(), next.URL(), func(o *ServiceOptions) {
		o.Shadows[0].Methods = append(o.Shadows[0].Methods, http.MethodPost)
		o.Shadows[0].Lane.Comparer = comparer(t, shadow.Rule{Tolerance: 0.1, Ignore: []string{"id"}})
		o.Variants[0].Header = []proxy.Field{{Name: "X-Secret", Value: "of stable alone"}}
		o.Variants[1].Header = []proxy.Field{{Name: "X-Team", Value: "next"}}
	}))
	w := s.ask(http.MethodPost, "http://b.example/a%20b?c=d", "the body", "X-Own", "1", "X-Shadow", "forged", "Cookie", "a=b")
	if w.Code != http.StatusOK || w.Body.String() != `{"id":1,"v":2}` {
		t.Fatal(w.Code, w.Body)
	}
	sum, details := s.settle(1)
	if pairs, agreed := sum.Totals(); pairs != 1 || agreed != 0 || sum.ShadowVersion != "1.5.0" || sum.PrimaryVersion != "1.4.0" {
		t.Errorf("%+v", sum)
	}
	if details[0].Where != "v" || details[0].Difference != 0.5 || details[0].PrimaryAnswer != "" {
		t.Errorf("%+v", details[0])
	}
	live, copied := stable.requests[0], next.requests[0]
	if copied.Host != "b.example" || copied.RequestURI != live.RequestURI || copied.Method != http.MethodPost || next.bodies[0] != "the body" {
		t.Errorf("%s %s %s %q", copied.Method, copied.Host, copied.RequestURI, next.bodies[0])
	}
	for name, want := range map[string]string{
		"Serin-Shadow": "true", "X-Shadow": "true", "Serin-Variant": "next", TokenHeader: "", "X-Own": "1", "Cookie": "a=b", "X-Secret": "", "X-Team": "next",
		"X-Request-Id": live.Header.Get("X-Request-Id"), "X-Forwarded-Host": "b.example",
	} {
		if got := copied.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Serin-Shadow", "X-Shadow", "X-Team"} {
		if got := live.Header.Get(name); got != "" {
			t.Errorf("the live request has %s: %q", name, got)
		}
	}
	if live.Header.Get(TokenHeader) == "" || live.Header.Get("X-Request-Id") == "" {
		t.Error("the live request lacks its own")
	}
}

func TestPassedRequestsAreDroppedWithTheReason(t *testing.T) {
	large := strings.Repeat("x", 100<<10)
	stream := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		method string
		body   string
		change func(*ServiceOptions)
		do     func(*shadowing)
		want   event.Drop
	}{
		"a method that may change something": {says("ok"), http.MethodPost, "", nil, nil, event.DropMethod},
		"a stream":                           {stream, http.MethodGet, "", nil, nil, event.DropStreaming},
		"an answer that is not held":         {says(large), http.MethodGet, "", func(o *ServiceOptions) { o.Hold = 1 << 10 }, nil, event.DropTooLarge},
		"a large answer":                     {says(large), http.MethodGet, "", func(o *ServiceOptions) { o.Shadows[0].Lane.Body = 1 << 10 }, nil, event.DropTooLarge},
		"a large request": {says("ok"), http.MethodPut, large + large + large, func(o *ServiceOptions) {
			o.Shadows[0].Methods = []string{http.MethodPut}
		}, nil, event.DropTooLarge},
		"draining":    {says("ok"), http.MethodGet, "", nil, func(s *shadowing) { s.Drain() }, event.DropDraining},
		"unavailable": {says("ok"), http.MethodGet, "", func(o *ServiceOptions) { o.Shadows[0].Upstream = nobody{} }, nil, event.DropUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := newSeen(t, tt.answer)
			s := newShadowing(t, passedBeside(t, upstream.URL(), upstream.URL(), tt.change))
			if tt.do != nil {
				tt.do(s)
			}
			w := s.ask(tt.method, "http://b.example/", tt.body)
			if w.Code != http.StatusOK {
				t.Fatal(w.Code, w.Body)
			}
			sum, _ := s.settle(1)
			if sum.Drops[tt.want] != 1 || upstream.Requests() != 1 {
				t.Errorf("%v after %d requests", sum.Drops, upstream.Requests())
			}
		})
	}
}

// nobody is an upstream without instances that could be asked.
type nobody struct{}

func (nobody) Available() bool { return false }
func (nobody) Ask(context.Context, *proxy.Request, *proxy.Answer) error {
	return &proxy.Failure{Why: proxy.Down, Err: io.EOF}
}

func TestAnswersOfUpstreamsAreCompared(t *testing.T) {
	zipped := func(text string, level int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			var b bytes.Buffer
			z, _ := gzip.NewWriterLevel(&b, level)
			_, _ = io.WriteString(z, text)
			_ = z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(b.Bytes())
		}
	}
	fails := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	missing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
	json := `{"items":[1,2,3]}`
	for name, tt := range map[string]struct {
		stable, next    http.HandlerFunc
		pairs, agreed   uint64
		unpaired        event.Unpaired
		hangs, fallback bool
	}{
		"the same":                     {stable: says(json), next: says(` {"items": [1, 2, 3]}`), pairs: 1, agreed: 1},
		"other":                        {stable: says(json), next: says(`{"items":[1,2]}`), pairs: 1},
		"another status":               {stable: says(json), next: missing, pairs: 1},
		"both do not have it":          {stable: missing, next: missing, pairs: 1, agreed: 1},
		"compressed, each in its way":  {stable: zipped(json+strings.Repeat(" ", 500), 9), next: zipped(json, 1), pairs: 1, agreed: 1},
		"compressed on one side alone": {stable: says(json), next: zipped(json, 1), pairs: 1, agreed: 1},
		"the shadow fails":             {stable: says(json), next: fails, unpaired: event.ShadowFailed},
		"the primary fails":            {stable: fails, next: says(json), unpaired: event.PrimaryFailed},
		"the fallback stands in":       {stable: fails, next: says(json), unpaired: event.PrimaryFailed, fallback: true},
		"both fail":                    {stable: fails, next: fails, unpaired: event.BothFailed},
		"the shadow hangs":             {stable: says(json), hangs: true, unpaired: event.ShadowLate},
	} {
		t.Run(name, func(t *testing.T) {
			stable := proxytest.Serve(t, tt.stable)
			var next *proxytest.Server
			if tt.hangs {
				next = proxytest.Misbehave(t, proxytest.HangAfterHead)
			} else {
				next = proxytest.Serve(t, tt.next)
			}
			s := newShadowing(t, passedBeside(t, stable.URL(), next.URL(), func(o *ServiceOptions) {
				if tt.hangs {
					o.Shadows[0].Lane.Timeout = 100 * time.Millisecond
				}
				if tt.fallback {
					o.Fallback = &Fallback{Status: http.StatusOK, Body: []byte(json)}
				}
			}))
			s.ask(http.MethodGet, "http://b.example/", "")
			sum, _ := s.settle(1)
			var want [event.NumUnpaired]uint64
			if tt.pairs == 0 {
				want[tt.unpaired] = 1
			}
			if pairs, agreed := sum.Totals(); pairs != tt.pairs || agreed != tt.agreed || sum.Unpaired != want {
				t.Errorf("%d pairs, %d agreed, %v", pairs, agreed, sum.Unpaired)
			}
		})
	}
}

// TestAShadowChangesNotAByteOfAPassedAnswer compares what comes over the wire with a shadow and without.
func TestAShadowChangesNotAByteOfAPassedAnswer(t *testing.T) {
	upstream := newSeen(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/same":
			w.WriteHeader(http.StatusNotModified)
		case "/wrong":
			w.WriteHeader(http.StatusBadGateway)
		case "/chunks":
			_, _ = io.WriteString(w, "a piece,")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "and another")
		default:
			_, _ = io.WriteString(w, `{"v":1}`)
		}
	})
	changing := regexp.MustCompile(`(?mi)^(date|serin-decision|x-request-id): .*\r\n`)
	var answers [2]map[string]string
	for i, change := range []func(*ServiceOptions){nil, func(o *ServiceOptions) { o.Shadows = nil }} {
		s := newShadowing(t, passedBeside(t, upstream.URL(), upstream.URL(), change))
		address := served(t, s)
		answers[i] = map[string]string{}
		for _, request := range []string{"GET /", "HEAD /", "GET /empty", "GET /same", "GET /wrong", "GET /chunks", "HEAD /chunks"} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, request+" HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(conn)
			conn.Close()
			if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 ") {
				t.Fatalf("%s: %s, %v", request, text, err)
			}
			lines := strings.Split(changing.ReplaceAllString(string(text), ""), "\r\n")
			slices.Sort(lines) // fields come in any order
			answers[i][request] = strings.Join(lines, "\n")
		}
		if i == 0 {
			s.settle(7)
		}
	}
	if diff := cmp.Diff(answers[1], answers[0]); diff != "" {
		t.Errorf("(-without a shadow +with one)\n%s", diff)
	}
}
