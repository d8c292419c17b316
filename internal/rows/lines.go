package rows

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/serin-ml/serin/internal/fault"
)

// lines reads lines, and keeps to a limit on what one row may take.
type lines struct {
	r    *bufio.Reader
	name string
	max  int
	line int       // the number of the line read last
	buf  []byte    // a line longer than the buffer of r
	src  io.Reader // below r
	err  error     // of src, for ever
	left int       // bytes that may still be read from src for the present row
}

const bufferSize = 64 << 10

func newLines(r io.Reader, name string, most int) *lines {
	l := &lines{name: name, max: most, src: r}
	l.row()
	l.r = bufio.NewReaderSize(l, bufferSize)
	if mark, err := l.r.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = l.r.Discard(3) // it is in the buffer
	}
	return l
}

// head returns what can be known of the first line without waiting for more than that line.
func (l *lines) head() []byte {
	for n := 1; ; n = l.r.Buffered() + 1 {
		_, err := l.r.Peek(min(n, bufferSize))
		head, _ := l.r.Peek(l.r.Buffered())
		if line, whole := firstLine(head); err != nil || whole && len(line) > 0 || len(head) == bufferSize {
			return head // an error is kept for the read that follows
		}
	}
}

var errTooLong = errors.New("too long")

// Read reads from below for the buffer above.
func (l *lines) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.left <= 0 {
		return 0, errTooLong
	}
	n, err := l.src.Read(p[:min(len(p), l.left)])
	l.left -= n
	l.err = err
	return n, err
}

// row lets a new row begin.
func (l *lines) row() { l.left = l.max + bufferSize }

// next returns the next line that is not blank, without its end. It is good until the next call.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.whole()
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return bytes.TrimRight(line, "\r\n"), nil
		}
	}
}

func (l *lines) whole() ([]byte, error) {
	l.row()
	l.buf = l.buf[:0]
	l.line++
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil && len(l.buf) == 0 && len(part) <= l.max {
			return part, nil
		}
		l.buf = append(l.buf, part...)
		full := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case err != nil && !full && !errors.Is(err, io.EOF):
			return nil, l.failed(err, l.line)
		case len(l.buf) > l.max:
			return nil, l.failed(errTooLong, l.line)
		case full:
		case err == nil, len(l.buf) > 0:
			return l.buf, nil
		default:
			return nil, io.EOF
		}
	}
}

// failed turns an error of reading into one for people.
func (l *lines) failed(err error, line int) error {
	if errors.Is(err, errTooLong) {
		return fault.Invalidf("%s: line %d is longer than %d bytes", l.name, line, l.max)
	}
	return fault.Internalf("read %s after line %d: %w", l.name, line-1, err)
}

// invalid makes an error about a line.
func (l *lines) invalid(line int, format string, args ...any) *fault.Error {
	return fault.Invalidf("%s: line %d: %w", l.name, line, fault.Invalidf(format, args...))
}
