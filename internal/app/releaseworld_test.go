package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/traffic"
)

// world is what is around those who run the releases of the service movies: it goes on when they die.
type world struct {
	*clock
	t     *testing.T
	state *memory
	plan  release.Plan
	data  *fakeData
	told  *listener
	blobs store.Blobs

	mu     sync.Mutex
	looks  func(now time.Time, of *evidenceOf) (release.Look, error)
	hooks  func(hook string) error
	ran    []string // keys of hooks
	shares []float64
	policy uint64           // the version that decided last
	allow  map[float64]bool // the shares that the candidate may have
}

// fakeData is a data plane that has what it is told to have.
type fakeData struct {
	mu       sync.Mutex
	variants map[string]standing
	mirrored float64
}

func (f *fakeData) Standing(_, variant string) standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.variants[variant]
}

func (f *fakeData) Mirror(_, _ string, share float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mirrored = share
}

// is lets a variant stand otherwise from now on.
func (f *fakeData) is(variant string, change func(*standing)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.variants[variant]
	change(&s)
	f.variants[variant] = s
}

// listener is whom people are told by.
type listener struct {
	mu    sync.Mutex
	down  bool
	heard map[string]string // subjects by key
	times int
}

func (l *listener) Name() string { return "listener" }

func (l *listener) Send(_ context.Context, m notify.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return fault.Unavailablef("nobody answers")
	}
	l.heard[m.Key], l.times = m.Subject, l.times+1
	return nil
}

// newWorld has the service movies, whose variants stable and canary are upstreams, and a plan for them.
func newWorld(t *testing.T, plan release.Plan) *world {
	t.Helper()
	w := &world{
		clock: &clock{at: time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)}, t: t, state: newMemory(), plan: plan,
		data: &fakeData{variants: map[string]standing{
			"stable": {There: true, Bound: release.Bound{Version: "one"}}, "canary": {There: true, Bound: release.Bound{Version: "two"}},
		}},
		told: &listener{heard: map[string]string{}}, allow: map[float64]bool{0: true},
	}
	for _, s := range plan.Steps {
		if s.Kind == release.SetWeight {
			w.allow[s.Percent/100] = true
		}
	}
	w.looks = w.good
	w.hooks = func(string) error { return nil }
	return w
}

// moviesPlan is a plan for the service movies.
func moviesPlan(steps ...release.PlanStep) release.Plan {
	return release.Plan{
		Name: "movies", Service: "movies", Stable: "stable", Candidate: "canary", Strategy: release.Canary, Steps: steps,
		OnRestart: release.Resume, OnNoData: release.Hold, OnInconclusive: release.Hold, FalseRollback: 0.05, FalsePromotion: 0.05, Lease: 30 * time.Second,
	}
}

func toWeight(percent float64) release.PlanStep {
	return release.PlanStep{Kind: release.SetWeight, Percent: percent}
}

func pauseFor(d time.Duration) release.PlanStep {
	return release.PlanStep{Kind: release.Pause, Duration: d}
}

// good is a look at a candidate that is fine.
func (w *world) good(now time.Time, _ *evidenceOf) (release.Look, error) {
	return release.Look{Asked: uint64(now.Unix()), Others: []release.Verdict{{Metric: "errors", Role: release.Guardrail, Outcome: release.Pass, N: 10, Sentence: "it is fine"}}}, nil
}

// bad is a look at a candidate that fails.
func (w *world) bad(now time.Time, _ *evidenceOf) (release.Look, error) {
	return release.Look{Asked: uint64(now.Unix()), Others: []release.Verdict{{Metric: "errors", Role: release.Guardrail, Outcome: release.Fail, N: 10, Sentence: "it fails too often"}}}, nil
}

// sees lets the looks be others from a time on.
func (w *world) sees(look func(time.Time, *evidenceOf) (release.Look, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = look
}

func (w *world) Look(_ context.Context, of *evidenceOf, now time.Time) (release.Look, error) {
	w.mu.Lock()
	look := w.looks
	w.mu.Unlock()
	return look(now, of)
}

// releaseServer is somebody who runs the releases of a world.
type releaseServer struct {
	*releases
	w       *world
	state   store.State
	traffic *trafficState
	outbox  *notify.Outbox
	share   float64 // that the candidate has in its data plane
}

// boot starts one that writes to state.
func (w *world) boot(state store.State) (*releaseServer, error) {
	log := slog.New(slog.DiscardHandler)
	s := &releaseServer{w: w, state: state}
	s.traffic = newTrafficState(state, w.now, func(service string, weights traffic.Weights, epoch uint32, version uint64) {
		w.apply(service, weights, epoch, version)
		s.share = weights.Share("canary")
	})
	s.outbox = notify.New(notify.Options{State: state, Senders: []notify.Sender{w.told}, Log: log, Now: w.now})
	o := releasesOptions{
		State: state, Traffic: s.traffic, Plane: w.data, Evidence: w, Log: log, Now: w.now, Told: func() {}, Moved: func() {}, RunHook: w.runHook,
		Plan: func(name string) (release.Plan, error) {
			if name != w.plan.Name {
				return release.Plan{}, fault.NotFoundf("no release %s", name)
			}
			return w.plan, nil
		},
	}
	if w.blobs != nil {
		var err error
		if o.Registry, err = registry.New(registry.Options{Blobs: w.blobs, State: state, Now: w.now, Guard: guardAliases}); err != nil {
			return nil, err
		}
		o.Moved = func() { w.reload(o.Registry, s) }
	}
	s.releases = newReleases(o)
	if err := s.Load(w.t.Context()); err != nil {
		return nil, err
	}
	return s, s.traffic.Declare(w.t.Context(), []declared{{"movies", []string{"stable", "canary"}, trafficWeights(w.t, "1", "0")}})
}

// reload is what the follower does: it brings to life what references and pins say.
func (w *world) reload(r *registry.Registry, s *releaseServer) {
	for _, variant := range []string{"stable", "canary"} {
		is := w.data.Standing("movies", variant)
		ref := refOf(is.Ref)
		if number := s.pinned("movies", variant, is.Ref); number > 0 {
			ref = registry.Ref{Model: ref.Model, Number: number}
		}
		if v, err := r.Resolve(w.t.Context(), ref); err == nil {
			w.data.is(variant, func(is *standing) {
				is.Bound = release.Bound{Version: v.Digest.String(), Number: v.Number, Semver: v.Semver}
			})
		}
	}
}

// apply writes down the candidate's share, and holds it against the plan.
func (w *world) apply(_ string, weights traffic.Weights, _ uint32, version uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	share := weights.Share("canary")
	if !w.allow[share] {
		w.t.Errorf("the candidate has %v of the traffic, which no step says", share)
	}
	w.shares, w.policy = append(w.shares, share), version
}

// share is what the candidate has now.
func (w *world) share() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.shares) == 0 {
		return 0
	}
	return w.shares[len(w.shares)-1]
}

func (w *world) runHook(_ context.Context, h *release.Hook, about hookAbout) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ran = append(w.ran, about.Key)
	return "output of " + h.Name, w.hooks(h.Name)
}

// turn takes everything on by one tick, and lets hooks end.
func (s *releaseServer) turn() {
	ctx := s.w.t.Context()
	s.Tick(ctx)
	for _, one := range s.all() {
		one.mu.Lock()
		hook := one.hook
		one.mu.Unlock()
		if hook != nil {
			select {
			case <-hook.ended:
			case <-ctx.Done():
			}
		}
	}
	_ = s.outbox.Deliver(ctx) // a dead one delivers nothing
}

// pass lets time pass, with a tick every second.
func (s *releaseServer) pass(d time.Duration) {
	for range int(d / time.Second) {
		s.w.pass(time.Second)
		s.turn()
	}
}

// start begins the release.
func (s *releaseServer) start() {
	s.w.t.Helper()
	_, err := s.StartRelease(s.w.t.Context(), "movies", api.ReleaseStart{By: "ann"})
	must(s.w.t, err)
}

// newest returns the release as everybody sees it.
func (s *releaseServer) newest() api.Release {
	s.w.t.Helper()
	r, err := s.Release(s.w.t.Context(), "movies")
	must(s.w.t, err)
	return r
}

// story is the journal of a release in lines.
func story(r api.Release) string {
	var b strings.Builder
	for _, t := range r.Journal {
		fmt.Fprintf(&b, "%d %s %g%% %s\n", t.Seq, t.What, t.Percent, t.Sentence)
	}
	return b.String()
}

// check holds what is written down of every release against what was told, once all have been told.
func (w *world) check(what string) {
	w.t.Helper()
	all, err := releaseBook{w.state, w.now}.Releases(w.t.Context())
	must(w.t, err)
	var want []string
	for _, r := range all {
		one, err := releaseBook{w.state, w.now}.Release(w.t.Context(), r.ID)
		must(w.t, err)
		if len(one.Journal) != one.Seq {
			w.t.Errorf("%s: %s has %d transitions, and a journal of %d", what, one.ID, one.Seq, len(one.Journal))
		}
		for i, t := range one.Journal {
			if t.Seq != i+1 {
				w.t.Errorf("%s: transition %d of %s is written as %d", what, i+1, one.ID, t.Seq)
			}
			if t.What.Announced() {
				want = append(want, messageOf(&one.State, &t).Key)
			}
		}
	}
	w.told.mu.Lock()
	defer w.told.mu.Unlock()
	var got []string
	for key := range w.told.heard {
		got = append(got, key)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		w.t.Errorf("%s: people were told of\n%s\nand not of\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
