package measure

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/event"
)

// told gathers what a Joiner says.
func told() (*Joiner, *[]string) {
	var said []string
	return NewJoiner(nil, func(p *Pending, s Settled) {
		said = append(said, fmt.Sprintf("%s %v %v", p.Outcome.ID, s.Status, s.Class))
	}), &said
}

// alive ticks once a second for as long as d.
func alive(j *Joiner, from time.Time, d time.Duration) {
	for t := time.Duration(0); t <= d; t += time.Second {
		j.Tick(from.Add(t))
	}
}

func TestAnOutcomeWaitsAMinuteForItsDecision(t *testing.T) {
	j, said := told()
	j.Outcome(&Pending{Outcome: fromID("reward", 1)}, nil)
	alive(j, noon.Add(time.Minute), 59*time.Second)
	if len(*said) > 0 || j.Waiting() != 1 {
		t.Fatalf("after 59 s: %v, %d wait", *said, j.Waiting())
	}
	alive(j, noon.Add(2*time.Minute), 0)
	if diff := cmp.Diff([]string{"a unknown unverified"}, *said); diff != "" || j.Waiting() != 0 {
		t.Errorf("after 60 s: %s, %d wait", diff, j.Waiting())
	}
	j.Decision(made(1), Known{Variant: canary})
	if len(*said) != 1 {
		t.Errorf("it was settled twice: %v", *said)
	}
}

func TestADecisionThatComesLaterSettlesAllThatWaits(t *testing.T) {
	j, said := told()
	for i := range 3 {
		o := fromID("reward", 1)
		o.ID = fmt.Sprint(i)
		j.Outcome(&Pending{Outcome: o}, nil)
	}
	j.Decision(made(2), Known{Variant: canary})
	j.Decision(made(1), Known{Variant: canary})
	alive(j, noon, time.Hour)
	if diff := cmp.Diff([]string{"0 counted unverified", "1 counted unverified", "2 counted unverified"}, *said); diff != "" {
		t.Error(diff)
	}
}

func TestATokenCountsWithoutADecisionInTheEnd(t *testing.T) {
	j, said := told()
	j.Outcome(&Pending{Outcome: fromToken("reward", 1)}, nil)
	alive(j, noon.Add(time.Minute), 2*time.Minute)
	if diff := cmp.Diff([]string{"a counted verified"}, *said); diff != "" {
		t.Error(diff)
	}
}

func TestAClockThatStepsADayMakesNothingExpire(t *testing.T) {
	for name, step := range map[string]time.Duration{"ahead": 24 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			j, said := told()
			j.Tick(noon)
			for i := range 100 {
				o := fromID("reward", 1)
				o.Decision, o.ReceivedAt = made(byte(i)), noon
				j.Outcome(&Pending{Outcome: o}, nil)
			}
			alive(j, noon.Add(step), 10*time.Second)
			alive(j, noon.Add(10*time.Second), 10*time.Second) // and back again
			if len(*said) > 0 || j.Waiting() != 100 {
				t.Errorf("%d were given up, %d wait", len(*said), j.Waiting())
			}
			alive(j, noon.Add(20*time.Second), time.Minute)
			if len(*said) != 100 || j.Waiting() != 0 {
				t.Errorf("in the end %d were given up, %d wait", len(*said), j.Waiting())
			}
		})
	}
}

func TestRecordsOutOfOrderDoNotMakeTimePassTwice(t *testing.T) {
	var c Clock
	for i := range 100 {
		c.Tick(noon.Add(time.Duration(i%2) * 2 * time.Second))
	}
	if c.Age != 2*time.Second {
		t.Errorf("%v passed, want 2s", c.Age)
	}
}

func TestMinutesBeginAtWholeMinutesAlsoBefore1970(t *testing.T) {
	for at, want := range map[int64]int64{0: 0, 59: 0, 60: 1, -1: -1, -60: -1, -61: -2} {
		if got := Minute(time.Unix(at, 999)); got != want {
			t.Errorf("second %d: minute %d, want %d", at, got, want)
		}
	}
}

func TestDeltasAddTalliesOfAMinuteUp(t *testing.T) {
	d := NewDeltas()
	for i := range 3 {
		tally := &event.Tally{
			From: noon.Add(time.Duration(i) * 30 * time.Second), Service: "reviews", Variant: "canary", Requests: 10, Micros: 1000,
			Labels: map[string]uint64{"1.0": 4, "1": 1},
		}
		tally.Errors[event.Timeout] = 2
		tally.Latency.AddN(100, 8)
		d.AddTally(tally)
	}
	key := MinuteKey{Minute(noon), Variant{Service: "reviews", Variant: "canary"}}
	c := d.Minutes[key]
	if c.Requests != 20 || c.Micros != 2000 || c.Errors[event.Timeout] != 4 || c.Latency.Count() != 16 || c.Labels["1"] != 10 || len(d.Minutes) != 2 {
		t.Errorf("got %+v of %d minutes", c, len(d.Minutes))
	}
}
