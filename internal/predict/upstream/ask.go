package upstream

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// call is what one question needs. Calls are used again.
type call struct {
	request  proxy.Request
	answer   proxy.Answer
	question wire.Question
	asked    tensor.Request // the question, where it is not the caller's own
	body     []byte
	fields   []proxy.Field
}

var calls = sync.Pool{New: func() any { return new(call) }}

// keptBody is the largest body whose memory is kept for the next.
const keptBody = 1 << 20

func (c *call) release() {
	c.answer.Close()
	c.answer, c.request, c.question, c.asked = proxy.Answer{}, proxy.Request{}, wire.Question{}, tensor.Request{}
	if cap(c.body) > keptBody {
		c.body = nil
	}
	clear(c.fields)
	calls.Put(c)
}

// Predict implements predict.Model.
func (m *Model) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := calls.Get().(*call)
	defer c.release()
	c.question = wire.Question{Request: r, Signature: m.known}
	if m.asks != nil && len(r.Outputs) == 0 {
		c.asked = *r
		c.asked.Outputs = m.asks
		c.question.Request = &c.asked
	}
	var err error
	var f wire.Frame
	if c.body, f, err = m.client.Ask(c.body[:0], &c.question); err != nil {
		return nil, err
	}
	m.write(c, f, r.ID)
	if at, ok := ctx.Deadline(); ok {
		c.request.Deadline = at
	}
	if err := m.options.Asker.Ask(ctx, &c.request, &c.answer); err != nil {
		return nil, unanswered(ctx, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return m.read(c)
}

// write makes the request of the body.
func (m *Model) write(c *call, f wire.Frame, id string) {
	c.fields = append(c.fields[:0], m.json...)
	if f.HeaderBytes > 0 {
		c.fields = append(append(c.fields[:0], m.binary...), proxy.Field{Name: wire.HeaderLength, Value: strconv.Itoa(f.HeaderBytes)})
	}
	if plain(id) {
		c.fields = append(c.fields, proxy.Field{Name: "X-Request-Id", Value: id})
		if m.options.Dialect == Seldon {
			c.fields = append(c.fields, proxy.Field{Name: "Seldon-Puid", Value: id})
		}
	}
	c.request = proxy.Request{
		Method: http.MethodPost, Target: m.path, Host: m.options.Host, Set: c.fields, Body: c.body, Safe: true, Hold: m.options.AnswerBytes,
	}
}

// maxID is the longest id that goes into a header, in bytes.
const maxID = 256

// plain tells whether an id can stand in a header as it is.
func plain(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

// read makes a response of the answer.
func (m *Model) read(c *call) (*tensor.Response, error) {
	a := &c.answer
	if a.Status < 200 || a.Status > 299 {
		return nil, refused(a)
	}
	switch {
	case a.Rest != nil || a.Stream:
		return nil, fault.Internalf("the upstream's answer is longer than %d bytes, or a stream", m.options.AnswerBytes)
	case encoded(a.Header):
		return nil, fault.Internalf("the upstream's answer is in the encoding %.40q, which was not asked for", a.Header.Get("Content-Encoding"))
	}
	f, err := wire.ReadFrame(first(a.Header, "Content-Type"), first(a.Header, wire.HeaderLength))
	if err != nil {
		return nil, err
	}
	// An answer has the rows of its request, which may be more than most.
	l := wire.Limits{Rows: max(wire.DefaultRows, c.question.Request.Inputs[0].Rows())}
	response, err := m.client.Read(a.Body, f, &c.question, l)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "the upstream (%s): %w", m.options.Dialect, err)
	}
	return response, nil
}

// first returns the first value of a field whose name is canonical, or "".
func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func encoded(h http.Header) bool {
	e := first(h, "Content-Encoding")
	return e != "" && e != "identity"
}
