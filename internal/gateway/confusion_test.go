package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/limit"
	"github.com/serin-ml/serin/internal/proxy"
)

// targets is an upstream that writes down what it is asked for.
type targets []string

func (u *targets) Ask(_ context.Context, r *proxy.Request, a *proxy.Answer) error {
	*u = append(*u, r.Target)
	a.Status, a.Header = http.StatusOK, http.Header{}
	return nil
}

func (u *targets) Available() bool { return true }

// readings are the paths that servers take a target for: escapes resolved never to thrice, backslashes as slashes or not, and then without dots
// and empty segments. With cuts also those for whom, after escapes are resolved, a path ends at a NUL, a number sign or a question mark, and a
// segment at a semicolon.
func readings(target string, cuts bool) (all []string) {
	text, _, _ := strings.Cut(target, "?")
	for range 4 {
		for _, slashed := range []string{text, strings.ReplaceAll(text, `\`, "/")} {
			all = append(all, path.Clean(slashed))
			if !cuts {
				continue
			}
			for _, end := range []string{"\x00", "#", "?"} {
				short, _, _ := strings.Cut(slashed, end)
				bare := ""
				for segment := range strings.SplitSeq(short, "/") {
					name, _, _ := strings.Cut(segment, ";")
					bare += "/" + name
				}
				all = append(all, path.Clean(short), path.Clean(bare))
			}
		}
		next, err := url.PathUnescape(text)
		if err != nil {
			return all
		}
		text = next
	}
	return all
}

// Whatever a path looks like: whichever service it is found to be for, by whichever limit it is held, whoever is behind reads it as below the
// same prefix. Or it is refused.
func TestAPathMeansTheSameToEverybody(t *testing.T) {
	var public, admin targets
	service := func(name, prefix string, u Upstream, limits ...*Limit) *Service {
		s := NewService(ServiceOptions{Name: name, Prefixes: []Prefix{{Path: prefix}}, Variants: []VariantOptions{variantOf("stable", u)}, Limits: limits})
		s.Variants()[0].Swap(upstreamLive(name))
		return s
	}
	few := func(name, prefix string) *Limit {
		return newLimit(t, LimitOptions{Name: name, Options: limit.Options{Requests: limit.MaxRequests, Window: time.Hour}, Paths: []string{prefix}})
	}
	g := New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	g.SetServices([]*Service{
		service("public", "/public/", &public, few("public", "/public/"), few("private", "/public/private")),
		service("admin", "/admin", &admin, few("admin", "/admin")),
	})
	pieces := []string{
		"/", "//", "public", "admin", "private", "a", ".", "..", "...", "%2e", "%2E", "%2e%2e", ".%2e", "%252e", "%25%32%65", "%2f", "%2F", "%252f", `\`, "%5c", "%255c", ";", "%3b", "%3f",
		";a=b", "%00", "%2500", "%23", "%20", "%0d%0a", "?", "&", "%", "%zz", "%c0%ae", "%u002e", "é", "\xff", "%ff", "+", "~", ":", "@",
	}
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.SampledFrom([]string{"/", "/public/", "/admin/", "/public", "http://h/public/"}).Draw(t, "start") +
			strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 8).Draw(t, "pieces"), "")
		u, err := url.ParseRequestURI(target)
		if err != nil { // which the server refuses before anybody is asked
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL, r.RequestURI = u, target
		public, admin = nil, nil
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		limits := w.Header().Get("RateLimit")
		for _, to := range []struct {
			seen        targets
			prefix, own string
		}{{public, "/public", `"public"`}, {admin, "/admin", `"admin"`}} {
			if len(to.seen) == 0 {
				continue
			}
			passed++
			if len(to.seen) > 1 || w.Code != http.StatusOK {
				t.Fatalf("%q: %d, and seen as %q", target, w.Code, to.seen)
			}
			for _, reading := range readings(to.seen[0], true) {
				if reading != to.prefix && !strings.HasPrefix(reading, to.prefix+"/") {
					t.Fatalf("%q is passed on below %s, and can be read as %q", target, to.prefix, reading)
				}
			}
			private := 0
			all := readings(to.seen[0], false)
			for _, reading := range all {
				if reading == "/public/private" || strings.HasPrefix(reading, "/public/private/") {
					private++
				}
			}
			if !strings.HasPrefix(limits, to.own) {
				t.Fatalf("%q is held by %q, and is below %s", target, limits, to.prefix)
			}
			if held := strings.Contains(limits, `"private"`); private > 0 != held || private > 0 && private < len(all) {
				t.Fatalf("%q is held by %q; %d of %d readings are private", target, limits, private, len(all))
			}
		}
	})
	if passed == 0 {
		t.Error("nothing was passed on: the test looks at nothing")
	}
}
