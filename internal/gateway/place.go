package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

// place is where predictions are asked for, and how they are asked for there.
type place struct {
	*spot
	dialect    Dialect
	tensorflow Dialect // of services that have ServiceOptions.Tensorflow; nil: the same
}

// spot is a place as metrics and logs tell it. There is one of each, so that it can be compared: the dialects that Serin speaks have their
// own, and each configured route has one.
type spot struct {
	label   string // the dialect's name
	route   string // the pattern of its paths, never a path
	cors    bool   // pages of other origins may ask first whether they may ask
	explain bool   // for explanations
	rpc     bool   // over gRPC: the route is the method's name
}

// spotAt returns the one spot of that description.
func (g *Gateway) spotAt(s spot) *spot {
	g.spotsMu.Lock()
	defer g.spotsMu.Unlock()
	if known := g.spots[s]; known != nil {
		return known
	}
	g.spots[s] = &s
	return &s
}

// question is one prediction request on its way through the gateway.
type question struct {
	place   place
	service *Service
	version string // the version that it pins, "" for none
}

// dialect is the one that the question is asked in.
func (q *question) dialect() Dialect {
	if q.place.tensorflow != nil && q.service != nil && q.service.options.Tensorflow {
		return q.place.tensorflow
	}
	return q.place.dialect
}

// find is how a place finds the service that a question is for, and the version that it pins.
type find func(t *table, r *http.Request) (s *Service, version string, err error)

// byPath finds what the path names.
func byPath(t *table, r *http.Request) (*Service, string, error) {
	s, err := t.spoken(r.PathValue("name"))
	return s, r.PathValue("version"), err
}

// byDefault finds the service for those who name none.
func byDefault(t *table, _ *http.Request) (*Service, string, error) {
	s, err := t.unnamed()
	return s, "", err
}

// predict returns the handler of a place where predictions are asked for over HTTP.
func (g *Gateway) predict(p place, find find) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p.cors && g.preflight(w, r) {
			return
		}
		start := g.options.Now()
		b := scratch.Get().(*buffers)
		defer b.release()
		b.reset()
		b.http = httpCall{w: w, r: r}
		q := question{place: p}
		c := call{at: start, ctx: r.Context(), facts: g.from(r, &b.behind), path: r.URL.Path, fields: &b.http, body: &b.http, header: w.Header(), secure: r.TLS != nil}
		var err error
		q.service, q.version, err = find(g.services.Load(), r)
		switch {
		case err != nil:
		case r.Method != http.MethodPost && p.label != routeLabel: // a route has been found by its method
			err = errMethod
		default:
			err = g.answer(b, &c, &q)
		}
		status := http.StatusOK
		if err != nil {
			status = statusOf(err)
		}
		switch f := b.decision.standIn(err, status); {
		case status == statusGone: // nobody listens
			b.out = b.out[:0]
		case f != nil:
			status = g.fallBack(w, b, f)
		default:
			if err != nil {
				b.refuse(w.Header(), q.place.spot, q.dialect(), status, err)
			}
			g.send(w, r, status, b.frame, b.out)
		}
		g.done(b, &c, &q, answered{status: status, took: g.options.Now().Sub(start), err: err})
		if status == statusGone {
			hangUp()
		}
	}
}

// refuse makes err the answer.
func (b *buffers) refuse(h http.Header, at *spot, d Dialect, status int, err error) {
	if status == http.StatusMethodNotAllowed {
		h.Set("Allow", http.MethodPost)
	}
	retryAfter(h, err)
	if e, ok := errors.AsType[*limited](err); ok && at.label == routeLabel { // a route's own form has no place for what limits say
		b.frame, b.out = wire.Frame{ContentType: problemType}, e.problem(b.out[:0])
		return
	}
	b.frame, b.out = wire.Frame{}, d.Error(b.out[:0], status, public(err))
}

// answered is how a request ended.
type answered struct {
	status int
	took   time.Duration
	err    error
	told   bool // it has been taken down already
}

// done takes down an answered request.
func (g *Gateway) done(b *buffers, c *call, q *question, a answered) {
	d := &b.decision
	passed := q.place.label == passLabel
	if !passed {
		b.sample(q.place.label, a.status)
	}
	var variant *Variant
	if d.assigned != nil {
		variant = d.assigned
		if g.options.Recorder != nil {
			g.options.Recorder.done(d, a.status, a.took)
		}
		if d.live != nil && !passed {
			d.live.statistics.add(d.at, &b.spent, a)
		}
	} else if q.service != nil {
		variant = q.service.variants[0]
	}
	g.metrics.done(variant, q.place.spot, b, a)
	g.access(c.ctx, q, b, a)
	if q.service != nil {
		g.shadow(b, c, q, a)
	}
}

var errMethod = &statusError{http.StatusMethodNotAllowed, fault.Invalidf("predictions are asked for with POST")}
