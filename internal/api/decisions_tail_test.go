package api

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
)

// shelf lists decisions as the control plane does, by id.
type shelf struct{ all []Decision }

func (s *shelf) Decisions(_ context.Context, service, after string, limit int) (list []Decision, err error) {
	if limit < 1 || limit > decisionsMost {
		return nil, fmt.Errorf("a limit of %d", limit)
	}
	i, _ := slices.BinarySearchFunc(s.all, after+" ", func(d Decision, id string) int { return strings.Compare(d.ID, id) })
	for _, d := range s.all[i:] {
		if service == "" || d.Service == service {
			list = append(list, d)
		}
	}
	if len(list) <= limit {
		return list, nil
	}
	if after == "" {
		return list[len(list)-limit:], nil
	}
	return list[:limit], nil
}

// put adds a decision that was made at a time, in milliseconds; n tells it from others.
func (s *shelf) put(at int, n uint64) string {
	made := time.UnixMilli(int64(at)).UTC()
	id, err := event.NewID(made, strings.NewReader(fmt.Sprintf("%010d", n)))
	if err != nil {
		panic(err)
	}
	i, _ := slices.BinarySearchFunc(s.all, id.String(), func(d Decision, id string) int { return strings.Compare(d.ID, id) })
	s.all = slices.Insert(s.all, i, Decision{ID: id.String(), At: made, Service: "s"})
	return id.String()
}

func idsOf(list []Decision) []string {
	ids := []string{}
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	return ids
}

func TestATailShowsWhatTurnsUpLate(t *testing.T) {
	s, tail := &shelf{}, &Tail{}
	var old []string
	for n := range 30 {
		old = append(old, s.put(1_000_000+100*n, uint64(n)))
	}
	list, err := tail.Start(t.Context(), s, 3)
	if diff := cmp.Diff(old[27:], idsOf(list)); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	for _, step := range []struct {
		what string
		at   []int
	}{
		{"nothing new", nil},
		{"a new one", []int{1_003_000}},
		{"one that took 2 s, behind one that is shown already, and a new one", []int{1_001_050, 1_004_000}},
		{"nothing again", nil},
	} {
		want := []string{}
		for _, at := range step.at {
			want = append(want, s.put(at, uint64(100+at)))
		}
		list, err := tail.Next(t.Context(), s)
		if diff := cmp.Diff(want, idsOf(list)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", step.what, err, diff)
		}
	}
}

func TestATailBeginsWithNothing(t *testing.T) {
	for _, n := range []int{0, 5} {
		s, tail := &shelf{}, &Tail{}
		if list, err := tail.Start(t.Context(), s, n); len(list) > 0 || err != nil {
			t.Errorf("%v, %v", list, err)
		}
		first := s.put(5, 1)
		if list, err := tail.Next(t.Context(), s); err != nil || !slices.Equal(idsOf(list), []string{first}) {
			t.Errorf("-n %d: %v, %v", n, list, err)
		}
	}
	s, tail := &shelf{}, &Tail{}
	s.put(5, 1)
	if list, err := tail.Start(t.Context(), s, 0); len(list) > 0 || err != nil {
		t.Errorf("-n 0 shows what is old: %v, %v", list, err)
	}
	if list, err := tail.Next(t.Context(), s); len(list) > 0 || err != nil {
		t.Errorf("-n 0 shows later what is old: %v, %v", list, err)
	}
}

// However decisions turn up, up to the overlap late, each is shown once.
func TestATailShowsEachDecisionOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, tail := &shelf{}, &Tail{}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		now, n := 1_000_000, uint64(0)
		made := map[string]bool{}
		put := func(many int) {
			for range many {
				n++
				made[s.put(now-random.IntN(int(tailOverlap.Milliseconds())), n)] = false
				now += random.IntN(20)
			}
		}
		put(rapid.IntRange(0, 50).Draw(t, "before"))
		before := len(made)
		list, err := tail.Start(context.Background(), s, 1000)
		for i := 0; ; i++ {
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range idsOf(list) {
				if made[id] {
					t.Fatalf("%s was shown twice", id)
				}
				made[id] = true
			}
			if i == 5 {
				break
			}
			put(rapid.SampledFrom([]int{0, 1, 10, 1500}).Draw(t, "many"))
			list, err = tail.Next(context.Background(), s)
		}
		for id, shown := range made {
			if !shown {
				t.Fatalf("%s of %d (%d before) was not shown", id, len(made), before)
			}
		}
		if len(tail.seen) > len(made) {
			t.Fatalf("%d ids are remembered", len(tail.seen))
		}
	})
}
