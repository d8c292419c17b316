package app

import (
	"context"
	"time"

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
	Shares   map[uint64]float64
	Metrics  []release.Metric
	Strategy release.Strategy
	Since    time.Time // when the release began
}

// evidence makes looks of what is measured. Its methods may be called at the same time.
type evidence struct {
	sink *telemetrysqlite.Sink
}

// newEvidence makes looks of what the sink holds.
func newEvidence(sink *telemetrysqlite.Sink) *evidence { return &evidence{sink: sink} }

// Look returns what was measured of a release up to the last records that the sink has taken in. Its segments are the caller's to read,
// not to change.
func (e *evidence) Look(ctx context.Context, of *evidenceOf, now time.Time) (release.Look, error) {
	return release.Look{}, nil
}
