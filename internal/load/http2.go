package load

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/serin-ml/serin/internal/fault"
)

// httpLane is one request at a time with Go's own client, over a connection that several lanes share: HTTP/2.
type httpLane struct {
	client *http.Client
	o      *Options
	to     *target
	texts  *texts
	body   bytes.Buffer
}

// newHTTP2Lanes spreads the lanes over clients of one connection each.
func newHTTP2Lanes(ctx context.Context, r *run, to *target) ([]lane, error) {
	clients := make([]*http.Client, r.o.Connections)
	for i := range clients {
		clients[i] = to.http2(r.o)
		if err := connectHTTP2(ctx, clients[i], r.o); err != nil {
			for _, c := range clients[:i+1] {
				c.CloseIdleConnections()
			}
			return nil, err
		}
	}
	lanes := make([]lane, r.o.InFlight)
	for i := range lanes {
		lanes[i] = &httpLane{client: clients[i%len(clients)], o: r.o, to: to, texts: r.texts}
	}
	return lanes, nil
}

// connectHTTP2 makes a client's connection, which it does only with a request: one for what every server can answer without doing
// anything, its options. Whatever it answers, the connection is there.
func connectHTTP2(ctx context.Context, client *http.Client, o *Options) error {
	within, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	request, err := newRequest(within, http.MethodOptions, o.URL, nil, o.Header)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return unconnected(err)
	}
	response.Body.Close()
	if response.ProtoMajor != 2 {
		return fault.Invalidf("the server speaks %s, not HTTP/2", response.Proto).WithHint("leave --http2 out")
	}
	return nil
}

func (t *target) http1(o *Options) *http.Client { return t.client(o, false) }

func (t *target) http2(o *Options) *http.Client { return t.client(o, true) }

func (t *target) client(o *Options, two bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!two)
	protocols.SetHTTP2(two && t.tls)
	protocols.SetUnencryptedHTTP2(two && !t.tls)
	transport := &http.Transport{
		Protocols: protocols, TLSClientConfig: t.config(o), DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", t.address)
		},
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func newRequest(ctx context.Context, method, url string, body []byte, fields []Field) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Invalidf("%w", err)
	}
	for _, f := range fields {
		if http.CanonicalHeaderKey(f.Name) == "Host" {
			request.Host = f.Value
			continue
		}
		request.Header.Add(f.Name, f.Value)
	}
	return request, nil
}

func (l *httpLane) close() { l.client.CloseIdleConnections() }

func (l *httpLane) ask(ctx context.Context, n int) (r result, body []byte) {
	p := &l.o.Payloads[l.texts.payload(n)]
	request, err := newRequest(ctx, l.o.Method, l.to.url.String(), p.Body, l.o.fields(p))
	if err != nil {
		return result{problem: notUnderstood, example: err.Error()}, nil
	}
	if l.texts.unit.Header != "" {
		request.Header.Set(l.texts.unit.Header, string(l.texts.appendUser(nil, n)))
	}
	r.out = len(p.Body)
	response, err := l.client.Do(request)
	if err != nil {
		r.problem, r.example = brokenOff, err.Error()
		if opening, ok := errors.AsType[*net.OpError](err); ok && opening.Op == "dial" {
			r.problem = noConnection
		}
		return r, nil
	}
	defer response.Body.Close()
	l.body.Reset()
	kept, err := io.CopyN(&l.body, response.Body, int64(l.o.keep()))
	r.in = int(kept)
	if err == nil {
		var more int64
		more, err = io.Copy(io.Discard, response.Body)
		r.in += int(more)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.problem, r.example = brokenOff, err.Error()
		return r, nil
	}
	r.status = response.StatusCode
	return r, l.body.Bytes()
}
