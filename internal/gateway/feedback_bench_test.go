package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// noLog takes everything at once.
type noLog struct{ end atomic.Uint64 }

func (l *noLog) Append(_ context.Context, records ...event.Record) (event.Offset, error) {
	return event.Offset(l.end.Add(uint64(len(records)))), nil
}

func (l *noLog) End() event.Offset { return event.Offset(l.end.Load()) }

// noTelemetry has read everything and found nothing.
type noTelemetry struct{ log *noLog }

func (noTelemetry) Outcome(context.Context, string) (o event.Outcome, found bool, err error) {
	return o, false, nil
}

func (noTelemetry) Decision(context.Context, event.ID) (d event.Decision, found bool, err error) {
	return d, false, nil
}

func (n noTelemetry) Applied() event.Offset { return n.log.End() }

// sink is a ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

func BenchmarkFeedback(b *testing.B) {
	h := newHub(b)
	log := &noLog{}
	services := h.gateway.Services()
	h.gateway = New(Options{
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Keys: h.keys,
		Ingest: NewIngest(IngestOptions{Log: log, Telemetry: noTelemetry{log}, Logger: slog.New(slog.DiscardHandler)}),
	})
	h.gateway.SetServices(services)
	token := h.token()
	cookies, _, _ := h.predict("reviews")
	for _, bb := range []struct {
		name   string
		items  int
		cookie string
		body   func(n int) string
	}{
		{"token", 1, "", func(n int) string { return fmt.Sprintf(`{"token":%q,"correct":true,"id":"%09d"}`, token, n) }},
		{"id", 1, "", func(n int) string { return fmt.Sprintf(`{"decision":%q,"correct":true,"id":"%09d"}`, testDecision, n) }},
		{"cookie", 1, cookies[0], func(n int) string { return fmt.Sprintf(`{"service":"reviews","correct":true,"id":"%09d"}`, n) }},
		{"batch of 100 tokens", 100, "", func(n int) string {
			var body bytes.Buffer
			for i := range 100 {
				fmt.Fprintf(&body, `,{"token":%q,"correct":true,"id":"%09d"}`, token, n*100+i)
			}
			return `{"feedback":[` + body.String()[1:] + `]}`
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			// The ids of the bodies change in place, so that what is measured is the handler.
			body := []byte(bb.body(0))
			var places []int
			for from := 0; ; {
				at := bytes.Index(body[from:], []byte(`"id":"`))
				if at < 0 {
					break
				}
				from += at + len(`"id":"`)
				places = append(places, from)
			}
			r := httptest.NewRequest(http.MethodPost, "/v1/feedback", http.NoBody)
			r.ContentLength = int64(len(body))
			if bb.cookie != "" {
				r.Header.Set("Cookie", bb.cookie)
			}
			w := &sink{header: http.Header{}}
			reader := bytes.NewReader(body)
			r.Body = io.NopCloser(reader)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				for _, at := range places {
					n++
					for i, v := 8, n; i >= 0; i, v = i-1, v/10 {
						body[at+i] = '0' + byte(v%10)
					}
				}
				reader.Reset(body)
				clear(w.header)
				h.gateway.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bb.items), "ns/outcome")
		})
	}
}
