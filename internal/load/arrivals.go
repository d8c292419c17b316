package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// Arrivals says how the requests of an open loop are spread over time.
type Arrivals uint8

// The kinds of arrivals. Constant sends at equal intervals; Poisson as many independent users do, with intervals drawn from the
// exponential distribution, so that bursts come as they will in production.
const (
	Constant Arrivals = iota
	Poisson
)

// String returns the kind's name.
func (a Arrivals) String() string {
	if a == Poisson {
		return "poisson"
	}
	return "constant"
}

// arrivals gives the times at which requests are due. The curve N(t) is how many are due until t: it bends upwards while the rate rises
// and is straight from then on. A request is due where the curve passes its place: 0, 1, 2, ... for constant arrivals; for Poisson
// arrivals, the sums of draws from the unit exponential distribution, which through N become a Poisson process of the curve's rate.
//
// Where several threads send, each has every stepth place of its own: constant arrivals interleave, and Poisson processes add up to one.
type arrivals struct {
	rate   float64 // a second, once the ramp is over
	ramp   float64 // how long it takes to get there, in seconds
	place  float64 // of the next request, on the curve
	step   float64
	random *rand.Rand // nil: constant
}

// newArrivals makes the arrivals of one thread out of several.
func newArrivals(o *Options, thread int) *arrivals {
	a := &arrivals{rate: o.Rate, ramp: o.Ramp.Seconds(), place: float64(thread), step: float64(o.Threads)}
	if o.Arrivals == Poisson {
		a.random = rand.New(rand.NewPCG(o.Seed, uint64(thread)))
		a.place = a.random.ExpFloat64() * a.step
	}
	return a
}

// next returns when the next request is due, counted from the beginning.
func (a *arrivals) next() time.Duration {
	at := a.at(a.place)
	if a.random != nil {
		a.place += a.random.ExpFloat64() * a.step
	} else {
		a.place += a.step
	}
	return at
}

// at is the inverse of the curve: N(t) = rate·t²/(2·ramp) while the rate rises, rate·(t − ramp/2) after.
func (a *arrivals) at(place float64) time.Duration {
	seconds := place/a.rate + a.ramp/2
	if seconds < a.ramp {
		seconds = math.Sqrt(2 * place * a.ramp / a.rate)
	}
	return time.Duration(math.Round(seconds * 1e9))
}
