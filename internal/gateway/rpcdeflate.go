package gateway

import (
	"compress/zlib"
	"io"
)

// deflate reads messages that are compressed as gRPC and HTTP call deflate: zlib, RFC 1950. gRPC's library brings gzip alone, and takes
// others for the whole process at once; this is one for one server. Answers to such messages are not compressed.
type deflate struct {
	most int64 // bytes of a message; of a longer one Do returns one byte more, which gRPC refuses
}

// Type is the encoding's name.
func (deflate) Type() string { return encodingDeflate }

// Do returns a message as it was before it was compressed.
func (d deflate) Do(r io.Reader) ([]byte, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, d.most+1))
}
