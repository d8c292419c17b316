package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/release"
)

// variantServer is an upstream that says its name, until it breaks.
type variantServer struct {
	*httptest.Server
	broken atomic.Bool
	asked  atomic.Int64
	failed atomic.Int64
}

func newVariantServer(t *testing.T, name string) *variantServer {
	b := &variantServer{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.asked.Add(1)
		if b.broken.Load() {
			b.failed.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(b.Close)
	return b
}

// mailbox is a webhook that keeps what it is told.
type mailbox struct {
	*httptest.Server
	mu   sync.Mutex
	got  map[string]notify.Message
	many int
}

func newMailbox(t *testing.T) *mailbox {
	m := &mailbox{got: map[string]notify.Message{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message notify.Message
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &message)
		}
		if err != nil {
			t.Errorf("the webhook gets no message: %v", err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got[message.Key] = message
		m.many++
	}))
	t.Cleanup(m.Close)
	return m
}

// subjects are those of what came, in order.
func (m *mailbox) subjects() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := make([]string, 0, len(m.got))
	for key := range m.got {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		all = append(all, m.got[key].Subject)
	}
	return all
}

// moving is a server with a service of two upstreams and a release between them, which users ask all the time.
type moving struct {
	*running
	stable, canary *variantServer
	mail           *mailbox
	failed         atomic.Int64 // of users' requests
}

const movingText = `services:
  - name: movies
    path: /recommend/
    variants: [{name: stable, upstream: "%s", outlier: {consecutive5xx: 0}, maxFails: 0}, {name: canary, upstream: "%s", outlier: {consecutive5xx: 0}, maxFails: 0}]
    traffic: {weights: {stable: 1}, sticky: {unit: "header:X-User"}}
releases:
  - name: movies
    service: movies
    candidate: canary
    lease: 5s
    steps: [%s]
    metrics: [{name: errors, vs: stable, tolerate: 0, margin: 20%%, minSample: 50}]
notify: [{kind: webhook, url: "%s"}]
`

func newMoving(t *testing.T, steps string) *moving {
	t.Helper()
	m := &moving{stable: newVariantServer(t, "stable"), canary: newVariantServer(t, "canary"), mail: newMailbox(t)}
	m.running = startWith(t, options(t.TempDir()), m.config(t, steps))
	m.until(t, "both are ready", func(s []api.Service) bool {
		return len(s) == 2 && s[0].State == "ready" && s[1].State == "ready"
	})
	return m
}

func (m *moving) config(t *testing.T, steps string) *config.Config {
	c := readText(t, fmt.Sprintf(movingText, m.stable.URL, m.canary.URL, steps, m.mail.URL))
	onAnyPort(c)
	return c
}

// users ask about 200 times in a second, each of 500 again and again, until the function that it returns is called.
func (m *moving) users(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	ticker := time.NewTicker(5 * time.Millisecond)
	for worker := range 4 {
		all.Go(func() {
			for i := worker; ; i += 4 {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.HTTP+"/recommend/1", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("X-User", fmt.Sprint("user", i%500))
				answer, err := client.Do(r)
				if err != nil {
					continue // the test ends
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					m.failed.Add(1)
				}
			}
		})
	}
	return sync.OnceFunc(func() {
		cancel()
		all.Wait()
		ticker.Stop()
		client.CloseIdleConnections()
	})
}

// reaches waits until the release is as it is to be.
func (m *moving) reaches(t *testing.T, what string, is func(api.Release) bool) (r api.Release) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	err := m.client.FollowRelease(ctx, "movies", 0, func(now api.Release) error {
		r = now
		if is(now) {
			return errSeen
		}
		return nil
	})
	if err != errSeen { //nolint:errorlint // it is the very one
		t.Fatalf("%s is not reached (%v): it is %s at %s, held %q\n%+v", what, err, r.Phase, r.StepName, r.Held, r.Verdicts)
	}
	return r
}

var errSeen = fault.Invalidf("seen")

func phase(p release.Phase) func(api.Release) bool {
	return func(r api.Release) bool { return r.Phase == p }
}

func TestAServerPromotesACandidateThatIsFine(t *testing.T) {
	m := newMoving(t, `{setWeight: 20}, {pause: 1s}, {setWeight: 50}, {analysis: {}}`)
	defer m.users(t)()
	begun, err := m.client.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "ann"})
	must(t, err)
	if begun.ID != "movies-1" || begun.Percent != 20 {
		t.Fatalf("%s begins with %v%%", begun.ID, begun.Percent)
	}
	r := m.reaches(t, "the promotion", phase(release.Promoted))
	shown, err := m.client.ServiceTraffic(t.Context(), "movies")
	must(t, err)
	if shown.Weights.Share("canary") != 1 || r.Drift == "" {
		t.Errorf("after the promotion the candidate has %v, drift %q", shown.Weights, r.Drift)
	}
	plan, err := m.client.PlanRelease(t.Context(), r.Plan.Name)
	if err != nil || plan.Plan.Stable != "canary" || plan.Plan.Candidate != "stable" || !strings.Contains(strings.Join(plan.Warnings, "\n"), "since release "+r.ID+" canary is stable") {
		t.Errorf("a plan of what comes next: %v, %q", err, plan.Warnings)
	}
	before := m.stable.asked.Load()
	m.eventually(t, "all users are with the candidate", func() bool {
		from := m.canary.asked.Load()
		m.eventually(t, "some ask", func() bool { return m.canary.asked.Load() > from+20 })
		after := m.stable.asked.Load()
		same := after == before
		before = after
		return same
	})
	m.eventually(t, "people are told", func() bool { return len(m.mail.subjects()) == 2 })
	if got := strings.Join(m.mail.subjects(), "\n"); got != "movies-1: the release of canary to movies begins\nmovies-1: canary is promoted" {
		t.Errorf("people are told\n%s", got)
	}
	if n := m.failed.Load(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
}

// eventually waits for something.
func (m *moving) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("not reached: %s", what)
}

func TestAServerTakesABrokenCandidateAway(t *testing.T) {
	m := newMoving(t, `{setWeight: 20}, {pause: 1h}`)
	m.canary.broken.Store(true)
	defer m.users(t)()
	_, err := m.client.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "ann"})
	must(t, err)
	r := m.reaches(t, "the end", phase(release.RolledBack))
	if !strings.Contains(r.Reason, "worse") {
		t.Errorf("the reason is %q", r.Reason)
	}
	t.Logf("%d requests failed, %v after the beginning: %s", m.canary.failed.Load(), r.Ended.Sub(r.Started), r.Reason)
	failed := m.canary.failed.Load()
	asked := m.stable.asked.Load()
	m.eventually(t, "users go on", func() bool { return m.stable.asked.Load() > asked+50 })
	if n := m.canary.failed.Load(); n > failed+4 { // those that were on their way
		t.Errorf("%d more requests went to the candidate after it was taken away", n-failed)
	}
}

func TestAReloadInTheMiddleOfAReleaseAndARestart(t *testing.T) {
	dir := t.TempDir()
	m := &moving{stable: newVariantServer(t, "stable"), canary: newVariantServer(t, "canary"), mail: newMailbox(t)}
	steps := `{setWeight: 20}, {pause: 1h}`
	o := options(dir)
	next := m.config(t, steps)
	o.Reread = func() (*config.Config, string, error) { return next, "serin.yaml", nil }
	m.running = startWith(t, o, m.config(t, steps))
	ready := func(s []api.Service) bool { return len(s) == 2 && s[0].State == "ready" && s[1].State == "ready" }
	m.until(t, "ready", ready)
	_, err := m.client.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "ann"})
	must(t, err)

	next = m.config(t, `{setWeight: 40}, {pause: 1h}`) // which is for the next release
	next.Services[0].Timeout = 3 * time.Second
	done, err := m.client.Reload(t.Context())
	must(t, err)
	if !slices.Contains(done.Server, "releases") || !slices.Contains(done.Changed, "movies") {
		t.Errorf("the reload tells %+v", done)
	}
	m.holds(t, "after a reload", 0.2)

	must(t, m.stop())
	m.running = startWith(t, o, next)
	m.until(t, "ready again", ready)
	m.holds(t, "after a restart", 0.2)

	next = m.config(t, steps)
	next.Services[0].Variants = next.Services[0].Variants[:1]
	next.Releases = nil
	_, err = m.client.Reload(t.Context())
	must(t, err)
	r := m.reaches(t, "the end, as the candidate is gone", phase(release.RolledBack))
	if !strings.Contains(r.Reason, "no variant canary any more") {
		t.Errorf("the reason is %q", r.Reason)
	}
}

// holds waits until the candidate has a share of what users get.
func (m *moving) holds(t *testing.T, what string, share float64) {
	t.Helper()
	m.eventually(t, what, func() bool {
		shown, err := m.client.ServiceTraffic(t.Context(), "movies")
		return err == nil && shown.Weights.Share("canary") == share
	})
}
