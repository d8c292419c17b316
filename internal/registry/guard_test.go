package registry

import (
	"context"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

func TestAnAliasThatIsGuardedMovesForNobodyWhoIsNotSure(t *testing.T) {
	h := three(t)
	ctx := context.Background()
	h.guard = func(_ store.Reader, model, alias string) error {
		if model == "m" && alias == Champion {
			return fault.Conflictf("it is bound")
		}
		return nil
	}
	if _, err := h.MoveAlias(ctx, AliasMove{Model: "m", Alias: Champion, To: 2, By: "bob"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("it is moved: %v", err)
	}
	if done, err := h.MoveAlias(ctx, AliasMove{Model: "m", Alias: Champion, To: 1, By: "bob"}); err != nil || done.Seq != 0 {
		t.Errorf("what points there already is refused: %+v, %v", done, err)
	}
	if _, err := h.MoveAlias(ctx, AliasMove{Model: "m", Alias: "candidate", To: 2, By: "bob"}); err != nil {
		t.Errorf("another alias: %v", err)
	}
	before, err := h.Show(ctx, "m")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.commit("m", modelOf(4), CommitOptions{Alias: Champion}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("an import moves it: %v", err)
	}
	if after, err := h.Show(ctx, "m"); err != nil || len(after.All) != len(before.All) {
		t.Errorf("the import left %d versions, %v", len(after.All), err)
	}
	if done, err := h.MoveAlias(ctx, AliasMove{Model: "m", Alias: Champion, To: 2, By: "bob", Supersede: true}); err != nil || done.To != 2 {
		t.Errorf("who is sure cannot move it: %+v, %v", done, err)
	}
}
