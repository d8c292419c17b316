package app

import (
	"context"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
)

// begin starts a release by a template, and writes it down. Where another one is under way for the service, that is busy, and a Conflict.
func (r *releases) begin(ctx context.Context, n successor) (d releaseDoc, busy string, err error) {
	plan, roles, err := r.template(ctx, n.Name)
	if err != nil {
		return d, "", err
	}
	now := r.Now()
	t := &turn{one: &life{}, now: now}
	refs, bound, bindErr := r.bind(ctx, &plan)
	err = r.Traffic.Lead(ctx, []string{plan.Service}, func(tx store.Tx, docs []*trafficDoc) (err error) {
		if busy, t.one.active, err = busyWith(tx, plan.Service); err != nil {
			return err
		}
		switch is := docs[0]; {
		case bindErr != nil:
			return bindErr
		case is.File == nil:
			return fault.Conflictf("the service %s is not in the file that the server last ran with", plan.Service)
		case is.Roles.of(plan.Stable) != roles.of(plan.Stable) || is.Roles.of(plan.Candidate) != roles.of(plan.Candidate):
			return fault.Conflictf("the roles of the variants of %s were changed meanwhile", plan.Service).WithHint("try again")
		}
		id, err := nextRelease(tx, n.Name)
		if err != nil {
			return err
		}
		t.after = releaseDoc{Refs: refs}
		if t.after.State, t.told, err = release.Begin(id, plan, bound[0], bound[1], n.By, now); err != nil {
			return err
		}
		return r.put(tx, t, docs[0])
	})
	if err != nil {
		return d, busy, err
	}
	t.one.id = t.after.State.ID
	t.one.mu.Lock() // nobody looks at it before it is whole
	defer t.one.mu.Unlock()
	r.mu.Lock()
	r.running[t.one.id] = t.one
	r.mu.Unlock()
	r.written([]*turn{t}, nil)
	return t.after, "", nil
}

// template is a template as it would begin now: its variants have the roles that releases before have given them.
func (r *releases) template(ctx context.Context, name string) (plan release.Plan, is *roles, err error) {
	if plan, err = r.Plan(name); err != nil {
		return plan, nil, err
	}
	if is, err = r.rolesOf(ctx, plan.Service); err != nil {
		return plan, nil, err
	}
	plan.Stable, plan.Candidate = is.of(plan.Stable), is.of(plan.Candidate)
	return plan, is, nil
}

// busyWith tells which release leads a service and has not ended, as a Conflict, and the revision of the document that names one which has.
func busyWith(r store.Reader, service string) (busy string, active int64, err error) {
	doc, err := r.Get(activeKey(service))
	if fault.KindOf(err) == fault.NotFound {
		return "", store.Absent, nil
	}
	if err != nil {
		return "", 0, err
	}
	a, err := decodeJSON[activeDoc](doc)
	if err != nil {
		return "", 0, err
	}
	d, _, err := getRelease(r, a.ID)
	if err != nil || d.State.Over() {
		return "", doc.Revision, err
	}
	return a.ID, 0, fault.Conflictf("release %s of service %s is under way", a.ID, service).
		WithHint("`serin release watch %s` shows how far it is; `serin release start %s --supersede` aborts it and begins anew", a.ID, d.State.Plan.Name)
}

// rolesOf reads which variants of a service have each other's roles.
func (r *releases) rolesOf(ctx context.Context, service string) (is *roles, err error) {
	err = r.State.View(ctx, func(reader store.Reader) error {
		doc, err := getTraffic(reader, service)
		if fault.KindOf(err) == fault.NotFound {
			_, err = findTraffic(reader, service) // which says what there is
		}
		is = doc.Roles
		return err
	})
	return is, err
}

// bind finds out what stable and the candidate are now.
func (r *releases) bind(ctx context.Context, p *release.Plan) (refs [2]string, bound [2]release.Bound, err error) {
	for i, variant := range []string{p.Stable, p.Candidate} {
		is := r.Plane.Standing(p.Service, variant)
		switch {
		case !is.There:
			return refs, bound, fault.Conflictf("service %s has no variant %s, as it runs", p.Service, variant).WithHint("reload the file (`serin reload`), or mend it")
		case is.Bound.Version == "" || is.Trouble != "" && i == 1:
			return refs, bound, fault.Unavailablef("variant %s of service %s cannot answer yet: %s", variant, p.Service, orLoading(is.Trouble)).
				WithHint("`serin services` shows how it stands")
		}
		refs[i], bound[i] = is.Ref, is.Bound
		if is.Ref == "" {
			continue
		}
		v, err := r.Registry.Resolve(ctx, refOf(is.Ref))
		if err != nil {
			return refs, bound, err
		}
		if v.Digest.String() != is.Bound.Version {
			return refs, bound, fault.Unavailablef("version %d of model %s is being loaded for variant %s", v.Number, v.Model, variant).WithHint("try again in a moment")
		}
	}
	return refs, bound, promotable(p, refs)
}

// promotable tells why the promotion of a model would change nothing that anybody gets.
func promotable(p *release.Plan, refs [2]string) error {
	if p.Model == "" {
		return nil
	}
	stable, candidate := refOf(refs[0]), refOf(refs[1])
	if stable != (registry.Ref{Model: p.Model, Alias: p.Alias}) || candidate.Model != p.Model {
		return fault.Invalidf("a promotion would move alias %q of model %q, which variant %s does not follow, or variant %s is no version of", p.Alias, p.Model, p.Stable, p.Candidate).
			WithHint("let stable be models:/%s@%s, and the candidate a version of the same model", p.Model, p.Alias)
	}
	return nil
}

func orLoading(trouble string) string {
	if trouble == "" {
		return "it is being loaded"
	}
	return trouble
}

// succeed begins what is to take the place of a release that has ended. What cannot be asked yet is waited for, for a while.
func (r *releases) succeed(ctx context.Context, one *life, now time.Time) {
	if one.doc.Next == nil {
		r.forget(one) // somebody else has ended it
		return
	}
	_, busy, err := r.begin(ctx, *one.doc.Next)
	switch {
	case err == nil || busy != "":
		r.forget(one)
		return
	case ctx.Err() != nil:
		return
	case fault.KindOf(err) == fault.Unavailable && now.Sub(one.doc.State.Ended) < successorPatience:
		r.trouble(one, "the release that is to begin in place of another has to wait", err)
		return
	}
	r.Log.Error("the release that was to begin in place of another cannot", "release", one.id, "error", err, "hint", fault.HintOf(err))
	r.mu.Lock()
	r.refused[one.id] = err
	r.mu.Unlock()
	t := &turn{one: one, after: one.doc, now: now}
	t.after.Next = nil
	_ = r.write(ctx, t) // it is in the log, and tried again
}

// successorPatience is how long a release waits for its candidate that begins in place of another.
const successorPatience = 5 * time.Minute
