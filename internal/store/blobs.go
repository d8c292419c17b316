// Package store keeps what must outlive the process: bytes by digest (Blobs) and small versioned documents (State). It defines
// both; its adapters keep them: store/disk (blobs on a folder) and store/sqlite (state). What a call has acknowledged survives
// kill -9 and power loss. Every adapter passes the suites of store/storetest.
package store

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"io/fs"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Blobs keeps immutable bytes under their digest. It is safe for concurrent use.
type Blobs interface {
	// Put stores what r gives, to its end, and returns its digest and its length in bytes. When it returns without an error the
	// bytes are durable; with one, they are absent or whole, but never in part. Content that is there already stays the same,
	// and counts as put just now (see Collector). An error of r is returned wrapped. No room and no right to write are
	// Unavailable.
	Put(ctx context.Context, r io.Reader) (Digest, int64, error)
	// Open gives the bytes of d, unchecked (see ReadVerified). A digest that is not there is NotFound.
	Open(ctx context.Context, d Digest) (io.ReadCloser, error)
}

// Collector is what garbage collection needs of a store of blobs.
type Collector interface {
	// List calls found for every blob, in no order, until it returns an error, which List returns.
	List(ctx context.Context, found func(Blob) error) error
	// Delete removes the blob d if it was last put before the given time, and tells whether it did. That check and the removal
	// are one step to Put. A digest that is not there is no error.
	Delete(ctx context.Context, d Digest, before time.Time) (bool, error)
	// Sweep removes what interrupted calls of Put left behind before the given time, and returns how many files that were.
	Sweep(ctx context.Context, before time.Time) (int, error)
}

// Blob is an entry of a Collector's list.
type Blob struct {
	Digest Digest
	Size   int64     // bytes
	PutAt  time.Time // when it was last put
}

// ReadVerified returns the bytes of d, once they hash to it. Bytes that do not are Internal: the file is damaged. A digest that
// is not there is NotFound.
func ReadVerified(ctx context.Context, b Blobs, d Digest) ([]byte, error) {
	r, err := b.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := readAll(ctx, r)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "read blob %s: %w", d, err)
	}
	if Sum(content) != d {
		return nil, damaged(d)
	}
	return content, nil
}

// readAll reads r in one allocation where r tells its size, as a file does. The size is a hint: a wrong one costs time alone.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	var size int64
	if f, ok := r.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
	}
	content := make([]byte, 0, size+1) // one more, to meet the end without growing
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := r.Read(content[len(content):min(cap(content), len(content)+chunk)])
		content = content[:len(content)+n]
		if err == io.EOF {
			return content, nil
		}
		if err != nil {
			return nil, err
		}
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
	}
}

// chunk is how many bytes are read between two looks at the context.
const chunk = 1 << 20

// VerifyBlob reads d from end to end without keeping it, and returns its length in bytes. The errors are ReadVerified's.
func VerifyBlob(ctx context.Context, b Blobs, d Digest) (int64, error) {
	return CopyVerified(ctx, io.Discard, b, d)
}

// CopyVerified writes the bytes of d to w and returns their number. The errors are ReadVerified's, and those of w. Bytes that
// turn out damaged have been written by then: drop what w made of them.
func CopyVerified(ctx context.Context, w io.Writer, b Blobs, d Digest) (int64, error) {
	r, err := b.Open(ctx, d)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.TeeReader(WithContext(ctx, r), h), make([]byte, 64<<10))
	if err != nil {
		return n, fault.New(fault.KindOf(err), "read blob %s: %w", d, err)
	}
	if HashDigest(h) != d {
		return n, damaged(d)
	}
	return n, nil
}

// HashDigest returns the digest of what was written to h, which must be a SHA-256.
func HashDigest(h hash.Hash) (d Digest) {
	h.Sum(d[:0])
	return d
}

// WithContext returns a reader that ends with the context's error once it is done.
func WithContext(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func damaged(d Digest) error {
	return fault.Internalf("blob %s is damaged: its bytes do not match its digest", d).
		WithHint("import the same file again, which repairs it, or restore the blobs folder from a backup")
}
