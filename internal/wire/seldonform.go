package wire

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// DecodeCall reads a SeldonMessage in the form that the Content-Type names:
//
//	application/json                    the message
//	application/x-www-form-urlencoded   the message in the field json; a body that begins with { is the message itself, as from curl -d
//	multipart/form-data                 a part for each field of the message, in JSON but for strData, which is text; a file
//	                                    named binData is its bytes, one named strData its text
//
// Other types are taken for JSON, or refused, as jsonMedia says.
func (d Seldon) DecodeCall(body []byte, call Call, signature tensor.Signature, l Limits) (Exchange, error) {
	header, _ := call.Lookup(Header, "Content-Type")
	switch kind := mediaType(header); kind {
	case "application/x-www-form-urlencoded":
		message, err := formMessage(body)
		if err != nil {
			return nil, err
		}
		body = message
	case "multipart/form-data":
		return d.multipart(body, header, signature, l)
	default:
		if err := jsonMedia(kind); err != nil {
			return nil, err
		}
	}
	return d.Decode(body, signature, l)
}

// formMessage returns the message of a form.
func formMessage(body []byte) ([]byte, error) {
	if text := bytes.TrimLeft(body, " \t\r\n"); len(text) > 0 && text[0] == '{' {
		return body, nil
	}
	found := false
	var message string
	for field := range bytes.SplitSeq(body, []byte{'&'}) { // what else the form holds is not looked at
		name, value, _ := bytes.Cut(field, []byte{'='})
		if string(name) != "json" {
			continue
		}
		if found {
			return nil, fault.Invalidf("the form has the field json twice")
		}
		found = true
		var err error
		if message, err = url.QueryUnescape(string(value)); err != nil {
			return nil, malformed(err)
		}
	}
	if !found {
		return nil, fault.Invalidf("the form has no field json").WithHint("send the message as JSON, or in a form's field json")
	}
	return []byte(message), nil
}

// maxParts is how many parts a form may have; a message has seven fields.
const maxParts = 100

// multipart reads a message whose fields are the parts of a form.
func (d Seldon) multipart(body []byte, header string, signature tensor.Signature, l Limits) (Exchange, error) {
	_, parameters, err := mime.ParseMediaType(header)
	if err != nil || parameters["boundary"] == "" {
		return nil, fault.Invalidf("the content type %.100q tells no boundary", header)
	}
	c, err := d.call(signature, l)
	if err != nil {
		return nil, err
	}
	form := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for range maxParts {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			if !bytes.Contains(body, []byte("--"+parameters["boundary"]+"--")) { // which the reader does not insist on
				return nil, malformed(io.ErrUnexpectedEOF)
			}
			return c.decoded(nil)
		}
		if err != nil {
			return nil, malformed(err)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, malformed(err)
		}
		if err := c.part(part.FormName(), text, part.FileName() != ""); err != nil {
			return nil, fault.Invalidf("form field %.40q: %w", part.FormName(), err)
		}
	}
	return nil, fault.Invalidf("the form has more than %d parts", maxParts)
}

func malformed(err error) error { return fault.Invalidf("the form is malformed: %w", err) }

// part reads one field of the message; what is none is ignored.
func (c *seldonCall) part(name string, text []byte, file bool) error {
	switch {
	case name == "strData" && !utf8.Valid(text):
		return fault.Invalidf("it is not valid UTF-8")
	case name == "strData":
		return c.wholePart(seldonString, stringForm, text)
	case name == "binData" && file:
		return c.wholePart(seldonBinary, binaryForm, text)
	case name == "data", name == "meta", name == "binData", name == "jsonData", name == "customData":
		c.scan(text)
		c.field([]byte(name))
		return c.end()
	}
	return nil
}

// wholePart takes a part as it is.
func (c *seldonCall) wholePart(key int, form seldonForm, text []byte) error {
	if c.seen&(1<<key) != 0 {
		return fault.Invalidf("it is given twice")
	}
	c.seen |= 1 << key
	if err := c.takes(form); err != nil {
		return err
	}
	c.one([]string{string(text)})
	return nil
}
