package app

import (
	"context"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
)

// renew writes the leases that are due, in one transaction, and gives the locks back. Where somebody else has written one of them, each is
// written by itself.
func (r *releases) renew(ctx context.Context, due []*turn) {
	var all []*turn
	for _, t := range due {
		if t != nil {
			all = append(all, t)
			defer t.one.mu.Unlock()
		}
	}
	err := r.commit(ctx, all...)
	if err == nil || len(all) < 2 {
		r.written(all, err)
		return
	}
	for _, t := range all {
		r.written([]*turn{t}, r.commit(ctx, t))
	}
}

// write writes one turn.
func (r *releases) write(ctx context.Context, t *turn) error {
	err := r.commit(ctx, t)
	r.written([]*turn{t}, err)
	return err
}

// written takes in that turns were written, or why they were not.
func (r *releases) written(all []*turn, err error) {
	for _, t := range all {
		one := t.one
		if err != nil {
			if fault.KindOf(err) == fault.Conflict {
				r.Log.Info("somebody else has moved a release on; it is read anew", "release", one.id)
				r.forget(one)
				r.mu.Lock()
				r.stale = append(r.stale, one.doc.State.Plan.Service)
				r.mu.Unlock()
				continue
			}
			r.trouble(one, "a release cannot be written down; its candidate gets nothing once its lease has ended", err)
			if t.after.State.Percent() == 0 && one.doc.State.Percent() > 0 { // it is to have nothing: that waits for no disk
				r.Traffic.leases.end(t.after.State.Plan.Service)
			}
			continue
		}
		one.doc, one.segments, one.revision, one.active, one.written, one.told = t.after, t.segments, t.revision, t.active, t.now, ""
		one.until = t.now.Add(t.after.State.Plan.Lease)
		one.settleHook(t)
		r.show(one)
		announced := false
		for i := range t.told {
			tell := &t.told[i]
			announced = announced || tell.What.Announced()
			r.Log.Info("release: "+tell.Sentence, "release", one.id, "seq", tell.Seq, "what", string(tell.What), "by", tell.By, "percent", tell.Percent)
		}
		if announced {
			r.Told()
		}
		if one.doc.State.Over() {
			r.Plane.Mirror(one.doc.State.Plan.Service, one.doc.State.Plan.Candidate, -1)
			if one.doc.Next == nil {
				r.forget(one)
			} else {
				r.hasten()
			}
		}
		if t.moved || one.doc.State.Over() {
			r.Moved() // what was pinned follows its alias again
		}
	}
}

// commit writes turns and what is due in the documents, in one transaction, and lets the weights apply. What was decided is written even as the
// server stops.
func (r *releases) commit(ctx context.Context, all ...*turn) error {
	if len(all) == 0 {
		return nil
	}
	services := make([]string, len(all))
	for i, t := range all {
		services[i] = t.one.doc.State.Plan.Service
	}
	return r.Traffic.Lead(context.WithoutCancel(ctx), services, func(tx store.Tx, docs []*trafficDoc) error {
		for i, t := range all {
			if err := r.put(tx, t, docs[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// put writes one turn: the state over the one that it was made of, the journal, the messages, and the traffic of the service.
func (r *releases) put(tx store.Tx, t *turn, traffic *trafficDoc) error {
	before := *traffic
	if err := r.settle(tx, t, traffic); err != nil {
		return err
	}
	d := &t.after
	s := &d.State
	var err error
	if t.revision, err = putRelease(tx, d, t.one.revision); err != nil {
		return err
	}
	if t.active, err = putActive(tx, d, t.one.active, len(t.told) > 0); err != nil {
		return err
	}
	why := ""
	for i := range t.told {
		tell := &t.told[i]
		why = tell.Sentence
		if err := putJSON(tx, journalKey(s.ID, tell.Seq), journalDoc{trafficFormat, *tell}, store.Absent); err != nil {
			return err
		}
		if tell.What.Announced() {
			if err := notify.Put(tx, messageOf(s, tell)); err != nil {
				return err
			}
		}
	}
	if traffic.Override != before.Override {
		not := s.Plan.Candidate
		if s.Phase == release.Promoting || s.Phase == release.Promoted {
			not = s.Plan.Stable
		}
		why += "; the override of " + before.Override.Author + " gives " + not + " nothing any more"
	}
	return traffic.follow(tx, s, &before, why, t.now)
}

// putActive says that a release leads its service, or that none does. Without news it stays as it is.
func putActive(tx store.Tx, d *releaseDoc, was int64, news bool) (int64, error) {
	key := activeKey(d.State.Plan.Service)
	switch {
	case d.State.Over() && d.Next == nil:
		return store.Absent, tx.Delete(key, was)
	case !news && was != store.Absent:
		return was, nil
	}
	b, err := marshal(key, activeDoc{Format: trafficFormat, ID: d.State.ID, Aliases: d.boundAliases()})
	if err != nil {
		return 0, err
	}
	return tx.Put(key, b, was)
}

// settle does what is due and is done by writing, in the transaction of the state that it is due in: it is done exactly once, whatever
// happens. It stops at what is to be done outside.
func (r *releases) settle(tx store.Tx, t *turn, traffic *trafficDoc) error {
	s := &t.after.State
	for len(s.Due) > 0 {
		done := release.Done{Key: s.Due[0].Key}
		switch s.Due[0].Kind {
		case release.RunHook:
			return nil
		case release.BumpEpoch:
			traffic.Epoch++
		case release.SwapRoles:
			traffic.Roles = traffic.Roles.exchange(s.Plan.Stable, s.Plan.Candidate, s.ID, t.now)
			traffic.withhold(s.Plan.Stable) // an override of before would send everybody back
		case release.MoveAlias:
			refused, err := r.moveAlias(tx, s, s.Stable.Number, s.Bound.Number)
			if err != nil {
				return err
			}
			if refused != nil {
				done.Err = refused.Error()
			} else {
				t.after.Moved, t.moved = true, true
			}
		case release.LetGo:
			if s.Phase == release.RollingBack && t.after.Moved { // the promotion is taken back
				if _, err := r.moveAlias(tx, s, s.Bound.Number, s.Stable.Number); err != nil {
					return err
				}
				t.after.Moved, t.moved = false, true
			}
			if s.Phase == release.RollingBack {
				traffic.withhold(s.Plan.Candidate)
			}
			if why, ready := r.letsGo(s); !ready {
				if done.Err = why; why == "" {
					return nil
				}
			}
		}
		next, told, err := release.Step(*s, release.Input{Done: &done}, t.now)
		if err != nil {
			return err
		}
		*s, t.told = next, append(t.told, told...)
		if done.Err != "" && len(s.Due) > 0 && s.Due[0].Key == done.Key {
			return nil // it is tried again
		}
	}
	return nil
}

// moveAlias moves the alias of a release's model. It is refused where somebody else has moved it, or the version is gone.
func (r *releases) moveAlias(tx store.Tx, s *release.State, from, to int) (refused, err error) {
	_, err = r.Registry.MoveAliasIn(tx, registry.AliasMove{
		Model: s.Plan.Model, Alias: s.Plan.Alias, To: to, Expect: &from, By: "release " + s.ID, Why: string(s.Phase), Supersede: true,
	})
	if kind := fault.KindOf(err); kind == fault.Conflict || kind == fault.NotFound {
		return err, nil
	}
	return nil, err
}

// settles tells whether something is due that settle would do now, or has failed.
func (r *releases) settles(s *release.State) bool {
	if len(s.Due) == 0 || s.Due[0].Kind == release.RunHook {
		return false
	}
	if s.Due[0].Kind != release.LetGo {
		return true
	}
	_, ready := r.letsGo(s)
	return ready
}

// letsGo tells whether a release may let go of its weights. After the promotion of a model it waits until stable answers with the version
// that is promoted: until then nobody is sent back to the one before.
func (r *releases) letsGo(s *release.State) (why string, ready bool) {
	if s.Phase != release.Promoting || s.Plan.Model == "" {
		return "", true
	}
	stable := r.Plane.Standing(s.Plan.Service, s.Plan.Stable)
	if !stable.There || stable.Bound.Version == s.Bound.Version {
		return "", true
	}
	return stable.Trouble, false
}
