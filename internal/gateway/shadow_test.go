package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/frontdoor"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
	"github.com/serin-ml/serin/internal/shadow"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// shadowing is a gateway whose shadows are asked, one after the other, when settle is called.
type shadowing struct {
	*Gateway
	t      testing.TB
	mirror *shadow.Mirror
	log    *memory
}

func newShadowing(t testing.TB, services ...*Service) *shadowing {
	t.Helper()
	keys, err := event.NewKeys([32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	s := &shadowing{t: t, log: &memory{}}
	s.mirror = shadow.NewMirror(shadow.MirrorOptions{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	recorder := NewRecorder(RecorderOptions{Log: s.log, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Shadows: s.mirror})
	s.Gateway = New(Options{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now, Keys: keys, Recorder: recorder, Shadows: s.mirror,
	})
	s.SetServices(services)
	return s
}

// settle asks the shadows for all that was offered, and returns what came of it.
func (s *shadowing) settle(want int) (sum event.Comparison, details []*event.Disagreement) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.mirror.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		for _, r := range s.mirror.Take(time.Now()).Records {
			sum.Merge(r.Comparison)
			sum.Service, sum.Shadow, sum.ShadowVersion = r.Comparison.Service, r.Comparison.Shadow, r.Comparison.ShadowVersion
			sum.Primary, sum.PrimaryVersion, sum.Rule = r.Comparison.Primary, r.Comparison.PrimaryVersion, r.Comparison.Rule
		}
		n, _ := sum.Totals()
		for _, m := range slices.Concat(sum.Drops[:], sum.Unpaired[:]) {
			n += m
		}
		if int(n) >= want {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d copies came to an end: %+v", n, want, sum)
		}
	}
	stop()
	if err := <-ran; err != nil {
		s.t.Error(err)
	}
	for _, r := range s.mirror.Details() {
		details = append(details, r.Disagreement)
	}
	return sum, details
}

func (s *shadowing) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func comparer(t testing.TB, r shadow.Rule) *shadow.Comparer {
	t.Helper()
	c, err := shadow.NewComparer(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shadowOf is a shadow named next that gets all.
func shadowOf(t testing.TB, r shadow.Rule) ShadowOptions {
	return ShadowOptions{Lane: shadow.LaneOptions{Variant: "next", Comparer: comparer(t, r), Share: 1, Timeout: 10 * time.Second}}
}

// mirrored is a service of stable, which answers all, and of next, its shadow; both add up two numbers, and next adds its bias.
func mirrored(t testing.TB, bias float32, change func(*ServiceOptions)) *Service {
	t.Helper()
	o := ServiceOptions{
		Name: "a", Timeout: time.Minute, Body: 1 << 20, Rows: 10, Variants: []VariantOptions{{Name: "stable"}, {Name: "next"}},
		Shadows: []ShadowOptions{shadowOf(t, shadow.Rule{Tolerance: 0.01})},
	}
	if change != nil {
		change(&o)
	}
	s := NewService(o)
	s.Variants()[0].Swap(&Live{Model: named{}, Name: "m", Number: 1, Digest: "one", Runtime: "sums"})
	s.Variants()[1].Swap(&Live{Model: named{sums{bias}}, Name: "m", Number: 2, Digest: "two", Runtime: "sums"})
	return s
}

func TestAShadowIsAskedWhatThePrimaryWasOverEveryProtocol(t *testing.T) {
	query := route(t, http.MethodGet, "/sum/{x}", "sum", wire.MappedField{Target: "x", From: "path:x"}, wire.MappedField{Target: "y", From: "query:y"})
	for name, ask := range map[string]func(s *shadowing) int{
		"v2": func(s *shadowing) int {
			return s.ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1)).Code
		},
		"seldon": func(s *shadowing) int {
			return s.ask(http.MethodPost, "/api/v1.0/predictions", fmt.Sprintf(seldonRow, 1)).Code
		},
		"v1": func(s *shadowing) int {
			return s.ask(http.MethodPost, "/v1/models/a:predict", `{"instances":[[1,2]]}`).Code
		},
		"mlflow": func(s *shadowing) int {
			return s.ask(http.MethodPost, "/invocations", `{"inputs":[[1,2]]}`, "Content-Type", "application/json").Code
		},
		"a route": func(s *shadowing) int { return s.ask(http.MethodGet, "/sum/1?y=2", "").Code },
		"grpc": func(s *shadowing) int {
			c := dialled(t, s.Gateway)
			if _, _, err := c.call(t.Context(), oip+"ModelInfer", row("a", 1)); err != nil {
				t.Error(err)
				return 500
			}
			return 200
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShadowing(t, mirrored(t, 0.5, func(o *ServiceOptions) { o.Routes = []Route{query} }))
			if status := ask(s); status != http.StatusOK {
				t.Fatal(status)
			}
			sum, details := s.settle(1)
			if len(details) != 1 {
				t.Fatalf("%+v", sum)
			}
			d := details[0]
			if d.PrimaryScore != 3 || d.ShadowScore != 3.5 || d.Difference != 0.5 || d.Where != "prediction[0]: 3, and of the shadow 3.5" ||
				d.PrimaryVersion != "one" || d.ShadowVersion != "two" || d.Primary != "stable" || d.Shadow != "next" || d.Decision.IsZero() || d.PrimaryMicros > 1e7 {
				t.Errorf("%+v", d)
			}
			if sum.ScoreAbove.Sum() != 0.5 || sum.Rule != "numeric, within 0.01" || sum.Service != "a" {
				t.Errorf("%+v", sum)
			}
		})
	}
}

// TestWhatAShadowGetsIsItsOwn asks the shadow long after the buffers of its requests have been used by others.
func TestWhatAShadowGetsIsItsOwn(t *testing.T) {
	s := newShadowing(t, mirrored(t, 0, func(o *ServiceOptions) { o.Shadows[0].Lane.InFlight = 1 }))
	const n = 300
	for i := range n {
		if w := s.ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1000+i)); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	}
	sum, _ := s.settle(n)
	if pairs, agreed := sum.Totals(); pairs != n || agreed != n || sum.ScoreSame != n {
		t.Errorf("%d of %d agree", agreed, pairs)
	}
}

// TestAShadowChangesNothingOfTheAnswer compares the answers of a service with a shadow to those of one without.
func TestAShadowChangesNothingOfTheAnswer(t *testing.T) {
	plain := newShadowing(t, mirrored(t, 1, func(o *ServiceOptions) { o.Shadows = nil }))
	with := newShadowing(t, mirrored(t, 1, nil))
	var answers [2]*httptest.ResponseRecorder
	for i, s := range []*shadowing{plain, with} {
		answers[i] = s.ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1))
	}
	for _, a := range answers {
		a.Header().Del(TokenHeader)
	}
	if answers[0].Body.String() != answers[1].Body.String() || !cmp.Equal(answers[0].Header(), answers[1].Header()) {
		t.Errorf("%v %s, with a shadow %v %s", answers[0].Header(), answers[0].Body, answers[1].Header(), answers[1].Body)
	}
	with.settle(1)
	r := with.options.Recorder
	ctx := t.Context()
	r.writeDecisions(ctx)
	if err := r.writeTallies(ctx); err != nil {
		t.Fatal(err)
	}
	if all := with.log.decisions(); len(all) != 1 || all[0].Assigned != "stable" {
		t.Errorf("decisions %+v", all)
	}
	if tallies := with.log.tallied(); len(tallies) != 1 || tallies["stable"].Requests != 1 {
		t.Errorf("tallies %+v", tallies)
	}
}

func TestFailuresOfEitherSideAreToldApart(t *testing.T) {
	x := func(v float32) string { return fmt.Sprintf(v2Row, v) }
	for name, tt := range map[string]struct {
		body     string
		primary  float32 // the first number of a row with which it misbehaves
		shadow   float32
		unpaired event.Unpaired
		none     bool // nothing is copied
		pairs    uint64
	}{
		"both answer":                {body: x(1), pairs: 1},
		"the shadow errs":            {body: x(1), shadow: errs, unpaired: event.ShadowFailed},
		"the shadow panics":          {body: x(1), shadow: panics, unpaired: event.ShadowFailed},
		"the shadow hangs":           {body: x(1), shadow: hangs, unpaired: event.ShadowLate},
		"the primary errs":           {body: x(1), primary: errs, unpaired: event.PrimaryFailed},
		"the primary panics":         {body: x(1), primary: panics, unpaired: event.PrimaryFailed},
		"the primary hangs":          {body: x(1), primary: hangs, unpaired: event.PrimaryFailed},
		"both err":                   {body: x(1), primary: errs, shadow: errs, unpaired: event.BothFailed},
		"what nobody could be asked": {body: `{"inputs":[]}`, none: true},
	} {
		t.Run(name, func(t *testing.T) {
			service := mirrored(t, 0, func(o *ServiceOptions) {
				o.Timeout = 50 * time.Millisecond
				o.Shadows[0].Lane.Timeout = 50 * time.Millisecond
			})
			for i, word := range []float32{tt.primary, tt.shadow} {
				if word != 0 {
					service.Variants()[i].Swap(&Live{Model: misbehaves{word}, Name: "m", Digest: "bad", Runtime: "sums"})
				}
			}
			s := newShadowing(t, service)
			s.ask(http.MethodPost, "/v2/models/a/infer", tt.body)
			if tt.none {
				if got := s.mirror.Take(time.Now()); len(got.Records) > 0 {
					t.Errorf("%+v", got.Records[0].Comparison)
				}
				return
			}
			sum, _ := s.settle(1)
			var want [event.NumUnpaired]uint64
			if tt.pairs == 0 {
				want[tt.unpaired] = 1
			}
			if pairs, _ := sum.Totals(); pairs != tt.pairs || sum.Unpaired != want {
				t.Errorf("%d pairs, %v", pairs, sum.Unpaired)
			}
		})
	}
}

// misbehaves is sums for rows that begin with a word.
type misbehaves struct{ word float32 }

func (misbehaves) Signature() tensor.Signature { return sums{}.Signature() }

func (m misbehaves) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	word := tensor.New("input", []int{1, 2}, []float32{m.word, 0})
	return sums{}.Predict(ctx, &tensor.Request{Inputs: []tensor.Tensor{word}, Outputs: r.Outputs})
}

func TestPredictionsAreDroppedWithTheReason(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*ServiceOptions)
		do     func(*shadowing)
		want   event.Drop
	}{
		"too large":   {func(o *ServiceOptions) { o.Shadows[0].Lane.Body = 10 }, nil, event.DropTooLarge},
		"draining":    {nil, func(s *shadowing) { s.Drain() }, event.DropDraining},
		"unavailable": {nil, func(s *shadowing) { s.Services()[0].Variants()[1].Unload() }, event.DropUnavailable},
		"bytes":       {func(o *ServiceOptions) { o.Shadows[0].Lane.Bytes = 10 }, nil, event.DropBytes},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShadowing(t, mirrored(t, 0, tt.change))
			if tt.do != nil {
				tt.do(s)
			}
			s.ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1))
			sum, _ := s.settle(1)
			if sum.Drops[tt.want] != 1 {
				t.Errorf("%v", sum.Drops)
			}
		})
	}
}

func TestAShadowIsNotAskedForWhatItAnsweredItself(t *testing.T) {
	cookies, err := traffic.NewKeys(make([]byte, 32), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := traffic.Compile(traffic.Spec{Weights: weights(t, "next", "1")}, traffic.Options{Service: "a", Variants: []string{"stable", "next"}, Epoch: 1, Version: 1, Keys: cookies})
	if err != nil {
		t.Fatal(err)
	}
	s := newShadowing(t, mirrored(t, 0, func(o *ServiceOptions) { o.Policy = policy }))
	if w := s.ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1)); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	if got := s.mirror.Take(time.Now()); len(got.Records) > 0 {
		t.Errorf("%+v", got.Records[0].Comparison)
	}
}

func TestAnswersAreInDisagreementsOnlyWhereBodiesAreCaptured(t *testing.T) {
	for name, tt := range map[string]struct {
		capture *Capture
		want    string
	}{
		"not captured": {nil, ""},
		"not drawn":    {&Capture{Share: 0, Bytes: 100}, ""},
		"captured":     {&Capture{Share: 1, Bytes: 100}, `{"prediction":[3]} {"prediction":[4]}`},
		"cut":          {&Capture{Share: 1, Bytes: 5}, `{"pre {"pre`},
	} {
		s := newShadowing(t, mirrored(t, 1, func(o *ServiceOptions) { o.Capture = tt.capture }))
		s.ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1))
		_, details := s.settle(1)
		if got := strings.TrimSpace(details[0].PrimaryAnswer + " " + details[0].ShadowAnswer); got != tt.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// served serves a gateway as the product does, and returns its address.
func served(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := frontdoor.NewServer(&http.Server{Handler: h, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: http.DefaultMaxHeaderBytes})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return l.Addr().String()
}

// blocking is Shadows that hold up who offers.
type blocking struct {
	*shadow.Mirror
	offered, release chan struct{}
}

func (b *blocking) Offer(l *shadow.Lane, c *shadow.Copy) {
	b.offered <- struct{}{}
	<-b.release
	b.Mirror.Offer(l, c)
}

// TestTheAnswerIsSentBeforeAnythingIsCopied reads the whole answer from the connection while the offer still lasts.
func TestTheAnswerIsSentBeforeAnythingIsCopied(t *testing.T) {
	upstream := proxytest.Serve(t, nil)
	for name, tt := range map[string]struct{ request, want string }{
		"a prediction":   {"POST /v2/models/a/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 95\r\n\r\n" + fmt.Sprintf(v2Row, "1.00000"), "[3.0]}]}"},
		"a passed reply": {"GET /x HTTP/1.1\r\nHost: b.example\r\n\r\n", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShadowing(t)
			hold := &blocking{s.mirror, make(chan struct{}), make(chan struct{})}
			s.options.Shadows = hold
			s.SetServices([]*Service{mirrored(t, 0, nil), passedBeside(t, upstream.URL(), upstream.URL(), nil)})
			conn, err := net.Dial("tcp", served(t, s))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request := strings.Replace(tt.request, "Content-Length: 95", fmt.Sprintf("Content-Length: %d", len(fmt.Sprintf(v2Row, "1.00000"))), 1)
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			select {
			case <-hold.offered:
			case <-time.After(20 * time.Second):
				t.Fatal("nothing was offered")
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal("the answer was not sent before the offer:", err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil || !strings.HasSuffix(string(body), tt.want) {
				t.Errorf("%s, %v", body, err)
			}
			close(hold.release)
			s.settle(1)
		})
	}
}

// TestComparisonsAreWrittenAsTalliesAre: what cannot be written is kept, and not a pair is lost.
func TestComparisonsAreWrittenAsTalliesAre(t *testing.T) {
	const n = 50
	service := mirrored(t, 1, nil)
	var asked sync.WaitGroup
	asked.Add(n)
	service.Variants()[1].Swap(&Live{Model: &noticed{named{sums{1}}, asked.Done}, Name: "m", Digest: "two", Runtime: "sums"})
	s := newShadowing(t, service)
	ticks := make(chan time.Time)
	s.options.Recorder.options.Ticks = ticks
	ctx, stop := context.WithCancel(t.Context())
	mirror, recorder := make(chan error, 1), make(chan error, 1)
	mirrorCtx, stopMirror := context.WithCancel(t.Context())
	go func() { mirror <- s.mirror.Run(mirrorCtx) }()
	go func() { recorder <- s.options.Recorder.Run(ctx) }()
	for i := range n {
		s.log.fail(nil)
		if i%2 == 0 {
			s.log.fail(io.ErrShortWrite)
		}
		s.ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, i))
		for range tallyTicks {
			ticks <- time.Now()
		}
	}
	asked.Wait()
	stopMirror()
	if err := <-mirror; err != nil {
		t.Error(err)
	}
	s.log.fail(nil)
	stop()
	if err := <-recorder; err != nil {
		t.Error(err)
	}
	var sum event.Comparison
	disagreements := 0
	for _, r := range s.log.records {
		if r.Comparison != nil {
			sum.Merge(r.Comparison)
		}
		if r.Disagreement != nil {
			disagreements++
		}
	}
	pairs, agreed := sum.Totals()
	if pairs != n || agreed != 0 || disagreements == 0 {
		t.Errorf("%d pairs, %d agreed, %v dropped, %d disagreements", pairs, agreed, sum.Drops, disagreements)
	}
}

// noticed is a model that tells when it has been asked.
type noticed struct {
	named
	asked func()
}

func (m *noticed) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	defer m.asked()
	return m.named.Predict(ctx, r)
}
