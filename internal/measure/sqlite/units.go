package sqlite

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// scopeKey is what units are told apart in: a unit that moves to another epoch is drawn anew.
type scopeKey struct {
	service string
	epoch   uint32
}

// scope is a scopeKey's row.
type scope struct {
	id     int64
	units  int64
	shares map[shareKey]*share
	recent map[int64]struct{} // units whose rows are in the file, so that those who come back at once are not asked for; no more than mostRecent
}

const mostRecent = 1 << 16

// saw notes a unit whose row is in the file, or will be with this transaction.
func (c *scope) saw(unit int64) {
	if len(c.recent) >= mostRecent {
		clear(c.recent)
	}
	if c.recent == nil {
		c.recent = map[int64]struct{}{}
	}
	c.recent[unit] = struct{}{}
}

type shareKey struct {
	policyVersion uint64
	variant       string
}

// share is the probability with which a policy draws a variant, and how many units were first seen there.
type share struct {
	share float64
	units int64
	mixed bool // decisions disagree about the share
}

// unitSeen is a unit in a decision that was drawn by weights.
type unitSeen struct {
	scopeKey
	shareKey
	unit  int64
	alone bool         // it never comes back: it is counted and not remembered
	place event.Offset // of the decision
	share float64
	at    time.Time
}

// unitOf says which unit a decision shows for the sample ratio, if any. Only what weights decided tells whether they were held to,
// also where another variant then had to answer.
func unitOf(at event.Offset, d *event.Decision) (u unitSeen, ok bool) {
	if d.Rank || d.Unit == "" || d.Reason != event.Weights && d.Reason != event.Failover && d.Reason != event.Fallback {
		return u, false
	}
	if !(d.Propensity > 0 && d.Propensity <= 1) {
		return u, false
	}
	u = unitSeen{
		scopeKey: scopeKey{d.Service, d.Epoch}, shareKey: shareKey{d.PolicyVersion, d.Assigned}, alone: d.Alone, place: at,
		share: d.Propensity, at: d.At,
	}
	if !u.alone {
		u.unit = int64(event.Hash(d.Unit))
	}
	return u, true
}

func (s *Sink) loadScopes(ctx context.Context, m *memory) error {
	byID := map[int64]*scope{}
	err := s.rows(ctx, "SELECT id, service, epoch, units FROM scopes", func(scan func(...any) error) error {
		var key scopeKey
		c := &scope{shares: map[shareKey]*share{}}
		err := scan(&c.id, &key.service, &key.epoch, &c.units)
		m.scopes[key], byID[c.id] = c, c
		m.movedSplits[key.service] = true
		return err
	})
	if err != nil {
		return err
	}
	return s.rows(ctx, "SELECT scope, policy_version, variant, share, units, mixed FROM shares", func(scan func(...any) error) error {
		var id, version int64
		var key shareKey
		var row share
		if err := scan(&id, &version, &key.variant, &row.share, &row.units, &row.mixed); err != nil {
			return err
		}
		key.policyVersion = uint64(version)
		if c := byID[id]; c != nil {
			c.shares[key] = &row
		}
		return nil
	})
}

// scopeUnit is a row of units.
type scopeUnit struct{ scope, unit int64 }

// writeUnits counts units that were not seen before in their epoch, each for the share it was first drawn with. One of a request alone
// is new whenever its decision is, which the slots tell: it needs no row, and most requests may be such.
func (s *Sink) writeUnits(ctx context.Context, b *batch) error {
	var keys []any
	seen := map[scopeUnit]bool{}
	for _, u := range b.units {
		c, err := s.scope(ctx, u.scopeKey)
		if err != nil {
			return err
		}
		if u.alone {
			continue
		}
		if _, recent := c.recent[u.unit]; recent {
			continue
		}
		row := scopeUnit{c.id, u.unit}
		if _, asked := seen[row]; !asked && c.units < int64(s.options.MaxUnits) {
			seen[row] = false
			keys = append(keys, row.scope, row.unit)
		}
	}
	if err := s.sql.unitsOf.each(ctx, keys, func(scan func(...any) error) error {
		var row scopeUnit
		err := scan(&row.scope, &row.unit)
		seen[row] = true
		return err
	}); err != nil {
		return err
	}
	var added []scopeUnit
	changed := map[*scope]map[shareKey]bool{}
	for _, u := range b.units {
		c := s.memory.scopes[u.scopeKey]
		row := scopeUnit{c.id, u.unit}
		isNew := c.units < int64(s.options.MaxUnits)
		if u.alone {
			isNew = isNew && !b.repeated[u.place]
		} else {
			known, asked := seen[row]
			if isNew = isNew && asked && !known; known {
				c.saw(u.unit)
			}
		}
		if err := s.share(ctx, c, u, isNew); err != nil {
			return err
		}
		if !isNew {
			continue
		}
		c.units++
		c.shares[u.shareKey].units++
		s.memory.movedSplits[u.service] = true
		if !u.alone {
			seen[row] = true
			c.saw(u.unit)
			added = append(added, row)
		}
		if changed[c] == nil {
			changed[c] = map[shareKey]bool{}
		}
		changed[c][u.shareKey] = true
	}
	return s.writeUnitRows(ctx, added, changed)
}

func (s *Sink) writeUnitRows(ctx context.Context, added []scopeUnit, changed map[*scope]map[shareKey]bool) error {
	slices.SortFunc(added, func(a, b scopeUnit) int { return cmp.Or(cmp.Compare(a.scope, b.scope), cmp.Compare(a.unit, b.unit)) })
	for _, row := range added {
		if err := s.sql.units.add(ctx, row.scope, row.unit); err != nil {
			return err
		}
	}
	for c, keys := range changed {
		if _, err := s.sql.scopeUnits.ExecContext(ctx, c.units, c.id); err != nil {
			return err
		}
		for key := range keys {
			if _, err := s.sql.shareUnits.ExecContext(ctx, c.shares[key].units, c.id, int64(key.policyVersion), key.variant); err != nil {
				return err
			}
		}
	}
	return nil
}

// scope returns a service's epoch, and makes its row.
func (s *Sink) scope(ctx context.Context, key scopeKey) (*scope, error) {
	if c := s.memory.scopes[key]; c != nil {
		return c, nil
	}
	c := &scope{id: int64(len(s.memory.scopes) + 1), shares: map[shareKey]*share{}}
	if _, err := s.sql.scope.ExecContext(ctx, c.id, key.service, int64(key.epoch)); err != nil {
		return nil, err
	}
	s.memory.scopes[key] = c
	return c, nil
}

// share notes the share that a decision states. A unit that was seen before may state the one of a policy before, with which it was drawn:
// its word counts until that of a new one, and mixes nothing.
func (s *Sink) share(ctx context.Context, c *scope, u unitSeen, isNew bool) error {
	row := c.shares[u.shareKey]
	switch {
	case row == nil:
		c.shares[u.shareKey] = &share{share: u.share}
	case !isNew || row.mixed || math.Abs(row.share-u.share) <= measure.ShareTolerance:
		return nil
	case row.units == 0:
		row.share = u.share
	default:
		row.mixed = true
	}
	s.memory.movedSplits[u.service] = true
	mixed := row != nil && row.mixed
	_, err := s.sql.share.ExecContext(ctx, c.id, int64(u.policyVersion), u.variant, u.share, timeText(u.at), mixed)
	return err
}
