package measure

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// How many decisions are kept one by one. All are as long as there are fewer than DetailRate a second, or as many more as make up
// DetailBurst of that rate at once. Beyond that each detailHalf of the rate halves the share that is kept.
const (
	DetailRate  = 256 // a second
	DetailBurst = 16 * time.Second

	detailHalf = 250 * time.Millisecond
	detailCost = time.Second / DetailRate
	mostHalves = 62
)

// Sampler chooses the decisions that are kept one by one, for people to look at: so many that in the long run it is DetailRate a
// second, however many there are. It goes by the decisions' ids and times and by those before, so that the same log gives the same
// ones; and as a decision's share is settled before its id is looked at, those kept, each counted 1/share times, add up to all without
// bias (Horvitz and Thompson, 1952). The zero value is ready. Not for concurrent use.
type Sampler struct {
	Debt time.Duration // how long nothing had to be kept until the rate is held to
	Last time.Time     // the newest decision since the clock was last set back
}

// Share returns the probability with which this decision is kept, a power of two, and whether it is. What is out of the ordinary is
// always kept and costs nothing: errors, captured bodies, what was not drawn by weights, and a decision that an outcome awaits.
func (s *Sampler) Share(d *event.Decision, awaited bool) (share float64, keep bool) {
	s.tick(d.At)
	if awaited || d.Reason != event.Weights || d.Status >= 400 || d.Payload != "" {
		return 1, true
	}
	halves := 0
	if over := s.Debt - DetailBurst; over > 0 {
		halves = min(1+int(over/detailHalf), mostHalves)
	}
	if halves > 0 && mixed(d.ID)>>(64-halves) != 0 {
		return math.Ldexp(1, -halves), false
	}
	s.Debt += detailCost
	return math.Ldexp(1, -halves), true
}

// tick lets the debt shrink by the time that has passed. A clock that is set back stops it until then and no longer.
func (s *Sampler) tick(t time.Time) {
	passed := t.Sub(s.Last)
	switch {
	case s.Last.IsZero() || passed < -stepBack:
		s.Last = t
	case passed > 0:
		s.Debt = max(0, s.Debt-passed)
		s.Last = t
	}
}

// mixed spreads an id over all 64 bits, as ids of one moment differ little: the finisher of SplitMix64 (Steele, Lea and Flood, 2014)
// over either half.
func mixed(id event.ID) uint64 {
	return finish(finish(binary.BigEndian.Uint64(id[:8])) ^ binary.BigEndian.Uint64(id[8:]))
}

func finish(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
