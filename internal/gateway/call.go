package gateway

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// call is one request for a prediction, whichever transport it came over.
type call struct {
	at     time.Time       // when it came
	ctx    context.Context // its caller's
	facts  traffic.Facts   // whom it comes from
	fields wire.Call       // what it has beside its body
	body   body
	header http.Header // of the answer
	secure bool        // over TLS
	path   string      // over HTTP, without escapes
}

// body is what a call brings; it is read once the variant is known that has to take it.
type body interface {
	// read makes b.body the whole body, of at most limit bytes.
	read(b *buffers, limit int64) error
}

// httpCall is what a request over HTTP brings: its body, and for a dialect what it has beside that.
type httpCall struct {
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
}

func (c *httpCall) read(b *buffers, limit int64) error {
	err := readBody(&b.in, c.w, c.r, limit)
	b.body = b.in.Bytes()
	return err
}

// Lookup implements wire.Call.
func (c *httpCall) Lookup(from wire.Origin, name string) (string, int) {
	var values []string
	switch from {
	case wire.Path:
		value := c.r.PathValue(parameterPrefix + name)
		return value, min(len(value), 1) // a parameter is never empty
	case wire.Query:
		if c.query == nil {
			c.query = c.r.URL.Query()
		}
		values = c.query[name]
	case wire.Header:
		values = c.r.Header.Values(name)
	}
	if len(values) == 0 {
		return "", 0
	}
	return values[0], len(values)
}

// buffers are the bytes of one request and its answer, kept between requests.
type buffers struct {
	in       bytes.Buffer // what was read of a body over HTTP
	body     []byte       // the request's, which may be in's bytes
	out      []byte
	frame    wire.Frame // of out
	decision decision
	spent    spent
	fed      string // the service that a feedback call was about, if it was taken in
	http     httpCall
	rpc      rpcCall
	behind   behind
	pass     passed
}

// spent is where the time of a request went, as far as it came. Rows is how many it asked for.
type spent struct {
	decode, model, encode time.Duration
	rows                  int
}

// reset forgets the request before.
func (b *buffers) reset() {
	b.in.Reset()
	b.body, b.out, b.frame, b.decision, b.spent = nil, b.out[:0], wire.Frame{}, decision{}, spent{}
	b.fed = ""
}

// keepBuffers is the size up to which buffers are kept; what a large request has grown is left to the collector.
const keepBuffers = 1 << 20

func (b *buffers) release() {
	b.http, b.behind, b.body = httpCall{}, behind{}, nil
	b.rpc.free()
	b.pass.reset()
	if b.in.Cap() <= keepBuffers && cap(b.out) <= keepBuffers {
		scratch.Put(b)
	}
}

var scratch = sync.Pool{New: func() any { return &buffers{rpc: rpcCall{header: http.Header{}, sent: metadata.MD{}}} }}
