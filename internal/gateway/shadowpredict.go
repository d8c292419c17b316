package gateway

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/shadow"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// shadow offers an answered prediction to the shadows of its service, if it was asked at all. It is called when the answer has been given.
func (g *Gateway) shadow(b *buffers, c *call, q *question, a answered) {
	d := &b.decision
	if len(q.service.shadows) == 0 || g.options.Shadows == nil || !d.put || d.hurried || a.status == statusGone {
		return
	}
	for _, s := range q.service.shadows {
		if s.draws(d) {
			g.offer(s, b, c, q, a)
		}
	}
}

// offer copies an answered prediction for one shadow.
func (g *Gateway) offer(s *shadowed, b *buffers, c *call, q *question, a answered) {
	d := &b.decision
	copied := d.copied(a.status >= http.StatusInternalServerError || d.timedOut || d.fellBack)
	live, model := s.variant.Live(), s.options.Model
	if live != nil {
		copied.ShadowVersion = live.Digest
		if model == nil {
			model = live.Model
		}
	}
	copied.Bytes = int64(len(b.body)) + responseBytes(d.response)
	if why, no := g.predictionNotCopied(s, b, model, copied.Bytes); no {
		g.options.Shadows.Drop(s.lane, &copied, why)
		return
	}
	b.flush()
	copied.Took = b.spent.decode + b.spent.model
	asked := &predictionCopy{
		service: q.service, model: model, dialect: q.dialect(), body: bytes.Clone(b.body), status: a.status, primary: d.live, response: d.response,
	}
	if _, needs := asked.dialect.(callDialect); needs {
		asked.fields = c.keep()
	}
	asked.capture = q.service.options.Capture.of(d.id)
	copied.Question = asked
	g.options.Shadows.Offer(s.lane, &copied)
}

// predictionNotCopied tells why a prediction that was drawn is not copied, if it is not.
func (g *Gateway) predictionNotCopied(s *shadowed, b *buffers, model predict.Model, size int64) (why event.Drop, no bool) {
	most := int64(s.lane.Options().Body)
	switch {
	case g.draining.Load():
		return event.DropDraining, true
	case model == nil, s.options.Upstream != nil && !s.options.Upstream.Available():
		return event.DropUnavailable, true
	case int64(len(b.body)) > most, size-int64(len(b.body)) > most:
		return event.DropTooLarge, true
	}
	return s.lane.Full(size)
}

// keep returns the parts of a call beside its body, to be read when the call is over.
func (c *call) keep() wire.Call {
	switch fields := c.fields.(type) {
	case *httpCall:
		return &httpCall{r: fields.r} // whose header and URL are nobody else's
	case *rpcCall:
		return &rpcCall{ctx: fields.ctx}
	}
	return c.fields
}

// responseBytes is about what a response holds.
func responseBytes(r *tensor.Response) (n int64) {
	if r == nil {
		return 0
	}
	const cell = 8
	for i := range r.Outputs {
		n += int64(r.Outputs[i].Len()) * cell
	}
	return n
}

// predictionCopy is a prediction that a shadow is to make too.
type predictionCopy struct {
	service  *Service
	model    predict.Model // the shadow's
	dialect  Dialect
	body     []byte
	fields   wire.Call // nil: the dialect needs none
	status   int       // of the primary's answer
	primary  *Live
	response *tensor.Response // the primary's; nil if it failed or refused
	capture  *Capture         // nil: neither answer may be kept
}

// Ask implements shadow.Question. The request is read anew, for the shadow's own signature: what it is asked is what it would be asked live.
func (p *predictionCopy) Ask(ctx context.Context) (a shadow.Answer, took time.Duration, err error) {
	start := time.Now()
	response, err := p.predict(ctx)
	took = time.Since(start)
	switch {
	case err == nil:
		return p.service.answerOf(p.model.Signature(), response, http.StatusOK), took, nil
	case ctx.Err() == nil && statusOf(err) < 500: // a refusal is an answer
		return shadow.Answer{Status: statusOf(err), Score: math.NaN()}, took, nil
	}
	return a, took, lateShadow(err)
}

// lateShadow is the error of a shadow whose upstream was late: it may say so a moment before its time is over.
func lateShadow(err error) error {
	if f, ok := errors.AsType[*proxy.Failure](err); ok && f.Why == proxy.Late {
		return context.DeadlineExceeded
	}
	return err
}

func (p *predictionCopy) predict(ctx context.Context) (*tensor.Response, error) {
	signature := p.model.Signature()
	exchange, err := decode(p.dialect, p.body, p.fields, signature, wire.Limits{Rows: p.service.options.Rows})
	if err != nil {
		return nil, err
	}
	request := exchange.Request()
	if err := signature.Check(request); err != nil {
		return nil, err
	}
	if err := mayAnswer(signature, request); err != nil {
		return nil, err
	}
	response, err := p.model.Predict(ctx, request)
	if err == nil {
		err = promised(signature, request, response)
	}
	if err == nil && len(response.Outputs) == 0 {
		err = fault.Internalf("the model gave no output")
	}
	return response, err
}

// Primary implements shadow.Question.
func (p *predictionCopy) Primary() shadow.Answer {
	if p.response == nil || p.primary == nil {
		return shadow.Answer{Status: p.status, Score: math.NaN()}
	}
	return p.service.answerOf(p.primary.Model.Signature(), p.response, p.status)
}

// answerOf is an answer as it is compared.
func (s *Service) answerOf(signature tensor.Signature, r *tensor.Response, status int) shadow.Answer {
	a := shadow.Answer{Status: status, Outputs: r.Outputs, Score: math.NaN()}
	a.Scored = s.eachClass(signature, r, func(label string, score float64) {
		a.Labels = append(a.Labels, label)
		a.Score = score
	})
	if len(a.Labels) != 1 {
		a.Score = math.NaN()
	}
	return a
}

// Texts implements shadow.Question: the outputs as JSON. Where something is to be redacted there are none, as its paths are those of bodies.
func (p *predictionCopy) Texts(other *shadow.Answer) (primary, answer string) {
	if p.capture == nil || p.capture.Redact != nil {
		return "", ""
	}
	most := min(p.capture.Bytes, mostAnswerText)
	if p.response != nil {
		primary = shadow.OutputsText(p.response.Outputs, most)
	}
	return primary, shadow.OutputsText(other.Outputs, most)
}

// mostAnswerText bounds an answer in a disagreement, in bytes.
const mostAnswerText = 2 << 10
