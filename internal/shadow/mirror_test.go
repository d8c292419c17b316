package shadow

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// asked is a question to a shadow that does as do says.
type asked struct {
	primary Answer
	do      func(ctx context.Context) (Answer, error)
	took    time.Duration
}

func (q *asked) Ask(ctx context.Context) (Answer, time.Duration, error) {
	a, err := q.do(ctx)
	return a, q.took, err
}
func (q *asked) Primary() Answer { return q.primary }
func (q *asked) Texts(shadow *Answer) (primary, s string) {
	return string(q.primary.Body), string(shadow.Body)
}

// answers is a question whose answers are bodies.
func answers(primary, shadow string) *asked {
	return &asked{primary: *body(primary), took: 3 * time.Millisecond, do: func(context.Context) (Answer, error) { return *body(shadow), nil }}
}

// confused is a question whose answer is a bug.
type confused struct{ *asked }

func (*confused) Primary() Answer { panic("a bug") }

func failing(err error) *asked {
	return &asked{primary: *body("1"), do: func(context.Context) (Answer, error) { return Answer{}, err }}
}

// hanging answers nothing until its time is over.
func hanging() *asked {
	return &asked{primary: *body("1"), do: func(ctx context.Context) (Answer, error) {
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}}
}

func copyOf(q Question) *Copy {
	return &Copy{
		Decision: event.ID{1}, At: start, Bucket: 7, Lean: 1, Primary: "stable", PrimaryVersion: "v1", ShadowVersion: "v2", Took: time.Millisecond,
		Question: q, Bytes: 10,
	}
}

func newMirror(r prometheus.Registerer) *Mirror {
	return NewMirror(MirrorOptions{Now: func() time.Time { return start }, Log: slog.New(slog.DiscardHandler), Metrics: r})
}

func newLane(t testing.TB, change func(*LaneOptions)) *Lane {
	o := LaneOptions{Service: "movies", Variant: "next", Comparer: must(t, Rule{By: ByExact}), Share: 1}
	if change != nil {
		change(&o)
	}
	return NewLane(o)
}

// total adds up what was counted.
func total(taken Counted) (sum event.Comparison) {
	for _, r := range taken.Records {
		sum.Merge(r.Comparison)
	}
	return sum
}

// running runs m until the function that it returns is called.
func running(t *testing.T, m *Mirror) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
}

func TestWhatComesOfACopyIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMirror(nil)
		l := newLane(t, nil)
		stop := running(t, m)
		failed := func(q Question) *Copy {
			c := copyOf(q)
			c.Failed = true
			return c
		}
		slow := answers("1", "1")
		slow.do = func(ctx context.Context) (Answer, error) { // it heeds no end of its time
			time.Sleep(2 * DefaultTimeout)
			return *body("1"), nil
		}
		for _, c := range []*Copy{
			copyOf(answers("1", "1")), copyOf(answers("1", "1")), copyOf(answers("1", "2")),
			copyOf(failing(errors.New("broken"))), failed(answers("1", "1")), failed(failing(errors.New("broken"))), failed(hanging()),
			copyOf(hanging()), copyOf(slow),
			copyOf(&asked{do: func(context.Context) (Answer, error) { panic("a bug") }}),
			copyOf(&confused{answers("1", "1")}),
		} {
			m.Offer(l, c)
		}
		time.Sleep(time.Minute) // of the bubble's clock
		stop()
		got := total(m.Take(start.Add(time.Second)))
		pairs, agreed := got.Totals()
		want := [event.NumUnpaired]uint64{event.PrimaryFailed: 1, event.ShadowFailed: 2, event.BothFailed: 2, event.ShadowLate: 2, event.Incomparable: 1}
		if pairs != 3 || agreed != 2 || got.Unpaired != want || got.Drops != [event.NumDrops]uint64{} {
			t.Errorf("%d of %d agreed, unpaired %v, drops %v", agreed, pairs, got.Unpaired, got.Drops)
		}
		if b := got.Buckets[0]; len(got.Buckets) != 1 || b.Bucket != 7 || b.Lean != 3 || b.Micros != 3*2000 {
			t.Errorf("buckets %+v", got.Buckets)
		}
		if got.PrimaryLatency.Sum() != 3000 || got.ShadowLatency.Sum() != 9000 {
			t.Errorf("latencies %v, %v", got.PrimaryLatency.Sum(), got.ShadowLatency.Sum())
		}
		details := m.Details()
		if len(details) != 1 {
			t.Fatalf("%d disagreements", len(details))
		}
		nan := math.NaN()
		if diff := cmp.Diff(&event.Disagreement{
			Decision: event.ID{1}, At: start, Service: "movies", Shadow: "next", ShadowVersion: "v2", Primary: "stable", PrimaryVersion: "v1", Rule: "exact",
			PrimaryStatus: 200, ShadowStatus: 200, PrimaryMicros: 1000, ShadowMicros: 3000, PrimaryScore: nan, ShadowScore: nan, Difference: 1, Overlap: nan,
			Where: "the answer", PrimaryAnswer: "1", ShadowAnswer: "2",
		}, details[0].Disagreement, cmpopts.EquateNaNs()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAHangingShadowHoldsUpNobody: the offers return although no copy is ever answered, and what finds no room is dropped with its reason.
func TestAHangingShadowHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMirror(nil)
		byCount := newLane(t, func(o *LaneOptions) { o.InFlight, o.Queue, o.Timeout = 2, 5, time.Hour })
		byBytes := newLane(t, func(o *LaneOptions) { o.InFlight, o.Bytes, o.Timeout = 2, 45, time.Hour })
		stop := running(t, m)
		begin := time.Now()
		for range 100 {
			m.Offer(byCount, copyOf(hanging()))
			m.Offer(byBytes, copyOf(hanging()))
			synctest.Wait()
		}
		if passed := time.Since(begin); passed != 0 {
			t.Errorf("the offers waited %v", passed)
		}
		stop()
		got := total(m.Take(start))
		want := [event.NumDrops]uint64{event.DropQueue: 93, event.DropBytes: 96, event.DropDraining: 11}
		if got.Drops != want {
			t.Errorf("drops %v, want %v", got.Drops, want)
		}
		if byCount.bytes != 0 || byBytes.bytes != 0 || byCount.workers != 0 || byBytes.workers != 0 {
			t.Errorf("held after the end: %d and %d bytes", byCount.bytes, byBytes.bytes)
		}
		m.Offer(byCount, copyOf(hanging()))
		if got := total(m.Take(start)); got.Drops[event.DropDraining] != 1 {
			t.Errorf("after the end: %v", got.Drops)
		}
	})
}

// TestARetiredLaneAsksNoMore: whoever takes a shadow that hangs out of the file is rid of it when what is being asked has ended.
func TestARetiredLaneAsksNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMirror(nil)
		l := newLane(t, func(o *LaneOptions) { o.InFlight, o.Timeout = 2, time.Minute })
		stop := running(t, m)
		for range 100 {
			m.Offer(l, copyOf(hanging()))
		}
		synctest.Wait()
		m.Retire(l)
		time.Sleep(time.Minute)
		synctest.Wait()
		m.Offer(l, copyOf(answers("1", "1"))) // of a request that began before
		synctest.Wait()
		got := total(m.Take(start))
		if got.Unpaired[event.ShadowLate] != 2 || got.Drops[event.DropDraining] != 99 || l.workers != 0 || l.bytes != 0 {
			t.Errorf("%v, %v", got.Unpaired, got.Drops)
		}
		stop()
	})
}

func TestNoMoreCopiesAreAskedAtOnceThanMay(t *testing.T) {
	m := newMirror(nil)
	l := newLane(t, func(o *LaneOptions) { o.InFlight = 3; o.Queue = 1000 })
	stop := running(t, m)
	var now, most, done atomic.Int64
	var finished sync.WaitGroup
	finished.Add(500)
	for range 500 {
		m.Offer(l, copyOf(&asked{do: func(context.Context) (Answer, error) {
			defer finished.Done()
			n := now.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			now.Add(-1)
			done.Add(1)
			return Answer{}, nil
		}}))
	}
	finished.Wait()
	stop()
	if most.Load() > 3 || done.Load() != 500 {
		t.Errorf("%d at once, %d in all", most.Load(), done.Load())
	}
}

func TestAShadowThatHeedsNothingIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMirror(nil)
		l := newLane(t, nil)
		stop := running(t, m)
		release := make(chan struct{})
		m.Offer(l, copyOf(&asked{do: func(context.Context) (Answer, error) {
			<-release
			return Answer{}, nil
		}}))
		synctest.Wait()
		begin := time.Now()
		stop()
		if waited := time.Since(begin); waited != stopPatience {
			t.Errorf("the end waited %v", waited)
		}
		close(release)
	})
}

func TestCountsAreExactWhateverCannotBeWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMirror(nil)
		l := must3()
		now := start
		var written event.Comparison
		var want [event.NumDrops]uint64
		var pairs, late uint64
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			c := copyOf(nil)
			c.Bucket = uint8(rapid.IntRange(0, 3).Draw(t, "bucket"))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				why := event.Drop(rapid.IntRange(0, int(event.NumDrops)-1).Draw(t, "why"))
				m.Drop(l, c, why)
				want[why]++
			case 1:
				m.ledger.pair(keyOf(l, c), c, time.Millisecond, &Result{Difference: 0.5, Overlap: math.NaN()})
				pairs++
			case 2:
				m.ledger.unpaired(keyOf(l, c), event.ShadowLate)
				late++
			default:
				now = now.Add(time.Second)
				taken := m.Take(now)
				if rapid.Bool().Draw(t, "fails") {
					m.GiveBack(taken)
					break
				}
				for _, r := range taken.Records {
					if r.Comparison.From.Before(start) || !r.Comparison.To.Equal(now) {
						t.Fatalf("from %v to %v at %v", r.Comparison.From, r.Comparison.To, now)
					}
				}
				sum := total(taken)
				written.Merge(&sum)
			}
		}
		sum := total(m.Take(now.Add(time.Second)))
		written.Merge(&sum)
		got, agreed := written.Totals()
		if written.Drops != want || got != pairs || agreed != pairs || written.Unpaired[event.ShadowLate] != late || written.ScoreAbove.Count() != pairs {
			t.Fatalf("got %+v; want drops %v, %d pairs, %d late", written, want, pairs, late)
		}
	})
}

func must3() *Lane {
	return NewLane(LaneOptions{Service: "movies", Variant: "next", Comparer: must2(Rule{By: ByExact}), Share: 1})
}

func TestAShareIsDrawnByTheDecisionAlone(t *testing.T) {
	ids := event.NewGenerator(rand.NewChaCha8([32]byte{3}))
	lanes := map[float64]*Lane{}
	for _, share := range []float64{0, 0.1, 0.5, 1} {
		lanes[share] = newLane(t, func(o *LaneOptions) { o.Share = share })
	}
	other := newLane(t, func(o *LaneOptions) { o.Share, o.Variant = 0.5, "another" })
	const n = 20_000
	drawn := map[float64]int{}
	both := 0
	for range n {
		id, err := ids.Next(start)
		if err != nil {
			t.Fatal(err)
		}
		for share, l := range lanes {
			if l.Draws(id) {
				drawn[share]++
			}
		}
		if lanes[0.1].Draws(id) && !lanes[0.5].Draws(id) {
			t.Fatal("the larger share leaves out what the smaller draws")
		}
		if lanes[0.5].Draws(id) && other.Draws(id) {
			both++
		}
	}
	for share := range lanes { // five standard errors
		if off := math.Abs(float64(drawn[share]) - n*share); off > 5*math.Sqrt(n*share*(1-share)) {
			t.Errorf("%d of %d are drawn with share %v", drawn[share], n, share)
		}
	}
	if off := math.Abs(float64(both) - n/4); off > 5*math.Sqrt(n*0.25*0.75) {
		t.Errorf("two shadows draw %d of %d together: they are not independent", both, n)
	}
}

func TestFailuresAreLoggedOnceAMinute(t *testing.T) {
	var logged strings.Builder
	now := start
	m := NewMirror(MirrorOptions{Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	l := newLane(t, nil)
	for range 180 {
		m.unpaired(l, copyOf(nil), event.ShadowFailed, errors.New("connection refused"))
		now = now.Add(time.Second)
	}
	if n := strings.Count(logged.String(), "result=shadowFailed error=\"connection refused\""); n != 3 {
		t.Errorf("%d lines in three minutes:\n%s", n, logged.String())
	}
}

func TestFewDisagreementsAreWrittenOneByOne(t *testing.T) {
	r := prometheus.NewRegistry()
	m := newMirror(r)
	l := newLane(t, nil)
	answer, result := body("1"), &Result{Verdict: Disagree}
	offered := 0
	for second := range 10 {
		for i := range 100 {
			c := copyOf(answers("1", "2"))
			c.At = start.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Millisecond)
			m.tell(l, c, answer, answer, 0, result)
			offered++
		}
	}
	kept := len(m.Details())
	if kept < detailBurst+9*detailRate-1 || kept > detailBurst+10*detailRate {
		t.Errorf("%d of %d in ten seconds", kept, offered)
	}
	text := "# HELP serin_shadow_disagreements_dropped_total " +
		"Disagreements that were counted and not written down one by one: more than some a second, no room in the queue, or the log could not be written.\n" +
		"# TYPE serin_shadow_disagreements_dropped_total counter\n" +
		"serin_shadow_disagreements_dropped_total{why=\"log\"} 0\n" +
		"serin_shadow_disagreements_dropped_total{why=\"queue\"} 0\n" +
		"serin_shadow_disagreements_dropped_total{why=\"rate\"} "
	if err := testutil.GatherAndCompare(r, strings.NewReader(text+strconv.Itoa(offered-kept)+"\n"), "serin_shadow_disagreements_dropped_total"); err != nil {
		t.Error(err)
	}
	later := copyOf(answers("1", "2"))
	later.At = start.Add(-time.Hour) // a clock that is set back gives nothing, and takes nothing for ever
	m.tell(l, later, answer, answer, 0, result)
	later.At = start.Add(-time.Hour + time.Second)
	m.tell(l, later, answer, answer, 0, result)
	if got := len(m.Details()); got == 0 {
		t.Error("after the clock was set back none is written")
	}
}

// BenchmarkOffer is what an offer costs, and a request that is not drawn.
func BenchmarkOffer(b *testing.B) {
	m := newMirror(nil)
	full := newLane(b, func(o *LaneOptions) { o.Queue = 1 })
	c := copyOf(hanging())
	m.Offer(full, c)
	b.Run("no room", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Offer(full, c)
		}
	})
	none := newLane(b, func(o *LaneOptions) { o.Share = 0.001 })
	b.Run("not drawn", func(b *testing.B) {
		b.ReportAllocs()
		drawn := 0
		for b.Loop() {
			if none.Draws(c.Decision) {
				drawn++
			}
		}
	})
}

func TestAShareThatChangesDrawsTheSameRequestsAndMore(t *testing.T) {
	l := newLane(t, func(o *LaneOptions) { o.Share = 0 })
	drawn := func() (ids []int) {
		for i := range 2000 {
			if l.Draws(event.ID{byte(i >> 8), byte(i), 7}) {
				ids = append(ids, i)
			}
		}
		return ids
	}
	if n := len(drawn()); n != 0 {
		t.Errorf("a share of 0 draws %d", n)
	}
	l.SetShare(0.3)
	some := drawn()
	l.SetShare(0.6)
	more := drawn()
	for _, id := range some {
		if !slices.Contains(more, id) {
			t.Errorf("%d is not drawn by the larger share", id)
		}
	}
	if a, b := len(some), len(more); a < 500 || a > 700 || b < 1100 || b > 1300 {
		t.Errorf("of 2000 requests 30%% are %d, and 60%% are %d", a, b)
	}
	if l.SetShare(2); len(drawn()) != 2000 {
		t.Error("a share of 1 leaves some out")
	}
}
