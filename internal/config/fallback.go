package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/strictyaml"
)

// Fallback is what clients get in place of an error.
type Fallback struct {
	Status  int               `yaml:"status" jsonschema:"default=200,minimum=200,maximum=599" jsonschema_description:"Its status."`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Its headers. Content-Type is that of text or JSON where it is not among them."`
	Body    AnyBody           `yaml:"body" jsonschema_description:"Its body: text as it is, anything else as JSON. Default: none."`

	Header http.Header `yaml:"-" json:"-"` // Headers and the Content-Type, worked out by Read
	Bytes  []byte      `yaml:"-" json:"-"` // Body, worked out by Read
}

// AnyBody is a body: text, or anything that is written as JSON.
type AnyBody any

// SetDefaults is what a Fallback holds before the file says otherwise.
func (f *Fallback) SetDefaults() { f.Status = http.StatusOK }

// Bounds of a Fallback.
const (
	maxFallback    = 256 * KiB
	maxHeaders     = 64
	maxHeaderValue = 8 * KiB
)

// checkFallback works out what f sends, which may be nil, and tells every mistake.
func checkFallback(doc *strictyaml.Doc, at string, f *Fallback) {
	if f == nil {
		return
	}
	if f.Status < 200 || f.Status > 599 {
		doc.Problem(at+".status", fmt.Sprintf("%d is no status of an answer", f.Status), "give 200 to 599")
	}
	f.Header = checkHeaders(doc, at+".headers", f.Headers, ofAnswers)
	contentType := "application/json"
	switch body := f.Body.(type) {
	case nil:
		contentType = ""
	case string:
		f.Bytes, contentType = []byte(body), "text/plain; charset=utf-8"
	default:
		var b bytes.Buffer
		writeJSON(&b, doc, at+".body", body)
		f.Bytes = b.Bytes()
	}
	if len(f.Bytes) > int(maxFallback) {
		doc.Problem(at+".body", fmt.Sprintf("it has %d bytes", len(f.Bytes)), fmt.Sprintf("give at most %v: it is kept in memory, and sent when all is slow", maxFallback))
	}
	if len(f.Bytes) > 0 && (f.Status == http.StatusNoContent || f.Status == http.StatusResetContent || f.Status == http.StatusNotModified) {
		doc.Problem(at+".body", fmt.Sprintf("an answer of status %d has no body", f.Status), "remove the body, or give another status")
	}
	if contentType != "" && f.Header.Get("Content-Type") == "" {
		f.Header.Set("Content-Type", contentType)
	}
}

// writeJSON writes v, which the document has at a path, with the keys of objects in the order of the file. The document bounds how deep it is.
func writeJSON(b *bytes.Buffer, doc *strictyaml.Doc, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, name := range inOrder(doc, at, v) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeScalar(b, name)
			b.WriteByte(':')
			writeJSON(b, doc, at+key(name), v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, doc, fmt.Sprintf("%s[%d]", at, i), item)
		}
		b.WriteByte(']')
	default:
		writeScalar(b, v)
	}
}

// writeScalar writes text, a finite number, a truth or nothing, which cannot fail.
func writeScalar(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	b.Truncate(b.Len() - 1) // the line's end
}

// headerName and headerValue are what may stand in a header: tokens, and text without control characters that neither begins nor ends with
// a space.
var (
	headerName  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$")
	headerValue = regexp.MustCompile(`^([^\x00-\x20\x7f]([^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?$`)
)

// Whose headers are checked: neither may have those of one connection, nor those that Serin writes.
var (
	ofConnections = []string{
		"Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
	ofAnswers  = slices.Concat(ofConnections, []string{"Date"})
	ofRequests = slices.Concat(ofConnections, []string{"Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "Expect"})
)

// checkHeaders returns the headers in canonical form, and tells every mistake in them.
func checkHeaders(doc *strictyaml.Doc, at string, headers map[string]string, reserved []string) http.Header {
	out := make(http.Header, len(headers))
	if len(headers) > maxHeaders {
		doc.Problem(at, fmt.Sprintf("there are %d headers", len(headers)), fmt.Sprintf("keep to %d", maxHeaders))
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, canonical, here := headers[name], http.CanonicalHeaderKey(name), at+key(name)
		switch {
		case !headerName.MatchString(name):
			doc.Problem(here, fmt.Sprintf("%.80q is no name of a header", name), "use letters, digits and dashes")
		case slices.Contains(reserved, canonical) || strings.HasPrefix(canonical, "Serin-"):
			hint := "remove it"
			if canonical == "Host" {
				hint = "say it by hostHeader"
			}
			doc.Problem(here, fmt.Sprintf("Serin itself writes %s", canonical), hint)
		case out[canonical] != nil:
			doc.Problem(here, fmt.Sprintf("%s is there twice", canonical), "keep one")
		case !headerValue.MatchString(value) || len(value) > int(maxHeaderValue):
			doc.Problem(here, "this is no value of a header", fmt.Sprintf("give one line of at most %v", maxHeaderValue))
		default:
			out[canonical] = []string{value}
		}
	}
	return out
}
