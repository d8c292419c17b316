package gateway

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// passGRPC passes on, from the port for gRPC, the calls of methods that Serin does not have itself: to the service whose host or prefix they
// come under. (On the port for HTTP, the methods that Serin has come after hosts and prefixes too.) Messages are taken out of their frames by the server here and put back into such for the upstream,
// so that what passes is a request over HTTP again, with all that holds for those.
func (g *Gateway) passGRPC(_ any, s grpc.ServerStream) (err error) {
	method, _ := grpc.MethodFromServerStream(s)
	r, w := requestOf(s, method), &callWriter{stream: s, header: http.Header{}}
	if err := wellFormed(r); err != nil {
		return rpcError(err, false)
	}
	p, ok := g.routed(g.services.Load(), r).(*passage)
	if !ok {
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	w.most = p.service.options.Body
	defer func() {
		switch caught := recover(); {
		case caught == http.ErrAbortHandler: //nolint:errorlint // as net/http compares it
			err = w.cut()
		case caught != nil:
			err = g.panicked(s.Context(), method, caught)
		}
	}()
	body := &callBody{messages: make(chan received), cut: make(chan struct{})}
	defer body.free()
	go receive(s, body.messages) // which ends as the call does, and that with this handler
	r.Body, w.body = body, body
	p.ServeHTTP(w, r)
	return w.end()
}

// requestOf is a call as a request over HTTP, which is what gRPC makes of it between two servers.
func requestOf(s grpc.ServerStream, method string) *http.Request {
	ctx := s.Context()
	md, _ := metadata.FromIncomingContext(ctx)
	h := make(http.Header, len(md)+3)
	host := ""
	for name, values := range md {
		switch {
		case name == ":authority":
			host = values[0]
		case strings.HasPrefix(name, ":"):
		case strings.HasSuffix(name, "-bin"):
			for _, v := range values {
				h.Add(name, base64.RawStdEncoding.EncodeToString([]byte(v)))
			}
		default:
			h[http.CanonicalHeaderKey(name)] = values
		}
	}
	h["Content-Type"], h["Te"] = []string{"application/grpc"}, []string{"trailers"}
	if until, ok := ctx.Deadline(); ok {
		h[grpcTimeout] = []string{timeoutText(time.Until(until))}
	}
	r := (&http.Request{
		Method: http.MethodPost, RequestURI: method, URL: &url.URL{Path: method}, Proto: "HTTP/2.0", ProtoMajor: 2, Host: host, Header: h, ContentLength: -1,
	}).WithContext(ctx)
	if from, ok := peer.FromContext(ctx); ok && from.Addr != nil {
		r.RemoteAddr = from.Addr.String()
	}
	return r
}

// frameHead is the length of what stands before each message: whether it is compressed, and how long it is.
const frameHead = 5

// callBody is the messages of a call in their frames.
type callBody struct {
	messages chan received
	cut      chan struct{} // closed when nobody waits for messages any more
	head     [frameHead]byte
	parts    [2][]byte // what is left of the frame
	from     *buffers  // has its message
	err      error
}

// Read implements io.Reader.
func (c *callBody) Read(p []byte) (int, error) {
	for len(c.parts[0])+len(c.parts[1]) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.next()
	}
	n := copy(p, c.parts[0])
	c.parts[0] = c.parts[0][n:]
	m := copy(p[n:], c.parts[1])
	c.parts[1] = c.parts[1][m:]
	return n + m, nil
}

// next takes the next message.
func (c *callBody) next() {
	c.free()
	select {
	case r := <-c.messages:
		if c.err = r.err; c.err == nil {
			message := r.buffers.rpc.message.ReadOnlyData()
			binary.BigEndian.PutUint32(c.head[1:], uint32(len(message)))
			c.parts, c.from = [2][]byte{c.head[:], message}, r.buffers
		}
	case <-c.cut:
		c.err = os.ErrDeadlineExceeded
	}
}

// free lets go of the message.
func (c *callBody) free() {
	if c.from != nil {
		c.from.release()
		c.from = nil
	}
}

// Close implements io.Closer.
func (c *callBody) Close() error { return nil }

// callWriter makes the answer to a request over HTTP that of a call.
type callWriter struct {
	stream grpc.ServerStream
	body   *callBody
	header http.Header
	status int
	most   int64  // bytes of a message
	frame  []byte // what is here of one that is not whole
	bad    error  // what is wrong with the answer

	cutting sync.Once
}

// Header implements http.ResponseWriter.
func (w *callWriter) Header() http.Header { return w.header }

// SetReadDeadline implements what http.ResponseController looks for. A time that is over ends the wait for messages; others there are none.
func (w *callWriter) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && at.Before(time.Now()) {
		w.cutting.Do(func() { close(w.body.cut) })
	}
	return nil
}

// FlushError implements what http.ResponseController looks for: nothing is held back.
func (w *callWriter) FlushError() error { return nil }

// WriteHeader implements http.ResponseWriter.
func (w *callWriter) WriteHeader(status int) {
	w.status = status
	if status == http.StatusOK {
		_ = w.stream.SendHeader(metadataOf(w.header, "")) // the call may be over; there is nobody to tell
	}
}

// Write implements io.Writer. What is no answer of gRPC's, and so has another status, is not for its clients.
func (w *callWriter) Write(p []byte) (int, error) {
	if w.status != http.StatusOK {
		return len(p), nil
	}
	w.frame = append(w.frame, p...)
	for len(w.frame) >= frameHead {
		n := int64(binary.BigEndian.Uint32(w.frame[1:]))
		if w.frame[0] != 0 {
			w.bad = status.Error(codes.Internal, "the answer is compressed, and nobody asked for that")
		} else if n > w.most {
			w.bad = status.Errorf(codes.ResourceExhausted, "the answer has a message of %d bytes; at most %d are passed back", n, w.most)
		}
		if w.bad != nil {
			return 0, &badAnswer{w.bad}
		}
		if int64(len(w.frame)) < frameHead+n {
			break
		}
		b := scratch.Get().(*buffers)
		b.reset()
		b.out = append(b.out[:0], w.frame[frameHead:frameHead+n]...)
		if err := w.stream.SendMsg(b); err != nil { // which has released it
			return 0, err
		}
		w.frame = append(w.frame[:0], w.frame[frameHead+n:]...)
	}
	return len(p), nil
}

// badAnswer is what is wrong with an answer that cannot be sent on.
type badAnswer struct{ error }

// cut tells how a call has ended whose answer broke off.
func (w *callWriter) cut() error {
	switch ctx := w.stream.Context(); {
	case w.bad != nil:
		return w.bad
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	return status.Error(codes.Unavailable, "the answer broke off")
}

// end tells how the call has ended: as the trailer says or, where the answer has none, the header.
func (w *callWriter) end() error {
	w.stream.SetTrailer(metadataOf(w.header, http.TrailerPrefix))
	code, message := w.header.Get(http.TrailerPrefix+grpcStatus), w.header.Get(http.TrailerPrefix+grpcMessage)
	if code == "" {
		code, message = w.header.Get(grpcStatus), w.header.Get(grpcMessage)
	}
	n, err := strconv.ParseUint(code, 10, 32)
	switch {
	case err == nil && len(w.frame) > 0:
		return status.Error(codes.Internal, "the answer ends within a message")
	case err == nil:
		if text, err := url.PathUnescape(message); err == nil {
			message = text
		}
		return status.Error(codes.Code(n), message)
	case w.status != http.StatusOK:
		return status.Errorf(rpcCode(w.status, false), "the upstream answered with status %d", w.status)
	}
	return status.Error(codes.Internal, "the answer does not say how the call has ended")
}

// metadataOf are the fields of a header whose names begin with a prefix, without it; with none, those that are no trailer's.
func metadataOf(h http.Header, prefix string) metadata.MD {
	md := metadata.MD{}
	for name, values := range h {
		name, ok := strings.CutPrefix(name, prefix)
		if !ok || strings.HasPrefix(name, http.TrailerPrefix) || name == grpcStatus || name == grpcMessage {
			continue
		}
		name = strings.ToLower(name)
		if !strings.HasSuffix(name, "-bin") {
			md[name] = values
			continue
		}
		for _, v := range values {
			if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(v, "=")); err == nil {
				md.Append(name, string(b))
			}
		}
	}
	return md
}
