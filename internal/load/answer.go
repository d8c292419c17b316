package load

import (
	"bytes"
	"errors"
	"strconv"
)

// answer reads the answers of HTTP/1.1 (RFC 9112), in whatever pieces they come. It keeps to the letter where a mistake would let one
// answer run into the next, since then all that follow would be wrong.
type answer struct {
	keep int  // how many bytes of bodies are kept
	head bool // the request was HEAD: no body comes, whatever the header says

	state   answerState
	left    int64  // of a body or a chunk
	line    []byte // the beginning of a line whose end has not come
	lines   int    // bytes of lines so far
	status  int
	length  int64 // -1: not told
	chunked bool
	old     bool // HTTP/1.0
	last    bool // no answer follows on this connection
	body    []byte
}

type answerState uint8

const (
	readsStatus answerState = iota
	readsFields
	readsBody
	readsUntilClose
	readsChunkSize
	readsChunk
	readsChunkEnd
	readsTrailer
	readsNothing
)

// mostHead bounds the status line and header of an answer, or its chunk sizes and trailer.
const mostHead = 64 << 10

var (
	errHead        = errors.New("the answer's header is too long")
	errStatusLine  = errors.New("the answer does not begin with a status of HTTP/1.1")
	errField       = errors.New("the answer's header has a line that is no field")
	errLength      = errors.New("the answer has a Content-Length that cannot be understood")
	errBothLengths = errors.New("the answer has both Content-Length and Transfer-Encoding")
	errEncoding    = errors.New("the answer has a Transfer-Encoding other than chunked, or is of HTTP/1.0, which has none")
	errChunk       = errors.New("the answer has a chunk that cannot be understood")
	errSwitch      = errors.New("the server wants to switch to another protocol")
	errShort       = errors.New("the connection was closed before the answer was whole")
	errExtra       = errors.New("the server sent more than the answer")
)

// reset prepares for the next answer.
func (a *answer) reset() {
	*a = answer{keep: a.keep, head: a.head, length: -1, line: a.line[:0], body: a.body[:0]}
}

// feed reads a piece. It returns what is left of it once the answer is whole.
func (a *answer) feed(b []byte) (rest []byte, done bool, err error) {
	for a.state != readsNothing {
		switch a.state {
		case readsBody, readsChunk:
			n := int(min(int64(len(b)), a.left))
			a.take(b[:n])
			b = b[n:]
			a.left -= int64(n)
			switch {
			case a.left > 0:
				return nil, false, nil
			case a.state == readsBody:
				a.state = readsNothing
			default:
				a.state = readsChunkEnd
			}
			continue
		case readsUntilClose:
			a.take(b)
			return nil, false, nil
		}
		end := bytes.IndexByte(b, '\n')
		piece := b[:end+1]
		if end < 0 {
			piece = b
		}
		if a.lines += len(piece); a.lines > mostHead {
			return nil, false, errHead
		}
		if end < 0 {
			a.line = append(a.line, b...)
			return nil, false, nil
		}
		b = b[end+1:]
		line := piece
		if len(a.line) > 0 {
			a.line = append(a.line, piece...)
			line = a.line
		}
		line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
		err := a.read(line)
		a.line = a.line[:0]
		if err != nil {
			return nil, false, err
		}
	}
	return b, true, nil
}

// end is told that the connection was closed.
func (a *answer) end() error {
	if a.state == readsUntilClose {
		a.state = readsNothing
		return nil
	}
	return errShort
}

func (a *answer) take(b []byte) {
	if room := a.keep - len(a.body); room > 0 {
		a.body = append(a.body, b[:min(len(b), room)]...)
	}
}

// read reads a whole line, without its end.
func (a *answer) read(line []byte) error {
	switch a.state {
	case readsStatus:
		return a.statusLine(line)
	case readsFields:
		if len(line) == 0 {
			return a.fieldsEnd()
		}
		return a.field(line)
	case readsChunkSize:
		return a.chunkSize(line)
	case readsChunkEnd:
		if len(line) != 0 {
			return errChunk
		}
		a.state = readsChunkSize
	case readsTrailer:
		if len(line) == 0 {
			a.state = readsNothing
		}
	}
	return nil
}

func (a *answer) statusLine(line []byte) error {
	const form = "HTTP/1.x 200"
	if len(line) < len(form) || string(line[:7]) != "HTTP/1." || line[8] != ' ' || line[7] != '0' && line[7] != '1' || len(line) > len(form) && line[12] != ' ' {
		return errStatusLine
	}
	a.status = 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return errStatusLine
		}
		a.status = a.status*10 + int(c-'0')
	}
	if a.status < 100 {
		return errStatusLine
	}
	a.old = line[7] == '0'
	a.last = a.old
	a.state = readsFields
	return nil
}

func (a *answer) field(line []byte) error {
	at := bytes.IndexByte(line, ':')
	if at < 1 || line[0] == ' ' || line[0] == '\t' || line[at-1] == ' ' || line[at-1] == '\t' {
		return errField
	}
	value := bytes.Trim(line[at+1:], " \t")
	switch name := line[:at]; len(name) { // of most fields the length says enough
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			a.connection(value)
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			return a.contentLength(value)
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			if a.old || a.chunked || !bytes.EqualFold(value, []byte("chunked")) {
				return errEncoding
			}
			a.chunked = true
		}
	}
	return nil
}

func (a *answer) connection(value []byte) {
	for option := range bytes.SplitSeq(value, []byte{','}) {
		switch option = bytes.Trim(option, " \t"); {
		case bytes.EqualFold(option, []byte("close")):
			a.last = true
		case bytes.EqualFold(option, []byte("keep-alive")):
			a.last = false
		}
	}
}

func (a *answer) contentLength(value []byte) error {
	if len(value) == 0 || len(value) > 18 {
		return errLength
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLength
		}
		n = n*10 + int64(c-'0')
	}
	if a.length >= 0 && a.length != n {
		return errLength
	}
	a.length = n
	return nil
}

// fieldsEnd decides how long the body is (RFC 9112, section 6.3).
func (a *answer) fieldsEnd() error {
	switch {
	case a.status == 101:
		return errSwitch
	case a.status < 200: // the real answer follows
		lines := a.lines
		a.reset()
		a.lines = lines // so that it does follow some day
		return nil
	case a.chunked && a.length >= 0:
		return errBothLengths
	case a.head || a.status == 204 || a.status == 304:
		a.state = readsNothing
	case a.chunked:
		a.state = readsChunkSize
	case a.length > 0:
		a.left, a.state = a.length, readsBody
	case a.length == 0:
		a.state = readsNothing
	default:
		a.last, a.state = true, readsUntilClose
	}
	return nil
}

func (a *answer) chunkSize(line []byte) error {
	size, _, _ := bytes.Cut(line, []byte{';'})
	size = bytes.TrimRight(size, " \t")
	n, err := strconv.ParseUint(string(size), 16, 63)
	if err != nil {
		return errChunk
	}
	a.lines = 0 // chunks may be many
	a.left, a.state = int64(n), readsChunk
	if n == 0 {
		a.state = readsTrailer
	}
	return nil
}
