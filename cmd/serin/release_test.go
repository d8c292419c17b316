package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

var watchDay = time.Date(2026, 11, 21, 8, 0, 0, 0, time.Local)

// watched is a release as it stands after some transitions, two minutes after each other.
func watched(phase release.Phase, at int, elapsed time.Duration, told ...string) *api.Release {
	r := &api.Release{State: release.State{
		Format: 1, ID: "movies-1", Phase: phase, At: at, Elapsed: elapsed, Seq: len(told),
		Plan: release.Plan{
			Name: "movies", Service: "movies", Stable: "stable", Candidate: "canary", Strategy: release.Canary,
			Steps: []release.PlanStep{{Kind: release.SetWeight, Percent: 20}, {Kind: release.Pause, Duration: 12 * time.Hour}},
			Metrics: []release.Metric{
				{Name: "latency", Role: release.Guardrail, Measure: release.Latency, Limit: 0.5},
				{Name: "errors", Role: release.Guardrail, Measure: release.Errors, Versus: true, Margin: 0.01},
			},
		},
	}}
	for i, sentence := range told {
		r.Journal = append(r.Journal, release.Transition{
			Release: r.ID, Seq: i + 1, At: watchDay.Add(time.Duration(i) * 2 * time.Minute), What: release.Advance, By: "serin", Phase: phase, Percent: r.State.Percent(), Sentence: sentence,
		})
	}
	if phase == release.RolledBack {
		r.Reason = told[len(told)-1]
	}
	*r = api.NewRelease(r.State, "", r.Journal)
	return r
}

func verdict(name string, value release.Number, o release.Outcome) release.Verdict {
	return release.Verdict{Metric: name, Role: release.Guardrail, Outcome: o, Value: value, N: 1000}
}

// tellAll lets a watcher tell releases, a second after each other.
func tellAll(t *testing.T, json bool, width func() int, all ...*api.Release) string {
	t.Helper()
	var out bytes.Buffer
	now := watchDay
	w := &watcher{id: "movies", every: time.Minute, width: width, say: &speaker{out: &out, errs: &out, json: json}, now: func() time.Time { return now }}
	for _, r := range all {
		if err := w.tell(r); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	w.clear()
	return out.String()
}

func TestWhoWatchesIsToldWhatHappens(t *testing.T) {
	told := []string{"the release of canary to movies begins", "it is at step 1 (setWeight 20%)", "it is at step 2 (pause, 12h0m0s)"}
	first := watched(release.Running, 1, time.Hour, told...)
	same := watched(release.Running, 1, time.Hour+time.Second, told...)
	first.Verdicts = []release.Verdict{verdict("latency", 0.12, release.Inconclusive), verdict("errors", 0.002, release.Inconclusive)}
	same.Verdicts = []release.Verdict{verdict("latency", 0.13, release.Inconclusive), verdict("errors", 0.002, release.Inconclusive)}
	passed := watched(release.Running, 1, 2*time.Hour, told...)
	passed.Verdicts = []release.Verdict{verdict("latency", 0.125, release.Pass), verdict("errors", -0.001, release.Inconclusive)}
	held := watched(release.Running, 1, 2*time.Hour, append(told, "it is held: users do not split as the weights say")...)
	held.Held = "users do not split as the weights say"
	ended := watched(release.RolledBack, 1, 0, append(told, "it is held: users do not split as the weights say", "all traffic is with stable: as ann wants")...)

	got := tellAll(t, false, nil, first, same, passed, held, ended)
	want := `movies-1: canary takes the place of stable in service movies
2026-11-21 08:00:00    20%  the release of canary to movies begins
2026-11-21 08:02:00    20%  it is at step 1 (setWeight 20%)
2026-11-21 08:04:00    20%  it is at step 2 (pause, 12h0m0s)
2026-11-21 08:00:00    20%  now: step 2 (pause, 12h0m0s), 11h to go; latency 120ms inconclusive; errors +0.2% inconclusive
2026-11-21 08:00:02    20%  now: step 2 (pause, 12h0m0s), 10h to go; latency 125ms pass; errors -0.1% inconclusive
2026-11-21 08:06:00    20%  it is held: users do not split as the weights say
2026-11-21 08:00:03    20%  now: held
2026-11-21 08:08:00     0%  all traffic is with stable: as ann wants
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in a pipe (-want +got):\n%s", diff)
	}

	const clear = "\r\x1b[K"
	got = tellAll(t, false, func() int { return 60 }, first, same, ended)
	want = `movies-1: canary takes the place of stable in service movies
2026-11-21 08:00:00    20%  the release of canary to movies begins
2026-11-21 08:02:00    20%  it is at step 1 (setWeight 20%)
2026-11-21 08:04:00    20%  it is at step 2 (pause, 12h0m0s)
2026-11-21 08:00:00    20%  now: step 2 (pause, 12h0m0s), 1` + clear + `2026-11-21 08:00:01    20%  now: step 2 (pause, 12h0m0s), 1` + clear +
		`2026-11-21 08:06:00     0%  it is held: users do not split as the weights say
2026-11-21 08:08:00     0%  all traffic is with stable: as ann wants
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("on a terminal (-want +got):\n%s", diff)
	}

	lines := strings.Split(strings.TrimSpace(tellAll(t, true, nil, first, same, ended)), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[4], `{"release":"movies-1","seq":5,`) {
		t.Errorf("as JSON: %s", strings.Join(lines, "\n"))
	}
}

func TestTheSameIsSaidAgainAfterAWhile(t *testing.T) {
	r := watched(release.Running, 1, time.Hour, "it begins")
	all := make([]*api.Release, 130)
	for i := range all {
		all[i] = r
	}
	if got := strings.Count(tellAll(t, false, nil, all...), "now:"); got != 3 {
		t.Errorf("in 130 s it is said %d times", got)
	}
}

func TestWhatCannotBeWrittenIsNoServerThatIsGone(t *testing.T) {
	for _, json := range []bool{false, true} {
		w := &watcher{now: time.Now, say: &speaker{out: broken{}, errs: broken{}, json: json}}
		if err := w.tell(watched(release.Running, 1, 0, "it begins")); err == nil || fault.KindOf(err) == fault.Unavailable {
			t.Errorf("json %v: got %v", json, err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no room") }

// server is a control plane whose streams break off until it has been asked often enough.
type server struct {
	mu     sync.Mutex
	asked  []int // behind which transition
	breaks int
	ends   release.Phase
}

func (*server) Releases(context.Context) ([]api.Release, error) { return nil, nil }

func (*server) Release(context.Context, string) (api.Release, error) {
	return *watched(release.Running, 1, 0, "one"), nil
}

func (s *server) Follow(_ context.Context, _ string, after int, each func(api.Release) error) error {
	s.mu.Lock()
	s.asked = append(s.asked, after)
	n := len(s.asked)
	s.mu.Unlock()
	told := []string{"one", "two", "three", "four"}[:min(n+1, 4)]
	phase := release.Running
	if n > s.breaks {
		phase = s.ends
	}
	r := watched(phase, 1, 0, told...)
	r.Journal = r.Journal[after:]
	if err := each(*r); err != nil || r.Over() {
		return err
	}
	return fault.Unavailablef("the server stops")
}

// listening serves a control plane where the server of a data directory does.
func listening(t *testing.T, r api.Releases) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "serin") // shorter than those of tests, as a socket's path has to be
	if err != nil {
		t.Fatal(err)
	}
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "unix", filepath.Join(dir, "serin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: api.New(api.Options{Releases: r}), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-done
		os.RemoveAll(dir)
	})
	return dir
}

func TestWatchingGoesOnWhereTheServerWasGone(t *testing.T) {
	for _, tt := range []struct {
		ends release.Phase
		code int
	}{{release.Promoted, 0}, {release.RolledBack, exitRolledBack}} {
		s := &server{breaks: 2, ends: tt.ends}
		dir := listening(t, s)
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"release", "watch", "movies", "--data-dir", dir}, strings.NewReader(""), &out, &errs)
		if code != tt.code {
			t.Errorf("%s: exit code %d, %s", tt.ends, code, &errs)
		}
		if diff := cmp.Diff([]int{0, 2, 3}, s.asked); diff != "" {
			t.Errorf("%s: it was asked for what comes behind (-want +got):\n%s", tt.ends, diff)
		}
		for _, sentence := range []string{"one", "two", "three", "four"} {
			if strings.Count(out.String(), "  "+sentence+"\n") != 1 {
				t.Errorf("%q is not told once in:\n%s", sentence, &out)
			}
		}
		if strings.Count(errs.String(), "nothing moves until a server is back") != 2 {
			t.Errorf("%s", &errs)
		}
	}
}

func TestWatchingEndsWhereItCannotGoOn(t *testing.T) {
	s := &server{breaks: 1 << 30}
	dir := listening(t, s)
	var out, errs bytes.Buffer
	watch := func(ctx context.Context, args ...string) int {
		return run(ctx, append([]string{"release", "watch", "movies", "--data-dir", dir}, args...), strings.NewReader(""), &out, &errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := watch(ctx); code != 130 {
		t.Errorf("interrupted: exit code %d, %s", code, &errs)
	}
	for _, args := range [][]string{{"--every", "0s"}, {"--patience=-1s"}} {
		if code := watch(t.Context(), args...); code != 1 {
			t.Errorf("%v: exit code %d, %s", args, code, &errs)
		}
	}
}
