package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/payload"
	"github.com/serin-ml/serin/internal/traffic"
)

// capturing is a gateway whose only service captures.
type capturing struct {
	*split
	capturer *Capturer
	dir      string
	ticks    chan time.Time
}

// broken are payloads that cannot be written while err is set.
type broken struct {
	Payloads
	mu  sync.Mutex
	err error
}

func (b *broken) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *broken) Append(service string, l payload.Limits, line []byte) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return "", b.err
	}
	return b.Payloads.Append(service, l, line)
}

var keepAll = payload.Limits{Keep: time.Hour, MaxSize: 100 << 20}

func newCapturing(t testing.TB, capture *Capture, queue int, wrap func(Payloads) Payloads) *capturing {
	t.Helper()
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1", "canary", "1"), Sticky: byUser}, 0)
	c := &capturing{split: s, dir: t.TempDir(), ticks: make(chan time.Time)}
	store := payload.NewStore(payload.DirDisk(c.dir), time.Now)
	t.Cleanup(func() { store.Close() })
	payloads := Payloads(store)
	if wrap != nil {
		payloads = wrap(payloads)
	}
	c.capturer = NewCapturer(CapturerOptions{
		Payloads: payloads, Services: s.Services, Logger: slog.New(slog.DiscardHandler), Metrics: s.metrics, Queue: queue, Ticks: c.ticks,
	})
	s.recorder.options.Capture = c.capturer
	s.service.options.Capture = capture
	return c
}

// finish runs the recorder to its end and returns the decisions.
func (c *capturing) finish(t testing.TB) []event.Decision {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.recorder.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return c.log.decisions()
}

func (c *capturing) read(t testing.TB, d event.Decision) payload.Record {
	t.Helper()
	r, err := payload.Read(c.dir, d.Service, d.ID.String(), d.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCapturedBodiesAreFoundByTheirDecision(t *testing.T) {
	redact, err := payload.NewRedactor([]string{"meta.tags.email"})
	if err != nil {
		t.Fatal(err)
	}
	c := newCapturing(t, &Capture{Share: 1, Bytes: 1 << 10, Redact: redact, Limits: keepAll}, 0, nil)
	const secret = "hunter2"
	answers := map[event.ID]string{}
	for i := range 30 {
		w, token := c.ask(t, fmt.Sprintf("user-%d", i), fmt.Sprintf(`{"meta": {"tags": {"email": "%s"}}, "data": {"ndarray": [[%d, 1]]}}`, secret, i), func(r *http.Request) {
			r.Header.Set("Authorization", secret)
		})
		answers[token.Decision] = w.Body.String()
	}
	decisions := c.finish(t)
	if len(decisions) != len(answers) {
		t.Fatalf("%d decisions, want %d", len(decisions), len(answers))
	}
	for _, d := range decisions {
		r := c.read(t, d)
		if r.Service != "sums" || r.Variant != d.Answered || r.Dialect != "seldon" || r.Status != 200 || r.Probability != 1 || !r.At.Equal(d.At) {
			t.Errorf("%+v", r)
		}
		if want := strings.ReplaceAll(answers[d.ID], secret, payload.Redacted); r.Response != want || !strings.Contains(r.Request, `"email": "[redacted]"`) {
			t.Errorf("request %s\nanswer %s\nwant %s", r.Request, r.Response, want)
		}
	}
	if n := testutil.ToFloat64(c.capturer.written); n != 30 || c.capturer.waiting.Load() != 0 {
		t.Errorf("%v are written, %d bytes wait", n, c.capturer.waiting.Load())
	}
}

func TestFailedRequestsAreCapturedToo(t *testing.T) {
	c := newCapturing(t, &Capture{Share: 1, Bytes: 30, Limits: keepAll}, 0, nil)
	c.service.options.Body = 100
	long := `{"data": {"ndarray": [[1, 2]]}, "more": "` + strings.Repeat("x", 200) + `"}`
	c.ask(t, "u", oneRow)
	c.ask(t, "u", `{"data": {"ndar`)
	c.ask(t, "u", long)
	for _, v := range c.service.variants {
		v.state.Store(&state{err: errors.New("it does not load")})
	}
	c.ask(t, "u", oneRow)
	want := []struct {
		status        int
		request       string
		truncated     bool
		requestLength int
	}{
		{200, oneRow[:min(len(oneRow), 30)], len(oneRow) > 30, len(oneRow)},
		{400, `{"data": {"ndar`, false, 15},
		{413, "", true, 0}, // its length was told before, and so it was not read
		{503, "", true, 0}, // nothing was read of it, and nothing of what was asked before is here
	}
	decisions := c.finish(t)
	if len(decisions) != len(want) {
		t.Fatalf("%d decisions, want %d", len(decisions), len(want))
	}
	for i, d := range decisions {
		r := c.read(t, d)
		truncated := len(r.Truncated) > 0 && r.Truncated[0] == "request"
		if r.Status != want[i].status || r.Request != want[i].request || truncated != want[i].truncated || r.RequestBytes != want[i].requestLength {
			t.Errorf("%+v\nwant %+v", r, want[i])
		}
		if failed := d.Status >= 400; failed != math.IsNaN(d.Score) {
			t.Errorf("status %d with the score %v", d.Status, d.Score)
		}
	}
}

func TestPayloadsThatCannotBeWrittenHoldUpNobody(t *testing.T) {
	var payloads *broken
	c := newCapturing(t, &Capture{Share: 1, Bytes: 100, Limits: keepAll}, 0, func(p Payloads) Payloads {
		payloads = &broken{Payloads: p, err: errors.New("the disk is full")}
		return payloads
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.recorder.Run(ctx) }()
	for range 20 {
		if w, _ := c.ask(t, "u", oneRow); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	}
	for c.capturer.waiting.Load() > 0 {
		c.ticks <- time.Time{} // which the writer takes between two payloads
	}
	payloads.fail(nil)
	for range 10 {
		c.ask(t, "u", oneRow)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	with, without := 0, 0
	for _, d := range c.log.decisions() {
		if d.Payload == "" {
			without++
		} else {
			c.read(t, d)
			with++
		}
	}
	if dropped := testutil.ToFloat64(c.capturer.dropped.WithLabelValues("disk")); with != 10 || without != 20 || dropped != 20 {
		t.Errorf("%d decisions with a payload, %d without, %v dropped", with, without, dropped)
	}
}

func TestPayloadsThatFindNoRoomAreCounted(t *testing.T) {
	c := newCapturing(t, &Capture{Share: 1, Bytes: 100, Limits: keepAll}, 5, nil)
	for range 12 {
		c.ask(t, "u", oneRow)
	}
	c.capturer.waiting.Add(maxWaiting)
	c.ask(t, "u", oneRow)
	c.capturer.waiting.Add(-maxWaiting)
	with := 0
	decisions := c.finish(t)
	for _, d := range decisions {
		if d.Payload != "" {
			with++
		}
	}
	if dropped := testutil.ToFloat64(c.capturer.dropped.WithLabelValues("queue")); with != 5 || len(decisions) != 13 || dropped != 8 {
		t.Errorf("%d of %d decisions with a payload, %v dropped", with, len(decisions), dropped)
	}
	tallied := uint64(0)
	for _, n := range c.log.tallied() {
		tallied += n.Requests
	}
	if tallied != 13 {
		t.Errorf("%d requests are tallied", tallied)
	}
}

func TestWhatIsDrawnDependsOnIDAndShareAlone(t *testing.T) {
	golden := map[string]float64{ // the least share, in thousandths, that draws an id: what a program of somebody else's can be held against
		"01890a5d-ac96-774b-bcce-b302099a8057": 742,
		"01890a5d-ac96-774b-bcce-b302099a8058": 601,
		"0193b3a0-0000-7000-8000-000000000000": 279,
	}
	for text, want := range golden {
		id, err := event.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		least := 0.0
		for !(&Capture{Share: least / 1000}).draws(id) {
			least++
		}
		if least != want {
			t.Errorf("%s is drawn from %v thousandths on, want %v", text, least, want)
		}
	}
	ids := event.NewGenerator(rand.NewChaCha8([32]byte{1}))
	now := time.UnixMilli(1_700_000_000_000)
	rapid.Check(t, func(t *rapid.T) {
		id, err := ids.Next(now)
		if err != nil {
			t.Fatal(err)
		}
		less, more := rapid.Float64Range(0, 1).Draw(t, "less"), rapid.Float64Range(0, 1).Draw(t, "more")
		if less > more {
			less, more = more, less
		}
		if (&Capture{Share: less}).draws(id) && !(&Capture{Share: more}).draws(id) {
			t.Errorf("%s is drawn at %v, and not at %v", id, less, more)
		}
		if (&Capture{Share: 0}).draws(id) || !(&Capture{Share: 1}).draws(id) {
			t.Errorf("%s at nothing, or at all", id)
		}
	})
}

// TestTheShareDrawnIsThatAskedFor draws from ids of one millisecond, which follow each other in small steps, and from ids spread in time.
func TestTheShareDrawnIsThatAskedFor(t *testing.T) {
	const n = 200_000
	for _, step := range []time.Duration{0, 5 * time.Millisecond} {
		for _, share := range []float64{0.001, 0.01, 0.3} {
			ids := event.NewGenerator(rand.NewChaCha8([32]byte{2}))
			c := Capture{Share: share}
			var buckets [64]float64
			drawn, now := 0.0, time.UnixMilli(1_700_000_000_000)
			for range n {
				id, err := ids.Next(now)
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(step)
				if c.draws(id) {
					drawn++
					buckets[traffic.Bucket(id[:])]++
				}
			}
			if z := (drawn - n*share) / math.Sqrt(n*share*(1-share)); math.Abs(z) > 4 {
				t.Errorf("step %v, share %v: %v of %v are drawn, %.1f deviations off", step, share, drawn, n, z)
			}
			chi := 0.0
			for _, b := range buckets {
				chi += (b - drawn/64) * (b - drawn/64) / (drawn / 64)
			}
			if chi > 117 { // 0.99997 of chi-square with 63 degrees of freedom
				t.Errorf("step %v, share %v: what is drawn depends on the bucket: chi-square %.0f", step, share, chi)
			}
		}
	}
}

// BenchmarkCapture is a request from its first byte to its record, without and with capture.
func BenchmarkCapture(b *testing.B) {
	for _, bench := range []struct {
		name    string
		capture *Capture
	}{{"off", nil}, {"share=0", &Capture{Bytes: 8 << 10, Limits: keepAll}}, {"share=1%", &Capture{Share: 0.01, Bytes: 8 << 10, Limits: keepAll}}, {"share=100%", &Capture{Share: 1, Bytes: 8 << 10, Limits: keepAll}}} {
		b.Run(bench.name, func(b *testing.B) {
			c := newCapturing(b, bench.capture, 1<<16, nil)
			body := []byte(oneRow)
			var reader bytes.Reader
			r := httptest.NewRequest(http.MethodPost, "/api/v1.0/predictions", nil)
			r.Header.Set("X-User", "user-17")
			r.Body = io.NopCloser(&reader)
			w := httptest.NewRecorder()
			put := func(event.Decision) {}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				w.Body.Reset()
				c.ServeHTTP(w, r)
				for len(c.capturer.queue) > 0 { // what the writer does is part of the cost
					item := <-c.capturer.queue
					c.capturer.write(&item, put)
				}
				for len(c.recorder.queue) > 0 {
					<-c.recorder.queue
				}
			}
		})
	}
}

// BenchmarkDraw is what capturing costs a request that is not drawn.
func BenchmarkDraw(b *testing.B) {
	c := Capture{Share: 0.01}
	id := event.ID{1, 2, 3}
	n := 0
	for b.Loop() {
		id[15]++
		if c.draws(id) {
			n++
		}
	}
}
