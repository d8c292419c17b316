package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/stat"
	"github.com/serin-ml/serin/internal/store"
	storesqlite "github.com/serin-ml/serin/internal/store/sqlite"
)

// ledger is what two upstreams and their users know of each phase of a release: it is held against what the server says it has measured.
type ledger struct {
	mu     sync.Mutex
	phase  int
	erred  map[string]bool // users who had an error
	counts map[ledgerKey]*ledgerCounts
}

type ledgerKey struct {
	phase     int
	candidate bool
}

type ledgerCounts struct{ asked, failed, fellBack, successful, erred, labelled, right float64 }

func (l *ledger) of(phase int, candidate bool) *ledgerCounts {
	key := ledgerKey{phase, candidate}
	if l.counts[key] == nil {
		l.counts[key] = &ledgerCounts{}
	}
	return l.counts[key]
}

// upstream does what a request tells it to do.
func (l *ledger) upstream(t *testing.T, candidate bool) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do := r.Header.Get("X-Do")
		if do == "" {
			return // nobody in particular looks whether it is there
		}
		l.mu.Lock()
		c := l.of(l.phase, candidate)
		c.asked++
		user := r.Header.Get("X-User")
		switch do {
		case "fail", "late":
			c.failed++
			c.fellBack++
			if user == "" || !l.erred[user] {
				c.erred++
			}
			if user != "" {
				l.erred[user] = true
			}
		case "bad", "go":
		default:
			c.successful++
			switch do {
			case "right":
				c.right++
				c.labelled++
			case "wrong":
				c.labelled++
			}
		}
		l.mu.Unlock()
		switch do {
		case "fail":
			w.WriteHeader(http.StatusInternalServerError)
		case "bad":
			w.WriteHeader(http.StatusUnprocessableEntity)
		case "late", "go":
			<-r.Context().Done()
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// askedAs sends one request that tells what is to become of it, and the feedback on it.
func askedAs(t *testing.T, base, user, do string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if do == "go" {
		ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/recommend/1", nil)
	must(t, err)
	r.Header.Set("X-Do", do)
	if user != "" {
		r.Header.Set("X-User", user)
	}
	answer, err := http.DefaultClient.Do(r)
	if do == "go" {
		if err == nil {
			answer.Body.Close()
			t.Error("who goes has an answer")
		}
		return
	}
	must(t, err)
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if do != "right" && do != "wrong" {
		return
	}
	body := fmt.Sprintf(`{"token": %q, "correct": %v}`, answer.Header.Get("Serin-Decision"), do == "right")
	said, err := http.Post(base+"/v1/feedback", "application/json", strings.NewReader(body))
	must(t, err)
	text, _ := io.ReadAll(said.Body)
	said.Body.Close()
	if said.StatusCode != http.StatusOK && said.StatusCode != http.StatusAccepted {
		t.Errorf("feedback: %d %s", said.StatusCode, text)
	}
}

const ledgerText = `services:
  - name: movies
    path: /recommend/
    timeout: 1s
    variants: [{name: stable, upstream: "%s", outlier: {consecutive5xx: 0}, maxFails: 0}, {name: canary, upstream: "%s", outlier: {consecutive5xx: 0}, maxFails: 0}]
    traffic: {weights: {stable: 1}, sticky: {unit: "header:X-User"}}
    fallback: {body: {movies: []}}
releases:
  - name: movies
    service: movies
    candidate: canary
    steps: [{setWeight: 20}, {approval: {}}, {setWeight: 60}, {approval: {}}, {setWeight: 30}, {approval: {}}]
    metrics:
      - {name: errors, role: info, vs: stable, margin: 20%%}
      - {name: accuracy, role: info, vs: stable, margin: 20%%}
`

// What a release is judged by is what its users and its upstreams saw, to the last request: over changes of the weights, a restart, and a
// telemetry.db that was removed and made anew.
func TestALookIsWhatUsersSaw(t *testing.T) {
	l := &ledger{erred: map[string]bool{}, counts: map[ledgerKey]*ledgerCounts{}}
	c := readText(t, fmt.Sprintf(ledgerText, l.upstream(t, false).URL, l.upstream(t, true).URL))
	onAnyPort(c)
	o := options(t.TempDir())
	s := startWith(t, o, c)
	ready := func(s []api.Service) bool { return len(s) == 2 && s[0].State == "ready" && s[1].State == "ready" }
	s.until(t, "both are ready", ready)
	begun, err := s.client.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "ann"})
	must(t, err)
	m := &moving{running: s}
	load := func() {
		dos := []string{"ok", "right", "ok", "wrong", "fail", "right", "bad", "right", "ok", "fail", "right"}
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				for i := worker; i < 400; i += 4 {
					user := fmt.Sprint("user", i%90)
					if i%7 == 0 {
						user = ""
					}
					do := dos[(i/7+i)%len(dos)]
					switch i {
					case 101:
						do = "late"
					case 103, 207, 301:
						do = "go"
					}
					askedAs(t, "http://"+m.HTTP, user, do)
				}
			})
		}
		all.Wait()
	}
	for phase, share := range []float64{0.2, 0.6, 0.3} {
		l.phase = phase
		m.holds(t, "the share", share)
		load()
		if phase == 1 {
			must(t, m.stop())
			for _, end := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(filepath.Join(o.DataDir, telemetryName+end)); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			m.running = startWith(t, o, c)
			m.until(t, "both are ready again", ready)
			m.holds(t, "the share after a restart", share)
			clear(l.erred) // nobody remembers them
			load()
		}
		if phase < 2 {
			_, err := m.client.CommandRelease(t.Context(), begun.ID, release.Command{What: release.WantApproval, By: "ann"})
			must(t, err)
		}
	}
	must(t, m.stop())

	state, err := storesqlite.OpenReadOnly(t.Context(), filepath.Join(o.DataDir, databaseName))
	must(t, err)
	defer state.Close()
	var doc trafficDoc
	must(t, state.View(t.Context(), func(r store.Reader) (err error) {
		doc, err = getTraffic(r, "movies")
		return err
	}))
	sink, err := telemetrysqlite.Open(t.Context(), filepath.Join(o.DataDir, telemetryName), telemetrysqlite.Options{})
	must(t, err)
	defer sink.Close()
	look := lookAt(t, newEvidence(sink, upToDate), &evidenceOf{
		Service: "movies", Epoch: doc.Epoch, Stable: "stable", Candidate: "canary", StableVersion: begun.Stable.Version, CandidateVersion: begun.Bound.Version,
		Shares: doc.Release.Shares, Metrics: begun.Plan.Metrics, Strategy: release.Canary, Since: begun.Started,
	}, time.Now().Add(time.Hour))
	if len(look.Segments) != 3 || look.Unfit != "" {
		t.Fatalf("%d segments of %v, unfit: %q", len(look.Segments), doc.Release.Shares, look.Unfit)
	}
	for phase := range look.Segments {
		segment := &look.Segments[phase]
		for i, arm := range []*release.Arm{&segment.Stable, &segment.Candidate} {
			sum := pairSum
			failed, fellBack, took, right, covered := sum(&arm.Failed), sum(&arm.Fellback), sum(&arm.Took), sum(&arm.Right), sum(&arm.Covered)
			got := ledgerCounts{failed.Z, failed.Y, fellBack.Y, took.Z, float64(arm.Erred), right.Z, right.Y}
			want := *l.of(phase, i == 1)
			if got != want || covered.Z != want.successful || covered.Y != want.labelled {
				t.Errorf("at share %v, candidate %v:\n got %+v\nwant %+v, covered %v", segment.Share, i == 1, got, want, covered)
			}
		}
	}
}

func pairSum(p *release.Pairs) (sum stat.Pair) {
	for _, v := range p {
		sum.Y, sum.Z = sum.Y+v.Y, sum.Z+v.Z
	}
	return sum
}
