package traffic

import (
	"encoding/binary"
	"math/bits"
)

// hashKey is a key of SipHash, as the two little-endian words of its 16 bytes.
type hashKey [2]uint64

// keyOf takes the first 16 bytes of b as a key.
func keyOf(b []byte) hashKey {
	return hashKey{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// sip is the state of SipHash-2-4 with 64-bit output: a fast hash that is a pseudorandom function of its key, so that hashes under
// different keys are independent of each other. Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012.
type sip struct{ v0, v1, v2, v3 uint64 }

func newSip(k hashKey) sip {
	return sip{k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d, k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573}
}

// rounds takes and returns values, which stay in registers.
func rounds(s sip, n int) sip {
	v0, v1, v2, v3 := s.v0, s.v1, s.v2, s.v3
	for range n {
		v0 += v1
		v2 += v3
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v1
		v0 += v3
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 = bits.RotateLeft64(v2, 32)
	}
	return sip{v0, v1, v2, v3}
}

// word takes in eight bytes of the message.
func word(s sip, m uint64) sip {
	s.v3 ^= m
	s = rounds(s, 2)
	s.v0 ^= m
	return s
}

func sum(s sip) uint64 {
	s.v2 ^= 0xff
	s = rounds(s, 4)
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// sipText hashes text.
func sipText(k hashKey, text string) uint64 {
	s := newSip(k)
	last := uint64(len(text)) << 56
	for ; len(text) >= 8; text = text[8:] {
		s = word(s, uint64(text[0])|uint64(text[1])<<8|uint64(text[2])<<16|uint64(text[3])<<24|
			uint64(text[4])<<32|uint64(text[5])<<40|uint64(text[6])<<48|uint64(text[7])<<56)
	}
	for i := range len(text) {
		last |= uint64(text[i]) << (8 * i)
	}
	return sum(word(s, last))
}

// sipID hashes the 16 bytes of an id.
func sipID(k hashKey, id *[16]byte) uint64 {
	s := word(newSip(k), binary.LittleEndian.Uint64(id[:8]))
	s = word(s, binary.LittleEndian.Uint64(id[8:]))
	return sum(word(s, 16<<56))
}

// sipWord hashes the eight bytes of a number, the least significant first.
func sipWord(k hashKey, n uint64) uint64 {
	return sum(word(word(newSip(k), n), 8<<56))
}
