package frontdoor

import (
	"bytes"
	"strings"
)

// state is what a guard expects next.
type state uint8

const (
	requestLine state = iota
	headerLine
	body
	chunkLine
	chunkBody
	chunkEnd // the end of line behind a chunk
	trailerLine
	preface // the rest of h2's preface
	open    // h2: anything
	over    // nothing: what came cannot be framed
)

// maxChunkLine is how long a chunk's size and extensions may be in bytes. Nobody needs extensions; without end they are a way to have a
// server read much for nothing.
const maxChunkLine = 256

// keptLine is how much room for a line a connection keeps from one request to the next.
const keptLine = 512

// guard follows the framing of the requests on one connection. Its zero value expects the first.
type guard struct {
	state state
	line  []byte // the beginning of a line whose end is to come
	left  int64  // bytes of the body, or the chunk, to come
	steps int    // lines of the preface that were seen

	begun  bool // a request line, or an empty line before one, was seen
	blank  bool // an empty line stood before the request line
	old    bool // HTTP/1.0
	hosts  int
	length int64 // of Content-Length; -1: there is none
	coding coding

	h2    *frames      // of a connection of h2; nil: what they are is left to the server
	clock func() int64 // for h2: nanoseconds
	most  int          // bytes of headers, for h2
}

// coding is what Transfer-Encoding says.
type coding uint8

const (
	identity coding = iota
	chunked
	unknown // the server answers 501
)

// scan returns how many bytes of p may pass. Fewer than all: what comes then is refused, and so is everything after it.
func (g *guard) scan(p []byte) int {
	for at := 0; at < len(p); {
		switch g.state {
		case open:
			if g.h2 != nil && !g.h2.scan(p[at:], g.clock(), g.most) {
				g.state = over
				return at
			}
			return len(p)
		case over:
			return at
		case body, chunkBody:
			n := min(g.left, int64(len(p)-at))
			at += int(n)
			g.left -= n
			g.bodyRead()
			continue
		}
		n := bytes.IndexByte(p[at:], '\n') + 1
		if n == 0 { // what net/http reads of a head is bounded, so this is
			if !g.fits(p[at:]) {
				return at
			}
			g.line = append(g.line, p[at:]...)
			return len(p)
		}
		line := p[at : at+n]
		if !g.fits(line) {
			return at
		}
		if len(g.line) > 0 {
			g.line = append(g.line, line...)
			line = g.line
		}
		if !g.take(line) {
			return at
		}
		g.line = g.line[:0]
		at += n
	}
	return len(p)
}

// fits says that a line may go on with more, so far as its length goes.
func (g *guard) fits(more []byte) bool {
	switch n := len(g.line) + len(more); g.state {
	case chunkLine:
		return n <= maxChunkLine
	case chunkEnd:
		return n < 2 && more[0] == '\r' || n == 2
	}
	return true
}

// bodyRead moves on where a body or a chunk has been read.
func (g *guard) bodyRead() {
	switch {
	case g.left > 0:
	case g.state == chunkBody:
		g.state = chunkEnd
	default:
		g.next()
	}
}

// next expects another request.
func (g *guard) next() {
	line := g.line
	if cap(line) > keptLine {
		line = nil
	}
	*g = guard{line: line, begun: true, clock: g.clock, most: g.most}
}

// take reads a line, with its end, and says whether it may pass.
func (g *guard) take(line []byte) bool {
	n := len(line) - 2
	if n < 0 || line[n] != '\r' {
		return false
	}
	line = line[:n]
	if bytes.IndexByte(line, '\r') >= 0 {
		return false
	}
	switch g.state {
	case requestLine:
		return g.takeRequest(line)
	case headerLine:
		return g.takeHeader(line)
	case chunkLine:
		return g.takeChunk(line)
	case chunkEnd:
		g.state = chunkLine
		return len(line) == 0
	case trailerLine:
		if len(line) == 0 {
			g.next()
			return true
		}
		n := named(line)
		return n > 0 && token(line[:n]) && printable(line)
	case preface:
		want := [...]string{"", "SM", ""}
		ok := string(line) == want[g.steps]
		if g.steps++; g.steps == len(want) {
			g.state = open
			if g.clock != nil {
				g.h2 = &frames{since: g.clock()}
			}
		}
		return ok
	}
	return false
}

// takeRequest reads a request's first line. One empty line may stand before it (RFC 9112, section 2.2); net/http says where.
func (g *guard) takeRequest(line []byte) bool {
	first := !g.begun
	g.begun = true
	switch {
	case len(line) == 0:
		ok := !g.blank
		g.blank = true
		return ok
	case first && string(line) == "PRI * HTTP/2.0":
		g.state = preface
		return true
	case bytes.HasSuffix(line, []byte(" HTTP/2.0")): // net/http would show such a request to the handler
		return false
	}
	g.state, g.old, g.length = headerLine, bytes.HasSuffix(line, []byte(" HTTP/1.0")), -1
	return true
}

// takeHeader reads a header line, or the empty one that ends the head.
func (g *guard) takeHeader(line []byte) bool {
	if len(line) == 0 {
		return g.endHead()
	}
	n := named(line)
	if n == 0 {
		return false
	}
	value := bytes.Trim(line[n+1:], " \t")
	switch name := line[:n]; {
	case is(name, "Host"):
		g.hosts++
		return g.hosts == 1
	case is(name, "Content-Length"):
		ok := g.length < 0
		g.length = decimal(value)
		return ok && g.length >= 0
	case is(name, "Transfer-Encoding"):
		ok := g.coding == identity
		g.coding = unknown
		if is(value, "chunked") {
			g.coding = chunked
		}
		return ok
	}
	return true
}

// endHead settles how the body is framed.
func (g *guard) endHead() bool {
	switch {
	case g.coding == identity && g.length > 0:
		g.state, g.left = body, g.length
	case g.coding == identity:
		g.next()
	case g.length >= 0 || g.old:
		return false
	case g.coding == chunked:
		g.state = chunkLine
	default:
		g.state = over
	}
	return true
}

// takeChunk reads a chunk's size and passes over its extensions.
func (g *guard) takeChunk(line []byte) bool {
	size, extensions, extended := bytes.Cut(line, []byte{';'})
	g.left = hexadecimal(size)
	g.state = chunkBody
	if g.left == 0 {
		g.state = trailerLine
	}
	return g.left >= 0 && (!extended || len(extensions) > 0 && printable(extensions))
}

// named returns the length of the name that a header line begins with, 0 if it begins with none. Which bytes a name may have is for
// net/http to say, which accepts no name that is one of those here and some bytes more.
func named(line []byte) int {
	if line[0] == ' ' || line[0] == '\t' {
		return 0
	}
	return max(0, bytes.IndexByte(line, ':'))
}

// token says that a name has only bytes that names have. Of headers net/http sees to it, of trailers not.
func token(name []byte) bool {
	for _, c := range name {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && strings.IndexByte("0123456789!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// printable says that nothing in b controls a terminal, a tab left aside. Of headers net/http sees to it, of extensions and trailers not.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// is compares a name in ASCII, the case left aside.
func is(b []byte, name string) bool {
	return len(b) == len(name) && strings.EqualFold(string(b), name)
}

// decimal reads a whole number, -1 if it is none or too large.
func decimal(digits []byte) int64 { return number(digits, 10, 18) }

// hexadecimal does the same.
func hexadecimal(digits []byte) int64 { return number(digits, 16, 15) }

func number(digits []byte, base int64, most int) (n int64) {
	if len(digits) == 0 || len(digits) > most {
		return -1
	}
	for _, c := range digits {
		d := int64(strings.IndexByte("0123456789abcdef", lower(c)))
		if d < 0 || d >= base {
			return -1
		}
		n = n*base + d
	}
	return n
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'F' {
		return c + 'a' - 'A'
	}
	return c
}
