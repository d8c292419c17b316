// Package payload keeps bodies of requests and answers for those who look into a decision later: captured ones, a sample, each cut at a
// size and with what is secret taken out. They are lines of JSON in files of a day, one folder a service, which go when they are too old
// or too many:
//
//	D/payloads/SERVICE/2026-11-21-001.jsonl
//
// A reference, "2026-11-21-001:4096", names a file and the byte at which the line begins. Payloads are detail: a write is not flushed to
// the disk, and a failed one costs that payload alone.
package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
)

// version is that of the lines.
const version = 1

// Record is one line: an exchange, and what was done to its bodies. The maps and lists at its end name the bodies "request" and "response".
type Record struct {
	V           int       `json:"v"`        // of the format: 1
	Decision    string    `json:"decision"` // its id
	At          time.Time `json:"at"`       // when it was decided
	Service     string    `json:"service"`
	Variant     string    `json:"variant"`           // that answered
	Version     string    `json:"version,omitempty"` // the digest of its model
	Dialect     string    `json:"dialect"`
	Status      int       `json:"status"`      // of HTTP; 499 for a client that hung up
	Probability float64   `json:"probability"` // with which a decision is captured: 1/probability of them stand behind this one

	Request       string `json:"request"` // as it came, but for what follows
	Response      string `json:"response"`
	RequestBytes  int    `json:"requestBytes"` // as they came, before anything was cut
	ResponseBytes int    `json:"responseBytes"`

	Truncated []string          `json:"truncated,omitempty"` // bodies of which only the beginning is here
	Redacted  []string          `json:"redacted,omitempty"`  // bodies in which values are replaced
	Base64    []string          `json:"base64,omitempty"`    // bodies that are no text, and stand here in base64
	Withheld  map[string]string `json:"withheld,omitempty"`  // bodies that are not here at all, as they might tell a secret, and why
}

// Body is one body before it is kept.
type Body struct {
	Bytes []byte // the beginning, or all
	Size  int    // of the whole, as far as it came
	Limit int    // how many bytes are kept
	Cut   bool   // Bytes is not the whole
}

// Cut returns what is kept of b when at most limit bytes are. The bytes are shared.
func Cut(b []byte, limit int) Body {
	return Body{Bytes: b[:min(len(b), limit)], Size: len(b), Limit: limit, Cut: len(b) > limit}
}

// SetBodies fills in request and response. Values that redact names are replaced in both; nil replaces nothing. A body in which they cannot
// be found for sure, as it is cut off or no JSON, is withheld, and so is an answer that is an error: those quote the request.
func (r *Record) SetBodies(request, response Body, redact *Redactor) {
	r.Request, r.RequestBytes = r.keep("request", request, redact), request.Size
	r.ResponseBytes = response.Size
	if redact != nil && r.Status >= 400 && response.Size > 0 {
		r.withhold("response", "an error may quote the request")
		return
	}
	r.Response = r.keep("response", response, redact)
}

func (r *Record) withhold(name, why string) {
	if r.Withheld == nil {
		r.Withheld = map[string]string{}
	}
	r.Withheld[name] = why
}

// keep returns what the record says of a body, noting what was done to it.
func (r *Record) keep(name string, b Body, redact *Redactor) string {
	content := b.Bytes
	if redact != nil && b.Size > 0 {
		if b.Cut {
			r.withhold(name, "it is not here whole, so what is to be redacted cannot be found")
			return ""
		}
		clean, replaced, err := redact.Redact(content)
		if err != nil {
			r.withhold(name, "it is no JSON, so what is to be redacted cannot be found")
			return ""
		}
		if replaced > 0 {
			r.Redacted = append(r.Redacted, name)
		}
		content = clean
	}
	if b.Cut || len(content) > b.Limit { // what stands for a value may be longer than it
		r.Truncated = append(r.Truncated, name)
		content = wholeRunes(content[:min(len(content), b.Limit)])
	}
	if !utf8.Valid(content) {
		r.Base64 = append(r.Base64, name)
		return base64.StdEncoding.EncodeToString(content)
	}
	return string(content)
}

// wholeRunes drops a character at the end that was cut apart.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// Line returns r as a line of a file, its end included.
func (r *Record) Line() ([]byte, error) {
	r.V = version
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, fault.Internalf("write a payload: %w", err)
	}
	return b.Bytes(), nil
}

// parseLine reads what Line wrote.
func parseLine(line []byte) (r Record, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fault.NotFoundf("a line that is no payload: %w", err)
	}
	if r.V != version {
		return r, fault.Invalidf("a payload of version %d", r.V).WithHint("a later Serin wrote it: read it with that one")
	}
	return r, nil
}
