package api

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// stage is a place where one release at a time runs, by the real machine and a clock that stands still.
type stage struct {
	mu      sync.Mutex
	state   release.State
	journal []release.Transition
	changed chan struct{} // closed at a change
	fails   error         // what Follow ends with once everything was told
	starts  []ReleaseStart
}

var began = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func newStage() *stage { return &stage{changed: make(chan struct{})} }

// take takes in what a step gave. s.mu is held.
func (s *stage) take(state release.State, told []release.Transition) {
	s.state, s.journal = state, slices.Concat(s.journal, told)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stage) known(id string) error {
	if id == "" || s.state.ID != id && s.state.Plan.Name != id {
		return fault.NotFoundf("there is no release %q", id).WithHint("`serin release list` shows those that there are")
	}
	return nil
}

func (s *stage) Releases(context.Context) ([]Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.ID == "" {
		return nil, nil
	}
	return []Release{NewRelease(s.state, "", nil)}, nil
}

func (s *stage) Release(_ context.Context, id string) (Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return NewRelease(s.state, "", s.journal), s.known(id)
}

func (s *stage) Follow(ctx context.Context, id string, after int, each func(Release) error) error {
	for {
		s.mu.Lock()
		r, err, changed, fails := NewRelease(s.state, "", s.journal[min(after, len(s.journal)):]), s.known(id), s.changed, s.fails
		s.mu.Unlock()
		if err != nil {
			return err
		}
		if err := each(r); err != nil {
			return err
		}
		after = r.Seq
		switch {
		case r.Over():
			return nil
		case fails != nil:
			return fails
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (s *stage) StartRelease(_ context.Context, name string, start ReleaseStart) (Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.ID != "" && !start.Supersede {
		return Release{}, fault.Conflictf("release %s is under way", s.state.ID).WithHint("--supersede takes its place")
	}
	plan := release.Plan{
		Name: name, Service: "sentiment", Stable: "stable", Candidate: "canary", Strategy: release.Canary, Model: "sentiment", Alias: "champion",
		Steps:   []release.PlanStep{{Kind: release.SetWeight, Percent: 20}, {Kind: release.Approval}},
		Metrics: []release.Metric{{Name: "errors", Role: release.Guardrail, Measure: release.Errors, Versus: true, Margin: 0.01}},
		Lease:   30 * time.Second, FalseRollback: 0.05, FalsePromotion: 0.05,
	}
	s.starts = append(s.starts, start)
	state, told, err := release.Begin(name+"-1", plan, release.Bound{Version: "sha256:01", Number: 1, Semver: "1.0.0"}, release.Bound{Version: "sha256:02", Number: 2, Semver: "1.0.1"}, start.By, began)
	if err == nil {
		s.take(state, told)
	}
	return NewRelease(state, "", told), err
}

func (s *stage) CommandRelease(_ context.Context, id string, c release.Command) (Release, error) {
	if err := s.known(id); err != nil {
		return Release{}, err
	}
	return s.step(release.Input{Command: &c})
}

func (s *stage) step(in release.Input) (Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, told, err := release.Step(s.state, in, began.Add(time.Minute))
	if err == nil {
		s.take(state, told)
	}
	return NewRelease(state, "", told), err
}

// finish does what is due until nothing is.
func (s *stage) finish(t *testing.T) {
	t.Helper()
	for len(s.state.Due) > 0 {
		if _, err := s.step(release.Input{Done: &release.Done{Key: s.state.Due[0].Key}}); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *stage) PlanRelease(context.Context, string) (ReleasePlan, error) {
	return ReleasePlan{Plan: release.Plan{Name: "movies"}, Metrics: []PlannedMetric{{Metric: "errors"}}}, nil
}

// newStagedControl returns a control plane on a stage, and clients of it: in-process, and over a socket.
func newStagedControl(t *testing.T) (*stage, http.Handler, map[string]*Client) {
	t.Helper()
	s := newStage()
	h := New(Options{Releases: s, Releaser: s})
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return s, h, map[string]*Client{"in-process": NewClient("http://test", Direct(h)), "over HTTP": NewClient(server.URL, http.DefaultTransport)}
}

func sentences(journal []release.Transition) (all []string) {
	for _, t := range journal {
		all = append(all, t.Sentence)
	}
	return all
}

func TestAReleasesLifeThroughTheClient(t *testing.T) {
	for _, way := range []string{"in-process", "over HTTP"} {
		t.Run(way, func(t *testing.T) {
			s, _, clients := newStagedControl(t)
			c := clients[way]
			if all, err := c.Releases(t.Context()); err != nil || all == nil || len(all) != 0 {
				t.Fatalf("before the first: %v, %v", all, err)
			}
			r, err := c.StartRelease(t.Context(), "movies", ReleaseStart{By: "ann", Why: "it is better"})
			if err != nil || r.ID != "movies-1" || r.Percent != 20 || r.StepName != "step 2 (approval)" || r.Phase != release.Running {
				t.Fatalf("%+v, %v", r, err)
			}
			if diff := cmp.Diff([]ReleaseStart{{By: "ann", Why: "it is better"}}, s.starts); diff != "" {
				t.Error(diff)
			}
			if _, err := c.StartRelease(t.Context(), "movies", ReleaseStart{By: "ann"}); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
				t.Errorf("a second one: %v", err)
			}
			var told []string
			err = c.FollowRelease(t.Context(), "movies", 0, func(r Release) error {
				told = append(told, sentences(r.Journal)...)
				switch r.Phase {
				case release.Running: // which is called before the stream could know what happens next
					_, err := c.CommandRelease(t.Context(), "movies", release.Command{What: release.WantApproval, By: "bob", Why: "fine"})
					return err
				case release.Promoting:
					if len(r.Due) == 2 {
						s.finish(t)
					}
				case release.RollingBack, release.Promoted, release.RolledBack:
				}
				return nil
			})
			want := []string{
				"the release of canary to sentiment begins", "it is at step 1 (setWeight 20%)", "it is at step 2 (approval)", "bob approves: fine",
				"it is promoted: every step of the plan is done", "canary is promoted",
			}
			if diff := cmp.Diff(want, told); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			whole, err := c.Release(t.Context(), "movies-1")
			if diff := cmp.Diff(want, sentences(whole.Journal)); err != nil || diff != "" || whole.Percent != 0 || whole.Phase != release.Promoted {
				t.Errorf("%v, %+v (-want +got):\n%s", err, whole.State, diff)
			}
			if all, err := c.Releases(t.Context()); err != nil || len(all) != 1 || all[0].Journal != nil {
				t.Errorf("%+v, %v", all, err)
			}
			if _, err := c.CommandRelease(t.Context(), "movies", release.Command{What: release.WantAbort, By: "bob"}); fault.KindOf(err) != fault.Conflict {
				t.Errorf("what has ended is aborted: %v", err)
			}
		})
	}
}

func TestEveryWishIsHandedOn(t *testing.T) {
	s, _, clients := newStagedControl(t)
	c := clients["in-process"]
	for _, w := range wishes {
		s.state = release.State{}
		if _, err := c.StartRelease(t.Context(), "movies", ReleaseStart{By: "ann", Supersede: true}); err != nil {
			t.Fatal(err)
		}
		_, err := c.CommandRelease(t.Context(), "movies-1", release.Command{What: w.wish, By: "bob"})
		want := map[release.Wish]string{
			release.WantResume: "release movies-1 is not held",
			release.WantRetry:  "nothing of release movies-1 failed that could be tried again",
		}[w.wish]
		if err != nil {
			if err.Error() != want || fault.KindOf(err) != fault.Conflict {
				t.Errorf("%s: %v", w.wish, err)
			}
			continue
		}
		if by := s.journal[len(s.journal)-1].By; want != "" || by != "bob" {
			t.Errorf("%s was done by %s, and %q was expected", w.wish, by, want)
		}
	}
}

func TestWhatIsWantedHasAnAuthor(t *testing.T) {
	_, _, clients := newStagedControl(t)
	c := clients["in-process"]
	if _, err := c.StartRelease(t.Context(), "movies", ReleaseStart{}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("nobody starts: %v", err)
	}
	if _, err := c.CommandRelease(t.Context(), "movies-1", release.Command{What: release.WantAbort, By: "a\nb"}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("an author of two lines: %v", err)
	}
	if _, err := c.CommandRelease(t.Context(), "movies-1", release.Command{What: "drop", By: "ann"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an unknown wish: %v", err)
	}
}

func TestWhereNoServerRunsReleasesAreOnlyLookedAt(t *testing.T) {
	s := newStage()
	c := NewClient("http://test", Direct(New(Options{Releases: s})))
	if all, err := c.Releases(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	_, started := c.StartRelease(t.Context(), "movies", ReleaseStart{By: "ann"})
	_, commanded := c.CommandRelease(t.Context(), "movies", release.Command{What: release.WantAbort, By: "ann"})
	_, foreseen := c.PlanRelease(t.Context(), "movies")
	for _, err := range []error{started, commanded, foreseen} {
		if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.HintOf(err), "serin serve") {
			t.Errorf("got %v", err)
		}
	}
	_, bare := newControl(t)
	_, listed := bare.Releases(t.Context())
	_, shown := bare.Release(t.Context(), "movies")
	followed := bare.FollowRelease(t.Context(), "movies", 0, func(Release) error { return nil })
	for _, err := range []error{listed, shown, followed} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("got %v", err)
		}
	}
}

func TestAPlanHasListsRatherThanNulls(t *testing.T) {
	_, h, clients := newStagedControl(t)
	if p, err := clients["over HTTP"].PlanRelease(t.Context(), "movies"); err != nil || p.Plan.Name != "movies" || len(p.Metrics) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	body := get(h, "/api/v1/release-plans/movies").Body.String()
	for _, list := range []string{`"steps":[]`, `"says":[]`, `"warnings":[]`} {
		if !strings.Contains(body, list) {
			t.Errorf("%s is missing in %s", list, body)
		}
	}
}

// The stream as it goes over the wire.
func TestEventsAreAsTheStandardSays(t *testing.T) {
	s, h, clients := newStagedControl(t)
	if _, err := clients["in-process"].StartRelease(t.Context(), "movies", ReleaseStart{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.step(release.Input{Command: &release.Command{What: release.WantAbort, By: "ann"}}); err != nil {
		t.Fatal(err)
	}
	s.finish(t)
	r := httptest.NewRequest(http.MethodGet, "/api/v1/releases/movies-1/events", http.NoBody)
	r.Header.Set("Last-Event-ID", "3")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	lines := strings.Split(w.Body.String(), "\n")
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" || !w.Flushed || len(lines) != 5 ||
		lines[0] != "event: release" || lines[1] != "id: 5" || !strings.HasPrefix(lines[2], `data: {"format":1,"id":"movies-1",`) || lines[3]+lines[4] != "" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if !strings.Contains(lines[2], `"seq":4`) || strings.Contains(lines[2], `"seq":3`) {
		t.Errorf("the journal does not begin behind the third transition: %s", lines[2])
	}
	for _, bad := range []string{"-1", "x"} {
		r.Header.Set("Last-Event-ID", bad)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("Last-Event-ID %s: %d %s", bad, w.Code, w.Body)
		}
	}
}

func TestWhatGoesWrongWithAStreamIsTold(t *testing.T) {
	s, _, clients := newStagedControl(t)
	for way, c := range clients {
		s.state = release.State{}
		never := func(Release) error { t.Error("an event came"); return nil }
		if err := c.FollowRelease(t.Context(), "movies", 0, never); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
			t.Errorf("%s: an unknown release: %v", way, err)
		}
		if _, err := c.StartRelease(t.Context(), "movies", ReleaseStart{By: "ann"}); err != nil {
			t.Fatal(err)
		}
		s.fails = fault.Unavailablef("the server stops").WithHint("it will be back")
		events := 0
		count := func(Release) error { events++; return nil }
		if err := c.FollowRelease(t.Context(), "movies", 0, count); fault.KindOf(err) != fault.Unavailable || err.Error() != "the server stops" || fault.HintOf(err) != "it will be back" || events != 1 {
			t.Errorf("%s: a stream that breaks off, after %d events: %v", way, events, err)
		}
		s.fails = nil
		enough := errors.New("enough")
		if err := c.FollowRelease(t.Context(), "movies", 0, func(Release) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("%s: who watches has enough: %v", way, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := c.FollowRelease(ctx, "movies", 0, func(Release) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: who watches goes: %v", way, err)
		}
	}
}

func TestAStreamThatEndsTooSoonIsNoEnd(t *testing.T) {
	for _, body := range []string{"", ": hello\n\n", "event: release\ndata: {\"phase\":\"running\"}\n\n", "event: other\ndata: 1\n\n"} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		err := NewClient("http://test", Direct(h)).FollowRelease(t.Context(), "movies", 0, func(Release) error { return nil })
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%q: %v", body, err)
		}
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("event: release\ndata: {\n\n")) })
	if err := NewClient("http://test", Direct(h)).FollowRelease(t.Context(), "movies", 0, func(Release) error { return nil }); fault.KindOf(err) != fault.Internal {
		t.Errorf("an event that is no JSON: %v", err)
	}
}

// Nobody on the way is to take a stream for dead that has nothing to say.
func TestAQuietStreamSaysThatItIsThere(t *testing.T) {
	s := newStage()
	h := New(Options{Releases: s, Releaser: s, Beat: time.Millisecond})
	if _, err := NewClient("http://test", Direct(h)).StartRelease(t.Context(), "movies", ReleaseStart{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/releases/movies/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	beats := 0
	for lines := bufio.NewScanner(resp.Body); beats < 3 && lines.Scan(); {
		if lines.Text() == ": still there" {
			beats++
		}
	}
	if beats != 3 {
		t.Errorf("%d beats", beats)
	}
}

func TestEventsAreRead(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"data: a\n\n", "=a;"},
		{"event: e\ndata: a\ndata: b\n\n", "e=a\nb;"},
		{"event:e\r\ndata:a\r\n\r\n", "e=a;"},
		{": comment\n\ndata: a\nid: 3\nretry: 10\nother\n: within\n\ndata: b\n\n", "=a;=b;"},
		{"event: e\n\ndata: a\n\n", "=a;"},
		{"data:\n\n", "=;"},
		{"data:  two\n\n", "= two;"},
		{"data: no end\n", ""},
		{"data: " + long + "\n\n", "=" + long + ";"},
	} {
		var got strings.Builder
		err := readEvents(strings.NewReader(tt.text), func(name string, data []byte) error {
			got.WriteString(name + "=" + string(data) + ";")
			return nil
		})
		if err != nil || got.String() != tt.want {
			t.Errorf("%.100q: got %.100q, %v", tt.text, got.String(), err)
		}
	}
	endless := strings.Repeat("data: "+long+"\n", 17)
	if err := readEvents(strings.NewReader(endless), func(string, []byte) error { return nil }); fault.KindOf(err) != fault.Internal {
		t.Errorf("an event without end: %v", err)
	}
	if err := readEvents(strings.NewReader(strings.Repeat("x", 2*maxEvent)), func(string, []byte) error { return nil }); fault.KindOf(err) != fault.Internal {
		t.Errorf("a line without end: %v", err)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("event: release\nid: 1\ndata: {}\n\n: still there\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := readEvents(strings.NewReader(string(text)), func(_ string, data []byte) error {
			if len(data) > len(text) {
				t.Errorf("%d bytes of data of %d", len(data), len(text))
			}
			return nil
		})
		if err != nil && fault.KindOf(err) != fault.Internal {
			t.Errorf("got %v", err)
		}
	})
}

func TestTimesAreWrittenForPeople(t *testing.T) {
	for s, want := range map[Seconds]string{
		0: "0s", 0.25: "250ms", 1: "1s", 59.94: "59.9s", 59.96: "1m", 90: "1m30s", 1617: "27m", 60: "1m", 3600: "1h", 5400: "1h30m", 43200: "12h", 86400: "1d", 100_000: "1d4h", 9*86400 + 100: "9d",
	} {
		if got := s.String(); got != want {
			t.Errorf("%v is %s, want %s", float64(s), got, want)
		}
	}
}

// A server that is killed may hang up before its answer begins: who watches is to try again.
func TestAServerThatHangsUpIsUnavailable(t *testing.T) {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadString('\n')
			conn.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	c := NewClient("http://"+l.Addr().String(), &http.Transport{})
	if err := c.FollowRelease(t.Context(), "movies", 0, func(Release) error { return nil }); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	l.Close()
	if err := c.FollowRelease(t.Context(), "movies", 0, func(Release) error { return nil }); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("where nobody listens: got %v", err)
	}
}
