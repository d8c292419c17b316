package app

import (
	"context"
	"hash/fnv"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
)

// releaseEvery is how often a release is looked at.
const releaseEvery = 500 * time.Millisecond

// lostAfter is how long a candidate may be unable to answer before its release goes back.
const lostAfter = 5 * time.Second

// releases runs the releases of a data directory. What is decided is in package release, and pure; here is what is looked at, written down and
// done:
//
//	look ─► release.Step ─► one transaction: state, journal, messages, weights, and what is due in the documents ─► weights apply
//	                          └─► a hook, outside; its end is the next input
//
// Every turn begins at the documents that were read or written last, and writes only over those: two who run the same releases take turns, and
// whoever comes too late reads anew. Looking is what renews a lease. Who cannot look, or cannot write, leaves it to end.
type releases struct {
	releasesOptions
	nudge   chan struct{}  // holds one: look at once
	hooks   sync.WaitGroup // that run
	stopped chan struct{}  // closed when Run ends
	metrics *releaseMetrics
	failed  string // why the last tick could not read releases; of Tick alone

	mu      sync.Mutex
	running map[string]*life // by id
	changed chan struct{}    // closed and made anew whenever something is to be seen
	refused map[string]error // by id: why its successor did not begin
	stale   []string         // services whose release somebody else was seen to have moved on
}

// releasesOptions are what releases need. All are required but Queries and RunHook.
type releasesOptions struct {
	State    store.State
	Traffic  *trafficState
	Registry *registry.Registry
	Plane    releasePlane
	Evidence looker
	Queries  judgesElsewhere                         // nil: none
	Plan     func(name string) (release.Plan, error) // the template of that name, as the file has it now
	RunHook  runsHook                                // nil: runHook
	Told     func()                                  // called when there is something to tell people
	Moved    func()                                  // called when an alias has moved, or is followed again
	Log      *slog.Logger
	Now      func() time.Time
}

// runsHook runs a hook to its end, and returns the end of what it said.
type runsHook func(ctx context.Context, h *release.Hook, about hookAbout) (said string, err error)

// looker tells what was measured of a release.
type looker interface {
	Look(ctx context.Context, of *evidenceOf, now time.Time) (release.Look, error)
}

// judgesElsewhere gives the verdicts of metrics that are not judged from a look's segments.
type judgesElsewhere interface {
	Verdicts(ctx context.Context, plan *release.Plan, look *release.Look) []release.Verdict
}

// releasePlane is the data plane, as releases see it.
type releasePlane interface {
	// Standing tells how a variant stands.
	Standing(service, variant string) standing
	// Mirror copies a share of the traffic, from 0 to 1, to a variant; below 0 it is as many as the file says.
	Mirror(service, variant string, share float64)
}

// standing is how a variant stands.
type standing struct {
	There   bool
	Ref     string        // of a model; "" of what follows none
	Bound   release.Bound // what answers; its Version is "" where nothing does
	Trouble string        // why it may not be asked; "" if it may, or is still loading
}

// life is a release that is under way, or whose successor is to begin.
type life struct {
	id     string
	shown  atomic.Pointer[releaseDoc] // as it stands, for whoever asks
	nudged atomic.Bool                // its aliases are to be looked at

	mu               sync.Mutex // held from a look to the end of what is written of it
	doc              releaseDoc
	revision, active int64             // of the documents that doc was read from, or written to
	written          time.Time         // when that was; zero: it was read, and its lease is not renewed yet
	until            time.Time         // its lease ends, by a clock that does not step
	troubled         time.Time         // since when the candidate cannot answer; zero: it can
	told             string            // the last trouble in the log
	segments         []release.Segment // that doc's verdicts were made of; nil: not known
	aliasesAt        time.Time         // when its aliases were looked at
	hook             *hookTurn         // that runs, or has ended and is not written down yet; nil: none
	retry            time.Time         // what is due is not done before
	tries            int               // that failed, in a row
}

// newReleases makes what runs releases. Load takes up those that there are.
func newReleases(o releasesOptions) *releases {
	if o.RunHook == nil {
		o.RunHook = runHook
	}
	r := &releases{
		releasesOptions: o, nudge: make(chan struct{}, 1), stopped: make(chan struct{}), running: map[string]*life{}, changed: make(chan struct{}),
		refused: map[string]error{},
	}
	r.metrics = newReleaseMetrics(r)
	return r
}

// Nudge makes Run look at once, and at the aliases too.
func (r *releases) Nudge() {
	for _, one := range r.all() {
		one.nudged.Store(true)
	}
	r.hasten()
}

func (r *releases) hasten() {
	select {
	case r.nudge <- struct{}{}:
	default: // it will look anyway
	}
}

// Run runs releases until ctx ends; it is called once. Hooks that run then are cut off, and run again, with the same keys, when somebody takes
// the releases up.
func (r *releases) Run(ctx context.Context) error {
	defer r.hooks.Wait()
	defer close(r.stopped)
	ticker := time.NewTicker(releaseEvery)
	defer ticker.Stop()
	for {
		r.Tick(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.nudge:
		}
	}
}

// Tick looks at every release once.
func (r *releases) Tick(ctx context.Context) {
	now := r.Now()
	defer func() { r.metrics.ticks.Observe(max(r.Now().Sub(now), 0).Seconds()) }()
	changed, err := r.load(ctx)
	if err == nil && len(changed) > 0 {
		err = r.Traffic.Refresh(ctx, changed)
	}
	r.unread(ctx, err)
	all := r.all()
	due := make([]*turn, len(all))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, one := range all {
		g.Go(func() error {
			due[i] = r.look(ctx, one, now)
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	r.renew(ctx, due)
}

// unread logs why releases cannot be read, once as long as it is the same.
func (r *releases) unread(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the server stops
	}
	before := r.failed
	if r.failed = ""; err == nil {
		return
	}
	if r.failed = err.Error(); r.failed != before {
		r.Log.Error("releases cannot be read; what is known of them goes on", "error", err)
	}
}

// all returns the releases that are under way.
func (r *releases) all() []*life {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*life, 0, len(r.running))
	for _, one := range r.running {
		all = append(all, one)
	}
	return all
}

// Load reads what others have written. Whoever begins to run releases calls it first.
func (r *releases) Load(ctx context.Context) error {
	_, err := r.load(ctx)
	return err
}

// load reads releases that are new, that somebody else has moved on, and that have gone, and returns the services that they lead.
func (r *releases) load(ctx context.Context) (changed []string, err error) {
	before, now := r.all(), r.Now()
	there := map[string]bool{}
	var read []*life
	err = r.State.View(ctx, func(reader store.Reader) error {
		clear(there)
		read = nil
		return activeReleases(reader, func(service string, a activeDoc, revision int64) error {
			there[a.ID] = true
			if r.knows(a.ID, revision) {
				return nil
			}
			one := &life{id: a.ID, active: revision}
			var err error
			if one.doc, one.revision, err = getRelease(reader, a.ID); err != nil {
				return err
			}
			traffic, err := getTraffic(reader, service)
			one.until = now
			if err == nil && traffic.Release != nil {
				one.until = leaseFrom(traffic.Release.Lease, one.doc.State.Plan.Lease, now)
			}
			read = append(read, one)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	changed, r.stale = r.stale, nil
	r.mu.Unlock()
	for _, one := range read {
		r.mu.Lock()
		r.running[one.id] = one
		r.mu.Unlock()
		r.show(one)
		changed = append(changed, one.doc.State.Plan.Service)
	}
	for _, one := range before {
		if !there[one.id] && one.idle(func() bool { return true }) {
			r.forget(one)
			changed = append(changed, one.doc.State.Plan.Service)
		}
	}
	return changed, nil
}

// knows tells whether a release is known as that revision of its active document has it, or is being written.
func (r *releases) knows(id string, active int64) bool {
	r.mu.Lock()
	one := r.running[id]
	r.mu.Unlock()
	return one != nil && !one.idle(func() bool { return one.active < active })
}

// idle tells what is asked of a release that nobody is busy with; false where somebody is, who finds out when it writes.
func (one *life) idle(is func() bool) bool {
	if !one.mu.TryLock() {
		return false
	}
	defer one.mu.Unlock()
	return is()
}

// leaseFrom is when a lease ends that was written down by a clock which may have been set since. One that would end later than the whole of a
// lease from now was written by another clock: nobody knows how long ago, and it has ended.
func leaseFrom(end time.Time, lease time.Duration, now time.Time) time.Time {
	left := end.Sub(now)
	if end.IsZero() || left > lease {
		return now
	}
	return now.Add(left)
}

// show lets others see the release as it stands. The caller has one.mu, or is alone.
func (r *releases) show(one *life) {
	doc := one.doc
	before := one.shown.Swap(&doc)
	if before == nil || news(&before.State, &doc.State) {
		r.mu.Lock()
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
	}
}

// news tells whether people want to know of the difference.
func news(a, b *release.State) bool {
	if a.Seq != b.Seq || a.Held != b.Held || len(a.Verdicts) != len(b.Verdicts) {
		return true
	}
	for i := range a.Verdicts {
		if a.Verdicts[i].Outcome != b.Verdicts[i].Outcome || a.Verdicts[i].N != b.Verdicts[i].N {
			return true
		}
	}
	return false
}

// forget lets a release go that somebody else has moved on, or that has ended; Load reads it anew where it is still there.
func (r *releases) forget(one *life) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[one.id] == one {
		delete(r.running, one.id)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// trouble logs why a release stands still, once as long as it is the same.
func (r *releases) trouble(one *life, what string, err error) {
	if text := what + err.Error(); one.told != text {
		one.told = text
		r.Log.Error(what, "release", one.id, "error", err, "hint", fault.HintOf(err))
	}
}

// renewal is how long after its last writing a release is written again though nothing happened: a third of its lease at most, and not at the
// same time as all others that were started together.
func (one *life) renewal() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(one.id))
	lease := one.doc.State.Plan.Lease
	return lease/3 - time.Duration(uint64(lease/6)*uint64(h.Sum32()%1024)/1024)
}
