package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// hookTurn is a hook that runs, or has ended.
type hookTurn struct {
	api.HookRun
	cancel context.CancelFunc
	ended  chan struct{} // closed when it has; HookRun is written before
}

// over tells whether it has ended.
func (h *hookTurn) over() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// work runs the hook that is due, one at a time, and tells how it ended. It waits for none.
func (r *releases) work(ctx context.Context, one *life, now time.Time) (what happened) {
	s := &one.doc.State
	if one.hook != nil {
		if !one.hook.over() {
			return what
		}
		if len(s.Due) > 0 && s.Due[0].Key == one.hook.Key {
			what.hook, what.Done = one.hook, &release.Done{Key: one.hook.Key, Err: one.hook.Err}
			return what
		}
		one.hook = nil // it was cut off, as nobody wants it any more
	}
	if len(s.Due) == 0 || s.Due[0].Kind != release.RunHook || now.Before(one.retry) {
		return what
	}
	due := s.Due[0]
	at := slices.IndexFunc(s.Plan.Hooks, func(h release.Hook) bool { return h.Name == due.Hook })
	if at < 0 { // which the plan that made it due had
		what.Done = &release.Done{Key: due.Key}
		return what
	}
	hook, about := s.Plan.Hooks[at], aboutHook(s, due)
	bound, cancel := context.WithCancel(ctx)
	run := &hookTurn{HookRun: api.HookRun{Key: due.Key, Hook: due.Hook, At: now.UTC()}, cancel: cancel, ended: make(chan struct{})}
	one.hook = run
	r.Log.Info("a hook runs", "release", s.ID, "hook", due.Hook, "key", due.Key)
	r.hooks.Go(func() {
		defer cancel()
		said, err := r.RunHook(bound, &hook, about)
		run.Said = said
		if run.TookSeconds = api.Seconds(r.Now().Sub(now).Seconds()); err != nil {
			run.Err = err.Error()
		}
		if ctx.Err() != nil {
			return // whoever ran it stops: it is run again by who takes the release up
		}
		close(run.ended)
		r.hasten()
	})
	return what
}

// settleHook takes in that a hook's end was written down, and cuts one off that nobody wants any more.
func (one *life) settleHook(t *turn) {
	switch due := one.doc.State.Due; {
	case t.hook != nil:
		failed := one.tries
		one.hook, one.tries, one.retry = nil, 0, time.Time{}
		if t.hook.Err != "" {
			one.tries = failed + 1
			one.retry = t.now.Add(hookPause(one.tries))
		}
	case one.hook != nil && (len(due) == 0 || due[0].Key != one.hook.Key):
		one.hook.cancel()
	}
}

// hookPause is how long is waited after so many failures in a row: a second, twice as long after each further one, and a minute at most.
func hookPause(tries int) time.Duration {
	return min(time.Second<<min(max(tries-1, 0), 10), time.Minute)
}

// hookAbout is what a hook is told: as JSON to an address, and as SERIN_... in the environment of a program.
type hookAbout struct {
	Key              string `json:"key"` // the same if it is run again, as after a crash
	Hook             string `json:"hook"`
	Release          string `json:"release"`
	Service          string `json:"service"`
	Stable           string `json:"stable"`
	StableVersion    string `json:"stableVersion"`
	Candidate        string `json:"candidate"`
	CandidateVersion string `json:"candidateVersion"`
	Reason           string `json:"reason,omitempty"` // for which it goes back
}

func aboutHook(s *release.State, e release.Effect) hookAbout {
	return hookAbout{
		Key: e.Key, Hook: e.Hook, Release: s.ID, Service: s.Plan.Service, Stable: s.Plan.Stable, StableVersion: s.Stable.Version,
		Candidate: s.Plan.Candidate, CandidateVersion: s.Bound.Version, Reason: s.Reason,
	}
}

// environment is what a program gets besides the server's own.
func (a *hookAbout) environment() []string {
	return []string{
		"SERIN_KEY=" + a.Key, "SERIN_HOOK=" + a.Hook, "SERIN_RELEASE=" + a.Release, "SERIN_SERVICE=" + a.Service, "SERIN_STABLE=" + a.Stable,
		"SERIN_STABLE_VERSION=" + a.StableVersion, "SERIN_CANDIDATE=" + a.Candidate, "SERIN_CANDIDATE_VERSION=" + a.CandidateVersion,
		"SERIN_REASON=" + a.Reason,
	}
}

// runHook runs a hook to its end, for its timeout at most, and returns the end of what it said.
func runHook(ctx context.Context, h *release.Hook, about hookAbout) (said string, err error) {
	timeout := h.Timeout
	if timeout <= 0 {
		timeout = defaultHook
	}
	bound, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if len(h.Exec) > 0 {
		said, err = execHook(bound, h.Exec, about)
	} else {
		said, err = askHook(bound, h.URL, about)
	}
	if err != nil && bound.Err() != nil && ctx.Err() == nil {
		err = fault.Unavailablef("it took longer than %v", timeout)
	}
	return said, err
}

// defaultHook is how long a hook may take unless told otherwise; hookGrace how long one that is cut off may take to let go of its output.
const (
	defaultHook = 5 * time.Minute
	hookGrace   = time.Second
)

// execHook runs a program. It has a process group of its own, which is killed as a whole when its time is over.
func execHook(ctx context.Context, argv []string, about hookAbout) (said string, err error) {
	var out tail
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdout, c.Stderr, c.Env = &out, &out, append(os.Environ(), about.environment()...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = hookGrace
	if err = c.Run(); errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it succeeded, and what it has started goes on with its output
	}
	if err != nil {
		err = fault.Unavailablef("%s: %w%s", argv[0], err, lastLine(out.String()))
	}
	return out.String(), err
}

// askHook posts to an address.
func askHook(ctx context.Context, url string, about hookAbout) (said string, err error) {
	body, err := json.Marshal(about)
	if err != nil {
		return "", fault.Internalf("what a hook is about cannot be written: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", fault.Invalidf("the address of the hook is wrong: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Serin")
	r.Header.Set("Idempotency-Key", about.Key)
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", fault.Unavailablef("the hook cannot be asked: %w", errors.Unwrap(err))
	}
	defer answer.Body.Close()
	var out tail
	_, err = io.Copy(&out, io.LimitReader(answer.Body, hookAnswer))
	switch code := answer.StatusCode; {
	case code < 200 || code > 299:
		return out.String(), fault.Unavailablef("%s answers %d%s", r.URL.Host, code, lastLine(out.String()))
	case err != nil:
		return out.String(), fault.Unavailablef("%s breaks off its answer: %w", r.URL.Host, err)
	}
	return out.String(), nil
}

// hookAnswer bounds what is read of an answer.
const hookAnswer = 1 << 20

// tail keeps the last bytes that are written to it.
type tail struct{ b []byte }

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b[max(0, len(b)-hookKept):]...)
	if over := len(t.b) - hookKept; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

// String is what is kept, as text.
func (t *tail) String() string { return strings.ToValidUTF8(string(t.b), "\ufffd") }

// lastLine is the last line of what was said, to be put behind an error.
func lastLine(said string) string {
	said = strings.TrimSpace(said)
	said = said[strings.LastIndexByte(said, '\n')+1:]
	if said == "" {
		return ""
	}
	return fmt.Sprintf(" (%.200s)", said)
}
