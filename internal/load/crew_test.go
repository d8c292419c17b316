package load

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// pretend is a lane that only takes time, by the clock of a synctest bubble.
type pretend struct {
	begin time.Time
	serve func(n int, sent time.Duration) time.Duration
}

func (p *pretend) ask(ctx context.Context, n int) (result, []byte) {
	timer := time.NewTimer(p.serve(n, time.Since(p.begin)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return result{status: 200}, nil
	case <-ctx.Done():
		return result{problem: brokenOff, example: ctx.Err().Error()}, nil
	}
}

func (p *pretend) close() {}

// crewRun runs a crew in a bubble, whose clock stands still while anything is done.
func crewRun(ctx context.Context, t *testing.T, o Options, serve func(n int, sent time.Duration) time.Duration) *Report {
	r := newRun(ready(t, o))
	r.begin = time.Now()
	lanes := make([]lane, r.o.InFlight)
	for i := range lanes {
		lanes[i] = &pretend{begin: r.begin, serve: serve}
	}
	c := newCrew(r, lanes)
	c.sleep = time.Sleep
	c.send(ctx)
	c.close()
	report := reportOf(r.o, r.ledger)
	report.CutOff = r.cut
	return report
}

func TestACrewSeesAStallAsTheLoopDoes(t *testing.T) {
	const from, to = 2 * time.Second, 3 * time.Second
	stalls := func(_ int, sent time.Duration) time.Duration {
		const usual = 100 * time.Microsecond
		if sent >= from && sent < to {
			return to - sent + usual
		}
		return usual
	}
	o := Options{Rate: 1000, Duration: 5 * time.Second, InFlight: 8}
	want := reportOf(ready(t, o), simulate(ready(t, o), stalls, onTime))
	synctest.Test(t, func(t *testing.T) {
		got := crewRun(t.Context(), t, o, stalls)
		if got.Requests != 5000 || got.Requests != want.Requests || got.Late != want.Late || got.Latency.Max != want.Latency.Max || got.Latency.Mean != want.Latency.Mean {
			t.Errorf("%d requests, %d late, max %v, mean %v, where the desk alone has %d, %d, %v, %v", got.Requests, got.Late, got.Latency.Max, got.Latency.Mean,
				want.Requests, want.Late, want.Latency.Max, want.Latency.Mean)
		}
		if n := got.Latency.Over(500 * time.Millisecond); n < 500 || n > 510 {
			t.Errorf("%d requests took more than half a second, where 500 are due in the stall's first half", n)
		}
		if got.Lag.Max != 0 || len(got.Invalid) > 0 {
			t.Errorf("lag %v, %q", got.Lag.Max, got.Invalid)
		}
	})
}

func TestACrewInAClosedLoopHasNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := crewRun(t.Context(), t, Options{Duration: 10 * time.Second, WarmUp: time.Second, InFlight: 3}, func(int, time.Duration) time.Duration { return time.Millisecond })
		if got.Requests != 30_000 || got.Failed != 0 || got.Latency.Max != time.Millisecond || got.Rate < 2999 || got.Rate > 3001 {
			t.Errorf("%+v", got)
		}
	})
}

func TestACrewGivesUpWhatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := crewRun(t.Context(), t, Options{Rate: 100, Count: 100, InFlight: 200, Timeout: time.Second}, func(n int, _ time.Duration) time.Duration {
			if n%4 == 0 {
				return time.Hour
			}
			return time.Millisecond
		})
		if got.Requests != 100 || got.Failed != 25 || len(got.Problems) != 1 || got.Problems[0].Kind != "timeout" || got.FailedLatency.Max != time.Second {
			t.Errorf("%+v", got)
		}
	})
}

func TestACrewThatIsStoppedWaitsASecondForItsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5005*time.Millisecond) // between two requests
		defer cancel()
		begin := time.Now()
		got := crewRun(ctx, t, Options{Rate: 100, Duration: time.Hour, InFlight: 1000, Timeout: time.Hour}, func(n int, _ time.Duration) time.Duration {
			return map[int]time.Duration{490: 500 * time.Millisecond, 491: time.Hour, 492: time.Hour}[n]
		})
		if took := time.Since(begin); took != 6005*time.Millisecond || got.CutOff != 2 || got.Requests != 499 || got.Failed != 0 {
			t.Errorf("it took %v; %+v", took, got)
		}
	})
}
