package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/serin-ml/serin/internal/fault"
)

// rawCodec passes messages on as bytes. A request is []byte, an answer *[]byte.
type rawCodec struct{}

// Name is that of Protocol Buffers, which is what the bytes are.
func (rawCodec) Name() string { return "proto" }

// Marshal returns a request's bytes.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal copies an answer's bytes.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is no place for bytes", v)
	}
	if n := data.Len(); cap(*b) < n {
		*b = make([]byte, n)
	} else {
		*b = (*b)[:n]
	}
	data.CopyTo(*b)
	return nil
}

// rpcLane is one call at a time over a connection that several share.
type rpcLane struct {
	conn  *grpc.ClientConn
	o     *Options
	to    *target
	texts *texts
	body  []byte
}

// newRPCLanes makes the connections and waits until they are there.
func newRPCLanes(ctx context.Context, r *run, to *target) ([]lane, error) {
	conns := make([]*grpc.ClientConn, r.o.Connections)
	lanes := make([]lane, r.o.InFlight)
	closeAll := func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}
	for i := range conns {
		conn, err := to.dialRPC(r.o)
		if err != nil {
			closeAll()
			return nil, err
		}
		conns[i] = conn
	}
	within, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	for _, conn := range conns {
		if err := waitReady(within, conn); err != nil {
			closeAll()
			return nil, err
		}
	}
	for i := range lanes {
		lanes[i] = &rpcLane{conn: conns[i%len(conns)], o: r.o, to: to, texts: r.texts}
	}
	return lanes, nil
}

func (t *target) dialRPC(o *Options) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if t.tls {
		transport = credentials.NewTLS(&tls.Config{
			ServerName: t.url.Hostname(), MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: o.Insecure, //nolint:gosec // the user asked for it
		})
	}
	conn, err := grpc.NewClient("passthrough:///"+t.address,
		grpc.WithTransportCredentials(transport), grpc.WithAuthority(t.host), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, fault.Invalidf("gRPC: %w", err)
	}
	return conn, nil
}

// waitReady waits until a connection can be used.
func waitReady(ctx context.Context, conn *grpc.ClientConn) error {
	conn.Connect()
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return unconnected(fmt.Errorf("gRPC does not reach a server at %s", conn.Target()))
		}
		if !conn.WaitForStateChange(ctx, state) {
			return unconnected(ctx.Err())
		}
	}
}

// withMetadata gives a call its header.
func withMetadata(ctx context.Context, fields []Field) context.Context {
	md := make(metadata.MD, len(fields))
	for _, f := range fields {
		md.Append(f.Name, f.Value)
	}
	return metadata.NewOutgoingContext(ctx, md)
}

func (l *rpcLane) close() { l.conn.Close() }

func (l *rpcLane) ask(ctx context.Context, n int) (r result, body []byte) {
	p := &l.o.Payloads[l.texts.payload(n)]
	fields := l.o.fields(p)
	if l.texts.unit.Header != "" {
		fields = append(fields, Field{l.texts.unit.Header, string(l.texts.appendUser(nil, n))})
	}
	ctx = withMetadata(ctx, fields)
	r.out = len(p.Body)
	err := l.conn.Invoke(ctx, l.to.url.Path, p.Body, &l.body)
	if err == nil {
		r.in = len(l.body)
		return r, l.body
	}
	s := status.Convert(err)
	r.status, r.example = int(s.Code()), s.Message()
	if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && !end.After(time.Now()) { // gRPC may see it before the context does
		r.problem = tooLate
	}
	return r, nil
}
