package traffic

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
)

// Salt returns what separates the assignments of one epoch of one service from those of every other: the first 16 bytes of the
// SHA-256 of "serin salt v1", a zero byte, the service's name, a zero byte and the epoch as four bytes, the most significant first.
// It is no secret: replicas and restarts find the same without agreeing on anything.
func Salt(service string, epoch uint32) [16]byte {
	b := append([]byte("serin salt v1\x00"), service...)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(append(b, 0), epoch))
	return [16]byte(sum[:])
}

// variantKey is the hash key of one variant: the first 16 bytes of the SHA-256 of purpose, a zero byte, the salt and the name.
func variantKey(purpose string, salt [16]byte, variant string) hashKey {
	sum := sha256.Sum256(append(append([]byte(purpose+"\x00"), salt[:]...), variant...))
	return keyOf(sum[:])
}

// The two purposes have independent hashes. So where a unit fails over to says nothing of where it came from, and a second choice has
// exactly the share among those that remain, also after weights have changed.
const (
	purposeAssign   = "serin assign v1"
	purposeFailover = "serin failover v1"
)

// runner is a variant with a weight above 0 in a race.
type runner struct {
	key     hashKey
	weight  uint64
	variant int // its index in the policy
}

// race assigns units by weighted rendezvous hashing: the variant with the largest weight / -ln(hash01(salt, unit, variant)) wins.
// With u uniform, -ln(u)/weight is exponential with rate weight, so the variant that arrives first is one with the probability
// weight/total, and given who came first the next is one with its share of the rest. A variant's own time depends on its own weight
// alone: raising it moves units to this variant only, lowering it moves units off it only. Sources: D. Thaler, C. Ravishankar,
// "Using name-based mappings to increase hit rates", 1998; C. Schindelhauer, G. Schomaker, "Weighted distributed hash tables", 2005.
type race []runner

// run returns the winner's place in the race among those that exclude has not, or -1 when none is left.
//
// The unit, which may be long, is hashed once, under the salt; each variant hashes the eight bytes of that. Who cannot win any more
// is spared the logarithm, which is why a race begins with the largest weight.
func (r race) run(unit uint64, exclude Set) int {
	best, bestTime := -1, uint64(0)
	for i := range r {
		if exclude.Has(r[i].variant) {
			continue
		}
		hash := sipWord(r[i].key, unit)
		if best >= 0 && !earlier(atLeast(hash), r[i].weight, bestTime, r[best].weight) {
			continue
		}
		time := exponential(hash)
		if best < 0 || earlier(time, r[i].weight, bestTime, r[best].weight) {
			best, bestTime = i, time
		}
	}
	return best
}

// earlier tells whether a/wa < b/wb, without rounding: the order depends on the ratio of weights alone, not on how they are written.
func earlier(a, wa, b, wb uint64) bool {
	hi1, lo1 := bits.Mul64(a, wb)
	hi2, lo2 := bits.Mul64(b, wa)
	return hi1 < hi2 || hi1 == hi2 && lo1 < lo2
}

// exponential turns a hash into -ln(u) in units of 2^-57, where u = (h + 1/2) / 2^52 with the hash's top 52 bits h: u is neither 0 nor
// 1, and the result between 16 and 2^63.
func exponential(hash uint64) uint64 {
	u := (float64(hash>>12) + 0.5) * 0x1p-52
	return uint64(int64(-math.Log(u) * 0x1p57))
}

// atLeast is a lower bound of exponential: 1-u, which -ln(u) is never below, less what rounding may take off.
func atLeast(hash uint64) uint64 {
	bound := (1<<52-hash>>12)<<5 - 16
	return bound - min(bound, bound>>48+2)
}
