package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

func TestPredictionsAreClassified(t *testing.T) {
	tests := []struct {
		name   string
		labels []string
		out    tensor.Tensor
		label  string
		score  float64
		counts []classCount
	}{
		{"below the threshold", []string{"no", "yes"}, tensor.New("y", []int{1}, []float32{0.25}), "no", 0.25, []classCount{{"no", 1}}},
		{"at the threshold", []string{"no", "yes"}, tensor.New("y", []int{1}, []float64{0.5}), "yes", 0.5, []classCount{{"yes", 1}}},
		{"no probability", []string{"no", "yes"}, tensor.New("y", []int{1}, []float64{1.5}), "", 1.5, nil},
		{"no labels", nil, tensor.New("y", []int{1}, []float64{0.75}), "", 0.75, nil},
		{"a class number", []string{"a", "b", "c"}, tensor.New("y", []int{1}, []int64{2}), "c", 2, []classCount{{"c", 1}}},
		{"the largest of several", nil, tensor.New("y", []int{1, 3}, []float32{0.25, 0.5, 0.25}), "1", 0.5, []classCount{{"1", 1}}},
		{"text", nil, tensor.New("y", []int{1}, []string{"spam"}), "spam", math.NaN(), []classCount{{"spam", 1}}},
		{"several rows", []string{"no", "yes"}, tensor.New("y", []int{3}, []float64{0, 1, 1}), "", math.NaN(), []classCount{{"no", 1}, {"yes", 2}}},
		{"not the prediction", []string{"no", "yes"}, tensor.New("margin", []int{1}, []float64{0}), "", math.NaN(), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewService(ServiceOptions{Labels: tt.labels})
			d := decision{service: s, live: &Live{Model: answering{}}}
			d.classify(&tensor.Response{Outputs: []tensor.Tensor{tt.out}})
			if d.label != tt.label || d.score != tt.score && !(math.IsNaN(d.score) && math.IsNaN(tt.score)) || fmt.Sprint(d.counts) != fmt.Sprint(tt.counts) {
				t.Errorf("label %q, score %v, counts %v", d.label, d.score, d.counts)
			}
		})
	}
}

func TestTheFirstOutputOfWhatNobodyHasDescribedIsClassified(t *testing.T) {
	s := NewService(ServiceOptions{Labels: []string{"no", "yes"}})
	d := decision{service: s, live: &Live{Model: shaped{}}}
	d.classify(&tensor.Response{Outputs: []tensor.Tensor{tensor.New("whatever", []int{1}, []float64{0.75}), tensor.New("other", []int{1}, []float64{0.25})}})
	if d.label != "yes" || d.score != 0.75 {
		t.Errorf("label %q, score %v", d.label, d.score)
	}
}

func TestATallyStaysARecordWhateverIsPredicted(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 0)
	const each = 3000
	for i := range each {
		d := decision{service: s.service, assigned: s.service.variants[0], counts: []classCount{{fmt.Sprint(i, strings.Repeat("x", 2000)), 1}}}
		s.recorder.tallies.add(&d, http.StatusOK, time.Millisecond)
		if i == each/2 {
			s.recorder.tallies.giveBack(s.recorder.tallies.take(time.Now()))
		}
	}
	s.write(t)
	tally := s.log.tallied()["stable"]
	n := uint64(0)
	for _, count := range tally.Labels {
		n += count
	}
	if size := len(event.AppendRecord(nil, event.Record{Tally: tally})); n != each || size > 1<<18 {
		t.Errorf("%d predictions are tallied in %d bytes, want %d in less", n, size, each)
	}
}

// answering is a model that is never asked.
type answering struct{}

func (answering) Signature() tensor.Signature {
	return tensor.Signature{Outputs: []tensor.Spec{{Name: "y"}, {Name: "margin", OnDemand: true}}}
}

func (answering) Predict(context.Context, *tensor.Request) (*tensor.Response, error) { return nil, nil }

// Who waits for less time than the service promises says nothing of the variant: that one did not fail.
func TestACallersOwnTimeIsNoFailureOfTheVariant(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1", "canary", "0"), Sticky: byUser}, 10)
	s.service.options.Timeout = time.Minute
	hurried := strings.Replace(fmt.Sprintf(v2Row, hangs), `"id"`, `"parameters":{"timeout":2000},"id"`, 1)
	for range 3 {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v2/models/sums/infer", strings.NewReader(hurried)))
		if w.Code != http.StatusServiceUnavailable {
			t.Fatal(w.Code, w.Body)
		}
	}
	s.service.options.Timeout = time.Millisecond
	_, _ = s.ask(t, "ada", fmt.Sprintf(seldonRow, hangs))
	s.write(t)
	counted := s.log.tallied()["stable"]
	if counted == nil || counted.Requests != 4 || counted.Errors[event.Gone] != 3 || counted.Errors[event.Timeout] != 1 {
		t.Errorf("%+v", counted)
	}
}

// BenchmarkDecide is what a decision costs a request: picking, token, tally, and the record put in its queue.
func BenchmarkDecide(b *testing.B) {
	s := newSplit(b, traffic.Spec{Weights: weights(b, "stable", "80", "canary", "20"), Sticky: byUser}, 1<<20)
	r := httptest.NewRequest(http.MethodPost, "/api/v1.0/predictions", nil)
	r.Header.Set("X-User", "user-17")
	c := call{at: time.Now(), ctx: b.Context(), facts: traffic.FromRequest(r), header: http.Header{}}
	var d decision
	b.ReportAllocs()
	for b.Loop() {
		d = decision{service: s.service}
		if err := s.decide(&d, &c, ""); err != nil {
			b.Fatal(err)
		}
		s.recorder.done(&d, http.StatusOK, time.Millisecond)
		if len(s.recorder.queue) > 1<<19 {
			s.recorder.writeDecisions(b.Context())
			s.log.records = nil
		}
	}
}

func TestAVersionThatNobodyServesIsAnAnswerToo(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1", "canary", "1")}, 0)
	ask := func(version, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/v2/models/sums/versions/"+version+"/infer", strings.NewReader(fmt.Sprintf(v2Row, 1)))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	ask("2", "none can be named") // unless the service is configured so
	s.service.options.Pinned = true
	ask("9", "version 1 is")
	s.write(t)
	if n := len(s.log.decisions()) + len(s.log.tallied()); n != 0 {
		t.Errorf("%d decisions and tallies of a request that no variant was asked", n)
	}
}

func TestANamedVersionGoesAroundTheWeights(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1", "canary", "0")}, 0)
	s.service.options.Pinned = true
	for range 5 {
		r := httptest.NewRequest(http.MethodPost, "/v2/models/sums/versions/2/infer", strings.NewReader(fmt.Sprintf(v2Row, 1)))
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != http.StatusOK || len(w.Result().Cookies()) != 0 {
			t.Fatalf("%d %s %v", w.Code, w.Body, w.Result().Cookies())
		}
	}
	s.write(t)
	if got := s.log.policies(); len(got) != 1 || !got[0] {
		t.Errorf("tallies of what no weights drew are of policies %v", got)
	}
	for _, d := range s.log.decisions() {
		if d.Assigned != "canary" || d.Reason != event.Match || d.Propensity != 1 {
			t.Errorf("%+v", d)
		}
	}
}

func TestFailoverHidesNoOtherReason(t *testing.T) {
	s := newSplit(t, traffic.Spec{
		Weights: weights(t, "stable", "1", "canary", "1"),
		Sticky:  &traffic.Sticky{Cookie: "variant", Mode: traffic.ModePlain, MaxAge: time.Hour, Record: traffic.RecordHashed},
	}, 0)
	s.service.variants[1].state.Store(&state{err: errors.New("it does not load")})
	s.ask(t, "", oneRow, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "variant", Value: "canary"}) })
	s.write(t)
	d := s.log.decisions()[0]
	if d.Assigned != "canary" || d.Answered != "stable" || d.Reason != event.ByHand {
		t.Errorf("a unit that set its cookie by hand is in the comparison: %+v", d)
	}
	if got := s.log.policies(); len(got) != 1 || !got[0] {
		t.Errorf("its tallies are of policies %v", got)
	}
}

// leaving is a log that writes what it is given, also for those who have stopped waiting, as the log on the disk does. The first append
// takes until it is let go.
type leaving struct {
	memory
	once  sync.Once
	asked chan struct{} // closed by the first append
	on    chan struct{} // lets it go
}

func (l *leaving) Append(ctx context.Context, records ...event.Record) (at event.Offset, err error) {
	at, err = l.memory.Append(ctx, records...)
	l.once.Do(func() {
		close(l.asked)
		select {
		case <-l.on:
		case <-ctx.Done():
			at, err = 0, ctx.Err()
		}
	})
	return at, err
}

func TestAServerThatStopsWhileTalliesAreWrittenCountsThemOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 1)
		log := &leaving{asked: make(chan struct{}), on: make(chan struct{})}
		ticks := make(chan time.Time)
		s.recorder.options.Log, s.recorder.options.Ticks = log, ticks
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.recorder.Run(ctx) }()
		s.ask(t, "", oneRow)
		<-s.recorder.queue // tallies are all that is written
		for range tallyTicks {
			ticks <- time.Now()
		}
		<-log.asked
		stop()
		synctest.Wait()
		close(log.on)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := log.tallied()["stable"].Requests; n != 1 {
			t.Errorf("one request is tallied as %d", n)
		}
	})
}

func TestAServerStopsThoughItsLogHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 1)
		log := &leaving{asked: make(chan struct{}), on: make(chan struct{})}
		s.recorder.options.Log = log
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.recorder.Run(ctx) }()
		s.ask(t, "", oneRow)
		<-log.asked
		stop()
		<-done // who waits for ever is a deadlock, which synctest tells
	})
}
