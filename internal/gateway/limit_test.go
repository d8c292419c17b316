package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/limit"
	"github.com/serin-ml/serin/internal/traffic"
)

// peerAt is a context of a call that came from an address.
func peerAt(ctx context.Context, address string) context.Context {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		panic(err)
	}
	return peer.NewContext(ctx, &peer.Peer{Addr: a})
}

func newLimit(t testing.TB, o LimitOptions) *Limit {
	t.Helper()
	l, err := NewLimit(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// newLimited makes a split with limits; without options there is one of 2 a minute for each address.
func newLimited(t *testing.T, all ...LimitOptions) *split {
	t.Helper()
	if all == nil {
		all = []LimitOptions{{Name: "client/1m", Options: limit.Options{Requests: 2, Window: time.Minute}}}
	}
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "80", "canary", "20"), Sticky: byUser}, 0)
	for _, o := range all {
		s.service.options.Limits = append(s.service.options.Limits, newLimit(t, o))
	}
	s.SetServices([]*Service{s.service})
	return s
}

func from(address string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = address }
}

func with(header ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
	}
}

func TestWhoAsksTooOftenIsToldWhenToAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLimited(t)
		for i, c := range []struct {
			wait      time.Duration
			from      string
			status    int
			remaining string
			reset     string
		}{
			{0, "192.0.2.1:1", 200, "1", "60"},
			{20 * time.Second, "192.0.2.1:2", 200, "0", "40"},
			{time.Second, "192.0.2.1:3", 429, "0", "39"},
			{0, "[::ffff:192.0.2.1]:3", 429, "0", "39"},
			{0, "192.0.2.2:1", 200, "1", "60"},
			{38*time.Second + time.Millisecond, "192.0.2.1:3", 429, "0", "1"},
			{999*time.Millisecond + time.Microsecond, "192.0.2.1:3", 200, "0", "20"},
		} {
			time.Sleep(c.wait)
			w, _ := s.ask(t, "u", oneRow, from(c.from))
			h := w.Header()
			retry := ""
			if c.status == 429 {
				retry = c.reset
			}
			if w.Code != c.status || h.Get("RateLimit-Remaining") != c.remaining || h.Get("RateLimit-Reset") != c.reset ||
				h.Get("RateLimit") != fmt.Sprintf(`"client/1m";r=%s;t=%s`, c.remaining, c.reset) || h.Get("Retry-After") != retry ||
				h.Get("RateLimit-Limit") != "2" || h.Get("RateLimit-Policy") != `"client/1m";q=2;w=60` {
				t.Errorf("request %d: %d %v, want %+v", i, w.Code, h, c)
			}
			if c.status == 429 && !strings.Contains(w.Body.String(), "too many requests: at most 2 are answered in 1m; ask again in "+c.reset+" s") {
				t.Errorf("request %d: %s", i, w.Body)
			}
		}
	})
}

// A refused request is counted to the variant that would have answered, as what it is: no error, and no latency.
func TestARefusedRequestIsNobodysFault(t *testing.T) {
	s := newLimited(t)
	var refused, answered [2]uint64
	for user := range 40 {
		i := -1 // the user's variant
		for range 3 {
			w, token := s.ask(t, fmt.Sprint("user-", user), oneRow, from(fmt.Sprintf("192.0.2.%d:1", user)))
			if w.Code == 429 {
				refused[i]++
				continue
			}
			i = slices.IndexFunc(s.service.variants, func(v *Variant) bool { return v.hash == token.Variant })
			answered[i]++
		}
	}
	s.write(t)
	for i, tally := range []*event.Tally{s.log.tallied()["stable"], s.log.tallied()["canary"]} {
		if refused[i] == 0 || tally.Limited != refused[i] || tally.Requests != answered[i] || tally.Latency.Count() != answered[i] ||
			tally.Errors != [event.NumClasses]uint64{} || tally.FirstErrors != 0 {
			t.Errorf("%d refused, %d answered, counted: %+v", refused[i], answered[i], tally)
		}
	}
	if n := testutil.ToFloat64(s.Gateway.metrics.limits.WithLabelValues("sums", "client/1m")); n != 40 {
		t.Errorf("%v were counted", n)
	}
	n := 0
	for _, d := range s.log.decisions() {
		if d.Status == 429 {
			n++
		}
	}
	if n != 40 {
		t.Errorf("%d decisions say so", n)
	}
}

func TestClientsAreToldApartByWhatTheLimitSays(t *testing.T) {
	const a, b = "192.0.2.1:1", "192.0.2.2:1"
	for _, c := range []struct {
		name     string
		key      LimitKey
		requests []func(*http.Request) // each with its address; a limit of one a minute
		status   []int
	}{
		{"header", LimitKey{ByHeader, "X-Team"}, []func(*http.Request){with("X-Team", "1"), with("X-Team", "2"), with("X-Team", "1")}, []int{200, 200, 429}},
		{"cookie", LimitKey{ByCookie, "team"}, []func(*http.Request){with("Cookie", "a=b; team=1"), with("Cookie", "team=2"), with("Cookie", "team=1")}, []int{200, 200, 429}},
		{"API key", LimitKey{From: ByAPIKey}, []func(*http.Request){with("X-API-Key", "1"), with("Authorization", "Bearer 2"), with("Authorization", "bearer  1"), with("X-API-Key", "3", "Authorization", "Bearer 2")}, []int{200, 200, 429, 200}},
		{"none of them", LimitKey{ByHeader, "X-Team"}, []func(*http.Request){from(a), from(b), from(a)}, []int{200, 200, 429}},
		{"another scheme is no API key", LimitKey{From: ByAPIKey}, []func(*http.Request){with("Authorization", "Basic 1"), with("Authorization", "Basic 2"), with("Authorization", "Bearer ")}, []int{200, 429, 429}},
		{"a header that is an address", LimitKey{ByHeader, "X-Team"}, []func(*http.Request){with("X-Team", "192.0.2.1"), from(a)}, []int{200, 200}},
		{"address", LimitKey{}, []func(*http.Request){from(a), from("[2001:db8::1]:1"), from("[2001:db8::2]:1"), from("[2001:db8:0:1::1]:1")}, []int{200, 200, 429, 200}},
		{"nobody", LimitKey{}, []func(*http.Request){from("@"), from("@")}, []int{200, 429}},
	} {
		s := newLimited(t, LimitOptions{Name: "l", Key: c.key, Options: limit.Options{Requests: 1, Window: time.Hour}})
		for i, change := range c.requests {
			if w, _ := s.ask(t, "", oneRow, change); w.Code != c.status[i] {
				t.Errorf("%s, request %d: %d %s, want %d", c.name, i, w.Code, w.Body, c.status[i])
			}
		}
	}
}

func TestOfSeveralLimitsNoneTakesWhatAnotherRefuses(t *testing.T) {
	s := newLimited(t,
		LimitOptions{Name: "short", Options: limit.Options{Requests: 2, Window: time.Hour}},
		LimitOptions{Name: "team", Key: LimitKey{ByHeader, "X-Team"}, Options: limit.Options{Requests: 3, Window: 24 * time.Hour, Burst: 4}})
	for i, c := range []struct {
		from, status          string
		limit, remaining, all string
	}{
		{"192.0.2.1:1", "200", "2", "1", `"short";r=1;t=3600, "team";r=3;t=28800`},
		{"192.0.2.1:1", "200", "2", "0", `"short";r=0;t=3600, "team";r=2;t=28800`},
		{"192.0.2.1:1", "429", "2", "0", `"short";r=0;t=3600, "team";r=2;t=28800`},
		{"192.0.2.2:1", "200", "3", "1", `"short";r=1;t=3600, "team";r=1;t=28800`},
		{"192.0.2.2:1", "200", "3", "0", `"short";r=0;t=3600, "team";r=0;t=28800`},
		{"192.0.2.3:1", "429", "3", "0", `"short";r=2, "team";r=0;t=28800`},
		{"192.0.2.2:1", "429", "3", "0", `"short";r=0;t=3600, "team";r=0;t=28800`},
	} {
		w, _ := s.ask(t, "", oneRow, from(c.from), with("X-Team", "1"))
		h := w.Header()
		if fmt.Sprint(w.Code) != c.status || h.Get("RateLimit") != c.all || h.Get("RateLimit-Remaining") != c.remaining || h.Get("RateLimit-Limit") != c.limit {
			t.Errorf("request %d: %d %v, want %+v", i, w.Code, h, c)
		}
		if got := h.Get("RateLimit-Policy"); got != `"short";q=2;w=3600, "team";q=3;w=86400;serin-burst=4` {
			t.Errorf("request %d: %s", i, got)
		}
	}
}

func TestALimitHoldsWhereItSays(t *testing.T) {
	one := limit.Options{Requests: 1, Window: time.Hour}
	s := newLimited(t, LimitOptions{Name: "route", Options: one, Routes: []string{"/recommend/{user}"}}, LimitOptions{Name: "v2", Options: one, Paths: []string{"/v2/"}},
		LimitOptions{Name: "grpc", Options: one, Paths: []string{"/seldon.protos.Seldon"}})
	s.service.options.Routes = []Route{route(t, http.MethodPost, "/recommend/{user}", "x")}
	s.SetServices([]*Service{s.service})
	for i, c := range []struct{ path, names string }{
		{"/recommend/1", `"route"`}, {"/recommend/2", `"route"`}, {"/v2/models/sums/infer", `"v2"`}, {"/v2/models/sums/versions/1/infer", `"v2"`},
		{"/api/v1.0/predictions", ""},
	} {
		w := post(s.Gateway, c.path, oneRow)
		if got, _, _ := strings.Cut(w.Header().Get("RateLimit"), ";"); got != c.names || (w.Code == 429) != (i == 1 || i == 3) {
			t.Errorf("%s: %d %q, want %q", c.path, w.Code, got, c.names)
		}
		if i != 1 {
			continue
		}
		var problem map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"type": "https://iana.org/assignments/http-problem-types#quota-exceeded", "title": "Too many requests", "status": 429.0,
			"detail": "too many requests: at most 1 are answered in 1h; ask again in 3600 s", "violated-policies": []any{"route"},
		}
		if diff := cmp.Diff(want, problem); diff != "" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s", c.path, w.Header(), diff)
		}
	}

	// Over gRPC the method is the path, and metadata is the header.
	c := dialled(t, s.Gateway)
	var header metadata.MD
	for i, want := range []codes.Code{codes.OK, codes.ResourceExhausted} {
		request, answer := c.message(c.method("seldon.protos.Seldon/Predict").Input(), seldonProtoRow), c.message(c.method("seldon.protos.Seldon/Predict").Output(), "{}")
		err := c.conn.Invoke(t.Context(), "/seldon.protos.Seldon/Predict", request, answer, grpc.Header(&header))
		if status.Code(err) != want || len(header["ratelimit-remaining"]) != 1 || header["ratelimit-remaining"][0] != "0" || (len(header["retry-after"]) == 1) != (i == 1) {
			t.Errorf("over gRPC: %v %v", err, header)
		}
	}
	if _, _, err := c.call(t.Context(), oip+"ModelInfer", row("sums", 1)); err != nil {
		t.Error(err)
	}
}

// Each dialect tells of a limit as it tells of everything.
func TestALimitIsToldInEachDialect(t *testing.T) {
	for _, c := range []struct{ path, body, want string }{
		{"/v2/models/sums/infer", fmt.Sprintf(v2Row, 1), `{"error":"too many requests: `},
		{"/api/v1.0/predictions", oneRow, `{"status":{"code":429,"info":"too many requests: `},
		{"/v1/models/sums:predict", `{"instances":[[1,2]]}`, `{"error":"too many requests: `},
		{"/invocations", `{"inputs":[[1,2]]}`, `{"error_code":"`},
	} {
		s := newLimited(t, LimitOptions{Name: "l", Options: limit.Options{Requests: 1, Window: time.Hour}})
		post(s.Gateway, c.path, c.body)
		w := post(s.Gateway, c.path, c.body)
		if w.Code != 429 || w.Header().Get("Retry-After") != "3600" || w.Header().Get("Content-Type") != "application/json" || !strings.HasPrefix(w.Body.String(), c.want) {
			t.Errorf("%s: %d %v %s", c.path, w.Code, w.Header(), w.Body)
		}
	}
}

func TestALimitThatStaysAsItIsKeepsWhatItKnows(t *testing.T) {
	day := LimitOptions{Name: "day", Options: limit.Options{Requests: 1, Window: 24 * time.Hour}}
	other := LimitOptions{Name: "team", Key: LimitKey{ByHeader, "X-Team"}, Options: limit.Options{Requests: 5, Window: time.Minute}}
	s := newLimited(t, day)
	reload := func(all ...LimitOptions) {
		t.Helper()
		before := s.service
		o := before.options
		o.Limits = nil
		for _, l := range all {
			o.Limits = append(o.Limits, newLimit(t, l))
		}
		s.service = NewService(o)
		for i, v := range s.service.variants {
			v.Swap(before.variants[i].Live())
		}
		s.service.KeepLimits(before)
		s.SetServices([]*Service{s.service})
	}
	ask := func(want int) {
		t.Helper()
		if w, _ := s.ask(t, "", oneRow); w.Code != want {
			t.Errorf("%d %s, want %d", w.Code, w.Body, want)
		}
	}
	ask(200)
	reload(other, day)
	ask(429)
	renamed := day
	renamed.Name = "renamed"
	reload(renamed)
	ask(429)
	more := day
	more.Requests = 2
	reload(more)
	ask(200)
	ask(200)
	ask(429)
	reload()
	ask(200)
}

func TestTheLimitsGaugesCountClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLimited(t, LimitOptions{Name: "client/1m", Options: limit.Options{Requests: 20, Window: time.Minute, Above: 15}},
			LimitOptions{Name: "client/1h", Options: limit.Options{Requests: 20, Window: time.Hour}})
		gauges := newLimitGauges(s.Gateway)
		tell := func(minute, above, hour int) {
			t.Helper()
			want := fmt.Sprintf(`# HELP serin_rate_limit_clients Clients of which the limit knows that they asked in its window.
# TYPE serin_rate_limit_clients gauge
serin_rate_limit_clients{limit="client/1h",service="sums"} %d
serin_rate_limit_clients{limit="client/1m",service="sums"} %d
# HELP serin_rate_limit_clients_above Clients with more requests let through in the limit's window than its alertAbove says.
# TYPE serin_rate_limit_clients_above gauge
serin_rate_limit_clients_above{limit="client/1m",service="sums"} %d
# HELP serin_rate_limit_forgotten_total Clients that the limit forgot before their window was over, for want of room: those that had asked least.
# TYPE serin_rate_limit_forgotten_total counter
serin_rate_limit_forgotten_total{limit="client/1h",service="sums"} 0
serin_rate_limit_forgotten_total{limit="client/1m",service="sums"} 0
`, hour, minute, above)
			if err := testutil.CollectAndCompare(gauges, strings.NewReader(want)); err != nil {
				t.Error(err)
			}
		}
		tell(0, 0, 0)
		for i, n := range []int{1, 15, 16, 30} {
			for range n {
				s.ask(t, "", oneRow, from(fmt.Sprintf("192.0.2.%d:1", i)))
			}
		}
		tell(4, 2, 4)
		time.Sleep(2 * time.Minute)
		tell(0, 0, 4)
	})
}

func BenchmarkLimitedPredict(b *testing.B) {
	for _, limits := range []int{0, 1, 2} {
		b.Run(fmt.Sprint("limits=", limits), func(b *testing.B) {
			g := newConstant(nil, nil)
			s := g.Services()[0]
			for i := range limits {
				s.options.Limits = append(s.options.Limits, newLimit(b, LimitOptions{Name: fmt.Sprint("client/", i), Options: limit.Options{Requests: 1 << 22, Window: time.Second}}))
			}
			g.SetServices([]*Service{s})
			a := newAsking(g, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1))
			b.ReportAllocs()
			for b.Loop() {
				if status := a.ask(); status != http.StatusOK {
					b.Fatal(status)
				}
			}
		})
	}
}
