package registry

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/serin-ml/serin/internal/fault"
)

func three(t *testing.T) home {
	t.Helper()
	h := newHome(t)
	for i := range 3 {
		h.mustCommit(t, "m", modelOf(i+1), CommitOptions{})
	}
	return h
}

func TestAliasMovesAreKept(t *testing.T) {
	h := three(t)
	ctx := context.Background()
	at := func(n int) *int { return &n }
	for _, m := range []AliasMove{
		{Alias: "candidate", To: 2, By: "bob", Why: "try it"},
		{Alias: "candidate", To: 3, Expect: at(2), By: "bob"},
		{Alias: Champion, To: 3, Expect: at(1), By: "cat", Why: "it won"},
		{Alias: Champion, To: 3, By: "cat", Why: "again: nothing moves"},
		{Alias: "candidate", To: 0, By: "cat"},
		{Alias: "candidate", To: 1, Expect: at(0), By: "dan"},
	} {
		m.Model = "m"
		if _, err := h.MoveAlias(ctx, m); err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
	}
	d, err := h.Show(ctx, "m")
	if err != nil {
		t.Fatal(err)
	}
	want := []Move{
		{Seq: 1, Alias: Champion, To: 1, By: "ann"},
		{Seq: 2, Alias: "candidate", To: 2, By: "bob", Why: "try it"},
		{Seq: 3, Alias: "candidate", From: 2, To: 3, By: "bob"},
		{Seq: 4, Alias: Champion, From: 1, To: 3, By: "cat", Why: "it won"},
		{Seq: 5, Alias: "candidate", From: 3, By: "cat"},
		{Seq: 6, Alias: "candidate", To: 1, By: "dan"},
	}
	if diff := cmp.Diff(want, d.Moves, cmpopts.IgnoreFields(Move{}, "At")); diff != "" {
		t.Error(diff)
	}
	for i := 1; i < len(d.Moves); i++ {
		if !d.Moves[i].At.After(d.Moves[i-1].At) {
			t.Errorf("move %d is not after the one before", i+1)
		}
	}
	if diff := cmp.Diff(map[string]int{Champion: 3, "candidate": 1}, d.Aliases); diff != "" {
		t.Error(diff)
	}
	if v, err := h.Resolve(ctx, Ref{Model: "m"}); err != nil || v.Number != 3 {
		t.Errorf("m is %d, %v; want the champion", v.Number, err)
	}
}

func TestAliasMovesThatCannotBe(t *testing.T) {
	h := three(t)
	ctx := context.Background()
	at := func(n int) *int { return &n }
	tests := []struct {
		name  string
		m     AliasMove
		kind  fault.Kind
		texts []string
	}{
		{"moved meanwhile", AliasMove{Model: "m", Alias: Champion, To: 3, Expect: at(2), By: "bob"}, fault.Conflict, []string{"points at version 1, not at version 2", "decide anew"}},
		{"set meanwhile", AliasMove{Model: "m", Alias: Champion, To: 3, Expect: at(0), By: "bob"}, fault.Conflict, []string{"not at nothing"}},
		{"no such version", AliasMove{Model: "m", Alias: "candidate", To: 4, By: "bob"}, fault.NotFound, []string{"models:/m/4"}},
		{"no such model", AliasMove{Model: "n", Alias: "candidate", To: 1, By: "bob"}, fault.NotFound, []string{`no model "n"`}},
		{"removing what is not", AliasMove{Model: "m", Alias: "candidate", By: "bob"}, fault.NotFound, []string{`no alias "candidate"`}},
		{"a number", AliasMove{Model: "m", Alias: "12", To: 1, By: "bob"}, fault.Invalid, []string{`"12"`}},
		{"nobody", AliasMove{Model: "m", Alias: "candidate", To: 1}, fault.Invalid, []string{"who"}},
		{"a long why", AliasMove{Model: "m", Alias: "candidate", To: 1, By: "bob", Why: strings.Repeat("x", 1001)}, fault.Invalid, []string{"1001 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.MoveAlias(ctx, tt.m)
			wantError(t, err, tt.kind, tt.texts...)
		})
	}
	if d, err := h.Show(ctx, "m"); err != nil || len(d.Moves) != 1 {
		t.Errorf("moves were kept of what did not move: %+v, %v", d.Moves, err)
	}
}

func TestModelAloneMeansTheChampionElseTheNewest(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	h.mustCommit(t, "m", modelOf(1), CommitOptions{Alias: "candidate"}) // told otherwise: no champion
	h.mustCommit(t, "m", modelOf(2), CommitOptions{})
	if v, err := h.Resolve(ctx, Ref{Model: "m"}); err != nil || v.Number != 2 {
		t.Errorf("without a champion m is %d, %v", v.Number, err)
	}
	if _, err := h.Resolve(ctx, mustRef(t, "m@champion")); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
	h.mustCommit(t, "m", modelOf(3), CommitOptions{NoAlias: true})
	h.mustCommit(t, "m", modelOf(4), CommitOptions{Alias: Champion})
	h.mustCommit(t, "m", modelOf(5), CommitOptions{})
	if v, err := h.Resolve(ctx, Ref{Model: "m"}); err != nil || v.Number != 4 {
		t.Errorf("with a champion m is %d, %v", v.Number, err)
	}
	h.mustCommit(t, "quiet", modelOf(1), CommitOptions{NoAlias: true})
	if d, err := h.Show(ctx, "quiet"); err != nil || len(d.Aliases) != 0 || len(d.Moves) != 0 {
		t.Errorf("got %+v, %v", d, err)
	}
}
