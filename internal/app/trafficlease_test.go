package app

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/traffic"
)

// The runner of this test begins a release and hangs, with the lock of all traffic in its hands.
func TestALeaseEndsOnTimeWhateverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
		type word struct {
			share   float64
			version uint64
		}
		words := make(chan word, 100)
		s := newTrafficState(w.state, time.Now, func(_ string, weights traffic.Weights, _ uint32, version uint64) {
			words <- word{weights.Share("canary"), version}
		})
		r := newReleases(releasesOptions{
			State: w.state, Traffic: s, Plane: w.data, Evidence: w, Log: slog.New(slog.DiscardHandler), Now: time.Now, Told: func() {}, Moved: func() {},
			Plan: func(string) (release.Plan, error) { return w.plan, nil },
		})
		must(t, s.Declare(t.Context(), []declared{{"movies", []string{"stable", "canary"}, trafficWeights(t, "1", "0")}}))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.leases.Run(ctx, slog.New(slog.DiscardHandler)) }()
		_, _, err := r.begin(t.Context(), successor{Name: "movies", By: "ann"})
		must(t, err)
		s.mu.Lock() // somebody waits for a disk that never answers
		began := time.Now()
		for range 2 {
			<-words // the file's, and the release's
		}
		last := <-words
		if took := time.Since(began); took != w.plan.Lease || last.share != 0 || last.version != unwritten {
			t.Errorf("after %v the candidate has %v, by policy version %d", took, last.share, last.version)
		}
		s.mu.Unlock()
		cancel()
		must(t, <-ended)
	})
}

func TestRolesAreExchangedAgainAndAgain(t *testing.T) {
	now := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	file := traffic.Weights{"a": traffic.PercentWeight(90), "b": {}, "c": traffic.PercentWeight(10)}
	var r *roles
	for i, tt := range []struct {
		x, y string
		want map[string]float64
	}{
		{"a", "b", map[string]float64{"a": 0, "b": 0.9, "c": 0.1}},
		{"b", "c", map[string]float64{"a": 0, "b": 0.1, "c": 0.9}},
		{"c", "a", map[string]float64{"a": 0.9, "b": 0.1, "c": 0}},
		{"b", "c", map[string]float64{"a": 0.9, "b": 0, "c": 0.1}},
	} {
		r = r.exchange(tt.x, tt.y, "movies-1", now)
		got := r.swap(file)
		for name, share := range tt.want {
			if got.Share(name) != share {
				t.Errorf("%d: %s has %v, want %v", i, name, got.Share(name), share)
			}
		}
	}
	if r != nil {
		t.Errorf("all is as the file says, and %+v is left", r)
	}
}
