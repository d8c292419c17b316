package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEverySideOfAContestTriesOnceARound(t *testing.T) {
	var order strings.Builder
	named := func(name string, cpu float64) func() (effort, error) {
		return func() (effort, error) { order.WriteString(name); return effort{cpu: cpu}, nil }
	}
	took, err := contest("x", 2, named("a", 1), named("b", 2), named("c", 3))
	if err != nil || len(took) != 3 || !slices.Equal(took[1], []effort{{cpu: 2}, {cpu: 2}}) {
		t.Errorf("%v, %v", took, err)
	}
	if want := "abc" + "bca" + "cab"; order.String() != want {
		t.Errorf("order %s, want %s", order.String(), want)
	}
	lost := errors.New("lost")
	if _, err := contest("x", 2, named("a", 1), func() (effort, error) { return effort{}, lost }); !errors.Is(err, lost) {
		t.Errorf("a side's error is %v", err)
	}
}

func TestWhatIsAddedIsTheMedianOfRounds(t *testing.T) {
	to, by := []effort{{cpu: 10}, {cpu: 1}, {cpu: 2}}, []effort{{cpu: 13}, {cpu: 2}, {cpu: 4}}
	if got := added(to, by); got != 2 {
		t.Errorf("%v, want 2", got)
	}
	if got := typical(by); got.cpu != 4 {
		t.Errorf("%v, want 4", got)
	}
}

func TestServerAndClientsMakeTheSameTokens(t *testing.T) {
	base := time.UnixMilli(1_790_000_000_000)
	a, b := tokens(base, 3), tokens(base, 3)
	for i := range a {
		if a[i].Decision != b[i].Decision || !a[i].Decision.Time().Equal(a[i].At) {
			t.Fatalf("token %d: %+v and %+v", i, a[i], b[i])
		}
	}
	if tokens(base, 4)[0].Decision == a[0].Decision {
		t.Error("two writers have the same decision")
	}
}

func TestSharesThatDoNotHoldAreNoticed(t *testing.T) {
	p := picker{tell: tellHeader, pick: pickByHash}
	requests, err := visitors(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := sharesHold(p, requests); err != nil {
		t.Error(err)
	}
	for i := range requests {
		requests[i] = requests[0]
	}
	if err := sharesHold(p, requests); err == nil {
		t.Error("a variant that everyone goes to passes for a split")
	}
}
