package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/traffic"
)

// memory is a log in memory that fails while err is set.
type memory struct {
	mu      sync.Mutex
	records []event.Record
	err     error
}

func (m *memory) Append(_ context.Context, records ...event.Record) (event.Offset, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, m.err
	}
	m.records = append(m.records, records...)
	return event.Offset(len(m.records)), nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// tallied adds up what was tallied, by variant.
func (m *memory) tallied() map[string]*event.Tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	sums := map[string]*event.Tally{}
	for _, r := range m.records {
		if r.Tally == nil {
			continue
		}
		if sums[r.Tally.Variant] == nil {
			sums[r.Tally.Variant] = &event.Tally{}
		}
		merge(sums[r.Tally.Variant], r.Tally)
	}
	return sums
}

func (m *memory) decisions() (all []event.Decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Decision != nil {
			all = append(all, *r.Decision)
		}
	}
	return all
}

// split is a gateway with one service of two variants, and what stands around it.
type split struct {
	*Gateway
	service  *Service
	recorder *Recorder
	log      *memory
	keys     *event.Keys
	cookies  *traffic.Keys
	spec     traffic.Spec
	metrics  *prometheus.Registry
}

func weights(t testing.TB, text ...string) traffic.Weights {
	t.Helper()
	w := traffic.Weights{}
	for i := 0; i < len(text); i += 2 {
		v, err := traffic.ParseWeight(text[i+1])
		if err != nil {
			t.Fatal(err)
		}
		w[text[i]] = v
	}
	return w
}

func newSplit(t testing.TB, spec traffic.Spec, queue int) *split {
	t.Helper()
	secret := [32]byte{1, 2, 3}
	keys, err := event.NewKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	cookies, err := traffic.NewKeys(secret[:], secret[:])
	if err != nil {
		t.Fatal(err)
	}
	s := &split{log: &memory{}, keys: keys, cookies: cookies, spec: spec, metrics: prometheus.NewRegistry()}
	s.recorder = NewRecorder(RecorderOptions{Log: s.log, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: s.metrics, Queue: queue})
	s.Gateway = New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, Keys: keys, Recorder: s.recorder})
	s.service = NewService(ServiceOptions{
		Name: "sums", Variants: []VariantOptions{{Name: "stable"}, {Name: "canary"}}, Labels: []string{"low", "high"}, Policy: s.policy(t, spec.Weights, 1),
	})
	for i, v := range s.service.variants {
		v.Swap(&Live{Model: sums{}, Name: "m", Number: i + 1, Semver: "1.0.0", Runtime: "sums"})
	}
	s.SetServices([]*Service{s.service})
	return s
}

func (s *split) policy(t testing.TB, w traffic.Weights, epoch uint32) *traffic.Policy {
	t.Helper()
	spec := s.spec
	spec.Weights = w
	p, err := traffic.Compile(spec, traffic.Options{Service: "sums", Variants: []string{"stable", "canary"}, Epoch: epoch, Version: 7, Keys: s.cookies})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ask sends one row as the user, and returns the answer and its token.
func (s *split) ask(t testing.TB, user, body string, change ...func(*http.Request)) (*httptest.ResponseRecorder, event.Token) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/api/v1.0/predictions", strings.NewReader(body))
	if user != "" {
		r.Header.Set("X-User", user)
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code == http.StatusTooManyRequests { // which is no answer, so that there is nothing to judge
		if has := w.Header().Get(TokenHeader); has != "" {
			t.Errorf("a request that was refused has the token %s", has)
		}
		return w, event.Token{}
	}
	token, err := event.ParseToken(w.Header().Get(TokenHeader), s.keys)
	if err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return w, token
}

// write has the recorder write down all that it has.
func (s *split) write(t testing.TB) {
	t.Helper()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.recorder.Run(ended); err != nil {
		t.Fatal(err)
	}
}

var byUser = &traffic.Sticky{Unit: "header:X-User", Cookie: "who", Mode: traffic.ModeSigned, MaxAge: time.Hour, Record: traffic.RecordHashed}

const oneRow = `{"data": {"ndarray": [[0.5, 0.25]]}}`

func TestEveryAnswerIsADecisionThatIsCounted(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "80", "canary", "20"), Sticky: byUser}, 0)
	seen := map[uint64]int{}
	ids := map[event.ID]event.Token{}
	for i := range 500 {
		body := oneRow
		if i%10 == 0 {
			body = `{"data": {"ndarray": [[1]]}}` // too narrow: the client's mistake
		}
		w, token := s.ask(t, fmt.Sprintf("user-%d", i%100), body)
		if want := map[bool]int{true: 400, false: 200}[i%10 == 0]; w.Code != want {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if token.Service != event.Hash("sums") || token.Epoch != 1 || token.PolicyVersion != 7 {
			t.Fatalf("the token says %+v", token)
		}
		seen[token.Variant]++
		ids[token.Decision] = token
	}
	s.write(t)
	counted := s.log.tallied()
	for _, v := range s.service.variants {
		tally := counted[v.Name()]
		if tally == nil || tally.Requests != uint64(seen[v.hash]) || tally.Latency.Count()+tally.Errors[event.Client] != tally.Requests {
			t.Errorf("%s was asked %d times, tallied: %+v", v.Name(), seen[v.hash], tally)
		}
	}
	if n := counted["stable"].Errors[event.Client] + counted["canary"].Errors[event.Client]; n != 50 {
		t.Errorf("%d client errors, want 50", n)
	}
	if n := counted["canary"].Requests; n < 40 || n > 180 {
		t.Errorf("the canary got %d of 500 requests", n)
	}
	units := map[string]string{}
	for _, d := range s.log.decisions() {
		token, known := ids[d.ID]
		if !known || event.Hash(d.Assigned) != token.Variant || d.Answered != d.Assigned || d.Reason != event.Weights || d.Unit == "" || d.Alone {
			t.Errorf("%+v", d)
		}
		if want := map[string]float64{"stable": 0.8, "canary": 0.2}[d.Assigned]; d.Propensity != want || token.Propensity != float32(want) {
			t.Errorf("the propensity of %s is %v, in the token %v", d.Assigned, d.Propensity, token.Propensity)
		}
		if before, twice := units[d.Unit]; twice && before != d.Assigned {
			t.Errorf("the unit %s went to %s and to %s", d.Unit, before, d.Assigned)
		}
		units[d.Unit] = d.Assigned
		delete(ids, d.ID)
	}
	if len(ids) != 0 || len(units) != 100 {
		t.Errorf("%d decisions are not written down; %d units, want 100", len(ids), len(units))
	}
}

// A unit that was drawn for one request alone is written down as such: whoever counts units need not remember it.
func TestWhoeverTellsNothingOfThemselvesIsAlone(t *testing.T) {
	spec := traffic.Spec{Weights: weights(t, "stable", "1", "canary", "1")}
	s := newSplit(t, spec, 0)
	for range 3 {
		s.ask(t, "", oneRow)
	}
	s.write(t)
	units := map[string]bool{}
	for _, d := range s.log.decisions() {
		if !d.Alone || len(d.Unit) != 32 {
			t.Errorf("%+v", d)
		}
		units[d.Unit] = true
	}
	if len(units) != 3 {
		t.Errorf("%d units, want 3", len(units))
	}
}

func TestZeroWeightGetsNobodyWhateverTheCookie(t *testing.T) {
	s := newSplit(t, traffic.Spec{
		Weights: weights(t, "stable", "0", "canary", "1"),
		Sticky:  &traffic.Sticky{Cookie: "variant", Mode: traffic.ModePlain, MaxAge: time.Hour, Record: traffic.RecordHashed},
	}, 0)
	first, token := s.ask(t, "", oneRow)
	if token.Variant != event.Hash("canary") {
		t.Fatal("the canary has all weight")
	}
	cookies := first.Result().Cookies()
	s.service.SetPolicy(s.policy(t, weights(t, "stable", "1", "canary", "0"), 2))
	for range 50 {
		_, token := s.ask(t, "", oneRow, func(r *http.Request) {
			for _, c := range cookies {
				r.AddCookie(c)
			}
		})
		if token.Variant != event.Hash("stable") || token.Epoch != 2 {
			t.Fatalf("weight 0 got a request: %+v", token)
		}
	}
}

func TestAnotherVariantAnswersForOneThatIsNotReady(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1", "canary", "1")}, 0)
	s.service.variants[1].state.Store(&state{err: errors.New("it does not load")})
	for range 60 {
		if w, _ := s.ask(t, "", oneRow); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	s.write(t)
	stood := 0
	for _, d := range s.log.decisions() {
		if d.Assigned == "canary" {
			stood++
			if d.Answered != "stable" || d.Reason != event.Failover || d.Propensity != 0.5 {
				t.Errorf("%+v", d)
			}
		}
	}
	if stood == 0 {
		t.Error("the canary was assigned nobody")
	}
}

func TestTalliesOutliveALogThatFails(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 0)
	ticks := make(chan time.Time)
	s.recorder.options.Ticks = ticks
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.recorder.Run(ctx) }()
	s.log.fail(event.ErrFull)
	const each = 30
	for range 3 {
		for range each {
			s.ask(t, "", oneRow)
		}
		for range tallyTicks {
			ticks <- time.Now()
		}
	}
	ticks <- time.Now() // what belongs to the one before is done
	s.log.fail(nil)
	s.ask(t, "", oneRow)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	sum := s.log.tallied()["stable"]
	if sum == nil || sum.Requests != 3*each+1 || sum.Latency.Count() != 3*each+1 || sum.Labels["high"] != 3*each+1 {
		t.Errorf("tallied %+v, want %d requests", sum, 3*each+1)
	}
	if dropped := testutil.ToFloat64(s.recorder.dropped.WithLabelValues("log")); dropped != 3*each {
		t.Errorf("%v decisions are counted as dropped, want %d", dropped, 3*each)
	}
}

func TestWhatIsLostAtTheEndIsTold(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 0)
	s.log.fail(event.ErrFull)
	for range 7 {
		s.ask(t, "", oneRow)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.recorder.Run(ended); !errors.Is(err, event.ErrFull) || !strings.HasPrefix(err.Error(), "7 requests") {
		t.Errorf("got %v", err)
	}
}

func TestDecisionsThatFindNoRoomAreCounted(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 10)
	for range 25 {
		s.ask(t, "", oneRow)
	}
	if dropped := testutil.ToFloat64(s.recorder.dropped.WithLabelValues("queue")); dropped != 15 {
		t.Errorf("%v decisions are counted as dropped, want 15", dropped)
	}
	s.write(t)
	if n := len(s.log.decisions()); n != 10 {
		t.Errorf("%d decisions are written, want 10", n)
	}
	if n := s.log.tallied()["stable"].Requests; n != 25 {
		t.Errorf("%d requests are tallied, want 25", n)
	}
}

// busy is a log for which the next decision waits after each write.
type busy struct {
	memory
	recorder *Recorder
	decision []int // in each append
}

func (b *busy) Append(ctx context.Context, records ...event.Record) (event.Offset, error) {
	if records[0].Decision != nil {
		if b.decision = append(b.decision, len(records)); len(b.decision) < 100 {
			b.recorder.put(event.Decision{})
		}
	}
	return b.memory.Append(ctx, records...)
}

func TestDecisionsDoNotKeepTalliesFromBeingWritten(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 0)
	log := &busy{recorder: s.recorder}
	s.recorder.options.Log = log
	s.ask(t, "", oneRow)
	s.recorder.writeDecisions(t.Context())
	if len(log.decision) != 1 {
		t.Errorf("%d writes for one decision that waited", len(log.decision))
	}
}
