package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// What is logged of requests: all of them, those that fail, or those alone that fail by a fault of ours.
const (
	AccessOff    = "off"
	AccessErrors = "errors"
	AccessAll    = "all"
)

// access logs a request, in one line: our failures loudly, what is asked for by AccessLog, and the rest for those who look. Whom there is no
// room for is counted; a server that has too much to do already does not shout of each.
func (g *Gateway) access(ctx context.Context, q *question, b *buffers, a answered) {
	level, text := slog.LevelDebug, "request"
	switch {
	case b.decision.fellBack && !b.decision.shed && !b.decision.hurried:
		level, text = slog.LevelWarn, "request answered by the fallback"
	case a.status >= http.StatusInternalServerError && a.status != http.StatusNotImplemented && !b.decision.shed && !b.decision.hurried:
		level, text = slog.LevelError, "request failed"
	case a.status >= http.StatusBadRequest:
		text = "request refused"
		if g.options.AccessLog == AccessErrors || g.options.AccessLog == AccessAll {
			level = slog.LevelInfo
		}
	case g.options.AccessLog == AccessAll:
		level = slog.LevelInfo
	default: // what succeeds is not worth a line
		return
	}
	if !g.options.Log.Enabled(ctx, level) {
		return
	}
	left := uint64(0)
	if q.service != nil && level > slog.LevelInfo && (b.decision.fellBack || q.place.label == passLabel) {
		var tell bool
		if left, tell = q.service.troubles.tell(b.decision.at); !tell {
			return
		}
	}
	attrs := make([]slog.Attr, 0, 10)
	d := &b.decision
	if !d.id.IsZero() {
		attrs = append(attrs, slog.String("decision", d.id.String()))
	}
	if q.service != nil {
		attrs = append(attrs, slog.String("service", q.service.Name()))
	}
	if d.answered != nil {
		attrs = append(attrs, slog.String("variant", d.answered.Name()))
	}
	attrs = append(attrs, slog.String("dialect", q.place.label), slog.String("route", q.place.route), slog.Int("status", a.status),
		slog.Int64("micros", a.took.Microseconds()), slog.Int64("bytesIn", b.came()), slog.Int64("bytes", max(b.pass.sent, int64(len(b.out)))))
	if instance := b.pass.answer.Instance; instance != "" {
		attrs = append(attrs, slog.String("instance", instance))
	}
	if left > 0 {
		attrs = append(attrs, slog.Uint64("leftOut", left))
	}
	if a.err != nil {
		attrs = append(attrs, slog.Any("error", a.err))
	}
	g.options.Log.LogAttrs(ctx, level, text, attrs...)
}

// troublesTold is how many failures of a service's upstreams are logged in a second. An outage is one thing to tell, however many requests
// meet it.
const troublesTold = 5

// troubles counts failures that are logged, and those that are not.
type troubles struct {
	mu     sync.Mutex
	second int64
	told   int
	left   uint64
}

// tell tells whether one more failure is logged, and how many were not since the last one that was.
func (t *troubles) tell(at time.Time) (left uint64, tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if second := at.Unix(); second != t.second {
		t.second, t.told = second, 0
	}
	if t.told >= troublesTold {
		t.left++
		return 0, false
	}
	t.told++
	left, t.left = t.left, 0
	return left, true
}

// came is how long the request's body was, as far as it came.
func (b *buffers) came() int64 {
	if in := b.pass.incoming; in != nil {
		in.mu.Lock()
		defer in.mu.Unlock()
		return in.n
	}
	return int64(len(b.body))
}
