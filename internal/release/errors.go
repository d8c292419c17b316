package release

import (
	"fmt"
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// usersPart is the part of the probability of a false alarm that the witness gets who counts users.
const usersPart = 0.8

// judgeErrors holds the candidate's error rate against stable's, by two witnesses who share the probability of a false alarm. One counts users
// with their first error, and is right from the first error on; but it falls silent once most users have had one. The other compares the rates,
// by groups of users, needs more, and sees harm that begins late.
func judgeErrors(m *Metric, segments []Segment, l Levels, kept *stat.Evidence) (finding, error) {
	f, err := judgeVersus(m, segments, Levels{Fail: l.Fail * (1 - usersPart), Pass: l.Pass})
	l.Fail *= usersPart
	if err != nil {
		return f, err
	}
	u := usersOf(segments)
	if u.stable+u.candidate == 0 {
		return f, nil
	}
	e, err := u.logE(1 + m.Tolerate)
	if err != nil {
		return f, err
	}
	kept.Observe(e)
	if !kept.Rejects(l.Fail) {
		return f, nil
	}
	times, err := u.atLeast(1+m.Tolerate, l.Fail)
	if err != nil {
		return f, err
	}
	f.harm, f.clear = true, false
	low := (times - 1) * u.rate
	if !(f.shown.Estimate >= low) { // a few users of stable's with many errors hide those of the candidate's
		f.shown.Estimate, f.shown.High = max(u.times()-1, times-1)*u.rate, math.Inf(1)
	}
	f.shown.Low = max(f.shown.Low, low)
	f.how = fmt.Sprintf(", as %d of %d users with an error were its own, which has %.3g%% of the traffic", u.candidate, u.stable+u.candidate, u.share*100)
	return f, nil
}

// times is how many times as often as stable the candidate fails, by users with an error.
func (u *users) times() float64 {
	return float64(u.candidate) / u.share * (1 - u.share) / max(float64(u.stable), 0.5)
}

// users are those with their first error of the release.
type users struct {
	stable, candidate uint64
	share             float64 // of the candidate in what it would have of them if it failed as often as stable
	rate              float64 // stable's error rate, by requests; a little above 0 where none failed
	segments          []*Segment
}

func usersOf(segments []Segment) users {
	var u users
	var failed stat.Pair
	for i := range segments {
		s := &segments[i]
		if !(s.Share > 0 && s.Share < 1) {
			continue
		}
		n := s.Stable.Erred + s.Candidate.Erred
		u.stable += s.Stable.Erred
		u.candidate += s.Candidate.Erred
		u.share += float64(n) * s.Share
		for _, p := range s.Stable.Failed {
			failed.Y += p.Y
			failed.Z += p.Z
		}
		u.segments = append(u.segments, s)
	}
	u.share /= float64(u.stable + u.candidate)
	u.rate = (failed.Y + 0.5) / (failed.Z + 1)
	return u
}

// logE is the evidence that the candidate fails more than so many times as often as stable. Of one user who fails all day there is one event,
// and while both arms fail equally often, first errors fall on them as users do, whatever the time of day.
func (u *users) logE(times float64) (float64, error) {
	var evidence stat.Evidence
	for i := range u.segments {
		s := u.segments[i]
		test, err := stat.NewSplitTest(stat.EventsKappa, 1-s.Share, s.Share*times)
		if err != nil {
			return 0, err
		}
		e, err := test.LogEMore(1, s.Stable.Erred, s.Candidate.Erred)
		if err != nil {
			return 0, err
		}
		evidence.EndSegment(e)
	}
	return evidence.Closed, nil
}

// atLeast returns how many times as often as stable the candidate fails at least, from times on, at error probability alpha.
func (u *users) atLeast(times, alpha float64) (float64, error) {
	shown := func(times float64) (bool, error) {
		e, err := u.logE(times)
		return e >= -math.Log(alpha), err
	}
	high := 2 * times
	for range 40 {
		ok, err := shown(high)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		times, high = high, 2*high
	}
	for range 20 {
		middle := (times + high) / 2
		ok, err := shown(middle)
		switch {
		case err != nil:
			return 0, err
		case ok:
			times = middle
		default:
			high = middle
		}
	}
	return times, nil
}
