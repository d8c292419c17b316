package registry

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/disk"
)

// machine holds what the registry should hold, in the simplest form there is.
type machine struct {
	t       *testing.T
	h       home
	dir     string
	content [][]int          // of each model: version number - 1 -> weight
	removed []map[int]bool   // of each model: version numbers
	aliases []map[string]int // of each model
	moves   [][]Move         // of each model
}

var machineModels = []string{"a", "b"}

func (m *machine) reopen(r *rapid.T) {
	if m.h.Registry != nil {
		m.h.close()
	}
	h, err := openHome(m.dir, disk.Options{})
	if err != nil {
		r.Fatal(err)
	}
	m.h = h
}

func (m *machine) draw(r *rapid.T) (at int, model string) {
	at = rapid.IntRange(0, len(machineModels)-1).Draw(r, "model")
	return at, machineModels[at]
}

func (m *machine) move(at int, alias string, to int, by string) {
	from := m.aliases[at][alias]
	if from == to {
		return
	}
	m.moves[at] = append(m.moves[at], Move{Seq: len(m.moves[at]) + 1, Alias: alias, From: from, To: to, By: by})
	m.aliases[at][alias] = to
	if to == 0 {
		delete(m.aliases[at], alias)
	}
}

func (m *machine) commit(r *rapid.T) {
	at, model := m.draw(r)
	weight := rapid.IntRange(0, 4).Draw(r, "weight")
	alias := rapid.SampledFrom([]string{"", Champion, "candidate"}).Draw(r, "alias")
	v, created, err := m.h.commit(model, modelOf(weight), CommitOptions{Alias: alias})
	if err != nil {
		r.Fatal(err)
	}
	number := 0
	for i, w := range m.content[at] {
		if w == weight && !m.removed[at][i+1] {
			number = i + 1
		}
	}
	if created != (number == 0) {
		r.Fatalf("created %v, but the content is number %d", created, number)
	}
	if created {
		m.content[at] = append(m.content[at], weight)
		if number = len(m.content[at]); number == 1 && alias == "" {
			alias = Champion
		}
	}
	if v.Number != number {
		r.Fatalf("number %d, want %d", v.Number, number)
	}
	if alias != "" {
		m.move(at, alias, number, "ann")
	}
}

func (m *machine) alias(r *rapid.T) {
	at, model := m.draw(r)
	alias := rapid.SampledFrom([]string{Champion, "candidate"}).Draw(r, "alias")
	to := rapid.IntRange(0, len(m.content[at])+1).Draw(r, "to")
	move := AliasMove{Model: model, Alias: alias, To: to, By: "bob"}
	now := m.aliases[at][alias]
	if rapid.Bool().Draw(r, "compare") {
		expect := rapid.IntRange(0, len(m.content[at])).Draw(r, "expect")
		move.Expect = &expect
	}
	_, err := m.h.MoveAlias(context.Background(), move)
	switch {
	case len(m.content[at]) == 0:
		want(r, err, fault.NotFound)
	case move.Expect != nil && *move.Expect != now:
		want(r, err, fault.Conflict)
	case to == 0 && now == 0, to > len(m.content[at]), m.removed[at][to]:
		want(r, err, fault.NotFound)
	case err != nil:
		r.Fatal(err)
	default:
		m.move(at, alias, to, "bob")
	}
}

func want(r *rapid.T, err error, kind fault.Kind) {
	if err == nil || fault.KindOf(err) != kind {
		r.Fatalf("got %v, want %v", err, kind)
	}
}

func (m *machine) remove(r *rapid.T) {
	at, model := m.draw(r)
	number := rapid.IntRange(1, len(m.content[at])+1).Draw(r, "number")
	_, err := m.h.Remove(context.Background(), Removal{Ref: Ref{Model: model, Number: number}, By: "cat"})
	switch {
	case number > len(m.content[at]) || m.removed[at][number]:
		want(r, err, fault.NotFound)
	case slices.Contains(slices.Collect(maps.Values(m.aliases[at])), number):
		want(r, err, fault.Conflict)
	case err != nil:
		r.Fatal(err)
	default:
		m.removed[at][number] = true
	}
}

// check compares all of the registry with all of the machine.
func (m *machine) check(r *rapid.T) {
	ctx := context.Background()
	blobs := map[string]bool{}
	for at, model := range machineModels {
		d, err := m.h.Show(ctx, model)
		if len(m.content[at]) == 0 {
			want(r, err, fault.NotFound)
			continue
		}
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(m.aliases[at], d.Aliases); diff != "" {
			r.Fatalf("aliases of %s: %s", model, diff)
		}
		if diff := cmp.Diff(m.moves[at], d.Moves, cmpopts.IgnoreFields(Move{}, "At"), cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("moves of %s: %s", model, diff)
		}
		semvers := map[string]bool{}
		for i, v := range d.All {
			semvers[v.Semver] = true
			if v.Number != i+1 || (v.Removed != nil) != m.removed[at][i+1] {
				r.Fatalf("%s/%d is %+v", model, i+1, v)
			}
			if v.Removed == nil {
				blobs[v.Digest.String()], blobs[v.Files[0].Digest.String()] = true, true
			}
		}
		if len(d.All) != len(m.content[at]) || len(semvers) != len(d.All) {
			r.Fatalf("%s has %d versions with %d semantic versions, want %d", model, len(d.All), len(semvers), len(m.content[at]))
		}
	}
	if got := blobCount(m.t, m.h); got != len(blobs) {
		r.Fatalf("%d blobs are stored, %d are named", got, len(blobs))
	}
}

// restart opens the registry anew and reads all that is in it.
func (m *machine) restart(r *rapid.T) {
	m.reopen(r)
	ctx := context.Background()
	for at, model := range machineModels {
		for alias, number := range m.aliases[at] {
			live, err := m.h.Load(ctx, Ref{Model: model, Alias: alias})
			if err != nil || live.Version.Number != number {
				r.Fatalf("%s@%s loads %d, %v; want %d", model, alias, live.Version.Number, err, number)
			}
			if want := store.Sum([]byte(modelOf(m.content[at][number-1])["linear.json"])); live.Manifest.Files[0].Digest != want {
				r.Fatalf("%s@%s has another file", model, alias)
			}
		}
	}
	if report, err := m.h.Verify(ctx); err != nil || len(report.Damage) != 0 {
		r.Fatalf("Verify = %+v, %v", report, err)
	}
}

func TestRandomHistoriesAgreeWithASimpleModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{t: t, dir: t.TempDir()}
		for range machineModels {
			m.content, m.moves = append(m.content, nil), append(m.moves, nil)
			m.removed, m.aliases = append(m.removed, map[int]bool{}), append(m.aliases, map[string]int{})
		}
		m.reopen(r)
		defer func() { m.h.close() }()
		steps := []func(*rapid.T){m.commit, m.commit, m.alias, m.remove, m.restart}
		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			rapid.SampledFrom(steps).Draw(r, "step")(r)
			m.check(r)
		}
		m.restart(r)
	})
}
