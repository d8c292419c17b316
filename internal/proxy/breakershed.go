package proxy

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// shedder bounds the requests that are with an instance at once while they take too long because there are too many of them.
//
// Fixed bounds do not protect what is slow: of 1,024 requests with an instance that answers 800 a second, each waits for longer than a
// second, and where that is the deadline every single one is late. What is known here, and not to Envoy's breakers, is how long requests
// may take. So: when most of the recent answers took more than three quarters of their time (or did not come), the bound becomes as many
// requests as the instance answers in six tenths of it, by Little's law. Who finds no instance that is below its bound is refused at once,
// and those within are in time.
//
// From there the bound grows: by one with each answer that was quick (below a quarter of its time: nobody waits there), and by one with
// each round of answers otherwise, until there is none again. Answers to requests from before a cut say nothing. Where answers take as long
// with fewer requests as they did with more, the instance is slow by itself and not for having too much to do: the bound is given up for a
// while.
//
// It costs next to nothing while answers are quick: nothing is written, and one flag is read.
type shedder struct {
	armed atomic.Bool  // some of the recent answers were slow, or there is a bound
	bound atomic.Int64 // requests; boundless: none

	mu    sync.Mutex
	slow  float64       // share of recent answers that were slow, the last weighing an eighth
	mean  slowness      // of the slow ones since the last cut
	exact float64       // bound, with what it has grown of the next request
	since time.Duration // when counting answers began
	heard int64         // answers so far, then
	cutAt time.Duration
	cut   slowness      // for which it was cut, the first time of several in a row
	calm  time.Duration // until then nothing is cut unless many are late
}

// boundless is more than any number of requests.
const boundless = math.MaxInt32

const (
	leastBound = 2
	slowShare  = 3.0 / 4  // of its time that a slow answer takes
	quickShare = 1.0 / 4  // and a quick one
	aimedShare = 6.0 / 10 // and those after a cut
	weight     = 1.0 / 8  // of the last answer in means
	fewLate    = 1.0 / 10 // of slow ones, where the upstream may be slow by itself
	tryTime    = 10 * time.Second
	calmTime   = 5 * time.Minute
)

// slowness is how slow answers were, in the mean.
type slowness struct {
	share float64 // of its time that one took
	with  float64 // requests that were with the instance when it was asked
	late  float64 // how many of them did not come
}

func (s *slowness) add(m sample) {
	late := 0.0
	if m.late {
		late = 1
	}
	if s.with == 0 {
		*s = slowness{m.share(), float64(m.with), late}
		return
	}
	s.share += weight * (m.share() - s.share)
	s.with += weight * (float64(m.with) - s.with)
	s.late += weight * (late - s.late)
}

// alike tells whether answers took as long with less than half of the requests, or more than twice as many, as they did in before. Where
// requests wait for each other that cannot be, even where they are worked off in few rounds.
func (s *slowness) alike(before slowness) bool {
	with, share := s.with/before.with, s.share/before.share
	return s.late < fewLate && before.late < fewLate && (with < 0.5 || with > 2) && share > 0.9 && share < 1.1
}

// sample is how one request went.
type sample struct {
	start time.Duration // when the instance was asked
	took  time.Duration
	time  time.Duration // that the request had, from the beginning
	with  int64         // requests with the instance when it was asked, this one included
	late  bool          // there was no answer
}

func (m *sample) share() float64 { return float64(m.took) / float64(m.time) }

func (m *sample) slow() bool { return m.late || m.share() > slowShare }

// took takes note of a request. most is the bound that there is anyway.
func (in *instance) took(m sample, most int) {
	if s := &in.shed; m.slow() || s.armed.Load() {
		s.add(m, in.answers.Load(), float64(in.inFlight.Load()), float64(most))
	}
}

// add takes note of a request. answers is how many there were so far, with how many requests are with the instance.
func (s *shedder) add(m sample, answers int64, with, most float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.start + m.took
	if !s.armed.Load() {
		s.armed.Store(true)
		s.exact, s.since, s.heard = most, now, answers
	}
	if m.start < s.cutAt {
		return
	}
	if !m.slow() {
		s.slow -= weight * s.slow
		if m.share() < quickShare {
			s.exact++
		} else if with >= 0.9*s.exact {
			s.exact += 1 / s.exact
		}
		s.apply(most)
		return
	}
	s.slow += weight * (1 - s.slow)
	s.mean.add(m)
	if long := now - s.since; s.slow > 0.5 && (now >= s.calm || s.mean.late > fewLate) && long >= m.time/10 {
		if long < m.time { // else most of it is about another time
			s.lower(now, float64(answers-s.heard)*float64(m.time)/float64(long), most)
		}
		s.since, s.heard = now, answers
	}
}

// lower cuts the bound to what the instance can do. inTime is how many requests it answers in the time that one has.
func (s *shedder) lower(now time.Duration, inTime, most float64) {
	to := max(leastBound, aimedShare*inTime)
	if to >= s.exact {
		return
	}
	switch {
	case s.cut.with == 0 || now-s.cutAt > tryTime:
		s.exact, s.cutAt, s.cut = to, now, s.mean
	case s.mean.alike(s.cut):
		s.exact, s.calm, s.cut = most, now+calmTime, slowness{}
	default:
		s.exact, s.cutAt = to, now
	}
	s.slow, s.mean = 0, slowness{}
	s.apply(most)
}

// apply has the others know the bound.
func (s *shedder) apply(most float64) {
	if s.exact >= most {
		s.exact = most
		s.armed.Store(s.slow > 0.01)
		s.bound.Store(boundless)
		return
	}
	s.bound.Store(int64(math.Ceil(s.exact)))
}
