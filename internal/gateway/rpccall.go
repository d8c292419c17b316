package gateway

import (
	"context"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// rpcCall is what a call over gRPC brings: its message, and its metadata, which stands for headers.
type rpcCall struct {
	ctx     context.Context
	message mem.Buffer
	header  http.Header // of the answer
	sent    metadata.MD // header as metadata, of which gRPC makes a copy
}

// begin makes the message that has come the body of a call.
func (b *buffers) begin(ctx context.Context) {
	b.rpc.ctx = ctx //nolint:fatcontext // it is the call's own, and goes with it
	b.body = b.rpc.message.ReadOnlyData()
}

// free lets go of the message.
func (c *rpcCall) free() {
	if c.message != nil {
		c.message.Free()
	}
	c.ctx, c.message = nil, nil
	clear(c.header)
	clear(c.sent)
}

// read implements body: the message is here.
func (c *rpcCall) read(b *buffers, limit int64) error {
	if int64(c.message.Len()) > limit {
		b.body = nil
		return tooLarge(limit)
	}
	return nil
}

// Lookup implements wire.Call.
func (c *rpcCall) Lookup(from wire.Origin, name string) (string, int) {
	if from != wire.Header {
		return "", 0
	}
	values := metadata.ValueFromIncomingContext(c.ctx, name)
	if len(values) == 0 {
		return "", 0
	}
	return values[0], len(values)
}

// Header implements traffic.Facts. Host is what HTTP/2 has in its place.
func (c *rpcCall) Header(name string) string {
	if name == "Host" {
		name = ":authority"
	}
	value, _ := c.Lookup(wire.Header, name)
	return value
}

// Cookie implements traffic.Facts.
func (c *rpcCall) Cookie(name string) string {
	return traffic.CookieIn(metadata.ValueFromIncomingContext(c.ctx, "cookie"), name)
}

// Query implements traffic.Facts: there is none.
func (c *rpcCall) Query(string) string { return "" }

// Client implements traffic.Facts.
func (c *rpcCall) Client() string {
	p, ok := peer.FromContext(c.ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return "" // of a Unix socket or of memory: nobody
	}
	return host
}

// secure tells whether the call came over TLS.
func (c *rpcCall) secure() bool {
	p, ok := peer.FromContext(c.ctx)
	return ok && p.AuthInfo != nil
}

// sendHeader makes the header of the answer its metadata.
func (c *rpcCall) sendHeader() {
	if len(c.header) == 0 {
		return
	}
	for name, values := range c.header {
		c.sent[strings.ToLower(name)] = values
	}
	if grpc.SetHeader(c.ctx, c.sent) != nil { // what a client sent for an id may be no metadata
		delete(c.sent, "seldon-puid")
		_ = grpc.SetHeader(c.ctx, c.sent) // it has been sent already: there is nobody to tell
	}
}
