package proxy

import "bytes"

// chunks follows the framing of a chunked body (RFC 9112, section 7.1). Its zero value expects the first chunk.
type chunks struct {
	state   chunkState
	left    int64 // bytes of the chunk to come
	trailer int   // lines of the trailer so far
}

type chunkState uint8

const (
	sizeLine chunkState = iota
	chunkData
	dataEnd // the end of line behind a chunk
	trailerLine
	chunksOver
)

// Bounds of lines. Nobody needs long extensions, and a trailer is thrown away.
const (
	maxSizeLine    = 256
	maxTrailerLine = 8 << 10
	maxTrailer     = 64
)

// over says that the body has ended.
func (c *chunks) over() bool { return c.state == chunksOver }

// scan looks at what comes next. It returns how many bytes of framing to pass over, and how many bytes of data follow behind them, which
// it counts as taken. Neither: more has to be read, and src shown again with it.
func (c *chunks) scan(src []byte) (skip, data int, err error) {
	for c.state != chunksOver {
		if c.state == chunkData {
			data = int(min(c.left, int64(len(src)-skip)))
			if c.left -= int64(data); c.left == 0 {
				c.state = dataEnd
			}
			return skip, data, nil
		}
		n := bytes.IndexByte(src[skip:], '\n') + 1
		if n == 0 {
			return skip, 0, c.incomplete(src[skip:])
		}
		line := src[skip : skip+n]
		if n < 2 || line[n-2] != '\r' {
			return skip, 0, malformed("a line of its chunks does not end in CR LF")
		}
		if err := c.line(line[:n-2]); err != nil {
			return skip, 0, err
		}
		skip += n
	}
	return skip, 0, nil
}

// incomplete refuses the beginning of a line that cannot become one.
func (c *chunks) incomplete(line []byte) error {
	most := maxSizeLine
	switch {
	case c.state == trailerLine:
		most = maxTrailerLine
	case len(line) == 0:
	case c.state == sizeLine && hexDigit(line[0]) > 15:
		return malformedf("chunk size %q", brief(line))
	case c.state == dataEnd && (line[0] != '\r' || len(line) > 1):
		return malformed("a chunk is longer than it says")
	}
	if len(line) > most {
		return malformed("a line of its chunks is too long")
	}
	return nil
}

// line reads a line of framing.
func (c *chunks) line(line []byte) error {
	switch c.state {
	case sizeLine:
		return c.size(line)
	case dataEnd:
		if len(line) > 0 {
			return malformed("a chunk is longer than it says")
		}
		c.state = sizeLine
	case trailerLine:
		if len(line) == 0 {
			c.state = chunksOver
			return nil
		}
		colon, _ := nameOf(line)
		if c.trailer++; colon < 0 || !clean(line) || len(line) > maxTrailerLine || c.trailer > maxTrailer {
			return malformedf("trailer %q", brief(line))
		}
	}
	return nil
}

// size reads the size of the next chunk, and passes over extensions.
func (c *chunks) size(line []byte) error {
	size, extensions, extended := bytes.Cut(line, []byte{';'})
	if len(size) == 0 || len(size) > 15 || len(line) > maxSizeLine || extended && len(extensions) == 0 || !clean(extensions) {
		return malformedf("chunk size %q", brief(line))
	}
	c.left = 0
	for _, b := range size {
		d := hexDigit(b)
		if d > 15 {
			return malformedf("chunk size %q", brief(line))
		}
		c.left = c.left<<4 | int64(d)
	}
	c.state = chunkData
	if c.left == 0 {
		c.state = trailerLine
	}
	return nil
}

// hexDigit returns what a digit stands for, more than 15 if it is none.
func hexDigit(b byte) byte {
	switch {
	case '0' <= b && b <= '9':
		return b - '0'
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10
	}
	return 255
}
