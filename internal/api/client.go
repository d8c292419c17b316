package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

// Client speaks to a control plane. Its methods return errors with the kinds and hints that the handlers gave them.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of the control plane at base ("http://host:port"), reached through transport.
func NewClient(base string, transport http.RoundTripper) *Client {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base, &http.Client{Transport: transport, CheckRedirect: stay}}
}

// Direct returns a transport that calls handler in this process. The handler runs until its answer was read or closed.
func Direct(handler http.Handler) http.RoundTripper { return direct{handler} }

type direct struct{ handler http.Handler }

// RoundTrip serves r.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	reader, writer := io.Pipe()
	w := &sender{header: http.Header{}, body: writer, begun: make(chan http.Header, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			p := recover()
			r.Body.Close()
			switch p {
			case nil:
				w.WriteHeader(http.StatusOK)
				writer.Close()
			case http.ErrAbortHandler: // as a server would cut the connection
				w.WriteHeader(http.StatusInternalServerError)
				writer.CloseWithError(io.ErrUnexpectedEOF)
			default:
				panic(p)
			}
		}()
		d.handler.ServeHTTP(w, r)
	}()
	header := <-w.begun
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: received{reader, ended}, ContentLength: -1,
	}, nil
}

// sender is the handler's end of an answer.
type sender struct {
	header http.Header
	status int
	body   *io.PipeWriter
	begun  chan http.Header // gets the headers when the answer begins
}

func (w *sender) Header() http.Header { return w.header }

func (w *sender) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.begun <- w.header.Clone()
	}
}

func (w *sender) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// received is the caller's end of an answer.
type received struct {
	*io.PipeReader
	ended chan struct{}
}

// Close lets the handler end, and waits for it.
func (b received) Close() error {
	err := b.PipeReader.Close()
	<-b.ended
	return err
}

// call sends in (nil: nothing) as JSON and decodes the answer into out (nil: dropped).
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	resp, err := c.send(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fault.Internalf("the control plane's answer to %s %s: %w", method, path, err)
	}
	return nil
}

// send sends a request and turns an answer of 400 or more into an error. The caller closes the body of any other.
func (c *Client) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	return c.sendWith(ctx, method, path, http.Header{"Content-Type": {contentType}}, body)
}

// sendWith is send with other headers.
func (c *Client) sendWith(ctx context.Context, method, path string, head http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header = head
	resp, err := c.http.Do(req)
	if err != nil {
		_, network := errors.AsType[*net.OpError](err)
		if network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // it was not there, or went meanwhile
			return nil, fault.Unavailablef("the server could not be asked: %w", err)
		}
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest {
		resp.Body.Close() // a name such as ".." would change the address that is called
		return nil, fault.Invalidf("%s: a name in this address is empty or made of dots", path)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		return nil, errorOf(resp)
	}
	return resp, nil
}

// errorOf turns a problem document back into the error it tells.
func errorOf(resp *http.Response) error {
	var p struct {
		problem
		Errors []struct{ Location, Message string }
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(text, &p) != nil || p.Detail == "" {
		return fault.Internalf("the control plane answered %s: %.200s", resp.Status, text)
	}
	detail := p.Detail
	for _, e := range p.Errors { // of a request that does not fit its schema
		detail += "; " + e.Location + ": " + e.Message
	}
	e := fault.New(kindOf(p.Kind, resp.StatusCode), "%s", detail)
	e.Hint = p.Hint
	return e
}

func kindOf(name string, status int) fault.Kind {
	for k := fault.Internal; k <= fault.Unavailable; k++ {
		if k.String() == name {
			return k
		}
	}
	if status < http.StatusInternalServerError {
		return fault.Invalid
	}
	return fault.Internal
}

// path joins segments to a path under /api/v1, each escaped.
func path(segments ...string) string {
	p := "/api/v1"
	for _, s := range segments {
		p += "/" + url.PathEscape(s)
	}
	return p
}

// Services returns the services of the server that is asked, none when the handlers run in-process.
func (c *Client) Services(ctx context.Context) (list ServiceList, err error) {
	err = c.call(ctx, http.MethodGet, path("services"), nil, &list)
	return list, err
}

// Models returns all models by name.
func (c *Client) Models(ctx context.Context) (models []registry.Summary, err error) {
	err = c.call(ctx, http.MethodGet, path("models"), nil, &models)
	return models, err
}

// Model returns one model with its versions and the moves of its aliases.
func (c *Client) Model(ctx context.Context, name string) (d registry.Details, err error) {
	err = c.call(ctx, http.MethodGet, path("models", name), nil, &d)
	return d, err
}

// Version returns the version that ref names.
func (c *Client) Version(ctx context.Context, ref registry.Ref) (d VersionDetails, err error) {
	err = c.call(ctx, http.MethodGet, path("versions", short(ref)), nil, &d)
	return d, err
}

// Verify reads every byte of the version that ref names, or of all where it is nil, and returns what is damaged.
func (c *Client) Verify(ctx context.Context, ref *registry.Ref) (report registry.Verified, err error) {
	where := path("damage")
	if ref != nil {
		where = path("versions", short(*ref), "damage")
	}
	err = c.call(ctx, http.MethodGet, where, nil, &report)
	return report, err
}

// Remove removes the version that ref names.
func (c *Client) Remove(ctx context.Context, ref registry.Ref, r RemoveRequest) (v registry.Version, err error) {
	err = c.call(ctx, http.MethodDelete, path("versions", short(ref)), r, &v)
	return v, err
}

// MoveAlias points an alias at a version, or removes it.
func (c *Client) MoveAlias(ctx context.Context, model, alias string, change AliasChange) (m AliasMoved, err error) {
	err = c.call(ctx, http.MethodPut, path("models", model, "aliases", alias), change, &m)
	return m, err
}

// short is a reference as one segment of a path.
func short(ref registry.Ref) string { return strings.TrimPrefix(ref.String(), "models:/") }
