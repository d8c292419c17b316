package registry

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Bounds of looking into archives and compressed files.
const (
	maxExpanded = 256 << 20 // bytes unpacked from one file, in all
	maxInMemory = 64 << 20  // bytes of an archive inside an archive
	maxEntries  = 10_000    // of an archive
	maxLayers   = 4         // of compression and archives inside each other
	headSize    = 16 << 10  // bytes of content looked at for magic numbers
)

// errTooMuch ends the look at something that is too large to be looked into. Its text follows the name of the file.
type errTooMuch string

func (e errTooMuch) Error() string { return string(e) }

// inspector looks at one file and all that is packed in it.
type inspector struct {
	budget int64 // bytes that may still be unpacked
	err    error // set when it is used up
}

// opener gives a content from its beginning; it is called several times.
type opener func() (io.Reader, error)

// file looks at content that can be read at any place. An error is an errTooMuch.
func (i *inspector) file(content io.ReaderAt, size int64) (*danger, error) {
	// A zip is found by its end, so that one with something else before it is seen as well.
	if archive, err := zip.NewReader(content, size); err == nil {
		if d, err := i.zip(archive, 1); d != nil || err != nil {
			return d, err
		}
	}
	return i.stream(func() (io.Reader, error) { return io.NewSectionReader(content, 0, size), nil }, 0, "")
}

// stream looks at what open gives; how says for messages in what it is packed.
func (i *inspector) stream(open opener, layer int, how string) (*danger, error) {
	if layer > maxLayers {
		return nil, errTooMuch(fmt.Sprintf("packed more than %d times over", maxLayers))
	}
	head, err := i.head(open)
	if err != nil {
		return nil, err
	}
	if d := byMagic(head); d != nil {
		return d, nil
	}
	if unpack, name := compression(head); unpack != nil {
		return i.compressed(open, unpack, layer, name)
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) && layer > 0 {
		return i.innerZip(open, layer)
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return i.tar(open, layer)
	}
	r, err := i.open(open)
	if err != nil {
		return nil, i.err // what cannot be unpacked cannot be loaded either
	}
	if isPickle(r) {
		return pickleDanger(head, how), nil
	}
	return nil, i.err
}

// counted is a reader of something unpacked, which draws on the budget.
type counted struct {
	r io.Reader
	i *inspector
}

func (c counted) Read(p []byte) (int, error) {
	if c.i.budget <= 0 {
		c.i.err = errTooMuch(fmt.Sprintf("a file that unpacks to more than %d MiB", maxExpanded>>20))
		return 0, c.i.err
	}
	n, err := c.r.Read(p)
	c.i.budget -= int64(n)
	return n, err
}

func (i *inspector) open(open opener) (io.Reader, error) {
	r, err := open()
	if _, plain := r.(*io.SectionReader); plain || err != nil { // the file itself: its size is no surprise
		return r, err
	}
	return counted{r, i}, nil
}

// head returns the first bytes, none where nothing can be unpacked.
func (i *inspector) head(open opener) ([]byte, error) {
	r, err := i.open(open)
	if err != nil {
		return nil, i.err // a broken archive unpacks to nothing
	}
	head := make([]byte, headSize)
	n, _ := io.ReadFull(r, head)
	return head[:n], i.err
}

// byMagic knows formats by their first bytes.
func byMagic(head []byte) *danger {
	for at := 0; at+8 <= len(head); at = max(512, at*2) { // HDF5 allows a block of the user's before it
		if string(head[at:at+8]) == "\x89HDF\r\n\x1a\n" {
			return kerasDanger("an HDF5 file, as Keras writes")
		}
	}
	if bytes.HasPrefix(head, []byte("\x93NUMPY")) && numpyObjects(head) {
		return numpyDanger()
	}
	for magic, name := range map[string]string{
		"\xfd7zXZ\x00": "an xz file", "\x28\xb5\x2f\xfd": "a Zstandard file", "\x04\x22\x4d\x18": "an LZ4 file",
		"\x5d\x00\x00": "an LZMA file", "7z\xbc\xaf\x27\x1c": "a 7z archive", "Rar!\x1a\x07": "a RAR archive",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return opaque(name)
		}
	}
	return nil
}

var objectType = regexp.MustCompile(`['"][|<>=]?O[0-9]*['"]`)

// numpyObjects reads the header of a .npy file (NEP 1) and tells whether its elements are Python objects. A header that does not fit
// into head is taken for one that hides something.
func numpyObjects(head []byte) bool {
	if len(head) < 12 {
		return false
	}
	size, at := int(binary.LittleEndian.Uint16(head[8:])), 10
	if head[6] > 1 {
		size, at = int(binary.LittleEndian.Uint32(head[8:])), 12
	}
	if size > headSize {
		return true
	}
	return objectType.Match(head[at:min(at+size, len(head))])
}

type unpacker func(io.Reader) (io.Reader, error)

// compression knows compressed content by its first bytes.
func compression(head []byte) (unpacker, string) {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }, "gzip"
	case bytes.HasPrefix(head, []byte("BZh")):
		return func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }, "bzip2"
	case len(head) > 2 && head[0]&0x0f == 8 && head[0]>>4 < 8 && (int(head[0])<<8|int(head[1]))%31 == 0: // RFC 1950
		return func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }, "zlib"
	}
	return nil, ""
}

// compressed looks at what is unpacked, and, where that is nothing, at the content as it stands: two bytes may mislead.
func (i *inspector) compressed(open opener, unpack unpacker, layer int, name string) (*danger, error) {
	inner := func() (io.Reader, error) {
		r, err := i.open(open) // counted at each layer: little may come out of much
		if err != nil {
			return nil, err
		}
		return unpack(r)
	}
	d, err := i.stream(inner, layer+1, ", compressed by "+name)
	if d != nil || err != nil {
		return d, err
	}
	r, err := i.open(open)
	if err == nil && isPickle(r) {
		return pickleDanger(nil, ""), nil
	}
	return nil, i.err
}

// innerZip looks at a zip that is packed itself: its directory is at its end, so that it is unpacked into memory.
func (i *inspector) innerZip(open opener, layer int) (*danger, error) {
	r, err := i.open(open)
	if err != nil {
		return nil, i.err // as in stream
	}
	content, err := io.ReadAll(io.LimitReader(r, maxInMemory+1))
	if err != nil {
		return nil, i.err // too much, or cut short or damaged, so that nothing could load it
	}
	if len(content) > maxInMemory {
		return nil, errTooMuch(fmt.Sprintf("an archive in an archive, of more than %d MiB", maxInMemory>>20))
	}
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, i.err
	}
	return i.zip(archive, layer+1)
}

func (i *inspector) zip(archive *zip.Reader, layer int) (*danger, error) {
	if len(archive.File) > maxEntries {
		return nil, errTooMuch(fmt.Sprintf("an archive of more than %d files", maxEntries))
	}
	names := map[string]bool{}
	for _, f := range archive.File {
		names[f.Name] = true
		if strings.HasSuffix("/"+f.Name, "/data.pkl") {
			return torchDanger(), nil
		}
		if strings.HasPrefix(f.Name, "MAR-INF/") {
			return marDanger(""), nil
		}
	}
	if names["config.json"] && (names["model.weights.h5"] || names["metadata.json"]) {
		return kerasDanger("a Keras file"), nil
	}
	for _, f := range archive.File {
		d, err := i.zipEntry(f, layer)
		if d != nil || err != nil {
			return d, err
		}
	}
	return nil, nil
}

func (i *inspector) zipEntry(f *zip.File, layer int) (*danger, error) {
	open := func() (io.Reader, error) { return f.Open() }
	if f.Flags&1 != 0 {
		return nil, errTooMuch("an archive with encrypted files")
	}
	entry, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return nil, errTooMuch("an archive packed in an unknown way")
	}
	if err == nil {
		entry.Close()
	}
	return i.stream(open, layer, ", in a zip archive")
}

// tar looks at the files of a tar archive one by one.
func (i *inspector) tar(open opener, layer int) (*danger, error) {
	r, err := i.open(open)
	if err != nil {
		return nil, i.err // as in stream
	}
	archive := tar.NewReader(r)
	for n := 0; ; n++ {
		header, err := archive.Next()
		if err != nil {
			return nil, i.err // the end, or damage
		}
		if n == maxEntries {
			return nil, errTooMuch(fmt.Sprintf("an archive of more than %d files", maxEntries))
		}
		if strings.HasPrefix(header.Name, "MAR-INF/") {
			return marDanger(" (tar)"), nil
		}
		content, err := io.ReadAll(io.LimitReader(archive, maxInMemory+1))
		if i.err != nil {
			return nil, i.err
		}
		if err != nil || len(content) > maxInMemory {
			return nil, errTooMuch(fmt.Sprintf("an archive with a file of more than %d MiB, or a damaged one", maxInMemory>>20))
		}
		d, err := i.stream(func() (io.Reader, error) { return bytes.NewReader(content), nil }, layer+1, ", in a tar archive")
		if d != nil || err != nil {
			return d, err
		}
	}
}
