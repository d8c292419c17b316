package gateway

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/payload"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/shadow"
)

// shadowPassed offers a request that was passed on to the shadows of its service. It is called when the answer has been sent on, and before
// it is closed.
func (g *Gateway) shadowPassed(b *buffers, c *call, q *question, a answered) {
	d := &b.decision
	if g.options.Shadows == nil || a.status == statusGone {
		return
	}
	for _, s := range q.service.shadows {
		if s.draws(d) {
			g.offerPassed(s, b, c, a)
		}
	}
}

// offerPassed copies a request that was passed on for one shadow, with its answer.
func (g *Gateway) offerPassed(s *shadowed, b *buffers, c *call, a answered) {
	d, p := &b.decision, &b.pass
	copied := d.copied(a.err != nil || a.status >= http.StatusInternalServerError || d.fellBack || p.broken)
	if live := s.variant.Live(); live != nil {
		copied.ShadowVersion = live.Digest
	}
	upstream := s.options.Upstream
	if upstream == nil {
		upstream = s.variant.options.Upstream
	}
	if why, no := g.notCopied(s, b, upstream); no {
		g.options.Shadows.Drop(s.lane, &copied, why)
		return
	}
	b.flush()
	copied.Took = p.answer.Took
	asked := &passedCopy{
		upstream: upstream, request: b.shadowRequest(g, c, s), status: p.answer.Status, body: bytes.Clone(p.answer.Body),
		encoding: p.answer.Header.Get("Content-Encoding"), most: s.lane.Options().Body, capture: d.service.options.Capture.of(d.id),
	}
	copied.Question, copied.Bytes = asked, int64(len(asked.request.Body)+len(asked.body))
	g.options.Shadows.Offer(s.lane, &copied)
}

// notCopied tells why a request that was drawn is not copied, if it is not.
func (g *Gateway) notCopied(s *shadowed, b *buffers, upstream Upstream) (why event.Drop, no bool) {
	p := &b.pass
	most := s.lane.Options().Body
	switch {
	case !slices.Contains(s.options.Methods, b.http.r.Method):
		return event.DropMethod, true
	case g.draining.Load():
		return event.DropDraining, true
	case upstream == nil || !upstream.Available():
		return event.DropUnavailable, true
	case isRPC(b.http.r), p.answer.Stream, p.answer.Status == http.StatusSwitchingProtocols, b.decision.answered.options.Files != nil,
		p.incoming != nil && b.http.r.ContentLength < 0:
		return event.DropStreaming, true
	case p.incoming != nil, p.answer.Rest != nil, len(b.body) > most, len(p.answer.Body) > most:
		return event.DropTooLarge, true
	}
	return s.lane.Full(int64(len(b.body) + len(p.answer.Body)))
}

// shadowRequest is the request for a shadow: what the shadow's variant would be asked, but for the token, as there is no decision of its own.
func (b *buffers) shadowRequest(g *Gateway, c *call, s *shadowed) proxy.Request {
	b.fill(g, c, s.variant)
	r := b.pass.request
	r.Set = slices.Clone(r.Set)
	for i := range r.Set {
		if r.Set[i].Name == TokenHeader {
			r.Set[i].Value = ""
		}
	}
	r.Set = slices.DeleteFunc(r.Set, func(f proxy.Field) bool { return slices.Contains(ShadowHeaders[:], f.Name) })
	for _, name := range ShadowHeaders {
		r.Set = append(r.Set, proxy.Field{Name: name, Value: "true"})
	}
	r.Body = bytes.Clone(b.body)
	r.Hold = s.lane.Options().Body
	return r
}

// passedCopy is a passed request that a shadow is to answer too.
type passedCopy struct {
	upstream Upstream
	request  proxy.Request
	status   int // of the primary's answer
	body     []byte
	encoding string
	most     int      // bytes of a body
	capture  *Capture // nil: neither answer may be kept
}

var errShadowStream = errors.New("the shadow answers with a stream, or more than is compared")

// Ask implements shadow.Question.
func (p *passedCopy) Ask(ctx context.Context) (a shadow.Answer, took time.Duration, err error) {
	p.request.Deadline, _ = ctx.Deadline()
	var answer proxy.Answer
	if err := p.upstream.Ask(ctx, &p.request, &answer); err != nil {
		return a, 0, lateShadow(err)
	}
	defer answer.Close()
	switch {
	case answer.Status >= http.StatusInternalServerError:
		return a, 0, &statusError{answer.Status, errors.New("the shadow answered with an error")}
	case answer.Switched != nil || answer.Stream || answer.Rest != nil:
		return a, 0, errShadowStream
	}
	return p.answer(answer.Status, bytes.Clone(answer.Body), answer.Header.Get("Content-Encoding")), answer.Took, nil
}

// Primary implements shadow.Question.
func (p *passedCopy) Primary() shadow.Answer { return p.answer(p.status, p.body, p.encoding) }

// answer is an answer as it is compared: not compressed.
func (p *passedCopy) answer(status int, body []byte, encoding string) shadow.Answer {
	if encoding != "" && len(body) > 0 {
		var plain bytes.Buffer
		if inflate(&plain, bytes.NewReader(body), encoding, int64(p.most)) == nil {
			body = plain.Bytes()
		}
	}
	return shadow.Answer{Status: status, Body: body, Score: math.NaN()}
}

// Texts implements shadow.Question.
func (p *passedCopy) Texts(other *shadow.Answer) (primary, answer string) {
	if p.capture == nil {
		return "", ""
	}
	own := p.Primary()
	return p.text(&own), p.text(other)
}

// text is a body as the rules of captured payloads have it: cut, and with what is secret taken out. What is no text is left out.
func (p *passedCopy) text(a *shadow.Answer) string {
	r := payload.Record{Status: a.Status}
	r.SetBodies(payload.Body{}, payload.Cut(a.Body, min(p.capture.Bytes, mostAnswerText)), p.capture.Redact)
	if len(r.Base64) > 0 {
		return ""
	}
	return r.Response
}
