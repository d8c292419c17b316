package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
)

func TestTheDocumentsOfAReleaseAreReadAsTheyWereWritten(t *testing.T) {
	plan := moviesPlan(toWeight(20), pauseFor(time.Hour))
	plan.Hooks = hooked(release.Undo)
	w, s := booted(t, plan)
	s.start()
	w.sees(w.bad)
	w.pass(time.Second)
	w.hooks = func(string) error { return fault.Unavailablef("no cluster") }
	for range 3 { // it goes back, the hook runs, and its end is written down
		s.turn()
	}
	var text strings.Builder
	must(t, w.state.View(t.Context(), func(r store.Reader) error {
		for _, prefix := range []string{"release/", "traffic/service/"} {
			if err := r.Scan(prefix, func(d store.Doc) error {
				_, err := fmt.Fprintf(&text, "%s\n%s\n", d.Key, d.Value)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	}))
	golden := filepath.Join("testdata", "release1.golden")
	want, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("the documents (-want +got):\n%s", diff)
	}

	// What the golden file holds is read, and a newer format is not taken for it.
	again := newMemory()
	lines := strings.Split(strings.TrimSpace(string(want)), "\n")
	put := func(key, value string) error {
		return again.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.Put(key, []byte(value), store.Any)
			return err
		})
	}
	for i := 0; i < len(lines); i += 2 {
		must(t, put(lines[i], lines[i+1]))
	}
	got, err := releaseBook{again, w.now}.Release(t.Context(), "movies")
	must(t, err)
	if diff := cmp.Diff(story(s.newest()), story(got)); diff != "" || got.Phase != release.RollingBack || got.Reason != "it fails too often" || len(got.Hooks) != 1 {
		t.Errorf("it is read as %s, for %q, with %d hooks\n%s", got.Phase, got.Reason, len(got.Hooks), diff)
	}
	w.state = again
	after, err := w.boot(again)
	must(t, err)
	w.hooks = func(string) error { return nil }
	after.pass(5 * time.Second)
	if r := after.newest(); r.Phase != release.RolledBack {
		t.Errorf("what was read does not go on: %s, held %q", r.Phase, r.Held)
	}
	must(t, put(stateKey("movies-1"), `{"format":2}`))
	if _, err := (releaseBook{again, w.now}).Release(t.Context(), "movies-1"); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format: %v", err)
	}
}

func TestAReleaseIsFollowedFromWhereOneWas(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
	s.start()
	had := s.newest().Seq
	seen := make(chan api.Release, 100)
	done := make(chan error, 1)
	go func() {
		done <- s.Follow(t.Context(), "movies", had, func(r api.Release) error {
			seen <- r
			return nil
		})
	}()
	if first := <-seen; len(first.Journal) != 0 || first.Percent != 20 {
		t.Errorf("the first look has %d transitions, and %v%%", len(first.Journal), first.Percent)
	}
	w.sees(w.bad)
	w.pass(time.Second)
	s.turn()
	must(t, <-done)
	close(seen)
	next := had + 1
	for r := range seen {
		for _, tell := range r.Journal {
			if tell.Seq != next {
				t.Errorf("transition %d comes where %d is due", tell.Seq, next)
			}
			next++
		}
	}
	if last := s.newest().Seq; next != last+1 {
		t.Errorf("transitions up to %d of %d came", next-1, last)
	}
	_, err := s.Release(t.Context(), "nothing/of the kind")
	if fault.KindOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), "serin release list") {
		t.Errorf("what there is not: %v", err)
	}
}
