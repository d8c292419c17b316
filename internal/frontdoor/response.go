package frontdoor

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// gathered is how much of a body whose length was not told is gathered before it is sent as a chunk: if no more comes, its length is told.
const gathered = 2 << 10

// response is the answer to one request.
type response struct {
	session *session
	request *http.Request
	body    *requestBody // nil: the request has none
	header  http.Header

	status int   // 0: not decided
	length int64 // of the body, as the handler told it; -1: it did not
	wrote  int64 // of the body
	out    *[]byte
	gather []byte // of the body, what is in no chunk yet

	told     bool // the head is complete, and in out or sent
	bare     bool // its status allows no body
	bodiless bool // bare, or the request is HEAD
	typed    bool // the type is told, or need not be
	dated    bool
	chunked  bool
	old      bool // the request is of HTTP/1.0
	last     bool // the connection ends with this answer
	closes   bool // the handler says so
	trailers bool // some were declared
	ended    bool // the handler has returned

	unsent error // why not all could be sent

	interim  sync.Mutex // held while an interim answer is sent: who reads the body may do so beside the handler
	answered bool       // no more of them; guarded by interim
}

// answer has the handler answer a request. It says whether the connection is good for another.
func (c *session) answer(head *http.Request, began int64) bool {
	ctx, cancel := context.WithCancel(base{c})
	c.cancel = cancel
	r := head.WithContext(ctx)
	r.RemoteAddr, r.Body = c.remote, http.NoBody
	c.post = r.Method == http.MethodPost
	w := &response{session: c, request: r, header: make(http.Header), length: -1, old: !r.ProtoAtLeast(1, 1), last: r.Close}
	does, since := busy, c.server.clock.Load()
	if r.ContentLength != 0 {
		w.body = &requestBody{session: c, answer: w, chunked: r.ContentLength < 0, left: max(0, r.ContentLength)}
		w.body.expects = !w.old && r.Header.Get("Expect") != ""
		r.Body, does, since = w.body, bodying, began
	}
	if !c.enter(does, since) {
		cancel()
		return false
	}
	c.giveBack()
	return w.handle()
}

// handle calls the handler, and sends what it answers. It says whether the connection is good for another request.
func (w *response) handle() (again bool) {
	c, r, returned := w.session, w.request, false
	defer func() {
		c.cancel()
		if returned {
			return
		}
		again = false
		p := recover()
		if w.body != nil && !c.taken { // somebody may be reading into what is to be given back
			c.conn.Close()
			w.body.finish(false)
		}
		if p == nil {
			if !c.taken {
				c.close() // the handler has ended this goroutine
			}
		} else if p != http.ErrAbortHandler { //nolint:errorlint // as net/http has it
			c.server.logf("panic serving %s: %v\n%s", c.remote, p, debug.Stack())
		}
	}()
	if r.RequestURI == "*" && r.Method == http.MethodOptions {
		w.header["Content-Length"] = []string{"0"}
	} else {
		c.server.http.Handler.ServeHTTP(w, r)
	}
	returned = true
	return !c.taken && w.finish()
}

// finish sends what is left of the answer, and says whether the connection is good for another request.
func (w *response) finish() bool {
	w.ended = true
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.told {
		w.tell(int64(len(w.gather)), w.gather)
	}
	if w.length < 0 {
		w.chunk(nil)
		w.lastChunk()
	}
	w.send(nil)
	w.session.untime()
	return w.settle()
}

// settle finds out whether the connection is good for another request, once the answer has been sent.
func (w *response) settle() bool {
	again := !w.last && w.unsent == nil && !w.session.server.closing.Load()
	if !w.bodiless && w.length >= 0 && w.wrote != w.length { // the client waits for what the handler has promised
		again = false
	}
	if w.body == nil {
		return again
	}
	whole := w.body.finish(again)
	if !whole && w.unsent == nil {
		w.session.linger()
	}
	return again && whole && !w.last
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. As with net/http, what is 1xx is sent at once and does not count, and only the first counts.
func (w *response) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic("frontdoor: WriteHeader with the status " + strconv.Itoa(status))
	case w.session.taken || w.status != 0:
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.inform(status)
		return
	}
	w.status = status
	w.stopContinue()
	w.bare = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	w.bodiless = w.bare || w.request.Method == http.MethodHead
	if lengths := w.header["Content-Length"]; len(lengths) > 0 && !w.bare {
		if n, err := strconv.ParseUint(textproto.TrimString(lengths[0]), 10, 63); err == nil {
			w.length = int64(n)
		}
	}
	w.begin()
}

// begin puts the status and the handler's fields into out: what the handler changes in them from then on has no effect.
func (w *response) begin() {
	out := appendStatus(w.lent(), w.request.ProtoAtLeast(1, 1), w.status)
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding": // it is for us to say how the body ends
			continue
		case "Connection": // told below
			w.closes = names(values, "close")
			w.last = w.last || w.closes
			continue
		case "Content-Type":
			w.typed = true
			if w.status == http.StatusNotModified {
				continue
			}
		case "Content-Encoding":
			w.typed = w.typed || len(values) > 0 && values[0] != ""
		case "Date":
			w.dated = true
		case "Trailer":
			w.trailers = true
		}
		if strings.HasPrefix(name, http.TrailerPrefix) {
			w.trailers = true
			continue
		}
		out = appendField(out, name, values)
	}
	*w.out = out
}

// lent is the buffer of the answer, lent when it is first needed.
func (w *response) lent() []byte {
	if w.out == nil {
		w.out = buffers.Get().(*[]byte)
		*w.out = (*w.out)[:0]
	}
	return *w.out
}

// appendStatus appends a status line.
func appendStatus(b []byte, new bool, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	if !new {
		b[len(b)-2] = '0'
	}
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else {
		b = strconv.AppendInt(append(b, "status code "...), int64(status), 10)
	}
	return append(b, "\r\n"...)
}

// appendField appends a field with all its values. What is no name is left out, and a value cannot end its line.
func appendField(b []byte, name string, values []string) []byte {
	if !isToken(name) {
		return b
	}
	for _, v := range values {
		b = append(append(b, name...), ": "...)
		if from := len(b); isValue(v) {
			b = append(b, textproto.TrimString(v)...)
		} else {
			b = append(b, v...)
			for i, c := range b[from:] {
				if c == '\r' || c == '\n' {
					b[from+i] = ' '
				}
			}
			b = append(b[:from], bytes.Trim(b[from:], " \t")...)
		}
		b = append(b, "\r\n"...)
	}
	return b
}

// tell completes the head, given the first bytes of the body, and its length if all of it is known; else that is -1.
func (w *response) tell(length int64, first []byte) {
	w.told = true
	out := *w.out
	head := w.request.Method == http.MethodHead
	switch {
	case w.bare:
	case w.length >= 0:
		out = appendLength(out, w.length)
	case length >= 0 && w.ended && !w.trailers && (!head || w.wrote > 0):
		out = appendLength(out, length)
	case head:
	case w.old:
		w.last = true
	default:
		w.chunked = true
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if !w.bare && !w.typed && len(first) > 0 {
		out = appendField(out, "Content-Type", []string{http.DetectContentType(first)})
	}
	if !w.dated {
		out = append(out, *w.session.server.date.Load()...)
	}
	if w.session.server.closing.Load() || w.body != nil && !w.body.keeps() {
		w.last = true
	}
	switch {
	case w.status == http.StatusSwitchingProtocols:
		out = appendField(out, "Connection", w.header["Connection"])
	case w.last && (w.request.ProtoAtLeast(1, 1) || w.closes):
		out = append(out, "Connection: close\r\n"...)
	case w.last: // as it is from the beginning
	case !w.request.ProtoAtLeast(1, 1):
		out = append(out, "Connection: keep-alive\r\n"...)
	default:
		out = appendField(out, "Connection", w.header["Connection"])
	}
	out = append(out, "\r\n"...)
	*w.out = out
}

func appendLength(b []byte, n int64) []byte {
	b = strconv.AppendInt(append(b, "Content-Length: "...), n, 10)
	return append(b, "\r\n"...)
}

// lastChunk ends a body in chunks. Fields follow it: those that Trailer declares, and those with http.TrailerPrefix.
func (w *response) lastChunk() {
	if !w.chunked {
		return
	}
	*w.out = append(w.lent(), "0\r\n"...)
	defer func() { *w.out = append(*w.out, "\r\n"...) }()
	if !w.trailers && !hasTrailers(w.header) {
		return
	}
	var declared []string
	for _, list := range w.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			declared = append(declared, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
		}
	}
	for name, values := range w.header {
		bare, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		if (prefixed || slices.Contains(declared, name)) && bare != "Transfer-Encoding" && bare != "Content-Length" && bare != "Trailer" {
			*w.out = appendField(*w.out, bare, values)
		}
	}
}

func hasTrailers(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// inform sends an interim answer.
func (w *response) inform(status int) {
	if w.old || w.session.taken {
		return
	}
	out := appendStatus(nil, true, status)
	for name, values := range w.header {
		if name != "Content-Length" && name != "Transfer-Encoding" {
			out = appendField(out, name, values)
		}
	}
	if status == http.StatusContinue {
		w.stopContinue()
	} else {
		w.interim.Lock()
		defer w.interim.Unlock()
	}
	w.failed(w.session.send(append(out, "\r\n"...), nil))
}

// sendContinue has a client send the body that it holds back. It is called by who reads the body, perhaps beside the handler, and so touches
// nothing of the answer.
func (w *response) sendContinue() error {
	w.interim.Lock()
	defer w.interim.Unlock()
	if w.answered {
		return nil
	}
	w.answered = true
	if limit := w.session.server.http.ReadTimeout; limit > 0 && w.session.raw != nil { // until there is an answer, nobody else sets this deadline
		_ = w.session.conn.SetWriteDeadline(time.Now().Add(limit))
		defer func() { _ = w.session.conn.SetWriteDeadline(time.Time{}) }()
	}
	_, err := io.WriteString(w.session.conn, "HTTP/1.1 100 Continue\r\n\r\n")
	return err
}

// stopContinue has nobody be told to go on from now on.
func (w *response) stopContinue() {
	if w.body != nil {
		w.interim.Lock()
		w.answered = true
		w.interim.Unlock()
	}
}

// refuse answers what is no request, and ends the session.
func (c *session) refuse(p *problem) {
	if p.status != 0 {
		text := strconv.Itoa(p.status) + " " + http.StatusText(p.status)
		out := appendStatus(nil, true, p.status)
		out = append(out, "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"+text...)
		if p.text != "" {
			out = append(out, ": "+p.text...)
		}
		if c.send(out, nil) == nil && p.status == http.StatusRequestHeaderFieldsTooLarge {
			c.linger()
		}
	}
	c.close()
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Hijacker       = (*response)(nil)
	_ io.ReaderFrom       = (*response)(nil)
	_ io.StringWriter     = (*response)(nil)
)
