package gateway

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Files answers with the files of a folder. There are no lists of files: a folder is answered with its index.html. What begins with a dot,
// leads out of the folder or is no regular file is not there.
type Files struct{ root *os.Root }

// NewFiles returns a handler of the files in root. It answers the path of a request's URL, without any prefix.
func NewFiles(root *os.Root) *Files { return &Files{root} }

// ServeHTTP implements http.Handler.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "files are read with GET", http.StatusMethodNotAllowed)
		return
	}
	file, info, err := f.open(r.URL.Path)
	switch {
	case errors.As(err, new(isFolder)):
		w.Header()["Location"] = []string{folderOf(r)}
		w.WriteHeader(http.StatusMovedPermanently)
		return
	case err != nil:
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	defer file.Close()
	w.Header()["Etag"] = []string{tagOf(info)}
	http.ServeContent(w, r, info.Name(), info.ModTime(), file)
}

// isFolder says that a path is that of a folder, which ends with a slash.
type isFolder struct{}

func (isFolder) Error() string { return "a folder" }

// folderOf is where the page of a folder is: what was asked for, with a slash behind it, whatever prefix stands before it.
func folderOf(r *http.Request) string {
	name, query, hasQuery := rawTarget(r)
	name = "./" + name[strings.LastIndexByte(name, '/')+1:] + "/"
	if hasQuery {
		name += "?" + query
	}
	return name
}

// open opens the file of a path, which begins with a slash unless it is empty.
func (f *Files) open(name string) (*os.File, fs.FileInfo, error) {
	if name == "" {
		return nil, nil, isFolder{}
	}
	name = strings.TrimPrefix(name, "/")
	if name == "" || strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || part == "" {
			return nil, nil, fs.ErrNotExist
		}
	}
	info, err := f.root.Stat(name) // to open a pipe would wait for its writer
	switch {
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, nil, isFolder{}
	case !info.Mode().IsRegular():
		return nil, nil, fs.ErrNotExist
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err != nil || !info.Mode().IsRegular() {
		file.Close()
		return nil, nil, fs.ErrNotExist
	}
	return file, info, nil
}

// tagOf tells one state of a file from another, as NGINX does: by its time and size.
func tagOf(info fs.FileInfo) string {
	return `"` + strconv.FormatInt(info.ModTime().UnixNano(), 16) + "-" + strconv.FormatInt(info.Size(), 16) + `"`
}

// sendFile answers with a file.
func (g *Gateway) sendFile(b *buffers) answered {
	r := b.http.r
	text, err := url.PathUnescape(b.pass.passage.file(r))
	if err != nil {
		return g.standInPassed(b, fault.Invalidf("the path cannot be read: %w", err))
	}
	w := &fileWriter{ResponseWriter: b.http.w, gateway: g, status: http.StatusOK}
	w.Header()["X-Content-Type-Options"] = g.nosniff
	asked := *r
	asked.URL = &url.URL{Path: text, RawQuery: r.URL.RawQuery}
	b.decision.answered.options.Files.ServeHTTP(w, &asked)
	b.pass.sent = w.sent
	if w.failed {
		return answered{status: statusGone}
	}
	return answered{status: w.status}
}

// file is the path of a request within a folder: what is below the prefix, or that behind what stands in the prefix's place.
func (p *passage) file(r *http.Request) string {
	path, _, _ := rawTarget(r)
	path = p.below(path)
	if p.prefix.HasRewrite {
		path = joined(p.prefix.Rewrite, path)
	}
	return path
}

// fileWriter bounds how long a client may take to read, and remembers what was said.
type fileWriter struct {
	http.ResponseWriter
	gateway *Gateway
	status  int
	sent    int64
	failed  bool
}

// WriteHeader implements http.ResponseWriter.
func (w *fileWriter) WriteHeader(status int) {
	w.status = status
	w.gateway.allowWrite(w.ResponseWriter)
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *fileWriter) Write(p []byte) (int, error) {
	w.gateway.allowWrite(w.ResponseWriter)
	n, err := w.ResponseWriter.Write(p)
	w.sent += int64(n)
	w.failed = w.failed || err != nil
	return n, err
}

// filePiece is how much of a file is sent within the time of one write.
const filePiece = 1 << 20

// ReadFrom implements io.ReaderFrom, by which the kernel sends what it has already.
func (w *fileWriter) ReadFrom(from io.Reader) (total int64, err error) {
	piece := io.LimitedReader{R: from}
	left := int64(math.MaxInt64)
	bounded, ok := from.(*io.LimitedReader) // one bound alone is what the kernel knows to send
	if ok {
		piece.R, left = bounded.R, bounded.N
	}
	for left > 0 {
		piece.N = min(left, filePiece)
		want := piece.N
		w.gateway.allowWrite(w.ResponseWriter)
		n, err := io.Copy(w.ResponseWriter, &piece)
		total += n
		left -= n
		w.sent += n
		if ok {
			bounded.N -= n
		}
		if err != nil {
			w.failed = true
			return total, err
		}
		if n < want {
			break
		}
	}
	return total, nil
}

// Unwrap lets what is done to a connection be done.
func (w *fileWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
