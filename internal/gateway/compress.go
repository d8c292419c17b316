package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/serin-ml/serin/internal/fault"
)

// The content encodings that are understood both ways. "deflate" is the zlib format of RFC 9110; bare deflate, which some clients send
// under that name, is read too.
const (
	encodingGzip    = "gzip"
	encodingDeflate = "deflate"
)

// worthCompressing is the size from which answers are compressed: smaller ones fit into a packet as they are.
const worthCompressing = 1 << 10

// What a compressed body may become, beside the service's limit: beyond the first megabyte, no more than so many times its size. Deflate
// reaches 1032 with zeros; rows of numbers stay below 20.
const (
	freeOfRatio = 1 << 20
	mostRatio   = 200
)

// inflate reads a body that is compressed, at most limit bytes of what it says. The errors of r come back as they are.
func inflate(b *bytes.Buffer, r io.Reader, encoding string, limit int64) error {
	d := inflaters.Get().(*inflater)
	defer d.release()
	d.source = counted{Reader: r}
	d.in.Reset(&d.source)
	var err error
	var plain io.Reader
	switch name := strings.ToLower(encoding); name {
	case encodingGzip, "x-gzip":
		plain, err = &d.gzip, d.gzip.Reset(d.in)
	case encodingDeflate:
		plain, err = d.deflate()
	default:
		return &statusError{http.StatusUnsupportedMediaType, fault.Invalidf("content encoding %.40q is not supported", encoding).
			WithHint("send the body as it is, or as gzip or deflate")}
	}
	if err == nil {
		_, err = b.ReadFrom(&bounded{plain: plain, source: &d.source, limit: limit})
	}
	if d.source.err != nil {
		return d.source.err
	}
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*fault.Error](err); ours {
		return err
	}
	return fault.Invalidf("the body cannot be read as %s: %w", encoding, err)
}

// inflater is what decompresses, kept between requests.
type inflater struct {
	source counted
	in     *bufio.Reader
	gzip   gzip.Reader
	zlib   io.ReadCloser
	flate  io.ReadCloser
}

var inflaters = sync.Pool{New: func() any { return &inflater{in: bufio.NewReader(nil)} }}

func (d *inflater) release() {
	d.source = counted{}
	d.in.Reset(nil)
	inflaters.Put(d)
}

// deflate returns the reader of zlib or of bare deflate, whichever the first two bytes say: those of zlib are a multiple of 31.
func (d *inflater) deflate() (io.Reader, error) {
	head, err := d.in.Peek(2)
	if err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if head[0]&0xf == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		if d.zlib == nil {
			d.zlib, err = zlib.NewReader(d.in)
		} else {
			err = d.zlib.(zlib.Resetter).Reset(d.in, nil)
		}
		return d.zlib, err
	}
	if d.flate == nil {
		d.flate = flate.NewReader(d.in)
		return d.flate, nil
	}
	return d.flate, d.flate.(flate.Resetter).Reset(d.in, nil)
}

// counted counts what is read, and keeps the error that ended it too early.
type counted struct {
	io.Reader
	n   int64
	err error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// bounded ends what grows out of proportion.
type bounded struct {
	plain    io.Reader
	source   *counted
	n, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.plain.Read(p)
	b.n += int64(n)
	switch {
	case b.n > b.limit:
		return 0, tooLarge(b.limit)
	case b.n > freeOfRatio && b.n > mostRatio*b.source.n:
		return 0, &statusError{http.StatusRequestEntityTooLarge, fault.Invalidf("the body becomes more than %d times as large when it is decompressed", mostRatio).
			WithHint("send it as it is")}
	}
	return n, err
}

// deflater is what compresses answers, kept between requests.
type deflater struct {
	out  bytes.Buffer
	gzip *gzip.Writer
	zlib *zlib.Writer
}

var deflaters = sync.Pool{New: func() any { return new(deflater) }}

func (d *deflater) release() {
	if d.out.Cap() <= keepBuffers {
		deflaters.Put(d)
	}
}

// compress returns body in an encoding, and whether it has become smaller. What it returns holds until the deflater is released.
func (d *deflater) compress(encoding string, body []byte) ([]byte, bool) {
	d.out.Reset()
	var w io.WriteCloser
	var err error
	if encoding == encodingGzip {
		if d.gzip == nil {
			d.gzip, err = gzip.NewWriterLevel(&d.out, gzip.BestSpeed)
		} else {
			d.gzip.Reset(&d.out)
		}
		w = d.gzip
	} else {
		if d.zlib == nil {
			d.zlib, err = zlib.NewWriterLevel(&d.out, zlib.BestSpeed)
		} else {
			d.zlib.Reset(&d.out)
		}
		w = d.zlib
	}
	if err == nil {
		if _, err = w.Write(body); err == nil {
			err = w.Close()
		}
	}
	return d.out.Bytes(), err == nil && d.out.Len() < len(body)
}

// acceptedEncoding picks the encoding of an answer from the values of Accept-Encoding: of those that are preferred most, gzip before deflate before
// none, which is "". As RFC 9110 (12.5.3) has it, a weight of 0 forbids.
func acceptedEncoding(values []string) string {
	if len(values) == 0 {
		return ""
	}
	gzip, deflate, identity, rest := -1.0, -1.0, -1.0, -1.0 // not named
	for _, value := range values {
		for value != "" {
			var part string
			part, value, _ = strings.Cut(value, ",")
			name, parameter, _ := strings.Cut(part, ";")
			q := weightOf(parameter)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case encodingGzip, "x-gzip":
				gzip = q
			case encodingDeflate:
				deflate = q
			case "identity":
				identity = q
			case "*":
				rest = q
			}
		}
	}
	for _, q := range []*float64{&gzip, &deflate} {
		if *q < 0 {
			*q = rest
		}
	}
	switch {
	case gzip > 0 && gzip >= deflate && gzip >= identity:
		return encodingGzip
	case deflate > 0 && deflate >= identity:
		return encodingDeflate
	}
	return ""
}

// weightOf reads "q=0.5", 1 where there is none. What cannot be read forbids.
func weightOf(parameter string) float64 {
	key, text, found := strings.Cut(strings.TrimSpace(parameter), "=")
	if !found || !strings.EqualFold(strings.TrimSpace(key), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
