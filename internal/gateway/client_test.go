package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
)

func trusting(prefixes ...string) proxies {
	p := make(proxies, len(prefixes))
	for i, text := range prefixes {
		p[i] = netip.MustParsePrefix(text)
	}
	return p
}

func TestTheClientIsTheRightmostAddressThatNoTrustedProxyHas(t *testing.T) {
	p := trusting("10.0.0.0/8", "fd00::/8")
	for _, c := range []struct {
		name, peer string
		lines      []string
		want       string
	}{
		{"no proxy", "192.0.2.1", nil, "192.0.2.1"},
		{"who is not trusted is not believed", "192.0.2.1", []string{"198.51.100.7"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"a proxy that says nothing", "10.0.0.1", nil, "10.0.0.1"},
		{"what the client wrote stands to the left", "10.0.0.1", []string{"1.2.3.4, 198.51.100.7"}, "198.51.100.7"},
		{"two proxies", "10.0.0.1", []string{"1.2.3.4, 198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		{"a client that claims to be a proxy", "10.0.0.1", []string{"10.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		{"over lines", "10.0.0.1", []string{"1.2.3.4", "198.51.100.7", "10.9.9.9"}, "198.51.100.7"},
		{"a client within", "10.0.0.1", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"no spaces, and tabs", "10.0.0.1", []string{"1.2.3.4,\t198.51.100.7 ,10.9.9.9"}, "198.51.100.7"},
		{"empty entries", "10.0.0.1", []string{"198.51.100.7, ,", ","}, "198.51.100.7"},
		{"nothing but empty entries", "10.0.0.1", []string{"", " , "}, "10.0.0.1"},
		{"a port", "10.0.0.1", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"IPv6", "fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets", "10.0.0.1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 with a port", "10.0.0.1", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"IPv4 as IPv6", "::ffff:10.0.0.1", []string{"::ffff:198.51.100.7, ::ffff:10.2.2.2"}, "198.51.100.7"},
		{"a zone", "10.0.0.1", []string{"2001:db8::1%eth0"}, "2001:db8::1"},
		{"a name", "10.0.0.1", []string{"198.51.100.7, unknown"}, "10.0.0.1"},
		{"a name behind a proxy", "10.0.0.1", []string{"198.51.100.7, unknown, 10.2.2.2"}, "10.0.0.1"},
		{"a name that counts no more", "10.0.0.1", []string{"unknown, 198.51.100.7"}, "198.51.100.7"},
		{"a range", "10.0.0.1", []string{"198.51.100.0/24"}, "10.0.0.1"},
		{"octal", "10.0.0.1", []string{"0306.51.100.7"}, "10.0.0.1"},
		{"brackets of which one is missing", "10.0.0.1", []string{"[2001:db8::1"}, "10.0.0.1"},
		{"quotes", "10.0.0.1", []string{`"198.51.100.7"`}, "10.0.0.1"},
		{"a long chain", "10.0.0.1", []string{"198.51.100.7" + strings.Repeat(", 10.0.0.1", maxHops-1)}, "198.51.100.7"},
		{"a chain that is too long", "10.0.0.1", []string{"198.51.100.7" + strings.Repeat(", 10.0.0.1", maxHops)}, "10.0.0.1"},
		{"nobody", "", []string{"198.51.100.7"}, ""},
	} {
		peer := addressOf(c.peer)
		got := p.client(peer, c.lines)
		if want := addressOf(c.want); got != want {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

func FuzzClient(f *testing.F) {
	for _, seed := range []string{"", "1.2.3.4", "10.0.0.1, 1.2.3.4", "[::1]:80, unknown", ",,,", "fd00::1%a,10.0.0.1"} {
		f.Add(seed, "10.0.0.1")
	}
	p := trusting("10.0.0.0/8", "fd00::/8")
	f.Fuzz(func(t *testing.T, line, peer string) {
		from := addressOf(peer)
		got := p.client(from, []string{line})
		if got == from {
			return
		}
		if !p.trust(from) {
			t.Fatalf("%v is believed: %v", from, got)
		}
		// Whoever it is, it is written there, and nobody untrusted stands to the right.
		i := -1
		entries := strings.Split(line, ",")
		for j, text := range entries {
			if a, ok := parseHop(strings.Trim(text, " \t")); ok && a == got {
				i = j
			}
		}
		if i < 0 {
			t.Fatalf("%v is not in %q", got, line)
		}
		for _, text := range entries[i+1:] {
			if a, ok := parseHop(strings.Trim(text, " \t")); ok && !p.trust(a) {
				t.Fatalf("%v stands to the right of %v in %q", a, got, line)
			}
		}
	})
}

func TestWhatIsPassedOnSaysWhomItCameFrom(t *testing.T) {
	for _, c := range []struct {
		trusted proxies
		peer    string
		lines   []string
		want    string
	}{
		{nil, "192.0.2.1:1", nil, "192.0.2.1"},
		{nil, "192.0.2.1:1", []string{"1.2.3.4"}, "192.0.2.1"},
		{nil, "[2001:db8::1]:1", nil, "2001:db8::1"},
		{trusting("10.0.0.0/8"), "192.0.2.1:1", []string{"1.2.3.4"}, "192.0.2.1"},
		{trusting("10.0.0.0/8"), "10.0.0.1:1", nil, "10.0.0.1"},
		{trusting("10.0.0.0/8"), "10.0.0.1:1", []string{"1.2.3.4", "5.6.7.8"}, "1.2.3.4, 5.6.7.8, 10.0.0.1"},
		{trusting("10.0.0.0/8"), "@", []string{"1.2.3.4"}, ""},
	} {
		g := &Gateway{proxies: c.trusted}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = c.peer, c.lines
		if got := g.forwardedFor(r); got != c.want {
			t.Errorf("%s with %q: %q, want %q", c.peer, c.lines, got, c.want)
		}
		if got, want := g.trusted(r), c.trusted != nil && strings.HasPrefix(c.peer, "10."); got != want {
			t.Errorf("%s is trusted: %t", c.peer, got)
		}
	}
}

func TestFactsTellTheClientBehindProxies(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:4711"
	r.Header.Set("X-Forwarded-For", "1.2.3.4, 198.51.100.7")
	r.Header.Set("X-User", "u")
	g := &Gateway{proxies: trusting("10.0.0.0/8")}
	var b behind
	if f := g.from(r, &b); f.Client() != "198.51.100.7" || f.Header("X-User") != "u" {
		t.Errorf("%q, %q", f.Client(), f.Header("X-User"))
	}
	if f := new(Gateway).from(r, &b); f.Client() != "10.0.0.1" {
		t.Errorf("%q is believed without being trusted", f.Client())
	}
	if n := testing.AllocsPerRun(100, func() { new(Gateway).from(r, &b) }); n != 0 {
		t.Errorf("%v allocations where no proxy is trusted", n)
	}

	call := rpcCall{ctx: peerAt(metadata.NewIncomingContext(t.Context(), metadata.Pairs("x-forwarded-for", "1.2.3.4, 198.51.100.7")), "10.0.0.1:4711")}
	if f := g.fromRPC(&call, &b); f.Client() != "198.51.100.7" {
		t.Errorf("over gRPC: %q", f.Client())
	}
	if f := new(Gateway).fromRPC(&call, &b); f.Client() != "10.0.0.1" {
		t.Errorf("over gRPC, without being trusted: %q", f.Client())
	}
}
