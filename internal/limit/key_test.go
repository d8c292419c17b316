package limit_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/limit"
)

func TestAddressesOfOneClientHaveOneKey(t *testing.T) {
	l := newLimiter(t, limit.Options{Requests: 1, Window: time.Second})
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "64:ff9b::c000:201", true},
		{"64:ff9b::c000:201", "64:ff9b::c000:202", false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
		{"::1", "127.0.0.1", false},
		{"0.0.0.0", "::", false},
		{"", "0.0.0.0", false},
		{"", "::", false},
		{"", "", true},
	} {
		if same := key(l, c.a) == key(l, c.b); same != c.same {
			t.Errorf("%s and %s: one key %t, want %t", c.a, c.b, same, c.same)
		}
		if c.a != "" && (key(l, c.a) == l.Text(c.a) || key(l, c.a) == l.Text(string(netip.MustParseAddr(c.a).AsSlice()))) {
			t.Errorf("%s is an address, and has the key of a text", c.a)
		}
	}
	if other := newLimiter(t, limit.Options{Requests: 1, Window: time.Second}); other.Text("a") == l.Text("a") {
		t.Error("two limiters have one secret")
	}
}

func key(l *limit.Limiter, address string) limit.Key {
	if address == "" {
		return l.Address(netip.Addr{})
	}
	return l.Address(netip.MustParseAddr(address))
}
