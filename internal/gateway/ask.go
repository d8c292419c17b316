package gateway

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// recovered makes an error of a panic. It is for the log: a client is not told.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fault.Internalf("panic: %v\n%s", p, debug.Stack())
	}
}

// answer decodes the body, asks the model within the service's deadline and leaves what it says, encoded, in b.out.
func (g *Gateway) answer(b *buffers, c *call, q *question) (err error) {
	defer recovered(&err)
	if !q.service.speaks {
		return notSpoken(q.service)
	}
	d := &b.decision
	d.service = q.service
	refused := g.hold(d, c, q.place.spot)
	if err := g.decide(d, c, q.version); err != nil {
		return cmp.Or(refused, err)
	}
	if refused != nil {
		return refused
	}
	in := g.metrics.of(d.answered, q.place.spot).inFlight
	in.Inc()
	defer in.Dec()
	id := requestID(d, c, q.place.label)
	if err := c.body.read(b, q.service.options.Body); err != nil {
		return err
	}
	d.bodies.whole = true
	if err := q.service.admit(); err != nil { // with its body here: who sends slowly keeps nobody out
		d.shed = true
		g.metrics.shed(q.service)
		return err
	}
	defer q.service.leave()
	// How fast the client sends is its own affair; the time of the service begins with the last byte.
	begin := time.Now()
	for {
		failed := g.attempt(b, c, q, id, begin)
		if failed == nil {
			return nil
		}
		f := failureOf(failed, statusOf(failed))
		if d.timedOut {
			f = tooLate
		}
		d.failed(f)
		if err == nil || f != none { // a variant that takes something else has not been asked for it
			err = failed
		}
		if c.ctx.Err() != nil || !g.another(d, f, begin.Add(q.service.options.Timeout)) { // a question changes nothing: it may be asked again
			return err
		}
	}
}

// attempt asks the model of the variant that is to answer, within what is left of the service's time since begin, and encodes its answer.
func (g *Gateway) attempt(b *buffers, c *call, q *question, id string, begin time.Time) (err error) {
	defer recovered(&err)
	d := &b.decision
	patience := q.service.options.Timeout
	started := time.Now()
	exchange, err := q.decode(b, c)
	decoded := time.Now()
	b.spent.decode = decoded.Sub(started)
	if err != nil {
		return err
	}
	request := exchange.Request()
	b.spent.rows = request.Inputs[0].Rows()
	if request.ID != "" && len(request.ID) <= maxRequestID {
		d.requestID = request.ID
	}
	upstream := d.answered.options.Upstream != nil
	if upstream && request.ID == "" {
		request.ID = cmp.Or(id, d.id.String()) // so that it can be found in the upstream's log; answers echo the client's own
	}
	if own := ownTimeout(exchange); own > 0 && own < patience {
		patience = own
	}
	ctx := withDeadline(c.ctx, begin.Add(patience))
	defer ctx.stop()
	d.put = true
	response, err := d.live.Model.Predict(ctx, request)
	asked := time.Now()
	b.spent.model = asked.Sub(decoded)
	if upstream {
		d.upstream += b.spent.model
	}
	if err == nil {
		err = ctx.errAt(asked)
	}
	if err == nil {
		err = promised(d.live.Model.Signature(), request, response)
	}
	if err != nil {
		d.timedOut = errors.Is(ctx.Err(), context.DeadlineExceeded) || upstream && errors.Is(err, context.DeadlineExceeded)
		d.hurried = d.timedOut && asked.Before(begin.Add(q.service.options.Timeout))
		return late(ctx, c.ctx, err, patience)
	}
	d.response = response
	d.classify(response)
	b.out, err = exchange.Answer(b.out[:0], q.meta(d, id), response)
	if f, ok := exchange.(wire.Framer); ok {
		b.frame = f.Frame()
	}
	b.spent.encode = time.Since(asked)
	return err
}

// ownTimeout is how long a request says that its caller waits, 0 where it does not say.
func ownTimeout(e wire.Exchange) time.Duration {
	if t, ok := e.(wire.Timed); ok {
		return t.Timeout()
	}
	return 0
}

// decode reads the body, and holds it against what the model takes and may give.
func (q *question) decode(b *buffers, c *call) (wire.Exchange, error) {
	signature := b.decision.live.Model.Signature()
	exchange, err := decode(q.dialect(), b.body, c.fields, signature, wire.Limits{Rows: q.service.options.Rows})
	if err != nil {
		return nil, err
	}
	request := exchange.Request()
	if err := signature.Check(request); err != nil {
		return nil, err
	}
	// A dialect cannot tell whether a flat list is a row or, for a model whose rows are single values, as many rows.
	if rows := request.Inputs[0].Rows(); rows > q.service.options.Rows {
		return nil, fault.Invalidf("the request has %d rows; it may have %d", rows, q.service.options.Rows).WithHint("send the rows in several requests")
	}
	return exchange, mayAnswer(signature, request)
}

// meta is what the answer tells beside tensors.
func (q *question) meta(d *decision, id string) wire.Meta {
	m := wire.Meta{
		Service: q.service.Name(), Model: d.live.Name, Version: d.live.number(), Semver: d.live.Semver, ID: id,
		Variant: d.answered.Name(), Token: d.token,
	}
	if q.place.label == routeLabel { // no other dialect has a place for it
		m.DecisionID = d.id.String()
	}
	return m
}

// requestID returns the id that a Seldon request answers with: its own or the decision's, echoed in a header as that protocol does.
func requestID(d *decision, c *call, label string) string {
	if label != seldonLabel && label != seldonRPCLabel {
		return ""
	}
	id := c.facts.Header("Seldon-Puid")
	if id == "" || len(id) > maxRequestID {
		id = d.id.String()
	} else {
		d.requestID = id
	}
	c.header["Seldon-Puid"] = []string{id} // canonical already
	return id
}

// maxRequestID is the longest id of a client's own, in bytes, that is kept.
const maxRequestID = 256

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

// promised holds an answer to what the model promised: one tensor for each output asked for, of a size in proportion.
func promised(signature tensor.Signature, request *tensor.Request, response *tensor.Response) error {
	if want := len(signature.Wanted(request)); len(response.Outputs) != want && (want > 0 || len(signature.Outputs) > 0) {
		return fault.Internalf("the model gave %d outputs where %d were asked for", len(response.Outputs), want)
	}
	cells := 0
	for i := range response.Outputs { // whose signature may leave their size open
		cells += response.Outputs[i].Len()
	}
	if cells > maxCells {
		return tooMany(request.Inputs[0].Rows(), cells)
	}
	return nil
}

// late tells an error that is the deadline's, the service's or the caller's own, from any other.
func late(ctx, caller context.Context, err error, patience time.Duration) error {
	switch {
	case errors.Is(caller.Err(), context.DeadlineExceeded):
		return fault.Unavailablef("no answer within the time that the caller gave")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Unavailablef("no answer within %v", patience)
	case errors.Is(ctx.Err(), context.Canceled):
		return errGone
	}
	return err
}
