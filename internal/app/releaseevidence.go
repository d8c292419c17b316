package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/release"
)

// evidenceOf says which figures a release is judged by.
type evidenceOf struct {
	Service                         string
	Epoch                           uint32
	Stable, Candidate               string // variants
	StableVersion, CandidateVersion string // as bound when the release began; figures of others are left out
	// Shares are the candidate's of what both get, from 0 to 1, by policy version, since the release began. Policy versions that are not
	// among them are left out.
	Shares map[uint64]float64
	// The longest Maturity of the metrics of accuracy holds for all of them, and so does that of the metrics of one kind of outcome. It is
	// counted in whole minutes.
	Metrics  []release.Metric
	Strategy release.Strategy
	Since    time.Time // when the release began
}

// evidence makes looks of what is measured. Its methods may be called at the same time.
//
//	log ─► follower ─► sink ─► watched (sums of one release) ─► Look
type evidence struct {
	sink *telemetrysqlite.Sink
	lag  func() measure.Lag // of the follower

	mu      sync.Mutex
	watched map[string]*watched // by service
}

// newEvidence makes looks of what the sink holds, and of what it takes in from then on; lag tells how far it is.
func newEvidence(sink *telemetrysqlite.Sink, lag func() measure.Lag) *evidence {
	return &evidence{sink: sink, lag: lag, watched: map[string]*watched{}}
}

// stale is after how long figures that stand still are none.
const stale = 10 * time.Second

// blind tells why nobody can see what the variants do now, nil if one can.
func (e *evidence) blind(now time.Time) error {
	lag := e.lag()
	switch {
	case lag.Err != nil:
		return fault.Unavailablef("what is measured stands still: %w", lag.Err)
	case lag.Since.IsZero() || now.Sub(lag.Since) > stale:
		return fault.Unavailablef("what is measured is behind what happens: %d bytes of the log are not read yet", uint64(lag.End-lag.Applied)).
			WithHint("wait; if it lasts, the server's log says why")
	}
	return nil
}

// unasked is after how long a release that nobody asks about is not kept up to date any more.
const unasked = 10 * time.Minute

// Look returns what was measured of a release up to the last records that the sink has taken in. It reads no file but at the first look, and
// makes nothing anew where nothing changed. Its segments are the caller's to read, not to change. While the log is not read up to its end it is
// Unavailable: a candidate must not go on because nobody sees how it does.
func (e *evidence) Look(ctx context.Context, of *evidenceOf, now time.Time) (release.Look, error) {
	if err := e.blind(now); err != nil {
		return release.Look{}, err
	}
	w, err := e.watch(ctx, of, now)
	if err != nil {
		return release.Look{}, err
	}
	if err := w.judged(ctx, e.sink, now); err != nil {
		return release.Look{}, err
	}
	look := w.look(of.Shares, now)
	if r, known := e.sink.Ratio(of.Service); look.Unfit == "" && known && r.Epoch == of.Epoch && r.Alarm {
		look.Unfit = unevenly(of, &r)
	}
	return look, nil
}

// unevenly tells people of a sample-ratio mismatch.
func unevenly(of *evidenceOf, r *measure.Ratio) string {
	return fmt.Sprintf("users do not fall on the variants as the weights say (%d at %s, %d at %s; p %.2g): something loses or moves users of one of them, and they cannot be compared",
		r.Units[of.Stable], of.Stable, r.Units[of.Candidate], of.Candidate, r.P)
}

// watch returns the sums of a release, and begins them where it is another than the last of its service.
func (e *evidence) watch(ctx context.Context, of *evidenceOf, now time.Time) (*watched, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.watched[of.Service]
	if w == nil || !w.of.same(of) {
		for service, other := range e.watched {
			if service == of.Service || now.Sub(other.asked) > unasked {
				other.stop()
				delete(e.watched, service)
			}
		}
		w = newWatched(of)
		stop, err := e.sink.Watch(ctx, telemetrysqlite.Watched{Service: of.Service, Epoch: of.Epoch, Since: of.Since}, w)
		if err != nil {
			return nil, err
		}
		w.stop = stop
		e.watched[of.Service] = w
	}
	w.asked = now
	return w, nil
}

// same tells whether o asks for the same sums. Shares are no part of them.
func (of *evidenceOf) same(o *evidenceOf) bool {
	return of.Service == o.Service && of.Epoch == o.Epoch && of.Stable == o.Stable && of.Candidate == o.Candidate &&
		of.StableVersion == o.StableVersion && of.CandidateVersion == o.CandidateVersion && of.Strategy == o.Strategy &&
		of.Since.Equal(o.Since) && slices.Equal(of.Metrics, o.Metrics)
}

// look makes a look, or returns the last one where nothing changed.
func (w *watched) look(shares map[uint64]float64, now time.Time) release.Look {
	w.mu.Lock()
	defer w.mu.Unlock()
	ripened := w.ripen(now)
	if !w.changed && !ripened && maps.Equal(shares, w.shares) {
		return w.last
	}
	w.changed, w.shares = false, maps.Clone(shares)
	w.last = release.Look{Segments: make([]release.Segment, 0, len(shares)+1)}
	for _, policy := range slices.Sorted(maps.Keys(shares)) {
		stable, candidate := w.arms[armOf{policy, false}], w.arms[armOf{policy, true}]
		if stable == nil && candidate == nil {
			continue
		}
		w.last.Segments = append(w.last.Segments, release.Segment{Share: shares[policy]})
		s := &w.last.Segments[len(w.last.Segments)-1]
		stable.fill(&s.Stable, w.feedback)
		candidate.fill(&s.Candidate, w.feedback)
		w.last.Asked += candidate.asked()
	}
	if s := w.copies.segment(w.of.Strategy); s != nil {
		s.Disputed = w.disputed
		w.last.Segments = append(w.last.Segments, *s)
	}
	w.last.Asked += w.copies.asked()
	if w.of.Strategy == release.Shadow {
		w.last.Unfit = w.copies.unfit()
	}
	return w.last
}
