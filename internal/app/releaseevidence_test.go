package app

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/stat"
	"github.com/serin-ml/serin/internal/traffic"
)

// telemetryOf is a telemetry.db that a test writes.
type telemetryOf struct {
	path string
	sink *telemetrysqlite.Sink
	at   event.Offset
}

func newTelemetryOf(t testing.TB) *telemetryOf {
	m := &telemetryOf{path: filepath.Join(t.TempDir(), telemetryName)}
	m.open(t)
	return m
}

func (m *telemetryOf) open(t testing.TB) {
	var err error
	if m.sink, err = telemetrysqlite.Open(t.Context(), m.path, telemetrysqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.sink.Close() })
}

// reopen is what a restart does.
func (m *telemetryOf) reopen(t testing.TB) {
	if err := m.sink.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// log applies records as one batch.
func (m *telemetryOf) log(t testing.TB, records ...event.Record) {
	items := make([]measure.Item, len(records))
	from := m.at
	for i, r := range records {
		items[i] = measure.Item{At: m.at, Record: r}
		m.at += 10
	}
	if err := m.sink.Apply(t.Context(), 1, from, m.at, items); err != nil {
		t.Fatal(err)
	}
}

// upToDate is a follower that has read all.
func upToDate() measure.Lag { return measure.Lag{Since: noon.AddDate(1, 0, 0)} }

// oneRelease is of the service that decided and tallied are about.
func oneRelease(metrics ...release.Metric) *evidenceOf {
	return &evidenceOf{
		Service: "reviews", Epoch: 1, Stable: "stable", Candidate: "canary", StableVersion: "sha256:aa", CandidateVersion: "sha256:bb",
		Shares: map[uint64]float64{1: 0.2, 2: 0.5}, Metrics: metrics, Strategy: release.Canary, Since: noon,
	}
}

// seconds is a second's tally of one bucket.
func seconds(n int, policy uint64, variant string, bucket uint8, requests, failed int) *event.Tally {
	at := noon.Add(time.Duration(n) * time.Second)
	t := &event.Tally{
		From: at, To: at.Add(time.Second), Service: "reviews", Epoch: 1, PolicyVersion: policy, Variant: variant, Version: "sha256:aa", Bucket: bucket,
		Requests: uint64(requests), Micros: uint64(requests-failed) * 1500, FirstErrors: uint64(min(failed, 1)),
	}
	if variant == "canary" {
		t.Version = "sha256:bb"
	}
	t.Errors[event.Server] = uint64(failed)
	t.Latency.AddN(1500, uint64(requests-failed))
	return t
}

// rated is a decision under a policy.
func rated(t testing.TB, n int, policy uint64, variant string) *event.Decision {
	at := noon.Add(time.Duration(n) * time.Second)
	var random [10]byte
	copy(random[:], fmt.Sprintf("%010d", n))
	id, err := event.NewID(at, strings.NewReader(string(random[:])))
	if err != nil {
		t.Fatal(err)
	}
	d := &event.Decision{
		ID: id, At: at, Service: "reviews", Epoch: 1, PolicyVersion: policy, Unit: fmt.Sprintf("unit%d", n), Assigned: variant, Answered: variant,
		Version: "sha256:aa", Propensity: 0.5, Status: 200, Label: "1", Score: math.NaN(),
	}
	if variant == "canary" {
		d.Version = "sha256:bb"
	}
	return d
}

func lookAt(t testing.TB, e *evidence, of *evidenceOf, now time.Time) release.Look {
	look, err := e.Look(t.Context(), of, now)
	if err != nil {
		t.Fatal(err)
	}
	return look
}

func TestALookIsWhatWasMeasuredOfTheBoundVersionsSinceTheReleaseBegan(t *testing.T) {
	m := newTelemetryOf(t)
	e := newEvidence(m.sink, upToDate)
	other, old, slow := seconds(1, 1, "canary", 3, 100, 100), seconds(1, 1, "canary", 3, 100, 100), seconds(2, 2, "canary", 3, 4, 0)
	other.Version, old.Epoch, slow.Fallbacks = "sha256:cc", 0, 1
	of := oneRelease(release.Metric{Measure: release.Errors, Versus: true})
	if look := lookAt(t, e, of, noon); len(look.Segments) != 0 || look.Asked != 0 || look.Unfit != "" {
		t.Errorf("before anything is asked: %+v", look)
	}
	m.log(t, event.Record{Tally: seconds(1, 1, "stable", 3, 10, 1)}, event.Record{Tally: seconds(1, 1, "canary", 3, 5, 2)}, event.Record{Tally: other}, event.Record{Tally: old})
	m.log(t, event.Record{Tally: seconds(2, 1, "stable", 3, 10, 0)}, event.Record{Tally: slow}, event.Record{Tally: seconds(2, 7, "canary", 3, 50, 50)})
	look := lookAt(t, e, of, noon)
	if len(look.Segments) != 2 || look.Asked != 9 || look.Segments[0].Share != 0.2 || look.Segments[1].Share != 0.5 {
		t.Fatalf("%d segments, %d asked", len(look.Segments), look.Asked)
	}
	first, second := &look.Segments[0], &look.Segments[1]
	for what, p := range map[string]struct{ got, want stat.Pair }{
		"stable failed":      {first.Stable.Failed[3], stat.Pair{Y: 1, Z: 20}},
		"candidate failed":   {first.Candidate.Failed[3], stat.Pair{Y: 2, Z: 5}},
		"later failed":       {second.Candidate.Failed[3], stat.Pair{Y: 0, Z: 4}},
		"later fell back":    {second.Candidate.Fellback[3], stat.Pair{Y: 1, Z: 4}},
		"stable took":        {first.Stable.Took[3], stat.Pair{Y: 19 * 0.0015, Z: 19}},
		"stable, not asked":  {second.Stable.Failed[3], stat.Pair{}},
		"of another bucket":  {first.Stable.Failed[4], stat.Pair{}},
		"users with errors":  {stat.Pair{Y: float64(first.Stable.Erred), Z: float64(first.Candidate.Erred)}, stat.Pair{Y: 1, Z: 1}},
		"no feedback wanted": {first.Stable.Covered[3], stat.Pair{}},
	} {
		if math.Abs(p.got.Y-p.want.Y) > 1e-12 || p.got.Z != p.want.Z {
			t.Errorf("%s: %v, not %v", what, p.got, p.want)
		}
	}
	if first.Stable.Latencies[3] != nil {
		t.Error("there are sketches that no metric is about")
	}
	of.Metrics = append(of.Metrics, release.Metric{Measure: release.Latency, Quantile: 0.99})
	if s := lookAt(t, e, of, noon).Segments[0].Stable.Latencies[3]; s == nil || s.Count() != 19 {
		t.Errorf("with a metric of a quantile there are %v", s)
	}
}

func TestALookThatWasHandedOutDoesNotChange(t *testing.T) {
	m := newTelemetryOf(t)
	e, of := newEvidence(m.sink, upToDate), oneRelease(release.Metric{Measure: release.Latency, Quantile: 0.5})
	m.log(t, event.Record{Tally: seconds(1, 1, "canary", 3, 5, 0)})
	before := lookAt(t, e, of, noon)
	if same := lookAt(t, e, of, noon.Add(time.Hour)); &same.Segments[0] != &before.Segments[0] {
		t.Error("it was made anew though nothing changed")
	}
	m.log(t, event.Record{Tally: seconds(2, 1, "canary", 3, 5, 0)})
	after := lookAt(t, e, of, noon)
	if s := &before.Segments[0].Candidate; s.Latencies[3].Count() != 5 || s.Took[3].Z != 5 || after.Segments[0].Candidate.Latencies[3].Count() != 10 || after.Asked != 10 {
		t.Errorf("%v before, %v after", s.Latencies[3].Count(), after.Segments[0].Candidate.Latencies[3].Count())
	}
	of.Shares = map[uint64]float64{1: 0.25}
	if look := lookAt(t, e, of, noon); look.Segments[0].Share != 0.25 {
		t.Errorf("new shares are not in it: %v", look.Segments[0].Share)
	}
}

func TestFeedbackCountsByTheTimeOfItsDecisionOnceThatIsOldEnough(t *testing.T) {
	m := newTelemetryOf(t)
	e := newEvidence(m.sink, upToDate)
	of := oneRelease(release.Metric{Measure: release.Accuracy, Versus: true, Maturity: time.Hour}, release.Metric{Measure: release.Value, Kind: "rating"})
	early, later := rated(t, 30, 1, "canary"), rated(t, 90, 1, "canary")
	rating := judged(later, 4)
	rating.ID, rating.Kind = "rating", "rating"
	late := judged(rated(t, 31, 1, "canary"), 1)
	late.ReceivedAt = late.DecidedAt.Add(measure.Window + time.Second)
	bucket := measure.BucketOf(early)
	m.log(t, event.Record{Tally: seconds(30, 1, "canary", bucket, 8, 0)}, event.Record{Decision: early}, event.Record{Decision: later},
		event.Record{Decision: rated(t, 31, 1, "canary")}, event.Record{Outcome: judged(early, 1)}, event.Record{Outcome: judged(later, 0)}, event.Record{Outcome: rating},
		event.Record{Outcome: late})
	count := func(now time.Duration) (right, covered, rated stat.Pair) {
		t.Helper()
		for _, s := range lookAt(t, e, of, noon.Add(now)).Segments {
			for b := range s.Candidate.Right {
				right.Y, right.Z = right.Y+s.Candidate.Right[b].Y, right.Z+s.Candidate.Right[b].Z
				covered.Y, covered.Z = covered.Y+s.Candidate.Covered[b].Y, covered.Z+s.Candidate.Covered[b].Z
				rated.Y, rated.Z = rated.Y+s.Candidate.Values["rating"][b].Y, rated.Z+s.Candidate.Values["rating"][b].Z
			}
		}
		return right, covered, rated
	}
	for _, step := range []struct {
		now                   time.Duration
		right, covered, rated stat.Pair
	}{
		{2 * time.Minute, stat.Pair{}, stat.Pair{}, stat.Pair{Y: 4, Z: 1}},
		{time.Hour + 59*time.Second, stat.Pair{}, stat.Pair{}, stat.Pair{Y: 4, Z: 1}},
		{time.Hour + time.Minute, stat.Pair{Y: 1, Z: 1}, stat.Pair{Y: 1, Z: 8}, stat.Pair{Y: 4, Z: 1}},
		{time.Minute, stat.Pair{Y: 1, Z: 1}, stat.Pair{Y: 1, Z: 8}, stat.Pair{Y: 4, Z: 1}}, // the clock was set back
		{time.Hour + 2*time.Minute, stat.Pair{Y: 1, Z: 2}, stat.Pair{Y: 1, Z: 8}, stat.Pair{Y: 4, Z: 1}},
	} {
		if right, covered, rated := count(step.now); right != step.right || covered != step.covered || rated != step.rated {
			t.Errorf("at %v: right %v, covered %v, rated %v; want %v, %v, %v", step.now, right, covered, rated, step.right, step.covered, step.rated)
		}
	}
	more := rated(t, 32, 1, "canary") // of a minute that counts already
	m.log(t, event.Record{Decision: more}, event.Record{Outcome: judged(more, 1)})
	if right, _, _ := count(2 * time.Hour); right != (stat.Pair{Y: 2, Z: 3}) {
		t.Errorf("feedback that comes later: %v", right)
	}
}

// Whatever batches the log comes in, whenever somebody looks, and however often the server starts anew, a look is the same in the end.
func TestALookDependsOnTheLogAndTheTimeAlone(t *testing.T) {
	m, whole, run := newTelemetryOf(t), newTelemetryOf(t), 0 // two files for all runs, each of which is of a service of its own
	rapid.Check(t, func(rt *rapid.T) {
		run++
		service := fmt.Sprint("service", run)
		var records []event.Record
		var asked []*event.Decision
		for i := range rapid.IntRange(1, 40).Draw(rt, "records") {
			n, policy := rapid.IntRange(0, 600).Draw(rt, "second"), rapid.Uint64Range(1, 3).Draw(rt, "policy")
			variant := rapid.SampledFrom([]string{"stable", "canary"}).Draw(rt, "variant")
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				tally := seconds(n, policy, variant, uint8(rapid.IntRange(0, 63).Draw(rt, "bucket")), 5, rapid.IntRange(0, 5).Draw(rt, "failed"))
				tally.Service = service
				records = append(records, event.Record{Tally: tally})
			case 1:
				d := rated(t, 1000*i+n, policy, variant)
				d.Service, d.ID[9], d.ID[10] = service, byte(run), byte(run>>8)
				asked = append(asked, d)
				records = append(records, event.Record{Decision: d})
			default:
				if len(asked) == 0 {
					continue
				}
				o := judged(rapid.SampledFrom(asked).Draw(rt, "of"), float64(rapid.IntRange(0, 1).Draw(rt, "right")))
				o.ID = fmt.Sprint(service, i)
				if rapid.Bool().Draw(rt, "rated") {
					o.Kind, o.Number = "rating", rapid.Float64Range(-5, 5).Draw(rt, "rating")
				}
				records = append(records, event.Record{Outcome: o})
			}
		}
		of := oneRelease(
			release.Metric{Measure: release.Accuracy, Maturity: 5 * time.Minute}, release.Metric{Measure: release.Value, Kind: "rating", Maturity: 2 * time.Minute},
			release.Metric{Measure: release.Latency, Quantile: 0.9},
		)
		of.Service = service
		e := newEvidence(m.sink, upToDate)
		now := noon
		for rest := records; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			m.log(t, rest[:n]...)
			rest = rest[n:]
			switch rapid.IntRange(0, 9).Draw(rt, "meanwhile") {
			case 0:
				m.reopen(t)
				e = newEvidence(m.sink, upToDate)
			case 1, 2, 3, 4, 5:
				now = now.Add(time.Duration(rapid.IntRange(0, 4).Draw(rt, "minutes")) * time.Minute)
				lookAt(t, e, of, now)
			}
		}
		if len(records) > 0 {
			whole.log(t, records...)
		}
		if diff := cmp.Diff(lookAt(t, newEvidence(whole.sink, upToDate), of, now), lookAt(t, e, of, now)); diff != "" {
			rt.Fatalf("(-at once +bit by bit)\n%s", diff)
		}
	})
}

func TestWhoCannotSeeSaysSo(t *testing.T) {
	m := newTelemetryOf(t)
	for name, p := range map[string]struct {
		lag  measure.Lag
		says string
	}{
		"at the end":         {measure.Lag{Since: noon, End: 70, Applied: 70}, ""},
		"a few seconds ago":  {measure.Lag{Since: noon.Add(-stale), End: 70, Applied: 20}, ""},
		"it began just now":  {measure.Lag{End: 70, Applied: 20}, "50 bytes of the log are not read yet"},
		"far behind":         {measure.Lag{Since: noon.Add(-stale - 1), End: 70, Applied: 20}, "50 bytes of the log are not read yet"},
		"the disk is full":   {measure.Lag{Since: noon, Err: fault.Unavailablef("no room")}, "stands still: no room"},
		"the file is broken": {measure.Lag{Since: noon, Err: fault.Internalf("damaged")}, "stands still: damaged"},
	} {
		_, err := newEvidence(m.sink, func() measure.Lag { return p.lag }).Look(t.Context(), oneRelease(), noon)
		if (err == nil) != (p.says == "") || err != nil && (fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), p.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUsersWhoAreLostMakeALookUnfit(t *testing.T) {
	m := newTelemetryOf(t)
	var records []event.Record
	for n := range 300 {
		records = append(records, event.Record{Decision: rated(t, n, 2, []string{"stable", "stable", "stable", "canary"}[n%4])}) // half and half was said
	}
	m.log(t, records...)
	e, of := newEvidence(m.sink, upToDate), oneRelease()
	if look := lookAt(t, e, of, noon); !strings.Contains(look.Unfit, "225 at stable, 75 at canary") {
		t.Errorf("unfit: %q", look.Unfit)
	}
	of.Epoch = 2
	if look := lookAt(t, e, of, noon); look.Unfit != "" {
		t.Errorf("another epoch is unfit: %q", look.Unfit)
	}
}

func TestAShadowIsJudgedByCopiesAndByWhoWasRight(t *testing.T) {
	m := newTelemetryOf(t)
	of := oneRelease(release.Metric{Measure: release.Accuracy, Versus: true})
	of.Candidate, of.Strategy, of.Shares = "next", release.Shadow, map[uint64]float64{1: 0}
	e := newEvidence(m.sink, upToDate)
	before := compared(-120, 64, 0) // of before the release
	first, second := decided(t, 1, "stable"), decided(t, 2, "stable")
	m.log(t, event.Record{Comparison: before}, event.Record{Comparison: compared(1, 100, 90)}, event.Record{Decision: first}, event.Record{Decision: second},
		event.Record{Disagreement: differ(first, "row 0", 0.1)}, event.Record{Disagreement: differ(second, "row 0", 0.1)},
		event.Record{Outcome: judged(first, 0)}, event.Record{Outcome: judged(second, 1)})
	look := lookAt(t, e, of, noon.Add(time.Minute))
	if len(look.Segments) != 2 || look.Asked != 102 || look.Unfit != "" {
		t.Fatalf("%d segments, %d asked, %q", len(look.Segments), look.Asked, look.Unfit)
	}
	var agreed, slower stat.Pair
	s := &look.Segments[1] // after that of stable's own answers
	for b := range s.Candidate.Agreed {
		agreed.Y, agreed.Z = agreed.Y+s.Candidate.Agreed[b].Y, agreed.Z+s.Candidate.Agreed[b].Z
		slower.Y, slower.Z = slower.Y+s.Candidate.Paired[b].Y, slower.Z+s.Candidate.Paired[b].Z
	}
	if agreed != (stat.Pair{Y: 90, Z: 100}) || math.Abs(slower.Y-0.05) > 1e-9 || slower.Z != 100 || s.Disputed == nil || *s.Disputed != (release.Disputed{Stable: 1, Candidate: 1}) {
		t.Errorf("agreed %v, slower %v, disputed %+v", agreed, slower, s.Disputed)
	}
	m.log(t, event.Record{Outcome: judged(decided(t, 5, "stable"), 1)})
	if again := lookAt(t, e, of, noon.Add(time.Minute+time.Second)); again.Segments[1].Disputed != s.Disputed {
		t.Error("the file was asked again at once")
	}
	fails := compared(70, 10, 10)
	fails.Unpaired[event.ShadowFailed] = 30
	m.log(t, event.Record{Comparison: fails})
	if look := lookAt(t, e, of, noon.Add(2*time.Minute)); look.Unfit != "the candidate answered only 110 of 144 copies: how many of those agree says nothing of the others" {
		t.Errorf("unfit: %q", look.Unfit)
	}
}

func TestWhatExpressionsNameIsMeasured(t *testing.T) {
	m := newTelemetryOf(t)
	d := rated(t, 1, 1, "canary")
	rating := judged(d, 3)
	rating.Kind = "rating"
	m.log(t, event.Record{Tally: seconds(1, 1, "canary", 3, 5, 0)}, event.Record{Decision: d}, event.Record{Outcome: rating})
	of := oneRelease(release.Metric{Measure: release.Expression, Expr: `candidate.latency.p99 < 1.0 && candidate.value["rating"] > 2.0 && candidate.value.click > 0.1`})
	a := &lookAt(t, newEvidence(m.sink, upToDate), of, noon).Segments[0].Candidate
	if a.Latencies[3] == nil || a.Values["rating"][measure.BucketOf(d)] != (stat.Pair{Y: 3, Z: 1}) || a.Values["click"] == nil {
		t.Errorf("latencies %v, values %v", a.Latencies[3], a.Values)
	}
}

func TestReleasesThatNobodyAsksAboutAreForgotten(t *testing.T) {
	m := newTelemetryOf(t)
	e, of, other := newEvidence(m.sink, upToDate), oneRelease(), oneRelease()
	other.Service = "movies"
	lookAt(t, e, of, noon)
	lookAt(t, e, other, noon.Add(unasked+time.Second))
	if len(e.watched) != 1 {
		t.Errorf("%d are kept", len(e.watched))
	}
	m.log(t, event.Record{Tally: seconds(1, 1, "canary", 3, 5, 0)})
	if look := lookAt(t, e, of, noon); look.Asked != 5 { // who comes back is told all
		t.Errorf("%d asked", look.Asked)
	}
}

func TestLooksAndTheLogDoNotWaitForEachOther(t *testing.T) {
	m := newTelemetryOf(t)
	e, of := newEvidence(m.sink, upToDate), oneRelease(release.Metric{Measure: release.Latency, Quantile: 0.5})
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				look, err := e.Look(t.Context(), of, noon)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range look.Segments {
					for b := range look.Segments[i].Candidate.Latencies {
						if s, took := look.Segments[i].Candidate.Latencies[b], look.Segments[i].Candidate.Took[b]; s != nil && float64(s.Count()) != took.Z {
							t.Errorf("%d latencies of %v", s.Count(), took)
						}
					}
				}
			}
		})
	}
	for n := range 50 {
		m.log(t, event.Record{Tally: seconds(n, 1, "canary", uint8(n%traffic.Buckets), 5, 0)}, event.Record{Tally: seconds(n, 1, "canary", 3, 5, 0)})
	}
	close(done)
	wg.Wait()
	if look := lookAt(t, e, of, noon); look.Asked != 500 {
		t.Errorf("%d asked", look.Asked)
	}
}
