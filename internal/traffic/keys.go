package traffic

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/serin-ml/serin/internal/fault"
)

// Keys are the secrets of this package: one for units, so that what is written down names no user, and a ring for cookies, of
// which the first signs and all verify. They are safe for concurrent use.
type Keys struct {
	unit macKey
	ring []signer
}

// signer is a key of the ring under the id that its cookies carry.
type signer struct {
	id  [keyIDSize]byte
	key macKey
}

// Sizes of keys.
const (
	MinSecret = 16 // bytes of a secret at least
	MaxRing   = 16 // keys of a ring at most
	keyIDSize = 3
	macSize   = 16
)

// NewKeys makes keys from secrets. A secret may serve other uses too: what is used here is derived from it. A change of unit gives
// every unit another name in the log and parts its past from its future. The ring may change at any time, best with the new secret
// in front and the old ones kept for as long as their cookies live: a cookie under a key that is gone is a stranger's. A secret of
// less than MinSecret bytes, no ring, or one of more than MaxRing is Invalid.
func NewKeys(unit []byte, ring ...[]byte) (*Keys, error) {
	if len(ring) == 0 || len(ring) > MaxRing {
		return nil, fault.Invalidf("a ring of %d keys for cookies; it takes 1 to %d", len(ring), MaxRing)
	}
	for i, secret := range append([][]byte{unit}, ring...) {
		if len(secret) < MinSecret {
			return nil, fault.Invalidf("key %d has %d bytes; at least %d are needed", i, len(secret), MinSecret)
		}
	}
	of := func(secret []byte, purpose string) macKey {
		key := derive(secret, purpose)
		return newMACKey(key[:])
	}
	k := &Keys{unit: of(unit, "serin unit v1"), ring: make([]signer, len(ring))}
	for i, secret := range ring {
		id := derive(secret, "serin sticky key id v1")
		k.ring[i] = signer{id: [keyIDSize]byte(id[:]), key: of(secret, "serin sticky v1")}
	}
	return k, nil
}

// macKey is a key of HMAC-SHA256, as the two blocks that its hashes begin with.
type macKey struct{ inner, outer [sha256.BlockSize]byte }

// newMACKey makes a key from a secret of any length.
func newMACKey(secret []byte) macKey {
	if len(secret) > sha256.BlockSize {
		sum := sha256.Sum256(secret)
		secret = sum[:]
	}
	var k macKey
	copy(k.inner[:], secret)
	k.outer = k.inner
	for i := range k.inner {
		k.inner[i] ^= 0x36
		k.outer[i] ^= 0x5c
	}
	return k
}

// derive makes 32 bytes for one purpose from a secret.
func derive(secret []byte, purpose string) [sha256.Size]byte {
	k := newMACKey(secret)
	return k.mac([]byte(purpose))
}

// mac returns the HMAC-SHA256 of message (RFC 2104). crypto/hmac does the same, but allocates three times; up to 192 bytes this
// does not.
func (k *macKey) mac(message []byte) [sha256.Size]byte {
	var buf [sha256.BlockSize + 192]byte
	sum := sha256.Sum256(append(append(buf[:0], k.inner[:]...), message...))
	return sha256.Sum256(append(append(buf[:0], k.outer[:]...), sum[:]...))
}

// sign appends the first key's MAC of all of message to dst.
func (k *Keys) sign(dst, message []byte) []byte {
	sum := k.ring[0].key.mac(message)
	return append(dst, sum[:macSize]...)
}

// verify tells whether mac is that of message under a key with the given id, and whether that key is the one that signs now.
func (k *Keys) verify(id, message, mac []byte) (ok, current bool) {
	for i := range k.ring {
		if s := &k.ring[i]; string(id) == string(s.id[:]) {
			sum := s.key.mac(message)
			if subtle.ConstantTimeCompare(sum[:macSize], mac) == 1 {
				return true, i == 0
			}
		}
	}
	return false, false
}
