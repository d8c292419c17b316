package traffic

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestFactsOfARequest(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "http://example.com/a?user=u%201&user=2&empty=&flag&bad=%zz&bad=ok", nil)
	r.Header.Add("X-User-Id", "first")
	r.Header.Add("X-User-Id", "second")
	r.Header.Add("Cookie", `a=1; b="two"; a=3`)
	r.Header.Add("Cookie", "c=4")
	f := FromRequest(r)
	for _, tt := range []struct{ what, got, want string }{
		{"header", f.Header("X-User-Id"), "first"}, {"no header", f.Header("X-Other"), ""}, {"host", f.Header("Host"), "example.com"},
		{"cookie", f.Cookie("a"), "1"}, {"quoted", f.Cookie("b"), "two"}, {"second line", f.Cookie("c"), "4"}, {"no cookie", f.Cookie("d"), ""},
		{"query", f.Query("user"), "u 1"}, {"empty", f.Query("empty"), ""}, {"flag", f.Query("flag"), ""}, {"bad escape", f.Query("bad"), "ok"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
	for addr, want := range map[string]string{
		"192.0.2.1:1234": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[fe80::1%eth0]:80": "fe80::1%eth0", "@": "", "": "", "192.0.2.1": "192.0.2.1",
	} {
		r.RemoteAddr = addr
		if got := FromRequest(r).Client(); got != want {
			t.Errorf("client of %q: %q, want %q", addr, got, want)
		}
	}
	if got := FromRequest(&http.Request{}).Query("a"); got != "" {
		t.Errorf("a request without a URL: %q", got)
	}
}

// FuzzFacts holds the parsers against those of net/http and net/url.
func FuzzFacts(f *testing.F) {
	for _, seed := range [][3]string{
		{"sid=abc; b=2", "a=1&b=2", "b"}, {` a = "x" ;b="y`, "a=%41+b", "a"}, {"a=\x00; a=ok", "a=1;b=2&a=3", "a"}, {"; ;=;a", "&&=&a", "a"}, {"é=1", "%zz=1&a=%z", "a"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, cookies, query, name string) {
		r := &http.Request{Header: http.Header{"Cookie": {cookies}}, URL: &url.URL{RawQuery: query}}
		got := FromRequest(r)
		if strings.Count(cookies, ";") < 1000 && strings.Count(query, "&") < 1000 { // where net/http draws a line
			values, _ := url.ParseQuery(query)
			if want := values.Get(name); got.Query(name) != want {
				t.Errorf("query %q: %q is %q, want %q", query, name, got.Query(name), want)
			}
			cookie, err := r.Cookie(name)
			if err == nil && got.Cookie(name) != cookie.Value {
				t.Errorf("cookies %q: %q is %q, want %q", cookies, name, got.Cookie(name), cookie.Value)
			}
			if err != nil && got.Cookie(name) != "" && token.MatchString(name) {
				t.Errorf("cookies %q: %q is %q, want none", cookies, name, got.Cookie(name))
			}
		}
	})
}

// FuzzCookies shows that whatever cookies come, there is a choice with a weight, and that only what the server wrote counts.
func FuzzCookies(f *testing.F) {
	signed, plain := policy(f, "stable=80 canary=20 next=0", signedCookie), policy(f, "stable=80 canary=20 next=0", plainCookie)
	jar := facts{}
	jar.visit(signed, random(1))
	jar.visit(plain, random(1))
	unit, name, sig := jar["cookie:sid"], jar["cookie:model-service-version"], jar["cookie:model-service-version-sig"]
	f.Add(unit, name, sig)
	f.Add(unit[1:], "canary", sig[:70])
	f.Add(sig, "next", unit)
	f.Add("", "", "")
	f.Add(strings.Repeat("A", unitText), "stable", strings.Repeat("A", ticketText))
	f.Fuzz(func(t *testing.T, unitCookie, nameCookie, sigCookie string) {
		c := signed.Pick(facts{"cookie:sid": unitCookie}, random(2))
		if c.Variant < 0 || signed.shares[c.Variant] != c.Propensity || c.ByHand {
			t.Fatalf("%+v", c)
		}
		if genuine := !c.setsCookie; genuine && (c.Forged || string(signed.keys.appendUnitCookie(nil, c.Unit.id, "sid")) != unitCookie) {
			t.Fatalf("%q: %+v", unitCookie, c)
		}
		c = plain.Pick(facts{"cookie:model-service-version": nameCookie, "cookie:model-service-version-sig": sigCookie}, random(2))
		if c.Variant < 0 || plain.shares[c.Variant] == 0 || c.Propensity <= 0 || c.Propensity > 1 {
			t.Fatalf("%+v", c)
		}
		ours := nameCookie == "" || nameCookie == name && sigCookie == sig
		if _, old, _ := plain.keys.parseUnitCookie(nameCookie, "model-service-version"); c.ByHand == (ours || old) {
			t.Fatalf("%q %q: %+v", nameCookie, sigCookie, c)
		}
	})
}
