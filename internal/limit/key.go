package limit

import (
	"hash/maphash"
	"net/netip"
)

// Key stands for whoever is limited: 64 bits of a hash under a secret of the limiter's own, so that nobody can choose to share a key with
// somebody else, and no text that came with a request is kept. Among a million keys, two are one with a chance of 1 to 37 million.
type Key uint64

// Text returns the key of a text, such as a header's value. No text has the key of an address.
func (l *Limiter) Text(s string) Key { return Key(maphash.String(l.text, s)) }

// Address returns the key of a client's address. Whoever has one address of IPv6 commonly has 2^64 of them, so that those of one /64 are
// one client; an address of IPv4 is itself, also where it is written as one of IPv6 (::ffff:0:0/96, and 64:ff9b::/96 of NAT64). The zero
// Addr, of whom no address is known, is one client.
func (l *Limiter) Address(a netip.Addr) Key {
	a = a.Unmap()
	if !a.Is6() {
		b := a.As16() // which marks IPv4; all zeros for the zero Addr
		if !a.IsValid() {
			return Key(maphash.Bytes(l.address, nil))
		}
		return Key(maphash.Bytes(l.address, b[12:]))
	}
	b := a.As16()
	if [12]byte(b[:12]) == nat64 {
		return Key(maphash.Bytes(l.address, b[12:]))
	}
	return Key(maphash.Bytes(l.address, b[:8]))
}

// nat64 is the well-known prefix of RFC 6052 under which IPv4 is seen by who has only IPv6.
var nat64 = [12]byte{0, 0x64, 0xff, 0x9b}
