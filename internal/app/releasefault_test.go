package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/stat"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/disk"
)

// fate is a whole life of releases, and how it ends whoever dies on the way.
type fate struct {
	name  string
	plan  func() release.Plan
	model bool
	// at is what happens in a second. It is called again in the next one until it returns true.
	at    map[int]func(*releaseServer) bool
	hooks func(hook string) error
	ends  map[string]release.Phase // of every release
	share float64                  // of canary in the end
}

func hooked(names ...string) (hooks []release.Hook) {
	for _, name := range names {
		hooks = append(hooks, release.Hook{Name: name, Exec: []string{name}, Timeout: time.Minute})
	}
	return hooks
}

func begins(s *releaseServer) bool {
	_, err := s.StartRelease(s.w.t.Context(), "movies", api.ReleaseStart{By: "ann"})
	return err == nil || fault.KindOf(err) == fault.Conflict // it has begun, though whoever began it died
}

func fates() []fate {
	short := func(hooks ...string) func() release.Plan {
		return func() release.Plan {
			p := moviesPlan(toWeight(20), pauseFor(4*time.Second), toWeight(50), pauseFor(8*time.Second))
			p.Hooks = hooked(hooks...)
			return p
		}
	}
	fails := func(hook string) func(string) error {
		return func(name string) error {
			if name == hook {
				return errors.New("exit status 1")
			}
			return nil
		}
	}
	harm := func(s *releaseServer) bool {
		s.w.sees(s.w.bad)
		return true
	}
	return []fate{
		{
			name: "roles swap", plan: short(), at: map[int]func(*releaseServer) bool{0: begins},
			ends: map[string]release.Phase{"movies-1": release.Promoted}, share: 1,
		},
		{
			name: "hooks promote", plan: short(release.Build, release.Deploy, release.Ready, release.Undo), at: map[int]func(*releaseServer) bool{0: begins},
			ends: map[string]release.Phase{"movies-1": release.Promoted},
		},
		{
			name: "a hook fails", plan: short(release.Build, release.Deploy, release.Undo), at: map[int]func(*releaseServer) bool{0: begins}, hooks: fails(release.Deploy),
			ends: map[string]release.Phase{"movies-1": release.RolledBack},
		},
		{
			name: "harm", plan: short(release.Undo), at: map[int]func(*releaseServer) bool{0: begins, 6: harm},
			ends: map[string]release.Phase{"movies-1": release.RolledBack},
		},
		{
			name: "a model is promoted", plan: short(), model: true, at: map[int]func(*releaseServer) bool{0: begins},
			ends: map[string]release.Phase{"movies-1": release.Promoted},
		},
		{
			name: "an alias is moved on purpose", plan: short(), model: true, at: map[int]func(*releaseServer) bool{0: begins, 5: func(s *releaseServer) bool {
				_, err := s.Registry.MoveAlias(s.w.t.Context(), registry.AliasMove{Model: "m", Alias: "candidate", To: 3, By: "bob", Supersede: true})
				if err == nil {
					s.Moved()
					s.Nudge()
				}
				return err == nil
			}},
			ends: map[string]release.Phase{"movies-1": release.RolledBack, "movies-2": release.Promoted},
		},
	}
}

// live lives a fate with somebody who dies at one of the writes, and others who take it up after a while.
func (f *fate) live(t *testing.T, models *memory, blobs store.Blobs, diesAt int, after bool, away time.Duration) (w *world, writes int) {
	t.Helper()
	w = newWorld(t, f.plan())
	w.allow[1] = true
	if f.hooks != nil {
		w.hooks = f.hooks
	}
	if f.model {
		delete(w.allow, 1)
		w.state, w.blobs = models.clone(), blobs
		w.plan.Model, w.plan.Alias = "m", "champion"
		w.data.variants = map[string]standing{"stable": {There: true, Ref: "models:/m@champion"}, "canary": {There: true, Ref: "models:/m@candidate"}}
	}
	state := &mortal{State: w.state, diesAt: diesAt, after: after}
	s := w.bootUp(state)
	at := copied(f.at)
	for second := range 60 {
		if state.isDead() {
			w.pass(away)
			state = &mortal{State: w.state}
			s = w.bootUp(state)
		}
		if s != nil {
			for when, do := range at {
				if when <= second && do(s) {
					delete(at, when)
				}
			}
			s.turn()
		}
		w.pass(time.Second)
	}
	for key, many := range counts(w.ran) {
		if many > 2 || many > 1 && diesAt == 0 {
			t.Errorf("hook %s ran %d times", key, many)
		}
	}
	return w, state.writes
}

// bootUp is boot where the one who boots may die of it.
func (w *world) bootUp(state *mortal) *releaseServer {
	s, err := w.boot(state)
	if err != nil && !state.isDead() {
		w.t.Fatal(err)
	}
	if err == nil && w.blobs != nil {
		w.reload(s.Registry, s)
	}
	if err != nil {
		return nil
	}
	return s
}

func copied[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func counts(list []string) map[string]int {
	c := map[string]int{}
	for _, s := range list {
		c[s]++
	}
	return c
}

// ended holds the end of a life against the one that it has to have.
func (f *fate) ended(w *world, what string) {
	w.t.Helper()
	all, err := releaseBook{w.state, w.now}.Releases(w.t.Context())
	must(w.t, err)
	got := map[string]release.Phase{}
	for _, r := range all {
		got[r.ID] = r.Phase
	}
	if fmt.Sprint(got) != fmt.Sprint(f.ends) {
		one, err := releaseBook{w.state, w.now}.Release(w.t.Context(), "movies")
		must(w.t, err)
		w.t.Fatalf("%s: it ends with %v, want %v\n%s", what, got, f.ends, story(one))
	}
	w.wantShare(what, f.share)
	w.check(what)
	if f.model {
		r, err := registry.New(registry.Options{Blobs: w.blobs, State: w.state, Now: w.now})
		must(w.t, err)
		v, err := r.Resolve(w.t.Context(), registry.Ref{Model: "m", Alias: "champion"})
		must(w.t, err)
		if live := w.data.Standing("movies", "stable").Bound.Number; live != v.Number || v.Number == 1 {
			w.t.Errorf("%s: the champion is version %d, and stable answers with %d", what, v.Number, live)
		}
	}
}

// withModels is a data directory with versions 1 to 3 of m, of which 1 is champion and 2 candidate. The caller closes it.
func withModels(t *testing.T) (Options, *dataDir) {
	t.Helper()
	o := options(t.TempDir())
	o.Create = true
	d, _, err := hold(t.Context(), o)
	must(t, err)
	models := &running{dir: o.DataDir, client: inProcess(o, d)}
	for v := 1; v <= 3; v++ {
		models.importStump(t, float64(v))
	}
	_, err = d.registry.MoveAlias(t.Context(), registry.AliasMove{Model: "m", Alias: "candidate", To: 2, By: "test"})
	must(t, err)
	return o, d
}

// threeModels are the documents and blobs of a registry with versions 1 to 3 of m, of which 1 is champion and 2 candidate.
func threeModels(t *testing.T) (*memory, store.Blobs) {
	t.Helper()
	o, d := withModels(t)
	m := newMemory()
	must(t, d.state.View(t.Context(), func(r store.Reader) error {
		return r.Scan("", func(doc store.Doc) error {
			return m.Update(t.Context(), func(tx store.Tx) error {
				_, err := tx.Put(doc.Key, doc.Value, store.Absent)
				return err
			})
		})
	}))
	must(t, d.Close())
	blobs, err := disk.Open(o.DataDir, disk.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, blobs.Close()) })
	return m, blobs
}

func TestWhoeverDiesAtAnyWriteOfAReleaseTheNextOneGoesOn(t *testing.T) {
	models, blobs := threeModels(t)
	lives := 0
	for _, f := range fates() {
		t.Run(f.name, func(t *testing.T) {
			w, writes := f.live(t, models, blobs, 0, false, 0)
			f.ended(w, "without a death")
			for diesAt := 1; diesAt <= writes; diesAt++ {
				for _, after := range []bool{false, true} {
					for _, away := range []time.Duration{3 * time.Second, time.Hour, -time.Hour} {
						what := fmt.Sprintf("death at write %d, done: %v, away for %v", diesAt, after, away)
						w, _ := f.live(t, models, blobs, diesAt, after, away)
						f.ended(w, what)
						lives++
					}
				}
			}
		})
	}
	t.Logf("%d lives", lives)
}

func TestTwoWhoRunTheSameReleasesDoNotGetInEachOthersWay(t *testing.T) {
	for _, f := range fates() {
		if f.model {
			continue // the data plane of this test has one follower
		}
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, f.plan())
			w.allow[1] = true
			if f.hooks != nil {
				w.hooks = f.hooks
			}
			a, err := w.boot(w.state)
			must(t, err)
			b, err := w.boot(w.state)
			must(t, err)
			at := copied(f.at)
			for second := range 60 {
				for when, do := range at {
					if when <= second && do(a) {
						delete(at, when)
					}
				}
				first, then := a, b
				if second%3 == 0 {
					first, then = b, a
				}
				first.turn()
				then.turn()
				w.pass(time.Second)
			}
			if a.share != f.share || b.share != f.share {
				t.Errorf("the candidate has %v in the one data plane, and %v in the other", a.share, b.share)
			}
			f.ended(w, "two of them")
		})
	}
}

func TestWhoWakesUpLateDoesNotUndoWhatOthersHaveWritten(t *testing.T) {
	plan := moviesPlan(toWeight(20), pauseFor(time.Hour))
	plan.OnRestart = release.Hold
	w, a := booted(t, plan)
	a.start()
	b, err := w.boot(w.state)
	must(t, err)
	b.turn()
	a.pass(time.Minute) // which is longer than the lease that b has seen
	written := func() time.Duration {
		d, err := releaseBook{w.state, w.now}.Release(t.Context(), "movies")
		must(t, err)
		return d.Elapsed
	}
	before := written()
	b.turn()
	if after := written(); before < 10*time.Second || after < before {
		t.Errorf("%v of the step were over, and now %v", before, after)
	}
	w.wantShare("both run it", 0.2)
	if r := a.newest(); r.Held != "" {
		t.Errorf("the one takes up what the other runs: held %q", r.Held)
	}
}

func TestNobodyWhoCannotWriteKeepsTheCandidateOn(t *testing.T) {
	w := newWorld(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
	state := &mortal{State: w.state}
	s, err := w.boot(state)
	must(t, err)
	s.start()
	s.turn()
	w.wantShare("begun", 0.2)
	state.mu.Lock()
	state.dead = true // the disk is full
	state.mu.Unlock()
	s.pass(10 * time.Second)
	w.wantShare("the lease holds", 0.2)
	w.sees(w.bad)
	s.turn()
	w.wantShare("harm waits for no disk", 0)
	state.mu.Lock()
	state.dead = false
	state.mu.Unlock()
	s.turn()
	s.wantPhase("the disk is back", release.RolledBack)
	s.turn()
	w.check("the disk is back")
}

func TestHarmThatCouldNotBeWrittenDownIsNotForgotten(t *testing.T) {
	plan := moviesPlan(toWeight(20), pauseFor(time.Hour))
	plan.Metrics = []release.Metric{{Name: "errors", Role: release.Guardrail, Measure: release.Errors, Versus: true, Margin: 0.01}}
	w := newWorld(t, plan)
	state := &mortal{State: w.state}
	s, err := w.boot(state)
	must(t, err)
	// The candidate fails always, and nobody asks any more: there are no other figures.
	harm := []release.Segment{{Share: 0.2}}
	harm[0].Candidate.Erred = 100
	for b := range release.Buckets {
		harm[0].Stable.Failed[b].Z, harm[0].Candidate.Failed[b] = 20, stat.Pair{Y: 5, Z: 5}
	}
	fine := []release.Segment{{Share: 0.2}}
	sees := func(segments []release.Segment) {
		w.sees(func(time.Time, *evidenceOf) (release.Look, error) {
			return release.Look{Asked: 1, Segments: segments}, nil
		})
	}
	sees(fine)
	s.start()
	s.pass(3 * time.Second)
	dies := func(dead bool) {
		state.mu.Lock()
		defer state.mu.Unlock()
		state.dead = dead
	}
	dies(true)
	sees(harm)
	s.pass(3 * time.Second)
	w.wantShare("while the disk is full", 0)
	dies(false)
	s.turn()
	s.wantPhase("the disk is back", release.RolledBack)
}

func TestPeopleWhoCannotBeToldForAnHourAreToldAllOfItOnce(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
	w.told.down = true
	s.start()
	s.pass(10 * time.Minute)
	w.sees(w.bad)
	s.pass(50 * time.Minute)
	s.wantPhase("while nobody can be told", release.RolledBack)
	if len(w.told.heard) != 0 {
		t.Fatal("somebody heard of it")
	}
	w.told.down = false
	s.pass(6 * time.Minute)
	w.check("told late")
	if w.told.times != len(w.told.heard) {
		t.Errorf("%d messages were told %d times", len(w.told.heard), w.told.times)
	}
	subjects := strings.Join(slices.Collect(values(w.told.heard)), "\n")
	if !strings.Contains(subjects, "movies-1: it goes back to stable: it fails too often") {
		t.Errorf("people were told\n%s", subjects)
	}
}

func values(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}
