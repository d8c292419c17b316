package registry

import (
	"context"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// AliasMove says where an alias shall point.
type AliasMove struct {
	Model, Alias string
	To           int  // version number; 0 removes the alias
	Expect       *int // where the alias must point now (0: nowhere), if that matters: anything else is Conflict
	By, Why      string
	Supersede    bool // though Options.Guard speaks against it
}

// MoveAlias points an alias at a version and keeps the move. Where the alias points there already, nothing is written, and the
// answer is the zero Move. Both are decided and written in one transaction.
func (r *Registry) MoveAlias(ctx context.Context, m AliasMove) (done Move, err error) {
	if err := checkAlias(m.Alias); err != nil {
		return done, err
	}
	if err := checkAuthor(m.By, m.Why); err != nil {
		return done, err
	}
	err = r.state.Update(ctx, func(tx store.Tx) error {
		done, err = r.MoveAliasIn(tx, m)
		return err
	})
	if err != nil {
		return Move{}, err
	}
	return done, nil
}

// MoveAliasIn is MoveAlias as a part of a transaction of the registry's own State. What is refused, with Conflict or NotFound, has written
// nothing, so that the transaction may go on.
func (r *Registry) MoveAliasIn(tx store.Tx, m AliasMove) (done Move, err error) {
	return r.moveAlias(tx, m, r.clock())
}

func (r *Registry) moveAlias(tx store.Tx, m AliasMove, at time.Time) (done Move, err error) {
	model, modelRevision, err := getModel(tx, m.Model)
	if err != nil {
		return done, err
	}
	key := aliasKey(m.Model, m.Alias)
	now, revision, err := get[aliasDoc](tx, key)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return done, err
	}
	if m.Expect != nil && *m.Expect != now.Number {
		return done, fault.Conflictf("alias %q of model %q points at %s, not at %s", m.Alias, m.Model, pointsAt(now.Number), pointsAt(*m.Expect)).
			WithHint("somebody moved it meanwhile: look at serin model show %s, and decide anew", m.Model)
	}
	if m.To == 0 && now.Number == 0 {
		return done, fault.NotFoundf("model %q has no alias %q", m.Model, m.Alias)
	}
	if m.To == now.Number {
		return done, nil
	}
	if r.guard != nil && !m.Supersede {
		if err := r.guard(tx, m.Model, m.Alias); err != nil {
			return done, err
		}
	}
	if m.To == 0 {
		err = tx.Delete(key, revision)
	} else if _, err = resolve(tx, Ref{Model: m.Model, Number: m.To}); err == nil {
		err = put(tx, key, aliasDoc{docFormat, m.Alias, m.To}, revision)
	}
	if err != nil {
		return done, err
	}
	model.Moves++
	done = Move{Seq: model.Moves, Alias: m.Alias, From: now.Number, To: m.To, At: at, By: m.By, Why: m.Why}
	if err := put(tx, moveKey(m.Model, done.Seq), moveDoc{docFormat, done}, store.Absent); err != nil {
		return done, err
	}
	return done, put(tx, modelKey(m.Model), model, modelRevision)
}

func pointsAt(number int) string {
	if number == 0 {
		return "nothing"
	}
	return "version " + strconv.Itoa(number)
}
