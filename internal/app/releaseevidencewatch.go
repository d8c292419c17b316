package app

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/release"
)

// watched is the sums of one release. The sink tells it what it takes in.
type watched struct {
	of    evidenceOf
	asked time.Time // when it was last looked at
	stop  func()

	mu       sync.Mutex
	arms     map[armOf]*armSums
	feedback []ripening
	young    map[youngMinute]*measure.SegmentMinute // those for which some of the feedback is too young
	copies   copySums
	changed  bool
	shares   map[uint64]float64 // of the last look
	last     release.Look

	disputed   *release.Disputed
	disputedAt time.Time // when feedback on disagreements was last asked for
	applied    event.Offset
}

// armOf names an arm of a segment.
type armOf struct {
	policy    uint64
	candidate bool
}

// youngMinute names a minute of an arm.
type youngMinute struct {
	armOf
	minute int64
}

// ripening is one kind of feedback, and up to which minute decisions are old enough for it.
type ripening struct {
	kind     string // of outcomes; "" is whether predictions were right
	maturity time.Duration
	cut      int64 // the first minute that is too young
}

// exprKinds finds the kinds of outcomes that an expression names: candidate.value.click, stable.value["click"].
var exprKinds = regexp.MustCompile(`\.value(?:\.(\w+)|\[\s*["']([^"']+)["']\s*\])`)

func newWatched(of *evidenceOf) *watched {
	w := &watched{of: *of}
	w.of.Shares = nil
	for i := range of.Metrics {
		m := &of.Metrics[i]
		switch m.Measure {
		case release.Accuracy:
			w.ripens("", m.Maturity)
		case release.Value:
			w.ripens(m.Kind, m.Maturity)
		case release.Expression: // what it names is there
			w.ripens("", m.Maturity)
			for _, found := range exprKinds.FindAllStringSubmatch(m.Expr, -1) {
				w.ripens(found[1]+found[2], m.Maturity)
			}
		case release.Latency, release.Errors, release.Fallbacks, release.Agreement, release.Query:
		}
	}
	w.Reset()
	return w
}

func (w *watched) ripens(kind string, maturity time.Duration) {
	for i := range w.feedback {
		if w.feedback[i].kind == kind {
			w.feedback[i].maturity = max(w.feedback[i].maturity, maturity)
			return
		}
	}
	w.feedback = append(w.feedback, ripening{kind: kind, maturity: maturity})
}

// Reset implements the sink's Watcher.
func (w *watched) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arms, w.young, w.copies = map[armOf]*armSums{}, map[youngMinute]*measure.SegmentMinute{}, copySums{}
	for i := range w.feedback {
		w.feedback[i].cut = math.MinInt64
		if w.feedback[i].maturity <= 0 {
			w.feedback[i].cut = math.MaxInt64
		}
	}
	w.changed = true
}

// Segment implements the sink's Watcher.
func (w *watched) Segment(of measure.Segment, added *measure.SegmentDelta) {
	key := armOf{policy: of.PolicyVersion}
	switch {
	case of.Variant.Variant == w.of.Stable && of.Version == w.of.StableVersion:
	case of.Variant.Variant == w.of.Candidate && of.Version == w.of.CandidateVersion:
		key.candidate = true
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = true
	arm := w.arms[key]
	if arm == nil {
		arm = &armSums{fed: make([]fedSums, len(w.feedback)), slow: w.of.quantiles()}
		w.arms[key] = arm
	}
	if added.Counts != nil {
		arm.add(added.Counts)
	}
	for minute, m := range added.Minutes {
		young := false
		for i := range w.feedback {
			if minute < w.feedback[i].cut {
				arm.fed[i].add(w.feedback[i].kind, m)
			} else {
				young = true
			}
		}
		if !young {
			continue
		}
		key := youngMinute{key, minute}
		if w.young[key] == nil {
			w.young[key] = new(measure.SegmentMinute)
		}
		w.young[key].Merge(w.wanted(m))
	}
}

// wanted leaves out the kinds of outcomes that no metric is about: minutes may have to be kept for days.
func (w *watched) wanted(m *measure.SegmentMinute) *measure.SegmentMinute {
	kept := &measure.SegmentMinute{Cells: m.Cells}
	for i := range m.Kinds {
		if slices.ContainsFunc(w.feedback, func(r ripening) bool { return r.kind == m.Kinds[i].Kind }) {
			kept.Kinds = append(kept.Kinds, m.Kinds[i])
		}
	}
	return kept
}

// quantiles tells whether any metric is about a quantile of the latency, which is all that sketches are for.
func (of *evidenceOf) quantiles() bool {
	for i := range of.Metrics {
		if m := &of.Metrics[i]; m.Quantile > 0 || strings.Contains(m.Expr, "latency.p") {
			return true
		}
	}
	return false
}

// ripen takes in the feedback on decisions that have become old enough, and tells whether there is any. A clock that is set back takes
// nothing back.
func (w *watched) ripen(now time.Time) (any bool) {
	for i := range w.feedback {
		r := &w.feedback[i]
		before, cut := r.cut, measure.Minute(now.Add(-r.maturity))
		if cut <= before {
			continue
		}
		r.cut = cut
		for key, m := range w.young {
			if key.minute >= before && key.minute < cut {
				w.arms[key.armOf].fed[i].add(r.kind, m)
				any = true
			}
		}
	}
	if !any {
		return false
	}
	oldest := int64(math.MaxInt64)
	for i := range w.feedback {
		oldest = min(oldest, w.feedback[i].cut)
	}
	for key := range w.young {
		if key.minute < oldest {
			delete(w.young, key)
		}
	}
	return true
}

// Shadow implements the sink's Watcher.
func (w *watched) Shadow(of measure.ShadowMinute, added *event.Comparison) {
	if of.Shadow.Shadow != w.of.Candidate || of.ShadowVersion != w.of.CandidateVersion || of.Primary != w.of.Stable || of.PrimaryVersion != w.of.StableVersion {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = true
	w.copies.add(added)
}

// askDisputed is how often feedback on disagreements is asked for: it is joined by the file.
const askDisputed = 5 * time.Second

// judged asks for the disagreements that feedback has judged, where a metric wants them and there may be new ones.
func (w *watched) judged(ctx context.Context, sink *telemetrysqlite.Sink, now time.Time) error {
	if w.of.Strategy != release.Shadow || !w.rated() {
		return nil
	}
	applied := sink.Applied()
	w.mu.Lock()
	fresh := w.disputed != nil && (applied == w.applied || now.Sub(w.disputedAt) < askDisputed && !now.Before(w.disputedAt))
	w.mu.Unlock()
	if fresh {
		return nil
	}
	all, err := sink.Judged(ctx, telemetrysqlite.ShadowQuery{
		Service: w.of.Service, Shadow: w.of.Candidate, From: w.of.Since, To: now.Add(time.Hour),
	})
	if err != nil {
		return err
	}
	sum := new(release.Disputed)
	for of, list := range all {
		if of.ShadowVersion != w.of.CandidateVersion || of.Primary != w.of.Stable || of.PrimaryVersion != w.of.StableVersion {
			continue
		}
		trial, err := measure.Try(list)
		if err != nil {
			return err
		}
		sum.Stable += trial.PrimaryRight
		sum.Candidate += trial.ShadowRight
		sum.Neither += trial.NeitherRight
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.disputed == nil || *w.disputed != *sum {
		w.changed = true
	}
	w.disputed, w.disputedAt, w.applied = sum, now, applied
	return nil
}

// rated tells whether a metric is about right predictions.
func (w *watched) rated() bool {
	for i := range w.feedback {
		if w.feedback[i].kind == "" {
			return true
		}
	}
	return false
}
