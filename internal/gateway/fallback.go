package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/wire"
)

// FallbackHeader marks an answer of the fallback, and says why it stands there: timeout, error, unavailable or overload.
const FallbackHeader = "Serin-Fallback"

// answeredByFallback stands in decision records where a variant's name would.
const answeredByFallback = "fallback"

// Fallback is what is answered where no variant does: in place of timeouts, errors, variants that are not ready, and requests that there is
// no room for. What a client has done wrong, and has done too often, it is told.
type Fallback struct {
	Status int
	Header http.Header // in canonical form, Content-Type included; nil: none
	Body   []byte
}

// standIn returns the fallback that is to answer in place of err, under its status; nil if there is none.
func (d *decision) standIn(err error, status int) *Fallback {
	switch {
	case d.assigned == nil, d.limited, status < http.StatusInternalServerError, errors.Is(err, wire.ErrCannotExplain):
		return nil
	}
	return d.service.options.Fallback
}

// fallBack answers with a fallback, and returns its status.
func (g *Gateway) fallBack(w http.ResponseWriter, b *buffers, f *Fallback) int {
	d := &b.decision
	why := d.failure
	if d.shed {
		why = crowded
	}
	d.fellBack = true
	if d.reason == event.Weights || d.reason == event.Failover { // as with failover
		d.reason = event.Fallback
	}
	g.metrics.fellBack(d.assigned, why)
	h := w.Header()
	for name, values := range f.Header {
		h[name] = values
	}
	h[FallbackHeader] = []string{why.String()}
	if f.Status != http.StatusNoContent && f.Status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(len(f.Body))}
	}
	b.frame, b.out = wire.Frame{}, append(b.out[:0], f.Body...)
	g.allowWrite(w)
	w.WriteHeader(f.Status)
	_, _ = w.Write(f.Body) // the client may have gone; there is nobody to tell
	return f.Status
}

// allowWrite gives the client its time to read what is written next. What cannot set a deadline (a test) needs none.
func (g *Gateway) allowWrite(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.options.WriteTimeout))
}
