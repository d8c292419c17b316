package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// question is one prediction request on its way through the gateway.
type question struct {
	dialect Dialect
	label   string // the dialect's name in metrics
	service *Service
	version string // the version the path pins, "" for none
}

// find is how a route finds the service that a question is for.
type find func(t *table, r *http.Request) (*Service, error)

// call is one request for a prediction, whichever transport it came over.
type call struct {
	ctx    context.Context // its caller's
	facts  traffic.Facts   // whom it comes from
	fields wire.Call       // what it has beside its body
	body   body
	header http.Header // of the answer
	secure bool        // over TLS
}

// body is what a call brings; it is read once the variant is known that has to take it.
type body interface {
	// read appends the whole body to b, at most limit bytes of it.
	read(b *bytes.Buffer, limit int64) error
}

// predict returns the handler of a prediction route.
func (g *Gateway) predict(d Dialect, label string, find find) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		b := scratch.Get().(*buffers)
		defer b.release()
		b.reset()
		b.http = httpCall{w: w, r: r}
		q := question{dialect: d, label: label, version: r.PathValue("version")}
		c := call{ctx: r.Context(), facts: traffic.FromRequest(r), fields: &b.http, body: &b.http, header: w.Header(), secure: r.TLS != nil}
		var err error
		q.service, err = find(g.services.Load(), r)
		switch {
		case err != nil:
		case r.Method != http.MethodPost && label != routeLabel: // a route has been found by its method
			err = errMethod
		default:
			err = g.answer(b, &c, &q)
		}
		status := http.StatusOK
		if err != nil {
			status = statusOf(err)
			g.explain(c.ctx, &q, status, err)
			if status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", http.MethodPost)
			}
			b.frame, b.out = wire.Frame{}, d.Error(b.out[:0], status, public(err))
		}
		took := time.Since(start)
		if status != statusGone { // where nobody listens
			g.send(w, status, b.frame, b.out)
			took = time.Since(start)
		}
		b.sample(q.label, status)
		g.done(&q, &b.decision, status, took)
	}
}

// done takes down an answered request.
func (g *Gateway) done(q *question, d *decision, status int, took time.Duration) {
	variant := ""
	if d.assigned != nil {
		variant = d.assigned.Name()
		if g.options.Recorder != nil {
			g.options.Recorder.done(d, status, took)
		}
	} else if q.service != nil {
		variant = q.service.variants[0].Name()
	}
	g.metrics.done(q.service, variant, q.label, status, took)
}

// requestID returns the id that a Seldon request answers with: its own or the decision's, echoed in a header as that protocol does.
func requestID(d *decision, c *call, label string) string {
	if label != seldonLabel {
		return ""
	}
	id := c.facts.Header("Seldon-Puid")
	if id == "" || len(id) > maxRequestID {
		id = d.id.String()
	} else {
		d.requestID = id
	}
	c.header.Set("Seldon-Puid", id)
	return id
}

// maxRequestID is the longest id of a client's own, in bytes, that is kept.
const maxRequestID = 256

// answer decodes the body, asks the model within the service's deadline and leaves what it says, encoded, in b.out.
func (g *Gateway) answer(b *buffers, c *call, q *question) (err error) {
	defer func() {
		if p := recover(); p != nil {
			g.options.Log.Error("panic while answering", "service", q.service.Name(), "panic", p, "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	d := &b.decision
	d.service = q.service
	if err := g.decide(d, c, q.version); err != nil {
		return err
	}
	in := g.metrics.inFlight.WithLabelValues(q.service.Name(), d.answered.Name())
	in.Inc()
	defer in.Dec()
	id := requestID(d, c, q.label)
	if err := c.body.read(&b.in, q.service.options.Body); err != nil {
		return err
	}
	d.bodies.whole = true
	// How fast the client sends is its own affair; the time of the service begins with the last byte.
	ctx, cancel := context.WithTimeout(c.ctx, q.service.options.Timeout)
	defer cancel()
	live := d.live
	exchange, err := decode(q.dialect, b.in.Bytes(), c.fields, live.Model.Signature(), wire.Limits{Rows: q.service.options.Rows})
	if err != nil {
		return err
	}
	request := exchange.Request()
	if request.ID != "" && len(request.ID) <= maxRequestID {
		d.requestID = request.ID
	}
	if err := live.Model.Signature().Check(request); err != nil {
		return err
	}
	if err := mayAnswer(live.Model.Signature(), request); err != nil {
		return err
	}
	response, err := ask(ctx, live, request)
	if err != nil {
		d.timedOut = errors.Is(ctx.Err(), context.DeadlineExceeded)
		return late(ctx, err, q.service)
	}
	d.classify(response)
	decisionID := ""
	if q.label == routeLabel { // no other dialect has a place for it
		decisionID = d.id.String()
	}
	b.out, err = exchange.Answer(b.out[:0], wire.Meta{
		Service: q.service.Name(), Model: live.Name, Version: strconv.Itoa(live.Number), Semver: live.Semver, ID: id,
		Variant: d.answered.Name(), DecisionID: decisionID, Token: d.token,
	}, response)
	if f, ok := exchange.(wire.Framer); ok {
		b.frame = f.Frame()
	}
	return err
}

// maxCells bounds the numbers of one answer: a few rows of a request may each be answered with thousands.
const maxCells = 1 << 21

// mayAnswer refuses a request whose answer would be out of proportion.
func mayAnswer(s tensor.Signature, r *tensor.Request) error {
	cells, rows := 0, r.Inputs[0].Rows()
	for _, name := range s.Wanted(r) {
		for _, o := range s.Outputs {
			if o.Name != name {
				continue
			}
			width := 1
			for _, d := range o.Shape {
				width *= max(d, 1)
			}
			cells += rows * width
		}
	}
	if cells > maxCells {
		return tooMany(rows, cells)
	}
	return nil
}

func tooMany(rows, cells int) error {
	return fault.Invalidf("%d rows would be answered with %d numbers; at most %d are given at once: send fewer rows", rows, cells, maxCells)
}

// ask holds the model to what it promised: an answer before the deadline, with one tensor for each output asked for.
func ask(ctx context.Context, live *Live, request *tensor.Request) (*tensor.Response, error) {
	response, err := live.Model.Predict(ctx, request)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if want := len(live.Model.Signature().Wanted(request)); len(response.Outputs) != want {
		return nil, fault.Internalf("the model gave %d outputs where %d were asked for", len(response.Outputs), want)
	}
	cells := 0
	for i := range response.Outputs { // whose signature may leave their size open
		cells += response.Outputs[i].Len()
	}
	if cells > maxCells {
		return nil, tooMany(request.Inputs[0].Rows(), cells)
	}
	return response, nil
}

// late tells an error that is the deadline's from any other.
func late(ctx context.Context, err error, s *Service) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Unavailablef("no answer within %v", s.options.Timeout)
	case errors.Is(ctx.Err(), context.Canceled):
		return errGone
	}
	return err
}

// statusGone counts requests whose client hung up before the answer, under the code that NGINX made usual. It is never sent.
const statusGone = 499

var errGone = &statusError{statusGone, fault.Invalidf("the client hung up before the answer")}

// readBody reads the whole body into b, at most limit bytes of it.
func readBody(b *bytes.Buffer, w http.ResponseWriter, r *http.Request, limit int64) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &statusError{http.StatusUnsupportedMediaType, fault.Invalidf("content encoding %.40q is not supported; send the body as it is", encoding)}
	}
	if n := r.ContentLength; n > 0 && n <= limit {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &statusError{http.StatusRequestEntityTooLarge, fault.Invalidf("the body is larger than %d bytes", tooBig.Limit)}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Invalidf("the body ends before its Content-Length")
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &statusError{http.StatusRequestTimeout, fault.Invalidf("the body did not come in time")}
	case err != nil && r.Context().Err() != nil:
		return errGone
	case err != nil:
		return fault.Invalidf("the body could not be read: %w", err)
	}
	return nil
}

// binaryHeader tells how much of a body is JSON, before binary tensors.
const binaryHeader = "Inference-Header-Content-Length"

// write sends an answer in JSON.
func (g *Gateway) write(w http.ResponseWriter, status int, body []byte) {
	g.send(w, status, wire.Frame{}, body)
}

// send sends an answer.
func (g *Gateway) send(w http.ResponseWriter, status int, frame wire.Frame, body []byte) {
	h := w.Header()
	if frame.ContentType == "" {
		frame.ContentType = "application/json"
	}
	if frame.HeaderBytes > 0 {
		h.Set(binaryHeader, strconv.Itoa(frame.HeaderBytes))
	}
	h.Set("Content-Type", frame.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// A client that does not read must not hold the connection for ever. What cannot set a deadline (a test) needs none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.options.WriteTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone; there is nobody to tell
}

// explain logs a failure: ours loudly, the caller's for those who look.
func (g *Gateway) explain(ctx context.Context, q *question, status int, err error) {
	service := ""
	if q.service != nil {
		service = q.service.Name()
	}
	attrs := []any{"dialect", q.label, "service", service, "status", status, "error", err}
	if status >= http.StatusInternalServerError {
		g.options.Log.ErrorContext(ctx, "request failed", attrs...)
		return
	}
	g.options.Log.DebugContext(ctx, "request refused", attrs...)
}

// statusError is an error whose HTTP status is finer than its kind's.
type statusError struct {
	status int
	error
}

func (e *statusError) Unwrap() error { return e.error }

// public returns what a client may know of err. The cause of a fault of ours (a path, an address) is for the log alone.
func public(err error) error {
	if fault.KindOf(err) == fault.Internal {
		return errInternal
	}
	return err
}

var errInternal = fault.Internalf("the model failed on this request")

var errMethod = &statusError{http.StatusMethodNotAllowed, fault.Invalidf("predictions are asked for with POST")}

// statusOf returns the status that tells err: its own, or its kind's.
func statusOf(err error) int {
	switch s, ok := errors.AsType[*statusError](err); {
	case ok:
		return s.status
	case errors.Is(err, wire.ErrCannotExplain):
		return http.StatusNotImplemented
	case errors.Is(err, wire.ErrUnsupportedMedia):
		return http.StatusUnsupportedMediaType
	}
	return fault.HTTPStatus(err)
}

// notThisVersion says that another version than the pinned one is live.
func notThisVersion(pinned string, live *Live) error {
	return fault.NotFoundf("version %.40q is not served; version %d is", pinned, live.Number)
}

// buffers are the bytes of one request and its answer, kept between requests.
type buffers struct {
	in       bytes.Buffer
	out      []byte
	frame    wire.Frame // of out
	decision decision
	http     httpCall
}

// reset forgets the request before.
func (b *buffers) reset() {
	b.in.Reset()
	b.out, b.frame, b.decision = b.out[:0], wire.Frame{}, decision{}
}

// keepBuffers is the size up to which buffers are kept; what a large request has grown is left to the collector.
const keepBuffers = 1 << 20

func (b *buffers) release() {
	b.http = httpCall{}
	if b.in.Cap() <= keepBuffers && cap(b.out) <= keepBuffers {
		scratch.Put(b)
	}
}

var scratch = sync.Pool{New: func() any { return new(buffers) }}
