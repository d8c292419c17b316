package proxy

import "net/netip"

// CheckAddress tells why an upstream may not be at an address, as is asked again whenever a connection is opened: nil if it may. Allow and
// deny are those of Options. The error is Invalid.
func CheckAddress(a netip.Addr, allow, deny []netip.Prefix) error {
	return guard{allow: allow, deny: deny}.check(a)
}
