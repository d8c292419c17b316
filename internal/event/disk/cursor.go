package disk

import (
	"errors"
	"io"

	"github.com/serin-ml/serin/internal/event"
)

// cursor reads frames of one segment through a window that moves over the file.
type cursor struct {
	file  io.ReaderAt
	name  string
	base  event.Offset
	limit int64 // bytes of the file from here on are not of the log; the file may end before

	window []byte // bytes of the file from start on
	start  int64
	chunk  int // how much is read at once; it grows, so that reading one record reads little
}

const (
	firstChunk = 16 << 10
	maxChunk   = 256 << 10
)

// reset turns the cursor to a file; its memory is used again.
func (c *cursor) reset(f io.ReaderAt, s segment, limit int64) {
	*c = cursor{file: f, name: segmentName(s.base), base: s.base, limit: limit, window: c.window[:0], chunk: firstChunk}
}

// at returns the offset of a place in the file.
func (c *cursor) at(pos int64) event.Offset { return c.base + event.Offset(pos) }

// bytes returns n bytes at pos, or fewer where the file or the log ends. They are valid until the next call.
func (c *cursor) bytes(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), c.limit-pos))
	if n <= 0 {
		return nil, nil
	}
	if pos < c.start || pos+int64(n) > c.start+int64(len(c.window)) {
		if err := c.fill(pos, n); err != nil {
			return nil, err
		}
	}
	have := c.window[pos-c.start:]
	return have[:min(n, len(have))], nil
}

// fill moves the window to pos, with at least n bytes unless the file ends before.
func (c *cursor) fill(pos int64, n int) error {
	want := int(min(int64(max(n, c.chunk)), c.limit-pos))
	c.chunk = min(2*c.chunk, maxChunk)
	kept := 0
	if pos >= c.start && pos < c.start+int64(len(c.window)) {
		kept = copy(c.window, c.window[pos-c.start:])
	}
	if cap(c.window) < want {
		c.window = append(make([]byte, 0, want), c.window[:kept]...)
	}
	c.start, c.window = pos, c.window[:want]
	if kept >= want {
		return nil
	}
	got, err := c.file.ReadAt(c.window[kept:], pos+int64(kept))
	c.window = c.window[:kept+got]
	if err != nil && !errors.Is(err, io.EOF) {
		c.window = c.window[:0]
		return classify(err, "read "+c.name)
	}
	return nil
}

// frame reads the frame at pos. problem is "" if it is sound; err is that of the file system. The body is valid until the next call.
func (c *cursor) frame(pos int64) (f frame, problem string, err error) {
	b, err := c.bytes(pos, maxOverhead+512) // most records are within it
	if err != nil {
		return f, "", err
	}
	if _, size, problem := parseHead(b, c.at(pos)); problem == "" && size > len(b) {
		if b, err = c.bytes(pos, size); err != nil {
			return f, "", err
		}
	}
	f, problem = parseFrame(b, c.at(pos))
	return f, problem, nil
}

// resync returns where sound frames go on behind the bad one at pos; the limit, if nowhere. If the bad frame's head is sound and a
// sound frame is where that says, it is that one; else each place is tried.
func (c *cursor) resync(pos int64) (int64, error) {
	b, err := c.bytes(pos, maxOverhead)
	if err != nil {
		return 0, err
	}
	if _, size, problem := parseHead(b, c.at(pos)); problem == "" {
		next := pos + int64(size)
		_, problem, err := c.frame(next)
		if err != nil || problem == "" || next == c.limit {
			return next, err
		}
	}
	for pos++; pos < c.limit; pos++ {
		b, err := c.bytes(pos, maxOverhead)
		switch {
		case err != nil:
			return 0, err
		case len(b) == 0:
			return c.limit, nil
		}
		if _, _, problem := parseHead(b, c.at(pos)); problem != "" {
			continue
		}
		if _, problem, err := c.frame(pos); err != nil || problem == "" {
			return pos, err
		}
	}
	return c.limit, nil
}

// damage describes the bad frame at pos. An offset of the limit's is where the next segment begins.
func (c *cursor) damage(pos int64, problem string) (*event.DamageError, error) {
	next, err := c.resync(pos)
	if err != nil {
		return nil, err
	}
	return &event.DamageError{At: c.at(pos), Next: c.at(next), File: c.name, Byte: pos, What: problem}, nil
}
