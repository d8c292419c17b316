package config

import (
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// upstreamsConfig is what testdata/good/upstreams.yaml says.
func upstreamsConfig() *Config {
	weights := func(pairs ...string) traffic.Spec {
		w := traffic.Weights{}
		for i := 0; i < len(pairs); i += 2 {
			w[pairs[i]], _ = traffic.ParseWeight(pairs[i+1])
		}
		return traffic.Spec{Weights: w}
	}
	service := func(name string, change func(*Service)) Service {
		var s Service
		s.SetDefaults()
		s.Name = name
		change(&s)
		return s
	}
	variant := func(name string, change func(*Variant)) Variant {
		v := newVariant(name)
		change(&v)
		return v
	}
	rewrite := "/api/"
	return &Config{
		Services: []Service{
			service("movies", func(s *Service) {
				s.Host, s.Hosts, s.Path, s.Paths, s.Rewrite = "Movies.example.com", []string{"films.example.com"}, "/recommend/", []string{"/old/recommend/"}, &rewrite
				s.Variants = []Variant{
					variant("stable", func(v *Variant) {
						v.Instances, v.Version = []string{"http://127.0.0.1:8082", "https://Recommender.internal/"}, "1.4.0-rc.1"
						v.HostHeader, v.Headers = "upstream", map[string]string{"X-Team": "movies", "Cookie": ""}
						v.TLS = &TLS{CA: "/etc/serin/ca.pem", ServerName: "recommender.internal"}
						v.ConnectTimeout, v.IdleTimeout, v.Resolve, v.MaxFails, v.FailTimeout = 250*time.Millisecond, 4*time.Second, 5*time.Second, 3, 30*time.Second
						v.Health = &Health{Path: "/healthz?deep=1", Every: 2 * time.Second, Timeout: 500 * time.Millisecond, Healthy: 1, Unhealthy: 2, Status: StatusRange{204, 204}}
						v.Outlier = Outlier{
							Consecutive5xx: 7, ConsecutiveGatewayFailure: 4, Interval: time.Second, BaseEjectionTime: 5 * time.Second, MaxEjectionTime: time.Minute, MaxEjectionPercent: 50,
							EnforcingSuccessRate: 0, SuccessRateMinimumHosts: 3, SuccessRateRequestVolume: 10, SuccessRateStdevFactor: 2500,
							EnforcingFailurePercentage: 100, FailurePercentageThreshold: 50, FailurePercentageMinimumHosts: 2, FailurePercentageRequestVolume: 20,
						}
						v.Breaker = Breaker{MaxConnections: 64, MaxPendingRequests: 32, MaxRequests: 16}
						v.Retry = Retry{Attempts: 3, Budget: 50, NonIdempotent: true, On: []RetryOn{"connect", "429", "503"}}
					}),
					variant("canary", func(v *Variant) {
						v.Upstream, v.Dialect, v.UpstreamModel = "grpcs://127.0.0.1:8084", "v2", "movies_2"
						v.Signature = &ModelSignature{
							Inputs:  []TensorSpec{{Name: "user", DType: tensor.Int64, Shape: []int{-1, 2}, Columns: []string{"id", "age"}}},
							Outputs: []TensorSpec{{Name: "label", DType: tensor.Bytes, Shape: []int{-1}, Labels: []string{"no", "yes"}}},
						}
					}),
					variant("site", func(v *Variant) { v.Static, v.Version = "./web", "7" }),
				}
				s.Traffic, s.Timeout, s.Failover, s.Limits.AnswerBytes = weights("stable", "4", "canary", "1"), 500*time.Millisecond, true, MiB
				s.Fallback = &Fallback{
					Status: 503, Headers: map[string]string{"Cache-Control": "no-store", "content-type": "application/vnd.movies+json"},
					Body:   map[string]any{"movies": []any{}, "why": map[string]any{"z": nil, "a": []any{int64(1), 2.5, true, "<é>"}}},
					Header: http.Header{"Cache-Control": {"no-store"}, "Content-Type": {"application/vnd.movies+json"}},
					Bytes:  []byte(`{"movies":[],"why":{"z":null,"a":[1,2.5,true,"<é>"]}}`),
				}
				s.RateLimit = RateLimits{
					{Requests: 20, Per: time.Minute, Key: "header:X-User-Id", Burst: 5, AlertAbove: 15},
					{Requests: 1000, Per: time.Hour, Key: "apiKey", Paths: []string{"/recommend/all"}},
				}
				s.Shadows = []Shadow{{
					Variant: "canary", Percent: 12.5, Timeout: 3 * time.Second, InFlight: 2, Queue: 64, Methods: []string{"GET", "POST"},
					Compare: Compare{By: "topK", K: 5, Overlap: 80, At: "movies[].id", Ignore: []string{"requestId", "movies[].served"}},
				}}
			}),
			service("short", func(s *Service) {
				s.Path, s.Upstream, s.Variants = "/", "http://[::1]:8085/", []Variant{variant("stable", func(v *Variant) { v.Upstream = "http://[::1]:8085/" })}
				s.Fallback = &Fallback{Status: 200, Body: "try again later", Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Bytes: []byte("try again later")}
				s.RateLimit = RateLimits{{Requests: 5, Per: 10 * time.Second, Key: "client"}}
			}),
			service("pair", func(s *Service) {
				s.Path, s.Instances = "/pair", []string{"h2c://a_b:1", "grpcs://10.0.0.7"}
				s.Variants = []Variant{variant("stable", func(v *Variant) { v.Instances = []string{"h2c://a_b:1", "grpcs://10.0.0.7"} })}
				s.Fallback = &Fallback{Status: 204, Header: http.Header{}}
			}),
			service("site", func(s *Service) {
				s.Host, s.Static, s.Variants = "site.example.com", "/srv/site", []Variant{variant("stable", func(v *Variant) { v.Static = "/srv/site" })}
			}),
			service("behind", func(s *Service) {
				s.Variants = []Variant{modelVariant("stable", "behind"), variant("canary", func(v *Variant) { v.Upstream, v.Dialect = "http://169.254.10.1:9000", "seldon" })}
				s.Traffic = weights("stable", "1")
				s.Shadows = []Shadow{{
					Variant: "canary", Percent: 100, Timeout: time.Second, InFlight: 8, Queue: 1024, Methods: []string{"GET", "HEAD"}, Compare: Compare{By: "numeric", Tolerance: 1e-6, Relative: 0.5, K: 10, Overlap: 100},
				}}
				pattern, _ := gateway.ParseRoutePath("/predict")
				s.Routes = []Route{{Method: "POST", Path: "/predict", Missing: "refuse", Pattern: pattern, Mapping: wire.Mapping{Labels: wire.Labels{Threshold: 0.5}}}}
				s.RateLimit = RateLimits{{Requests: 1, Per: time.Second, Key: "cookie:session", Routes: []string{"/predict"}}}
			}),
		},
		Server: serverWith(func(s *Server) {
			s.TrustedProxies = cidrs("10.0.0.0/8", "192.168.1.7/32", "fd00::/8")
			s.Upstreams = Upstreams{Allow: cidrs("127.0.0.0/8", "::1/128", "169.254.10.0/24", "10.0.0.0/8"), Deny: cidrs("10.9.0.0/16")}
		}),
	}
}

func cidrs(texts ...string) (list []CIDR) {
	for _, t := range texts {
		list = append(list, CIDR(netip.MustParsePrefix(t)))
	}
	return list
}

func TestAFrontsHostsAndPathsAreAllOfThem(t *testing.T) {
	c := upstreamsConfig()
	for i, want := range []string{
		"movies.example.com films.example.com: /recommend/ /old/recommend/", ": /", ": /pair", "site.example.com: /", ": ",
	} {
		s := &c.Services[i]
		if got := strings.Join(s.AllHosts(), " ") + ": " + strings.Join(s.AllPaths(), " "); got != want || s.Fronts() != (want != ": ") {
			t.Errorf("%s: got %q, want %q", s.Name, got, want)
		}
	}
}

func TestTheVersionOfAnUpstreamIsWhatItIsCalledOrItsURLs(t *testing.T) {
	var many []string
	for _, c := range "edcba" {
		many = append(many, "http://"+strings.Repeat(string(c), 60)+":8080/")
	}
	for _, test := range []struct {
		v    Variant
		want string
	}{
		{Variant{Model: "m"}, ""},
		{Variant{Upstream: "HTTP://Movies:8082/"}, "http://movies:8082"},
		{Variant{Instances: []string{"https://b/", "http://a:1"}}, "http://a:1,https://b"},
		{Variant{Instances: []string{"https://b/"}, Version: "1.4.0"}, "1.4.0"},
		{Variant{Instances: []string{"https://Host/V2/models/m/infer"}, Dialect: "v2"}, "https://host/V2/models/m/infer"},
		{Variant{Static: "./web"}, "static:./web"},
		{Variant{Static: "./web", Version: "7"}, "7"},
		{Variant{Instances: many}, "http://" + strings.Repeat("a", 60) + ":8080,http://" + strings.Repeat("b", 60) + ":8080,http://" + strings.Repeat("c", 30) + "~5a06787bf032c33d"},
	} {
		got := test.v.VersionText()
		if got != test.want || len(got) > 200 {
			t.Errorf("got %q, %d bytes, want %q", got, len(got), test.want)
		}
	}
}

func TestWhatIsWrongWithAURLIsToldWithoutWhatMayBeSecret(t *testing.T) {
	for _, u := range []string{"http://me:hunter2@host", "http://hunter2@host/", "ftp://me:hunter2@host", "me:hunter2@host", "//me:hunter2@host", "http://host?token=hunter2", "http://host/hunter 2/hunter2", "http://host/%hunter2", "http://host/../hunter2", "http://host/hunter2/%2e", "http://host#hunter2"} {
		_, err := readAddress(u)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestAPathInTheURLIsWhereADialectIsSpoken(t *testing.T) {
	read := func(more string, urls ...string) (*Variant, error) {
		c, err := Read("serin.yaml", []byte("services: [{name: m, variants: [{instances: ["+strings.Join(urls, ", ")+"]"+more+"}]}]"))
		if err != nil {
			return nil, err
		}
		return &c.Services[0].Variants[0], nil
	}
	v, err := read(", dialect: seldon", "http://A:1/seldon/ns/a%20b/api/v1.0/predictions", "http://b:1/seldon/ns/a%20b/api/v1.0/predictions")
	if err != nil || v.Path() != "/seldon/ns/a%20b/api/v1.0/predictions" || strings.Join(v.Origins(), " ") != "http://a:1 http://b:1" {
		t.Errorf("got %+v, %v", v, err)
	}
	if v, err := read(", dialect: seldon", "http://a:1/"); err != nil || v.Path() != "" {
		t.Errorf("got %+v, %v", v, err)
	}
	for _, tt := range []struct {
		more, one, two, want string
	}{
		{", dialect: v1", "http://a:1/x", "http://b:1/y", "this instance has another path than the first one"},
		{", dialect: v1", "http://a:1", "http://b:1/y", "this instance has another path than the first one"},
		{"", "http://a:1/x", "http://b:1", "this URL has a path"},
		{", dialect: v1", "http://a:1/x/../y", "http://b:1", "a path that cannot be asked for"},
		{", dialect: v1", "\"http://a:1/x y\"", "http://b:1", "a path that cannot be asked for"},
	} {
		if _, err := read(tt.more, tt.one, tt.two); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s and %s: got %v, want %s", tt.one, tt.two, err, tt.want)
		}
	}
}

func TestAddressesAreReadAndComparedAsTheyAreDialled(t *testing.T) {
	for _, test := range []struct{ url, text, key string }{
		{"http://Host", "http://host", "host:80"},
		{"HTTPS://host/", "https://host", "host:443"},
		{"grpc://host:80", "grpc://host:80", "host:80"},
		{"h2://10.0.0.1", "h2://10.0.0.1", "10.0.0.1:443"},
		{"http://[::1]:8085/", "http://[::1]:8085", "[::1]:8085"},
		{"h2c://my_service.ns.svc.cluster.local.:9000", "h2c://my_service.ns.svc.cluster.local.:9000", "my_service.ns.svc.cluster.local.:9000"},
	} {
		a, err := readAddress(test.url)
		if err != nil || a.text != test.text || a.key != test.key {
			t.Errorf("%s: %+v, %v", test.url, a, err)
		}
	}
}

func TestAFallbackIsNotTooLarge(t *testing.T) {
	for size, want := range map[int]string{256 << 10: "", 256<<10 + 1: "services[0].fallback.body: it has 262145 bytes; give at most 256KiB"} {
		_, err := Read("", []byte("services: [{name: a, variants: [{model: a}], fallback: {body: "+strings.Repeat("x", size)+"}}]"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d: %v", size, err)
		}
	}
}

// TestTheGuideShowsTheDefaultsOfUpstreams reads the file that docs/guides/serving.md shows, all of whose values are said to be the defaults
// but for names, addresses, weights and texts.
func TestTheGuideShowsTheDefaultsOfUpstreams(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guides/serving.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(guide), "\n## Upstreams\n")
	_, text, _ := strings.Cut(section, "```yaml\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("the guide has no such file")
	}
	c, err := Read("serving.md", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := newVariant("stable")
	want.Instances, want.Version, want.Headers = []string{"https://10.0.0.5:8443", "https://10.0.0.6:8443"}, "1.4.0", map[string]string{"X-Team": "movies"}
	want.Health = new(Health)
	want.Health.SetDefaults()
	want.Health.Path, want.TLS = "/healthz", &TLS{CA: "ca.pem", ServerName: "movies.internal"}
	if diff := cmp.Diff(want, c.Services[0].Variants[0]); diff != "" {
		t.Errorf("(-defaults +guide)\n%s", diff)
	}
	var s Service
	s.SetDefaults()
	if got := c.Services[0]; got.Limits != s.Limits || got.Failover != s.Failover || got.Timeout != s.Timeout {
		t.Errorf("got %+v", got)
	}
}
