package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/serin-ml/serin/internal/limit"
)

func TestWhatIsPassedOnIsLimitedToo(t *testing.T) {
	asked := 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("RateLimit", `"theirs";r=5`)
		w.Header().Set("RateLimit-Policy", `"theirs";q=6`)
		w.Header().Set("RateLimit-Limit", "6")
		w.Header().Set("RateLimit-Remaining", "5")
		w.Header().Set("RateLimit-Reset", "7")
	}))
	defer up.Close()
	p := newPassing(t, ServiceOptions{
		Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL))},
		Fallback: &Fallback{Status: 200, Body: []byte("fallback")},
		Limits: []*Limit{newLimit(t, LimitOptions{Name: "ours", Options: limit.Options{Requests: 2, Window: time.Hour}, Paths: []string{"/a"}}),
			newLimit(t, LimitOptions{Name: "never", Options: limit.Options{Requests: 1, Window: time.Hour}, Paths: []string{"/a/b"}})},
	})
	for i, c := range []struct {
		path      string
		status    int
		limits    []string
		remaining string
	}{
		{"/b", 200, []string{`"theirs";r=5`}, "5"},
		{"/ab", 200, []string{`"theirs";r=5`}, "5"},
		{"/a", 200, []string{`"ours";r=1;t=3600`, `"theirs";r=5`}, "1"},
		{"/%61?b", 200, []string{`"ours";r=0;t=3600`, `"theirs";r=5`}, "0"},
		{"/a/c", 429, []string{`"ours";r=0;t=3600`}, "0"},
		{"/a//c", 400, nil, ""}, // what can be read in two ways uses nothing, whatever it may be read as
		{"/%61/c", 429, []string{`"ours";r=0;t=3600`}, "0"},
	} {
		resp, err := http.Get(p.server.URL + c.path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		h := resp.Header
		if resp.StatusCode != c.status || !slices.Equal(h["Ratelimit"], c.limits) || h.Get("RateLimit-Remaining") != c.remaining || len(h["Ratelimit-Limit"]) > 1 {
			t.Errorf("request %d: %s %v, want %+v", i, resp.Status, h, c)
		}
		if signed := h.Get(TokenHeader) != ""; signed != (c.status == 200) {
			t.Errorf("request %d: %s with a token is %v", i, resp.Status, signed)
		}
		if c.status == 429 && (h.Get("Content-Type") != "application/problem+json" || h.Get("Retry-After") != "3600" || !strings.Contains(string(text), `"violated-policies":["ours"]`)) {
			t.Errorf("request %d: %v %s", i, h, text)
		}
	}
	if asked != 4 {
		t.Errorf("the upstream was asked %d times", asked)
	}
	tallies, _ := p.written(t, 4)
	if tally := tallies["stable"]; tally.Limited != 2 || tally.Fallbacks != 0 || tally.Latency.Count() != 4 {
		t.Errorf("%+v", tally)
	}
}

func TestCallsThatArePassedOnAreLimitedToo(t *testing.T) {
	up := newSpeaker(t)
	for port := range ports {
		t.Run(port, func(t *testing.T) {
			p := newPassing(t, ServiceOptions{
				Variants: []VariantOptions{variantOf("stable", upstreamOf(t, "grpc://"+up.address))},
				Limits:   []*Limit{newLimit(t, LimitOptions{Name: "calls", Key: LimitKey{ByHeader, "X-Team"}, Options: limit.Options{Requests: 1, Window: time.Hour}, Paths: []string{"/test.Speaker/"}})},
			})
			c := p.dialRPC(t, port)
			for i, want := range []codes.Code{codes.OK, codes.ResourceExhausted} {
				var header, trailer metadata.MD
				ctx := metadata.AppendToOutgoingContext(t.Context(), "x-team", "one")
				err := c.Invoke(ctx, sayOnce, wrapperspb.String("hello"), new(wrapperspb.StringValue), grpc.Header(&header), grpc.Trailer(&trailer))
				told := metadata.Join(header, trailer)
				if status.Code(err) != want || len(told["ratelimit"]) != 1 || told["ratelimit"][0] != `"calls";r=0;t=3600` || (len(told["retry-after"]) == 1) != (i == 1) {
					t.Errorf("call %d: %v %v", i, err, told)
				}
			}
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-team", "two")
			if err := c.Invoke(ctx, sayOnce, wrapperspb.String("hello"), new(wrapperspb.StringValue)); err != nil {
				t.Errorf("another team: %v", err)
			}
		})
	}
}

func TestACallForAHostThatIsNoneIsRefused(t *testing.T) {
	up := newSpeaker(t)
	for port := range ports {
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, "grpc://"+up.address))}})
		for _, host := range []string{"a b", "a/b", "a\tb"} {
			err := p.dialRPC(t, port, grpc.WithAuthority(host)).Invoke(t.Context(), sayOnce, wrapperspb.String("hello"), new(wrapperspb.StringValue))
			if err == nil || !strings.Contains(err.Error(), errHost.Error()) && !strings.Contains(err.Error(), "400") {
				t.Errorf("%s: %q: %v", port, host, err)
			}
		}
	}
}
