package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestAnswersThatDifferAreNoAgreement(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name      string
		got, want []float64
		width     int
		agree     bool
	}{
		{"the same", []float64{1, -2}, []float64{1, -2}, 1, true},
		{"within the tolerance", []float64{1.0009, 1000.9}, []float64{1, 1000}, 1, true},
		{"beyond it", []float64{1, 1002}, []float64{1, 1000}, 1, false},
		{"beyond it of its own, not of its row", []float64{1.5, 1000}, []float64{1, 1000}, 2, true},
		{"beyond it of its row", []float64{3, 1000}, []float64{1, 1000}, 2, false},
		{"a NaN", []float64{nan}, []float64{1}, 1, false},
		{"a NaN of the rival", []float64{1}, []float64{nan}, 1, false},
		{"nothing but zeros", []float64{0}, []float64{0}, 1, true},
		{"something where the rival has nothing", []float64{1e-9}, []float64{0}, 1, false},
		{"too few", []float64{1}, []float64{1, 1}, 1, false},
		{"none", nil, nil, 1, false},
	} {
		if err := agree(c.name, c.got, c.want, c.width, 1e-3); (err == nil) != c.agree {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSidesTakeTurnsToBeFirst(t *testing.T) {
	var order []string
	named := func(name string) side {
		return side{run: func(turn int) error { order = append(order, fmt.Sprint(name, turn)); return nil }}
	}
	a := named("a")
	a.after = func() error { order = append(order, "after"); return nil }
	took, err := duel("turns", 2, 2, a, named("b"))
	if err != nil || len(took) != 2 {
		t.Fatalf("%v, %v", took, err)
	}
	want := "a0 after a1 after b0 b1 b2 b3 a2 after a3 after a4 after a5 after b4 b5"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestADuelEndsWithItsFirstError(t *testing.T) {
	lost := errors.New("lost")
	fails, runs := side{run: func(int) error { return lost }}, side{run: func(int) error { return nil }}
	if _, err := duel("x", 3, 1, runs, fails); !errors.Is(err, lost) {
		t.Errorf("a run's error is %v", err)
	}
	runs.after = func() error { return lost }
	if _, err := duel("x", 3, 1, runs); !errors.Is(err, lost) {
		t.Errorf("an after's error is %v", err)
	}
}

func TestAllocationsAreCounted(t *testing.T) {
	var kept []*int
	for _, want := range []uint64{0, 3} {
		got, err := allocations(func() error {
			kept = kept[:0]
			for range want {
				kept = append(kept, new(int))
			}
			return nil
		})
		if err != nil || got != want {
			t.Errorf("%d allocations, want %d (%v)", got, want, err)
		}
	}
}

func TestDurationsHaveThreeDigits(t *testing.T) {
	var got []string
	for _, s := range []float64{1.2345, 0.0612, 0.006, 9.87e-6, 0.000175, 12.3, 4.5e-8} {
		got = append(got, duration(s))
	}
	if want := "1.23 s, 61.2 ms, 6.00 ms, 9.87 µs, 175 µs, 12.3 s, 45.0 ns"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
