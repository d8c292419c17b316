package load

import (
	"fmt"
	"math"
	"time"
)

// Report tells how a run went. Counts and times are of the measured part alone.
type Report struct {
	URL      string
	Protocol string
	Arrivals string // constant, poisson, or closed
	InFlight int    // the most requests without an answer

	Requests int // that were due
	Failed   int // of them; the others were answered as expected
	Late     int // of all, those that waited because as many as may be were in flight
	CutOff   int // due and not done when the run was ended from outside; they are not among Requests

	Elapsed   time.Duration // from when the first was due until the last was done
	Rate      float64       // answered as expected, a second
	AskedRate float64       // due a second, as they really were; 0 in a closed loop
	SentRate  float64       // sent a second

	Latency       Spread // of what was answered as expected, from when it was due
	FailedLatency Spread // of what failed, until that was known
	Lag           Spread // from when a request could be sent until it was

	Statuses          map[string]int // answers by status
	Problems          []Problem      // most frequent first
	BytesIn, BytesOut int64          // over HTTP/2 and gRPC of bodies alone

	Machine     Machine
	Interrupted bool
	Invalid     []string // why the figures are not to be trusted; empty if they are
	Warnings    []string // what to know when reading them
}

// Problem is one way in which requests failed.
type Problem struct {
	Kind    string `json:"kind"` // connect, unsent, timeout, closed, protocol, verify, or status and which
	Count   int    `json:"count"`
	Example string `json:"example"` // what was said of the first
}

const (
	rateTolerance  = 0.01
	busyThread     = 0.95
	lateTolerance  = 0.01
	lagPercentile  = 99
	nothingMeasure = "no request was measured"
)

// judge says whether the figures can be trusted.
func (r *Report) judge(o *Options) {
	invalid := func(format string, args ...any) { r.Invalid = append(r.Invalid, fmt.Sprintf(format, args...)) }
	warn := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	if r.Requests == 0 {
		invalid(nothingMeasure)
		return
	}
	if o.Rate == 0 {
		r.AskedRate = 0
		r.Lag = Spread{}
		if r.Machine.Busiest > busyThread {
			warn("the generator's own thread was busy %.0f %% of the time: the server may be able to do more", 100*r.Machine.Busiest)
		}
		return
	}
	if r.Lag.P99 > o.MaxLag {
		invalid("the generator was late: the 99th percentile of its lag is %v, and %v is allowed; it needs more CPU than it got", r.Lag.P99, o.MaxLag)
	}
	if missed := 1 - r.SentRate/r.AskedRate; r.AskedRate > 0 && math.Abs(missed) > rateTolerance {
		why := fmt.Sprintf("the server does not keep up with %d in flight", r.InFlight)
		switch {
		case missed < 0:
			why = "what was late at first was made up for"
		case r.Machine.Busiest > busyThread:
			why = "the generator's own thread had no time left"
		}
		invalid("%.1f requests/s were sent where %.1f were asked for: %s", r.SentRate, r.AskedRate, why)
	}
	if share := float64(r.Late) / float64(r.Requests); share > lateTolerance {
		warn("%.1f %% of the requests waited for one of %d connections to be free; their latency counts from when they were due", 100*share, r.InFlight)
	}
}
