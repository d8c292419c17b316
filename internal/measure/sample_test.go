package measure

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
)

var sampleStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ids makes ids as a server does, which differ little within a millisecond.
func ids() func(time.Time) event.ID {
	g := event.NewGenerator(rand.NewChaCha8([32]byte{7}))
	return func(t time.Time) event.ID {
		id, err := g.Next(t)
		if err != nil {
			panic(err)
		}
		return id
	}
}

func TestAllDecisionsAreKeptBelowTheRate(t *testing.T) {
	next := ids()
	rapid.Check(t, func(t *rapid.T) {
		var s Sampler
		now := sampleStart
		for range rapid.IntRange(1, 20).Draw(t, "bursts") {
			n := rapid.IntRange(1, DetailRate*int(DetailBurst/time.Second)).Draw(t, "burst")
			for range n {
				if share, keep := s.Share(&event.Decision{ID: next(now), At: now, Status: 200}, false); share != 1 || !keep {
					t.Fatalf("share %v, %v", share, keep)
				}
			}
			now = now.Add(time.Duration(n) * detailCost)
		}
	})
}

// Whatever the rate, about DetailRate a second are kept in the long run, and what they say adds up to all.
func TestTheSampleHoldsToItsRateAndStandsForAll(t *testing.T) {
	for _, rate := range []int{200, 300, 2000, 20_000, 50_000} {
		const seconds = 60
		var s Sampler
		next := ids()
		kept, stand := 0, 0.0
		for i := range rate * seconds {
			at := sampleStart.Add(time.Duration(i) * time.Second / time.Duration(rate))
			share, keep := s.Share(&event.Decision{ID: next(at), At: at, Status: 200}, false)
			if keep {
				kept++
				stand += 1 / share
			}
		}
		burst := int((DetailBurst + 16*detailHalf) / detailCost)
		if most := min(rate*seconds, DetailRate*seconds+burst); kept > most || kept < min(rate, DetailRate)*seconds*9/10 {
			t.Errorf("at %d a second %d are kept, at most %d wanted", rate, kept, most)
		}
		if off := stand/float64(rate*seconds) - 1; math.Abs(off) > 0.04 { // four standard errors of 12,000 rows
			t.Errorf("at %d a second they stand for %.0f, which is off by %.3f", rate, stand, off)
		}
	}
}

func TestWhatIsOutOfTheOrdinaryIsAlwaysKept(t *testing.T) {
	full := Sampler{Debt: DetailBurst + 40*detailHalf, Last: sampleStart}
	tests := map[string]struct {
		change  func(*event.Decision)
		awaited bool
		want    bool
	}{
		"nothing in particular": {func(*event.Decision) {}, false, false},
		"awaited":               {func(*event.Decision) {}, true, true},
		"client error":          {func(d *event.Decision) { d.Status = 400 }, false, true},
		"server error":          {func(d *event.Decision) { d.Status = 503 }, false, true},
		"captured":              {func(d *event.Decision) { d.Payload = "p/1" }, false, true},
		"match":                 {func(d *event.Decision) { d.Reason = event.Match }, false, true},
		"failover":              {func(d *event.Decision) { d.Reason = event.Failover }, false, true},
		"fallback":              {func(d *event.Decision) { d.Reason = event.Fallback }, false, true},
		"holdout":               {func(d *event.Decision) { d.Reason = event.Holdout }, false, true},
		"by hand":               {func(d *event.Decision) { d.Reason = event.ByHand }, false, true},
	}
	for name, tt := range tests {
		s := full
		d := &event.Decision{ID: ids()(sampleStart), At: sampleStart, Status: 200}
		tt.change(d)
		share, keep := s.Share(d, tt.awaited)
		if keep != tt.want || keep && share != 1 || !keep && share != math.Ldexp(1, -41) {
			t.Errorf("%s: share %v, kept %v", name, share, keep)
		}
		if s != full {
			t.Errorf("%s: it costs %v", name, s.Debt-full.Debt)
		}
	}
}

// A clock that is set ahead or back loosens the sample for a burst at most, and does not stop it.
func TestTheSampleSurvivesClocksThatAreSet(t *testing.T) {
	next := ids()
	for name, step := range map[string]time.Duration{"ahead": 24 * time.Hour, "back": -24 * time.Hour, "a little back": -2 * time.Second} {
		var s Sampler
		at, kept := sampleStart, 0
		const rate, seconds = 2000, 80
		for i := range rate * seconds {
			at = at.Add(time.Second / rate)
			if i == rate*seconds/2 {
				at = at.Add(step)
			}
			if _, keep := s.Share(&event.Decision{ID: next(at), At: at, Status: 200}, false); keep {
				kept++
			}
		}
		burst := int((DetailBurst + 16*detailHalf) / detailCost)
		if kept > DetailRate*seconds+2*burst || kept < DetailRate*(seconds-4) {
			t.Errorf("%s: %d of %d are kept", name, kept, rate*seconds)
		}
	}
}
