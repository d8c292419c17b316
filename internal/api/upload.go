package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/serin-ml/serin/internal/fault"
)

// Import sends files as a new version of a model. It streams: no file is held in memory.
func (c *Client) Import(ctx context.Context, model string, o ImportOptions, files []Source) (imported Imported, err error) {
	options, err := json.Marshal(o)
	if err != nil {
		return imported, err
	}
	body := newForm(options, files)
	defer body.Close()
	resp, err := c.send(ctx, http.MethodPost, path("models", model, "versions"), "multipart/form-data; boundary="+body.boundary, body)
	if err != nil {
		if body.failed != nil { // which broke the form off; what the server says of that is no news
			return imported, body.failed
		}
		return imported, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&imported); err != nil {
		return imported, fault.Internalf("the control plane's answer to the import: %w", err)
	}
	return imported, nil
}

// form is the body of an import, made while it is read: each file is opened when its turn comes.
type form struct {
	boundary string
	files    []Source
	now      io.Reader // what is being read
	file     io.Closer // the file behind it, if any
	ended    bool
	failed   error // of a file
}

func newForm(options []byte, files []Source) *form {
	f := &form{boundary: rand.Text(), files: files}
	var first bytes.Buffer
	f.header(&first, map[string]string{"name": optionsPart})
	first.Write(options)
	first.WriteString("\r\n")
	f.now = &first
	return f
}

func (f *form) header(b *bytes.Buffer, params map[string]string) {
	fmt.Fprintf(b, "--%s\r\nContent-Disposition: %s\r\n\r\n", f.boundary, mime.FormatMediaType("form-data", params))
}

// Read gives the next bytes of the form.
func (f *form) Read(p []byte) (int, error) {
	for {
		n, err := f.now.Read(p)
		if n > 0 || err == nil {
			return n, nil
		}
		if !errors.Is(err, io.EOF) {
			f.failed = fault.Invalidf("read of a file to import: %w", err)
			return 0, f.failed
		}
		if f.ended {
			return 0, io.EOF
		}
		if err := f.next(); err != nil {
			f.failed = err
			return 0, err
		}
	}
}

// next moves on to the next file, or to the form's end.
func (f *form) next() error {
	f.Close()
	if len(f.files) == 0 {
		f.now, f.ended = bytes.NewReader([]byte("--"+f.boundary+"--\r\n")), true
		return nil
	}
	s := f.files[0]
	f.files = f.files[1:]
	content, err := s.Open()
	if err != nil {
		return err
	}
	var head bytes.Buffer
	f.header(&head, map[string]string{"name": filePart, "filename": s.Path})
	f.now, f.file = io.MultiReader(&head, content, bytes.NewReader([]byte("\r\n"))), content
	return nil
}

// Close closes the file that is being read.
func (f *form) Close() error {
	if f.file == nil {
		return nil
	}
	defer func() { f.file = nil }()
	return f.file.Close()
}
