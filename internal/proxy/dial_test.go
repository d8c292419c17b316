package proxy

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func TestAddressesAreCheckedAsTheyAreDialled(t *testing.T) {
	private := prefixes("10.0.0.0/8", "fd00::/8")
	for _, test := range []struct {
		address     string
		allow, deny []netip.Prefix
		want        bool
	}{
		{"127.0.0.1", nil, nil, true},
		{"10.1.2.3", nil, nil, true},
		{"192.0.2.1", nil, nil, true},
		{"::1", nil, nil, true},
		{"fd00::1", nil, nil, true},
		{"2001:db8::1", nil, nil, true},
		{"169.254.169.254", nil, nil, false},
		{"::ffff:169.254.169.254", nil, nil, false},
		{"64:ff9b::169.254.169.254", nil, nil, false},
		{"64:ff9b:1::169.254.169.254", nil, nil, false},
		{"2002:a9fe:a9fe::1", nil, nil, false},
		{"::169.254.169.254", nil, nil, false},
		{"64:ff9b::10.1.2.3", nil, nil, true},
		{"fe80::1", nil, nil, false},
		{"fe80::1%eth0", nil, nil, false},
		{"fd00:ec2::254", nil, nil, false},
		{"0.0.0.0", nil, nil, false},
		{"0.1.2.3", nil, nil, false},
		{"::", nil, nil, false},
		{"224.0.0.1", nil, nil, false},
		{"ff02::1", nil, nil, false},
		{"255.255.255.255", nil, nil, false},
		{"10.1.2.3", private, nil, true},
		{"fd00::1", private, nil, true},
		{"11.1.2.3", private, nil, false},
		{"127.0.0.1", private, nil, false},
		{"::ffff:10.1.2.3", private, nil, true},
		{"169.254.169.254", prefixes("169.254.0.0/16"), nil, true},
		{"64:ff9b::10.1.2.3", prefixes("64:ff9b::/96"), nil, false},
		{"64:ff9b::10.1.2.3", prefixes("64:ff9b::/96", "10.0.0.0/8"), nil, true},
		{"10.1.2.3", nil, private, false},
		{"::ffff:10.1.2.3", nil, private, false},
		{"64:ff9b::10.1.2.3", nil, private, false},
		{"10.1.2.3", private, prefixes("10.1.0.0/16"), false},
		{"10.2.2.3", private, prefixes("10.1.0.0/16"), true},
		{"169.254.1.1", nil, prefixes("10.0.0.0/8"), false},
	} {
		err := guard{test.allow, test.deny}.control("tcp", net.JoinHostPort(test.address, "80"), nil)
		if (err == nil) != test.want {
			t.Errorf("%s, allowed %v, denied %v: %v", test.address, test.allow, test.deny, err)
		}
	}
}

func TestARefusedAddressIsNotDialled(t *testing.T) {
	for _, scheme := range []string{"http", "https", "h2c", "h2"} {
		for name, o := range map[string]transportOptions{"denied": {Deny: prefixes("127.0.0.0/8", "::1/128")}, "not allowed": {Allow: prefixes("10.0.0.0/8")}} {
			address := standIn(t, func(*peer, int) { t.Error("dialled") })
			_, port, _ := net.SplitHostPort(address)
			for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
				o.Scheme = scheme
				f := failure(t, context.Background(), to(t, net.JoinHostPort(host, port), o), get())
				if f.Why != Down || f.Sent || !strings.Contains(f.Error(), name) || fault.KindOf(f) != fault.Invalid {
					t.Errorf("%s, %s: %v", scheme, host, f)
				}
			}
		}
	}
}
