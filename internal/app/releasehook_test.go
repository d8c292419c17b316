package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

var aboutDeploy = hookAbout{Key: "movies-1/7/hook/deploy", Hook: release.Deploy, Release: "movies-1", Service: "movies", Candidate: "canary", CandidateVersion: "1.4.0"}

func TestAHookIsAProgramThatIsToldWhatItIsAbout(t *testing.T) {
	for _, tt := range []struct{ name, script, said, err string }{
		{"it succeeds", `echo "$SERIN_HOOK $SERIN_RELEASE $SERIN_CANDIDATE $SERIN_CANDIDATE_VERSION $SERIN_KEY"`, "deploy movies-1 canary 1.4.0 movies-1/7/hook/deploy\n", ""},
		{"it fails", `echo one; echo "no such image" >&2; exit 3`, "one\nno such image\n", "exit status 3 (no such image)"},
		{"it says much", `for i in 1 2 3 4 5 6 7 8; do printf '%01024d' $i; done`, strings.Repeat("0", 1023) + "8", ""},
		{"it leaves a child behind that holds its output", `sleep 5 & echo started`, "started\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, err := runHook(t.Context(), &release.Hook{Name: release.Deploy, Exec: []string{"sh", "-c", tt.script}, Timeout: 30 * time.Second}, aboutDeploy)
			if !strings.HasSuffix(said, tt.said) || len(said) > hookKept {
				t.Errorf("it said %q", said)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

func TestAHookThatTakesTooLongIsKilledWithItsChildren(t *testing.T) {
	said, err := runHook(t.Context(), &release.Hook{Exec: []string{"sh", "-c", "echo begun; sh -c 'sleep 60'; echo done"}, Timeout: 100 * time.Millisecond}, aboutDeploy)
	if err == nil || !strings.Contains(err.Error(), "longer than 100ms") || said != "begun\n" {
		t.Errorf("it said %q: %v", said, err)
	}
	if _, err := runHook(t.Context(), &release.Hook{Exec: []string{"/no/such/program"}}, aboutDeploy); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a program that there is not: %v", err)
	}
}

func TestAHookIsAnAddressThatIsAsked(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var about hookAbout
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &about) != nil || about != aboutDeploy || r.Header.Get("Idempotency-Key") != aboutDeploy.Key {
			t.Errorf("it is told %s, with key %q", body, r.Header.Get("Idempotency-Key"))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "job 12\n")
	}))
	defer s.Close()
	hook := &release.Hook{Name: release.Deploy, URL: s.URL, Timeout: 10 * time.Second}
	if said, err := runHook(t.Context(), hook, aboutDeploy); err != nil || said != "job 12\n" {
		t.Errorf("it said %q: %v", said, err)
	}
	for _, status = range []int{http.StatusFound, http.StatusConflict, http.StatusInternalServerError} {
		if said, err := runHook(t.Context(), hook, aboutDeploy); err == nil || !strings.Contains(err.Error(), "(job 12)") || said != "job 12\n" {
			t.Errorf("status %d: it said %q: %v", status, said, err)
		}
	}
	s.Close()
	if _, err := runHook(t.Context(), hook, aboutDeploy); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestAHookThatNobodyWantsAnyMoreIsCutOffBeforeTheNextOne(t *testing.T) {
	plan := moviesPlan(toWeight(20), pauseFor(time.Second))
	plan.Hooks = hooked(release.Deploy, release.Undo)
	w, s := booted(t, plan)
	begun, cut := make(chan struct{}), make(chan struct{})
	s.RunHook = func(ctx context.Context, h *release.Hook, about hookAbout) (string, error) {
		if h.Name == release.Deploy {
			close(begun)
			<-ctx.Done()
			close(cut)
			return "", ctx.Err()
		}
		select {
		case <-cut:
		default:
			t.Error("undo runs beside deploy")
		}
		return w.runHook(ctx, h, about)
	}
	s.start()
	for range 3 {
		w.pass(time.Second)
		s.Tick(t.Context())
	}
	<-begun
	_, err := s.CommandRelease(t.Context(), "movies", release.Command{What: release.WantAbort, By: "bob"})
	must(t, err)
	w.wantShare("aborted", 0)
	<-cut
	s.pass(3 * time.Second)
	r := s.wantPhase("aborted", release.RolledBack)
	if len(r.Hooks) != 1 || r.Hooks[0].Hook != release.Undo || r.Hooks[0].Said != "output of undo" {
		t.Errorf("the hooks that are kept are %+v", r.Hooks)
	}
}

func TestAHookThatFailsIsTriedAgainWithPauses(t *testing.T) {
	plan := moviesPlan(toWeight(20), pauseFor(time.Hour))
	plan.Hooks = hooked(release.Undo)
	w, s := booted(t, plan)
	w.hooks = func(string) error { return errors.New("no cluster") }
	s.start()
	_, err := s.CommandRelease(t.Context(), "movies", release.Command{What: release.WantAbort, By: "bob"})
	must(t, err)
	s.pass(time.Minute)
	r := s.wantPhase("while undo fails", release.RollingBack)
	if n := len(w.ran); n < 4 || n > 8 || !strings.Contains(r.Held, "no cluster") {
		t.Errorf("it was tried %d times in a minute, and is held %q", n, r.Held)
	}
	w.wantShare("while undo fails", 0)
	w.hooks = func(string) error { return nil }
	_, err = s.CommandRelease(t.Context(), "movies", release.Command{What: release.WantRetry, By: "bob"})
	must(t, err)
	s.pass(3 * time.Second)
	s.wantPhase("retried", release.RolledBack)
	w.check("retried")
}

// A deployment may take half an hour, in which the candidate has its share.
func TestHarmIsSeenWhileAHookOfThePromotionRuns(t *testing.T) {
	plan := moviesPlan(toWeight(20), pauseFor(time.Second))
	plan.Hooks = hooked(release.Deploy)
	w, s := booted(t, plan)
	begun := make(chan struct{})
	s.RunHook = func(ctx context.Context, _ *release.Hook, _ hookAbout) (string, error) {
		close(begun)
		<-ctx.Done()
		return "", ctx.Err()
	}
	s.start()
	for range 3 {
		w.pass(time.Second)
		s.Tick(t.Context())
	}
	<-begun
	s.wantPhase("deploying", release.Promoting)
	w.wantShare("deploying", 0.2)
	w.sees(func(time.Time, *evidenceOf) (release.Look, error) {
		return release.Look{}, errors.New("telemetry.db is gone")
	})
	s.Tick(t.Context())
	s.wantPhase("deploying blindly", release.Promoting)
	w.sees(w.bad)
	s.Tick(t.Context())
	w.wantShare("after harm", 0)
	if r := s.wantPhase("after harm", release.RolledBack); r.Reason != "it fails too often" {
		t.Errorf("the reason is %q", r.Reason)
	}
}
