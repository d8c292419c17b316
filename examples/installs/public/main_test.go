package main

import (
	"bytes"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/traffic"
)

// TestThePublicsKnownAccuraciesAreFound lets 2,000 users ask 4,000 times and holds Serin's figures against what they know: intervals hold
// the probabilities that answers were drawn with, and the counts behind them are the very ones that the users have. Users say who they
// are and seeds are fixed, so that chance has no say in it. Then a version loses the decisions of 30% of its users on the way into the
// log, and Serin notices. Each version has half of the users, which is where that takes the fewest.
func TestThePublicsKnownAccuraciesAreFound(t *testing.T) {
	dir := t.TempDir()
	importVersions(t, dir)
	server, control, stop := start(t, dir)
	half, err := traffic.ParseWeight("50%")
	if err != nil {
		t.Fatal(err)
	}
	halves := api.TrafficOverride{Weights: api.SentWeights{"stable": half, "canary": half}, By: "test", Why: "to learn fast"}
	if _, err := app.Server(dir).SetTraffic(t.Context(), "installs", halves); err != nil {
		t.Fatal(err)
	}
	o := publicOf(t, server, control, "--users", "2000", "--requests", "4000", "--cookies", "0")
	p := &panel{base: control, service: o.service, since: time.Now()}
	rows, err := readRows(o.rows)
	if err != nil {
		t.Fatal(err)
	}
	seen := visit(t.Context(), o, rows)
	if err := seen.err(); err != nil || seen.moved != 0 || seen.repeats == 0 || seen.refused == 0 {
		t.Fatalf("%+v %v", seen, err)
	}
	s, err := p.settled(t.Context(), &summary{}, seen)
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := p.versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Variants) != 2 || len(seen.versions) != 2 {
		t.Fatalf("%+v %+v", s, seen)
	}
	for _, v := range s.Variants {
		known, got := seen.version(numbers[v.Version]), v.Feedback.Accuracy
		if v.Requests != known.answers || got.N != known.told || got.Estimate == nil || math.Abs(*got.Estimate-float64(known.right)/float64(known.told)) > 1e-9 {
			t.Errorf("version %d: measured %d requests and %v; known are %+v", numbers[v.Version], v.Requests, got, known)
		}
	}
	var out bytes.Buffer
	if err := compare(&out, o.accuracy, seen, s, numbers); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if r := splitOf(t, p, 2000); r.Alarm || r.users() != 2000 {
		t.Errorf("the users' split: %+v", r)
	}

	// What is not true is not found.
	for _, wrong := range []accuracies{{1: 0.75, 2: 0.80}, {1: 0.90, 2: 0.95}, {1: 0.90, 2: 0.80, 3: 0.5}} {
		if err := compare(io.Discard, wrong, seen, s, numbers); err == nil {
			t.Errorf("%v agrees with what was measured", wrong)
		}
	}

	stop()
	for _, loser := range []string{"stable", "canary"} {
		t.Run("of 30% of the users of "+loser+" nothing is heard", func(t *testing.T) { aLossIsNoticed(t, dir, loser, p.since) })
	}
}

// aLossIsNoticed takes 30% of the users of a variant, with all their decisions, out of a copy of the log.
func aLossIsNoticed(t *testing.T, from, loser string, since time.Time) {
	dir := copyOf(t, from)
	units, kept := map[string]int{}, map[string]bool{} // of the loser, in the order in which they came
	rewrite(t, dir, func(r event.Record) bool {
		switch d := r.Decision; {
		case d == nil:
			return true
		case d.Assigned != loser:
			kept[d.Unit] = true
			return true
		default:
			if _, known := units[d.Unit]; !known {
				units[d.Unit] = len(units)
			}
			stays := units[d.Unit]%10 >= 3
			if stays {
				kept[d.Unit] = true
			}
			return stays
		}
	})
	_, control, _ := start(t, dir)
	p := &panel{base: control, service: "installs", since: since}
	r := splitOf(t, p, len(kept))
	if !r.Alarm || r.P >= 0.001 || r.users() != len(kept) {
		t.Errorf("%d users are left: %+v", len(kept), r)
	}
	t.Logf("%v are left: p = %.2g", r.Units, r.P)
}

// splitOf returns how users split, once so many of them have been read from the log. The test's own time limit ends the wait.
func splitOf(t *testing.T, p *panel, users int) ratio {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := p.summary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Ratios) == 1 && s.Ratios[0].users() >= users {
			return s.Ratios[0]
		}
		<-tick.C
	}
}

// TestUsersWithoutANameStayByTheirCookie lets users ask who say nothing of themselves.
func TestUsersWithoutANameStayByTheirCookie(t *testing.T) {
	dir := t.TempDir()
	importVersions(t, dir)
	server, control, _ := start(t, dir)
	o := publicOf(t, server, control, "--users", "40", "--requests", "400", "--cookies", "1")
	p := &panel{base: control, service: o.service, since: time.Now()}
	rows, err := readRows(o.rows)
	if err != nil {
		t.Fatal(err)
	}
	seen := visit(t.Context(), o, rows)
	if r := splitOf(t, p, 40); seen.moved != 0 || seen.err() != nil || seen.asked != 400 || r.users() != 40 {
		t.Errorf("%+v, split %+v, %v", seen, r, seen.err())
	}
}

func TestAPlanIsTheSameForTheSameSeed(t *testing.T) {
	o := publicOf(t, "", "", "--users", "7", "--requests", "100")
	first := plan(o, 20)
	if again := plan(o, 20); !reflect.DeepEqual(first, again) {
		t.Error("two plans of one seed differ")
	}
	asked := map[int]int{}
	for i, a := range first {
		asked[a.user]++
		if i > 0 && a.at < first[i-1].at {
			t.Errorf("request %d comes before the one before it", i)
		}
	}
	for user, n := range asked {
		if n != 14 && n != 15 {
			t.Errorf("user %d asks %d times", user, n)
		}
	}
	o.seed++
	if reflect.DeepEqual(first, plan(o, 20)) {
		t.Error("another seed plans the same")
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--accuracy 1=1.5", "no VERSION=SHARE"},
		{"--accuracy x=0.5", "no VERSION=SHARE"},
		{"--accuracy 1", "no VERSION=SHARE"},
		{"--share 1.1", "--share 1.1 is not 0 to 1"},
		{"--slow NaN", "is not 0 to 1"},
		{"--users 0", "at least 1"},
		{"--rate 0", "more than 0"},
		{"--rate NaN", "more than 0"},
		{"--twice 0.6 --forged 0.6", "more than everything"},
		{"more", "only flags"},
	} {
		var errs bytes.Buffer
		if _, err := parse(strings.Fields(c.args), &errs); err == nil || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s: %v, %s", c.args, err, errs.String())
		}
	}
}
