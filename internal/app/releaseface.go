package app

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
)

// StartRelease implements api.Releaser.
func (r *releases) StartRelease(ctx context.Context, name string, s api.ReleaseStart) (api.Release, error) {
	n := successor{name, s.By, s.Why}
	d, busy, err := r.begin(ctx, n)
	if busy != "" && s.Supersede {
		var id string
		if id, err = r.supersede(ctx, busy, n); err == nil && id == "" { // it has ended by itself meanwhile
			d, _, err = r.begin(ctx, n)
			id = d.State.ID
		}
		d.State.ID = id
	}
	if err != nil {
		return api.Release{}, err
	}
	return r.Release(ctx, d.State.ID)
}

// supersede aborts a release, and returns its successor once that has begun; "" where the release has ended before.
func (r *releases) supersede(ctx context.Context, id string, n successor) (next string, err error) {
	why := n.Why
	if why == "" {
		why = "it begins anew"
	}
	service := ""
	err = r.command(ctx, id, func(t *turn) (in release.Input) {
		service = t.after.State.Plan.Service
		t.after.Next = &n
		if t.after.State.Phase != release.RollingBack {
			in.Command = &release.Command{What: release.WantAbort, By: n.By, Why: why}
		}
		return in
	})
	if err != nil {
		if over, seen := r.Release(ctx, id); seen == nil && over.Over() {
			return "", nil
		}
		return "", err
	}
	for {
		r.mu.Lock()
		changed, refused := r.changed, r.refused[id]
		r.mu.Unlock()
		if refused != nil {
			return "", fault.New(fault.KindOf(refused), "release %s is aborted, and nothing begins in its place: %w", id, refused)
		}
		if next, err := r.activeOf(ctx, service); err == nil && next != id {
			return next, nil
		}
		select {
		case <-changed:
		case <-time.After(releaseEvery): // what somebody else writes is not told here
		case <-r.stopped:
			return "", fault.Unavailablef("release %s is aborted, and the server is stopping; what takes its place begins when it is started again", id)
		case <-ctx.Done():
			return "", fault.Unavailablef("release %s is aborted; what takes its place begins once that is done: %w", id, ctx.Err())
		}
	}
}

// activeOf returns which release leads a service; NotFound: none does.
func (r *releases) activeOf(ctx context.Context, service string) (id string, err error) {
	err = r.State.View(ctx, func(reader store.Reader) error {
		a, err := getJSON[activeDoc](reader, activeKey(service))
		id = a.ID
		return err
	})
	return id, err
}

// CommandRelease implements api.Releaser.
func (r *releases) CommandRelease(ctx context.Context, named string, c release.Command) (api.Release, error) {
	var id string
	err := r.State.View(ctx, func(reader store.Reader) (err error) {
		id, err = findRelease(reader, named)
		return err
	})
	if err != nil {
		return api.Release{}, err
	}
	if err := r.command(ctx, id, func(*turn) release.Input { return release.Input{Command: &c} }); err != nil {
		return api.Release{}, err
	}
	return r.Release(ctx, id)
}

// commandTries is how often a command is tried where somebody else is faster.
const commandTries = 5

// command takes a release on by what somebody wants.
func (r *releases) command(ctx context.Context, id string, wish func(*turn) release.Input) error {
	var err error
	for range commandTries {
		var changed []string
		if changed, err = r.load(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		r.stale = append(r.stale, changed...) // the next tick applies what somebody else has written
		one := r.running[id]
		r.mu.Unlock()
		if one == nil {
			return r.ended(ctx, id, wish)
		}
		var refused bool
		if refused, err = r.commandOne(ctx, one, wish); err == nil || refused || fault.KindOf(err) != fault.Conflict {
			return err
		}
	}
	return err
}

// commandOne is command of a release that is under way. What its phase does not allow is refused.
func (r *releases) commandOne(ctx context.Context, one *life, wish func(*turn) release.Input) (refused bool, err error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	now := r.Now()
	t := &turn{one: one, after: one.doc, now: now}
	in := wish(t)
	if t.after.State, t.told, err = release.Step(one.doc.State, in, now); err != nil {
		return true, err
	}
	if in.Command != nil && in.Command.What == release.WantRetry {
		one.retry = time.Time{}
	}
	err = r.write(ctx, t)
	r.hasten()
	return false, err
}

// ended tells why a release that has ended takes no commands.
func (r *releases) ended(ctx context.Context, id string, wish func(*turn) release.Input) error {
	t := &turn{}
	err := r.State.View(ctx, func(reader store.Reader) (err error) {
		t.after, _, err = getRelease(reader, id)
		return err
	})
	if err != nil {
		return err
	}
	if !t.after.State.Over() {
		return fault.Conflictf("release %s was changed meanwhile", id).WithHint("try again")
	}
	before := t.after.State
	if _, _, err = release.Step(before, wish(t), r.Now()); err == nil {
		err = fault.Conflictf("release %s has ended", id)
	}
	return err
}

// Releases implements api.Releases.
func (r *releases) Releases(ctx context.Context) ([]api.Release, error) {
	all, err := releaseBook{r.State, r.Now}.Releases(ctx)
	for i := range all {
		if doc := r.shown(all[i].ID); doc != nil {
			drift := all[i].Drift
			all[i] = shownRelease(doc, drift, nil)
		}
		r.led(&all[i])
	}
	return all, err
}

// led tells whether the release is led in this process.
func (r *releases) led(one *api.Release) {
	one.Unled, one.Percent = "", one.State.Percent()
	if !one.Over() && r.Traffic.leases.lapsed(one.Plan.Service) {
		unled(one, "nothing could see to it for longer than its lease (the log of the server says why), and its candidate gets nobody until that is mended")
	}
}

// unled says of a release why nobody leads it.
func unled(one *api.Release, why string) { one.Unled, one.Percent = why, 0 }

// Release implements api.Releases.
func (r *releases) Release(ctx context.Context, id string) (api.Release, error) {
	one, err := releaseBook{r.State, r.Now}.Release(ctx, id)
	if doc := r.shown(one.ID); err == nil && doc != nil && doc.State.Seq == one.Seq {
		one = shownRelease(doc, one.Drift, one.Journal)
	}
	r.led(&one)
	return one, err
}

// Follow implements api.Releases.
func (r *releases) Follow(ctx context.Context, id string, after int, each func(api.Release) error) error {
	return followRelease(ctx, id, after, r.Release, func() <-chan struct{} {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.changed
	}, r.stopped, each)
}

// shown is a release that is under way, as it stands.
func (r *releases) shown(id string) *releaseDoc {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.running[id]; one != nil {
		return one.shown.Load()
	}
	return nil
}

// releaseBook tells of releases what is written down of them.
type releaseBook struct {
	state store.State
	now   func() time.Time
}

// Releases implements api.Releases.
func (b releaseBook) Releases(ctx context.Context) (all []api.Release, err error) {
	err = b.state.View(ctx, func(r store.Reader) error {
		all = nil
		drifts, err := driftsOf(r)
		if err != nil {
			return err
		}
		return r.Scan(statePrefix, func(doc store.Doc) error {
			d, err := decodeJSON[releaseDoc](doc)
			if err != nil {
				return err
			}
			all = append(all, shownRelease(&d, drifts[d.State.Plan.Service], nil))
			return b.led(r, &all[len(all)-1])
		})
	})
	slices.SortStableFunc(all, func(a, b api.Release) int {
		if a.Over() != b.Over() {
			return cmp.Compare(btoi(a.Over()), btoi(b.Over()))
		}
		return b.Started.Compare(a.Started)
	})
	return all, err
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Release implements api.Releases.
func (b releaseBook) Release(ctx context.Context, named string) (one api.Release, err error) {
	err = b.state.View(ctx, func(r store.Reader) error {
		id, err := findRelease(r, named)
		if err != nil {
			return err
		}
		d, _, err := getRelease(r, id)
		if err != nil {
			return err
		}
		drift, err := driftOf(r, d.State.Plan.Service)
		if err != nil {
			return err
		}
		journal, err := journalOf(r, id, 0)
		if err != nil {
			return err
		}
		one = shownRelease(&d, drift, journal)
		return b.led(r, &one)
	})
	return one, err
}

// led tells whether somebody may still lead the release, by the lease that was written down last.
func (b releaseBook) led(r store.Reader, one *api.Release) error {
	if one.Over() {
		return nil
	}
	traffic, err := getTraffic(r, one.Plan.Service)
	if err != nil {
		return err
	}
	if led := traffic.Release; led != nil && led.Name == one.ID && led.Lapsed(b.now()) {
		unled(one, "nobody has seen to it since "+led.Lease.UTC().Format(time.RFC3339)+" at the latest, and its candidate gets nobody until a server does")
	}
	return nil
}

// Follow implements api.Releases.
func (b releaseBook) Follow(ctx context.Context, id string, after int, each func(api.Release) error) error {
	return followRelease(ctx, id, after, b.Release, func() <-chan struct{} { return nil }, nil, each)
}

// driftOf tells how a service differs from the file, "" if it does not.
func driftOf(r store.Reader, service string) (string, error) {
	doc, err := getTraffic(r, service)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return "", nil // it was never told of
	case err != nil || doc.Roles == nil:
		return "", err
	}
	return doc.Roles.drift(), nil
}

// driftsOf tells how services differ from the file.
func driftsOf(r store.Reader) (map[string]string, error) {
	docs, err := allTraffic(r)
	drifts := make(map[string]string, len(docs))
	for i := range docs {
		if docs[i].Roles != nil {
			drifts[docs[i].Service] = docs[i].Roles.drift()
		}
	}
	return drifts, err
}

func shownRelease(d *releaseDoc, drift string, journal []release.Transition) api.Release {
	shown := api.NewRelease(d.State, drift, journal)
	shown.Hooks = slices.Clone(d.Hooks)
	shown.Kept = maps.Clone(d.State.Kept)
	return shown
}

// followRelease tells of a release as it goes on. Whoever is told waits for changed, and looks by itself besides, for what another process writes.
func followRelease(ctx context.Context, named string, after int, read func(context.Context, string) (api.Release, error), changed func() <-chan struct{}, stopped <-chan struct{}, each func(api.Release) error) error {
	ticker := time.NewTicker(releaseEvery)
	defer ticker.Stop()
	var last *api.Release
	for {
		next := changed() // before it is read: what comes in between is seen at once
		one, err := read(ctx, named)
		if err != nil {
			return err
		}
		named = one.ID // whatever begins meanwhile by the same template is another one
		if last == nil || last.Unled != one.Unled || news(&last.State, &one.State) {
			last = &one
			told := one
			told.Journal = slices.DeleteFunc(slices.Clone(one.Journal), func(t release.Transition) bool { return t.Seq <= after })
			after = max(after, one.Seq)
			if err := each(told); err != nil {
				return err
			}
		}
		if one.Over() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stopped:
			return fault.Unavailablef("the server is stopping").WithHint("the release goes on when it is started again")
		case <-next:
		case <-ticker.C:
		}
	}
}
