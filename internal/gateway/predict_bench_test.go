package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// again is a body that is read from its beginning each time.
type again struct{ strings.Reader }

func (*again) Close() error { return nil }

// asking is a request over HTTP that is asked again and again, as far as a handler sees of it.
type asking struct {
	handler http.Handler
	request *http.Request
	answer  sink
	body    again
	text    string
}

func newAsking(h http.Handler, path, body string, header ...string) *asking {
	a := &asking{handler: h, text: body, answer: sink{header: http.Header{}}}
	a.request = httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	a.request.Body = &a.body
	for i := 0; i < len(header); i += 2 {
		a.request.Header.Set(header[i], header[i+1])
	}
	return a
}

func (a *asking) ask() int {
	a.body.Reset(a.text)
	clear(a.answer.header)
	a.handler.ServeHTTP(&a.answer, a.request)
	return a.answer.status
}

var _ io.ReadCloser = (*again)(nil)

// BenchmarkPredict is a prediction of one row over HTTP, as far as the handler: no connection and no model. It has a token, and is recorded
// in a log that nobody keeps.
func BenchmarkPredict(b *testing.B) {
	keys, err := event.NewKeys([32]byte{1, 2, 3})
	if err != nil {
		b.Fatal(err)
	}
	r := NewRecorder(RecorderOptions{Log: new(noLog), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			b.Error(err)
		}
	}()
	g := newConstant(keys, r)
	for _, c := range []struct{ name, path, body string }{
		{"v2", "/v2/models/a/infer", fmt.Sprintf(v2Row, 1)},
		{"seldon", "/seldon/a/api/v1.0/predictions", fmt.Sprintf(seldonRow, 1)},
	} {
		b.Run(c.name, func(b *testing.B) {
			a := newAsking(g, c.path, c.body)
			b.ReportAllocs()
			for b.Loop() {
				if status := a.ask(); status != http.StatusOK {
					b.Fatal(status)
				}
			}
		})
	}
}
