package gateway

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/wire"
)

// at is a service that passes on, to nobody, whatever comes at the places given.
func at(name string, hosts []string, prefixes ...string) *Service {
	o := ServiceOptions{Name: name, Hosts: hosts, Variants: []VariantOptions{{Name: "stable", Passed: true, Upstream: nowhere{}}}}
	for _, p := range prefixes {
		o.Prefixes = append(o.Prefixes, Prefix{Path: p})
	}
	s := NewService(o)
	s.Variants()[0].Swap(upstreamLive("stable"))
	return s
}

func TestRequestsGoWhereTheContractSays(t *testing.T) {
	hosted := []string{"Movies.Example.com"}
	model := ready("model", 1)
	model.options.Default = true
	model.options.Routes = []Route{
		{Method: "GET", Path: mustRoute(t, "/recommend/{user}"), Dialect: new(wire.Mapped)},
		{Method: "GET", Path: mustRoute(t, "/api/{a}/{b}/deep"), Dialect: new(wire.Mapped)},
	}
	g := New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	g.SetServices([]*Service{
		at("host", hosted), at("hostpath", hosted, "/api/", "/api/inner/"), at("other", []string{"other.example.com", "::1"}, "/only/"),
		at("api", nil, "/api/"), at("apifixed", nil, "/api/fixed"), at("seven", nil, "/recommend/7"), at("own", nil, "/v2/models/model/", "/healthz"), at("unicode", nil, "/é/"), model,
	})
	const route, own = "a route", "Serin"
	for _, tt := range []struct{ method, host, target, want string }{
		{"GET", "movies.example.com", "/", "host"},
		{"GET", "MOVIES.example.com.:8080", "/anything", "host"},
		{"GET", "movies.example.com", "/v2/models/model/infer", "host"}, // nothing of Serin's under a host
		{"GET", "movies.example.com", "/healthz", "host"},
		{"GET", "movies.example.com", "/.serin/healthz", own},
		{"GET", "movies.example.com", "/%2eserin/healthz", own},
		{"GET", "movies.example.com", "/.serinx", "host"},
		{"GET", "movies.example.com", "/api/x", "hostpath"},
		{"GET", "movies.example.com", "/api", "host"},
		{"GET", "movies.example.com", "/apix", "host"},
		{"GET", "movies.example.com", "/recommend/7", "host"},
		{"GET", "other.example.com", "/only/x", "other"},
		{"GET", "[::1]:80", "/only/x", "other"},
		{"GET", "[::1]", "/only/x", "other"},
		{"GET", "other.example.com", "/api/x", "api"}, // no match under its host
		{"GET", "other.example.com", "/healthz", "own"},
		{"GET", "x", "/api/x", "api"},
		{"GET", "x", "/api/", "api"},
		{"GET", "x", "/%61pi/x", "api"},
		{"GET", "x", "/api", own},
		{"GET", "x", "/api/fixed", "apifixed"},
		{"GET", "x", "/api/fixed/", "apifixed"},
		{"GET", "x", "/api/fixed/x", "apifixed"},
		{"GET", "x", "/api/fixedx", "api"},
		{"GET", "x", "/api/a/b/deep", route}, // the longest
		{"GET", "x", "/api/fixed/b/deep", route},
		{"POST", "x", "/api/a/b/deep", "api"},
		{"GET", "x", "/recommend/8", route},
		{"GET", "x", "/recommend/7", "seven"}, // as long, and it is named
		{"GET", "x", "/v2/models/model/infer", "own"},
		{"GET", "x", "/v2/models/model", own},
		{"GET", "x", "/healthz", "own"},
		{"GET", "x", "/readyz", own},
		{"GET", "x", "/%C3%A9/x", "unicode"},
		{"GET", "x", "/nowhere", own},
		{"OPTIONS", "x", "*", own},
	} {
		r := httptest.NewRequest(tt.method, "/", nil)
		r.Host, r.RequestURI = tt.host, tt.target
		if u, err := url.ParseRequestURI(tt.target); err == nil {
			r.URL = u
		} else {
			r.URL = &url.URL{Path: tt.target}
		}
		got := own
		if !strings.HasPrefix(r.URL.Path, "/.serin/") {
			switch h := g.routed(g.services.Load(), r).(type) {
			case *passage:
				got = h.service.Name()
			case http.Handler:
				got = route
			}
		}
		if got != tt.want {
			t.Errorf("%s %s%s goes to %s, want %s", tt.method, tt.host, tt.target, got, tt.want)
		}
	}
}

func mustRoute(t *testing.T, text string) RoutePath {
	t.Helper()
	p, err := ParseRoutePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSerinsOwnPathsAreUnderTheReservedPrefixToo(t *testing.T) {
	g, ask := serve(t, at("site", nil, "/"), ready("a", 1))
	_ = g
	if status, body := ask("GET", "/.serin/healthz", ""); status != 200 || body != `{"ok":true}` {
		t.Errorf("%d %s", status, body)
	}
	if status, body := ask("GET", "/.serin/v2/models", ""); status != 200 || body != `{"models":["a"]}` {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := ask("GET", "/.serin/", ""); status != 200 {
		t.Errorf("%d", status)
	}
	if status, _ := ask("GET", "/.serin/nowhere", ""); status != 404 {
		t.Errorf("%d", status)
	}
}

func TestARewriteStandsInPlaceOfThePrefix(t *testing.T) {
	for _, tt := range []struct {
		prefix, rewrite string
		has             bool
		target, want    string
	}{
		{"/recommend/", "/api/", true, "/recommend/7?x=%20&y", "/api/7?x=%20&y"},
		{"/recommend/", "/api", true, "/recommend/7", "/api/7"},
		{"/recommend", "/api/", true, "/recommend/7", "/api/7"},
		{"/recommend", "/api", true, "/recommend", "/api"},
		{"/recommend", "/", true, "/recommend?", "/?"},
		{"/recommend", "/", true, "/recommend/", "/"},
		{"/recommend/", "/", true, "/recommend/a/b/", "/a/b/"},
		{"/recommend/", "/", true, "/%72ecommend/%41", "/%41"},
		{"/", "/api/v1", true, "/x", "/api/v1/x"},
		{"/", "/api/v1/", true, "/", "/api/v1/"},
		{"/a/b/", "/c/", true, "/a/b/a/b/", "/c/a/b/"},
		{"/recommend/", "", false, "/recommend/7?x=%zz;&#"[:18], "/recommend/7?x=%zz"},
		{"/recommend/", "", false, "http://h/recommend/7?x", "/recommend/7?x"},
	} {
		p := passage{prefix: Prefix{Path: tt.prefix, Rewrite: tt.rewrite, HasRewrite: tt.has}}
		segments, err := p.prefix.segments()
		if err != nil {
			t.Fatal(err)
		}
		p.depth = len(segments)
		if err := p.prefix.Check(); err != nil {
			t.Errorf("%s to %s: %v", tt.prefix, tt.rewrite, err)
		}
		r := httptest.NewRequest(http.MethodGet, tt.target, nil)
		if got, err := p.target(r); err != nil || got != tt.want {
			t.Errorf("%s to %s: %s becomes %s, want %s (%v)", tt.prefix, tt.rewrite, tt.target, got, tt.want, err)
		}
	}
}

func TestAPathThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	for _, target := range []string{
		"/", "/a", "/a/", "/a.b", "/a..b", "/..a", "/a..", "/...", "/a%20b", "/%C3%A9", "/\xc3\xa9", "/a%2Eb", "/100%25", "/50%25off", "/a%3Bb", "/a%23b", "/a:b@c,d&e=f",
		"/a?b=../..", "/a?b=%00&c=//;%2f", "/~a", "/a%2b+", "/a|b<>\"^`{}",
	} {
		if path, query, _ := strings.Cut(target, "?"); !unambiguous(path, query) {
			t.Errorf("%q is refused", target)
		}
	}
	for _, target := range []string{
		"", "a", "//", "//a", "/a//b", "/a//", "/.", "/..", "/a/.", "/a/..", "/./a", "/../a", "/a/./b", "/a/../b", "/%2e", "/%2E%2e/a", "/.%2e/", "/a/%2e%2E", "/a%2fb",
		"/a%2Fb", `/a\b`, "/a%5cb", "/a;b", "/a/..;/b", "/a%00", "/a%0d%0a", "/a%7f", "/%", "/%1", "/%zz", "/%252e%252e/", "/%252f", "/%255c", "/%25252e", "/%2500", "/%253b", "/..%3b/a", "/a/.%3Bb", "/..%23", "/%2e%2e%3f", "/a b", "/a\tb",
		"/a\x00", "/a\x7f", "/a#b", "/a?b#c", "/a?b c", "/a?b\rc", "/a?b\x7f",
	} {
		if path, query, _ := strings.Cut(target, "?"); unambiguous(path, query) && strings.HasPrefix(path, "/") {
			t.Errorf("%q is passed on", target)
		}
	}
}

// FuzzPath holds what is passed on against other readers of paths: net/url, and path.Clean before and after escapes are resolved, once and
// twice.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/a/b", "/a/../b", "/a%2e%2e/b", "/%252e", "/a;b", `/a\b`, "//a", "/a%2fb", "/é", "/a?b#c", "/%25%32%65/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		name, query, _ := strings.Cut(target, "?")
		if !strings.HasPrefix(name, "/") || !unambiguous(name, query) {
			return
		}
		clean := func(what, s string) {
			t.Helper()
			want := path.Clean(s)
			if strings.HasSuffix(s, "/") && want != "/" {
				want += "/"
			}
			if s != want {
				t.Errorf("%q, %s, is %q, and would be read as %q", target, what, s, want)
			}
		}
		clean("as it came", name)
		once, err := url.PathUnescape(name)
		if err != nil {
			t.Fatalf("%q is passed on: %v", target, err)
		}
		clean("unescaped", once)
		if strings.Count(once, "/") != strings.Count(name, "/") {
			t.Errorf("%q has other segments without escapes", target)
		}
		if twice, err := url.PathUnescape(once); err == nil {
			clean("unescaped twice", twice)
			if strings.Count(twice, "/") != strings.Count(name, "/") {
				t.Errorf("%q has other segments without escapes of escapes", target)
			}
		}
		if strings.ContainsAny(target, " \r\n\t\x00#") || strings.ContainsAny(name, "\\;") {
			t.Errorf("%q cannot stand in a request line", target)
		}
	})
}

func TestAPrefixIsChecked(t *testing.T) {
	for _, p := range []Prefix{
		{Path: ""}, {Path: "a"}, {Path: "//"}, {Path: "/a//b"}, {Path: "/a//"}, {Path: "/a/../b"}, {Path: "/."}, {Path: "/a b"}, {Path: "/{a}"}, {Path: "/a?b"}, {Path: "/a;b"}, {Path: "/a%20"},
		{Path: "/.serin/"}, {Path: "/.serin"}, {Path: "/.serin/x"}, {Path: "/" + strings.Repeat("a", 1000)}, {Path: strings.Repeat("/a", 100)},
		{Path: "/a", HasRewrite: true}, {Path: "/a", Rewrite: "b", HasRewrite: true}, {Path: "/a", Rewrite: "/b?c", HasRewrite: true}, {Path: "/a", Rewrite: "/../b", HasRewrite: true}, {Path: "/a", Rewrite: "/b//", HasRewrite: true},
	} {
		if p.Check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	for _, p := range []Prefix{{Path: "/"}, {Path: "/a"}, {Path: "/a/b/"}, {Path: "/é/"}, {Path: "/a", Rewrite: "/", HasRewrite: true}, {Path: "/a", Rewrite: "/b%20c/", HasRewrite: true}} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
