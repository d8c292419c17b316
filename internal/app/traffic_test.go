package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	storesqlite "github.com/serin-ml/serin/internal/store/sqlite"
	"github.com/serin-ml/serin/internal/traffic"
)

// clock is a clock that tests move, as people move clocks: without a monotonic reading.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// applied writes down what was applied, as "service weights epoch/version".
type applied struct {
	mu    sync.Mutex
	lines []string
}

func (a *applied) apply(service string, w traffic.Weights, epoch uint32, version uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, fmt.Sprintf("%s stable=%v canary=%v %d/%d", service, w["stable"], w["canary"], epoch, version))
}

// take returns what was applied since it was last called.
func (a *applied) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := a.lines
	a.lines = nil
	return lines
}

func (a *applied) want(t *testing.T, what string, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, a.take()); diff != "" {
		t.Errorf("%s: applied (-want +got):\n%s", what, diff)
	}
}

func trafficWeights(t *testing.T, stable, canary string) traffic.Weights {
	t.Helper()
	w := traffic.Weights{}
	for name, text := range map[string]string{"stable": stable, "canary": canary} {
		weight, err := traffic.ParseWeight(text)
		if err != nil {
			t.Fatal(err)
		}
		w[name] = weight
	}
	return w
}

func reviews(t *testing.T, stable, canary string) declared {
	return declared{"reviews", []string{"stable", "canary"}, trafficWeights(t, stable, canary)}
}

func overrideBy(t *testing.T, stable, canary, length string) api.TrafficOverride {
	return api.TrafficOverride{Weights: api.SentWeights(trafficWeights(t, stable, canary)), By: "ada", Why: "complaints", For: length}
}

func openTrafficState(t *testing.T) store.State {
	t.Helper()
	s, err := storesqlite.Open(t.Context(), filepath.Join(t.TempDir(), "serin.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func only(t *testing.T, s *trafficState) api.ServiceTraffic {
	t.Helper()
	all, err := s.Load(t.Context(), 100, "reviews")
	if err != nil || len(all) != 1 {
		t.Fatalf("%d services, %v", len(all), err)
	}
	return all[0]
}

func TestAnOverrideHoldsOverTheFileUntilItIsCleared(t *testing.T) {
	state, c, a := openTrafficState(t), &clock{at: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}, &applied{}
	s := newTrafficState(state, c.now, a.apply)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	a.want(t, "the file", "reviews stable=80 canary=20 1/1")
	must(t, s.Set(t.Context(), "reviews", overrideBy(t, "1", "0", "2h")))
	a.want(t, "the override", "reviews stable=1 canary=0 1/2")

	// A reload of the file, and a restart of the server, leave it.
	must(t, s.Declare(t.Context(), []declared{reviews(t, "50", "50")}))
	a.want(t, "a reload", "reviews stable=1 canary=0 1/3")
	s = newTrafficState(state, c.now, a.apply)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "50", "50")}))
	a.want(t, "a restart with the same file", "reviews stable=1 canary=0 1/3")

	must(t, s.Clear(t.Context(), "reviews", api.TrafficClear{By: "bob", Why: "mended"}))
	a.want(t, "cleared", "reviews stable=50 canary=50 1/4")
	got := only(t, s)
	var history []string
	for _, change := range slices.Backward(got.Changes) {
		history = append(history, fmt.Sprintf("%d %s %s %s", change.PolicyVersion, change.What, change.By, change.Why))
	}
	want := []string{"1 file serin serve ", "2 set ada complaints", "3 file serin serve ", "4 clear bob mended"}
	if diff := cmp.Diff(want, history); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
	if err := s.Clear(t.Context(), "reviews", api.TrafficClear{By: "bob", Why: "again"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("clearing nothing: %v", err)
	}
}

func TestWhatIsSetWithoutAServerHoldsAtItsNextStart(t *testing.T) {
	state, c, a := openTrafficState(t), &clock{at: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}, &applied{}
	must(t, newTrafficState(state, c.now, a.apply).Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	a.take()
	command := newTrafficState(state, c.now, nil)
	must(t, command.Set(t.Context(), "reviews", overrideBy(t, "0", "1", "2h")))
	if got := only(t, command); got.Source != traffic.FromOverride || got.Weights["canary"].String() != "1" {
		t.Errorf("before the start: %+v", got)
	}
	server := newTrafficState(state, c.now, a.apply)
	must(t, server.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	a.want(t, "the next start", "reviews stable=0 canary=1 1/2")

	// What ends while no server runs has ended at the next start, and that is in the history.
	c.pass(3 * time.Hour)
	if got := only(t, command); got.Source != traffic.FromFile || got.PolicyVersion != 2 {
		t.Errorf("after its end: %+v", got)
	}
	server = newTrafficState(state, c.now, a.apply)
	must(t, server.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	a.want(t, "a start after its end", "reviews stable=80 canary=20 1/3")
	if got := only(t, server); got.Changes[0].What != changeExpire || got.Override != nil {
		t.Errorf("the end is not written down: %+v", got.Changes[0])
	}
}

func TestAnOverrideEndsOnTime(t *testing.T) {
	state := openTrafficState(t)
	synctest.Test(t, func(t *testing.T) {
		a := &applied{}
		s := newTrafficState(state, time.Now, a.apply)
		must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, slog.New(slog.DiscardHandler)) }()
		must(t, s.Set(t.Context(), "reviews", overrideBy(t, "1", "0", "30m")))
		a.take()
		time.Sleep(20 * time.Minute) // of the bubble's clock
		synctest.Wait()
		a.want(t, "before its end")
		// A longer one in its place ends by its own time.
		must(t, s.Set(t.Context(), "reviews", overrideBy(t, "0", "1", "1h")))
		a.want(t, "another", "reviews stable=0 canary=1 1/3")
		time.Sleep(time.Hour - time.Nanosecond)
		synctest.Wait()
		a.want(t, "just before its end")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		a.want(t, "at its end", "reviews stable=80 canary=20 1/4")
		// One without an end stays.
		must(t, s.Set(t.Context(), "reviews", overrideBy(t, "1", "0", "0")))
		a.take()
		time.Sleep(1000 * 24 * time.Hour)
		synctest.Wait()
		a.want(t, "one for good")
		cancel()
		must(t, <-ended)
	})
}

// stubborn is a State that refuses to be changed, while it is told to.
type stubborn struct {
	store.State
	refuse atomic.Bool
	tried  atomic.Int32
}

func (s *stubborn) Update(ctx context.Context, write func(store.Tx) error) error {
	s.tried.Add(1)
	if s.refuse.Load() {
		return fault.Unavailablef("the disk is full")
	}
	return s.State.Update(ctx, write)
}

func TestAnEndThatTheDiskRefusesIsTriedAgain(t *testing.T) {
	state := &stubborn{State: openTrafficState(t)}
	synctest.Test(t, func(t *testing.T) {
		a := &applied{}
		s := newTrafficState(state, time.Now, a.apply)
		must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
		must(t, s.Set(t.Context(), "reviews", overrideBy(t, "1", "0", "30m")))
		a.take()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, slog.New(slog.DiscardHandler)) }()
		state.refuse.Store(true)
		state.tried.Store(0)
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if tried := state.tried.Load(); tried < 2 {
			t.Errorf("tried %d times", tried)
		}
		a.want(t, "while the disk is full")
		state.refuse.Store(false)
		time.Sleep(expiryRetry)
		synctest.Wait()
		a.want(t, "when there is room again", "reviews stable=80 canary=20 1/3")
		cancel()
		must(t, <-ended)
	})
}

func TestAStepOfTheClockEndsNoOverrideOfARunningServer(t *testing.T) {
	a := &applied{}
	s := newTrafficState(openTrafficState(t), time.Now, a.apply)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	must(t, s.Set(t.Context(), "reviews", overrideBy(t, "1", "0", "24h")))
	d := s.deadlines["reviews"]
	if left := time.Until(d.at); left > 24*time.Hour || left < 23*time.Hour {
		t.Errorf("ends in %v", left)
	}
	if !strings.Contains(d.at.String(), "m=") {
		t.Errorf("the end %v has no monotonic reading: a step of the clock would move it", d.at)
	}
	// The document has none, so a Declare must take the one that the server counts by.
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	if again := s.deadlines["reviews"]; !again.at.Equal(d.at) || !strings.Contains(again.at.String(), "m=") {
		t.Errorf("a reload moves the end from %v to %v", d.at, again.at)
	}
}

func TestOneOfTwoWhoDecideAtOnceIsRefused(t *testing.T) {
	s := newTrafficState(openTrafficState(t), time.Now, nil)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	seen := only(t, s).PolicyVersion
	first, second := overrideBy(t, "1", "0", "1h"), overrideBy(t, "0", "1", "1h")
	first.Expect, second.Expect = &seen, &seen
	must(t, s.Set(t.Context(), "reviews", first))
	if err := s.Set(t.Context(), "reviews", second); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
		t.Errorf("the second: %v", err)
	}
	if err := s.Clear(t.Context(), "reviews", api.TrafficClear{By: "b", Why: "c", Expect: &seen}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a third: %v", err)
	}
	if got := only(t, s); got.Weights["stable"].String() != "1" || got.PolicyVersion != seen+1 {
		t.Errorf("what holds: %+v", got)
	}
}

func TestMistakesInAnOverrideChangeNothing(t *testing.T) {
	a := &applied{}
	s := newTrafficState(openTrafficState(t), time.Now, a.apply)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	a.take()
	other := overrideBy(t, "1", "0", "1h")
	other.Weights["next"] = other.Weights["stable"]
	for what, o := range map[string]struct {
		service string
		api.TrafficOverride
		kind fault.Kind
	}{
		"an unknown service":  {"nowhere", overrideBy(t, "1", "0", "1h"), fault.NotFound},
		"an unknown variant":  {"reviews", other, fault.Invalid},
		"nobody answers":      {"reviews", overrideBy(t, "0", "0", "1h"), fault.Invalid},
		"no time":             {"reviews", overrideBy(t, "1", "0", "soon"), fault.Invalid},
		"a time that is gone": {"reviews", overrideBy(t, "1", "0", "-1h"), fault.Invalid},
		"too long":            {"reviews", overrideBy(t, "1", "0", "400d"), fault.Invalid},
		"no reason":           {"reviews", api.TrafficOverride{Weights: overrideBy(t, "1", "0", "").Weights, By: "ada"}, fault.Invalid},
	} {
		if err := s.Set(t.Context(), o.service, o.TrafficOverride); fault.KindOf(err) != o.kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	a.want(t, "after mistakes")
	if got := only(t, s); got.PolicyVersion != 1 || len(got.Changes) != 1 {
		t.Errorf("they changed something: %+v", got)
	}
}

func TestAServiceThatTheFileNamesNoMoreKeepsItsHistory(t *testing.T) {
	s := newTrafficState(openTrafficState(t), time.Now, nil)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	must(t, s.Declare(t.Context(), []declared{{"other", []string{"only"}, traffic.Weights{"only": trafficWeights(t, "1", "0")["stable"]}}}))
	must(t, s.Declare(t.Context(), nil))
	got := only(t, s)
	if got.Changes[0].What != changeGone || len(got.Changes) != 2 || len(got.Variants) != 0 || len(got.Weights) != 0 {
		t.Errorf("%+v", got)
	}
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	if got := only(t, s); got.PolicyVersion != 3 || got.Epoch != 1 {
		t.Errorf("back again: policy version %d, epoch %d", got.PolicyVersion, got.Epoch)
	}
}

func TestTrafficDocumentsAreThoseOfFormat1(t *testing.T) {
	state, c := openTrafficState(t), &clock{at: time.Date(2026, 12, 1, 12, 0, 0, 250e6, time.UTC)}
	s := newTrafficState(state, c.now, nil)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	must(t, s.Set(t.Context(), "reviews", overrideBy(t, "99.5%", "0.5%", "90m")))
	var text strings.Builder
	must(t, state.View(t.Context(), func(r store.Reader) error {
		return r.Scan("traffic/", func(d store.Doc) error {
			_, err := fmt.Fprintf(&text, "%s\n%s\n", d.Key, d.Value)
			return err
		})
	}))
	want, err := os.ReadFile(filepath.Join("testdata", "traffic1.golden"))
	must(t, err)
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("the documents (-want +got):\n%s", diff)
	}

	// What the golden file holds is read, and a newer format is not taken for it.
	again := openTrafficState(t)
	lines := strings.Split(strings.TrimSpace(string(want)), "\n")
	must(t, again.Update(t.Context(), func(tx store.Tx) error {
		for i := 0; i < len(lines); i += 2 {
			if _, err := tx.Put(lines[i], []byte(lines[i+1]), store.Absent); err != nil {
				return err
			}
		}
		return nil
	}))
	if diff := cmp.Diff(only(t, s), only(t, newTrafficState(again, c.now, nil)), cmp.Comparer(func(a, b traffic.Weight) bool { return a == b })); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	must(t, again.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.Put(lines[len(lines)-2], []byte(`{"format":2}`), store.Any)
		return err
	}))
	if _, err := newTrafficState(again, c.now, nil).Load(t.Context(), 1); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format: %v", err)
	}
}

func TestAServersTrafficFollowsItsOverrides(t *testing.T) {
	r := start(t, t.TempDir(), func(c *config.Config) {
		c.Services = []config.Service{{
			Name: "reviews", Timeout: time.Second, Variants: []config.Variant{{Name: "stable", Model: "m"}, {Name: "canary", Model: "m"}},
			Traffic: traffic.Spec{Weights: trafficWeights(t, "1", "0")},
		}}
	})
	r.importStump(t, 5)
	r.until(t, "both variants live", func(s []api.Service) bool { return len(s) == 2 && s[0].State == "ready" && s[1].State == "ready" })
	from := func() string {
		var variants []string
		for range 20 {
			code, text := r.send(t, "POST", "http://"+r.HTTP+"/v2/models/reviews/infer", `{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`)
			if code != 200 {
				t.Fatalf("%d %s", code, text)
			}
		}
		list, err := r.client.ServiceTraffic(t.Context(), "reviews")
		must(t, err)
		for name, share := range list.Shares {
			if share > 0 {
				variants = append(variants, name)
			}
		}
		return strings.Join(variants, ",")
	}
	if got := from(); got != "stable" {
		t.Errorf("by the file: %s", got)
	}
	_, err := r.client.SetTraffic(t.Context(), "reviews", overrideBy(t, "0", "1", "1h"))
	must(t, err)
	if got := from(); got != "canary" {
		t.Errorf("by the override: %s", got)
	}
	// The counts are exact: they say who answered. Both come with the next look at the log.
	all := "SELECT (SELECT count(*) FROM decisions) + (SELECT coalesce(sum(requests), 0) FROM variant_minutes) AS n"
	r.until(t, "all is measured", func([]api.Service) bool {
		table, err := r.client.Query(t.Context(), api.Statement{SQL: all, Limit: 1})
		return err == nil && fmt.Sprint(table.Rows) == "[[80]]"
	})
	must(t, r.stop())
	reader, err := Reader(t.Context(), options(r.dir))
	must(t, err)
	defer reader.Close()
	table, err := reader.Query(t.Context(), api.Statement{SQL: "SELECT variant, sum(requests) FROM variant_minutes GROUP BY 1 ORDER BY 1", Limit: 10})
	must(t, err)
	if got := fmt.Sprint(table.Rows); got != "[[canary 20] [stable 20]]" {
		t.Errorf("who answered: %s", got)
	}
	list, err := reader.Decisions(t.Context(), "reviews", "", 40)
	must(t, err)
	versions := map[string]int{}
	for _, d := range list {
		versions[fmt.Sprintf("%s %d", d.Assigned, d.PolicyVersion)]++
	}
	if diff := cmp.Diff(map[string]int{"stable 1": 20, "canary 2": 20}, versions); diff != "" {
		t.Errorf("the decisions (-want +got):\n%s", diff)
	}
}
