package wire

import (
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Answer writes the first output in the request's own encoding, or as ndarray where it is not numbers. data.names are the output's class
// labels where it has one for each of its columns, else t:0, t:1, ..., and empty for an output of one dimension. Numbers are the
// protocol's doubles: a float32 is written as the double it equals, so that a client which compares it with a float32 that it widened
// finds them equal to the last bit.
func (c *seldonCall) Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	if len(resp.Outputs) == 0 {
		return dst, fault.Internalf("the model gave no output")
	}
	o := &resp.Outputs[0]
	if err := o.Check(); err != nil {
		return dst, fault.Internalf("the model's answer: %s", err.Error())
	}
	dst = append(dst, `{"data":{"names":[`...)
	dst, err := c.appendNames(dst, o)
	if err != nil {
		return dst, err
	}
	if d := o.DType(); c.form == "tensor" && d.Numeric() && d != tensor.Bool {
		dst = append(dst, `],"tensor":{"shape":`...)
		dst = appendShape(dst, o.Shape)
		dst = append(dst, `,"values":`...)
		dst, err = appendFlat(dst, o, doubles)
		dst = append(dst, '}')
	} else {
		dst = append(dst, `],"ndarray":`...)
		dst, err = appendNested(dst, o, doubles)
	}
	if err != nil {
		return dst, err
	}
	dst = append(dst, `},"meta":{`...)
	dst = c.appendMeta(dst, m)
	return append(dst, "}}"...), nil
}

func (c *seldonCall) appendNames(dst []byte, o *tensor.Tensor) ([]byte, error) {
	if len(o.Shape) < 2 {
		return dst, nil
	}
	var labels []string
	for i := range c.signature.Outputs {
		if p := &c.signature.Outputs[i]; p.Name == o.Name && len(p.Labels) == o.Shape[1] {
			labels = p.Labels
		}
	}
	var err error
	for i := range o.Shape[1] {
		if i > 0 {
			dst = append(dst, ',')
		}
		if labels == nil {
			dst = append(dst, `"t:`...)
			dst = strconv.AppendInt(dst, int64(i), 10)
			dst = append(dst, '"')
		} else if dst, err = appendString(dst, labels[i]); err != nil {
			return dst, fault.Internalf("output %q: label %d: %w", o.Name, i, err)
		}
	}
	return dst, nil
}

// appendMeta writes the fields of meta. requestPath has the node that answered, and what runs there, as model:version.
func (c *seldonCall) appendMeta(dst []byte, m Meta) []byte {
	first := len(dst)
	sep := func() {
		if len(dst) > first {
			dst = append(dst, ',')
		}
	}
	id := c.puid
	if id == "" {
		id = m.ID
	}
	if id != "" {
		dst = append(dst, `"puid":`...)
		dst = appendText(dst, id)
	}
	if m.Service != "" {
		sep()
		dst = append(dst, `"requestPath":{`...)
		dst = appendText(dst, m.Service)
		dst = append(dst, ':')
		dst = appendText(dst, strings.Trim(m.Model+":"+m.Version, ":"))
		dst = append(dst, '}')
	}
	if c.tags != nil {
		sep()
		dst = append(dst, `"tags":`...)
		dst = append(dst, c.tags...)
	}
	return dst
}

// seldonReasons are the reasons that Seldon's own wrapper gives, where it has one, by kind.
var seldonReasons = [...]string{
	fault.Internal:    "MICROSERVICE_INTERNAL_ERROR",
	fault.Invalid:     "MICROSERVICE_BAD_DATA",
	fault.NotFound:    "NOT_FOUND",
	fault.Conflict:    "CONFLICT",
	fault.Unavailable: "UNAVAILABLE",
}

// Error appends a SeldonMessage that holds nothing but a status. It never fails.
func (Seldon) Error(dst []byte, status int, err error) []byte {
	dst = append(dst, `{"status":{"code":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"info":`...)
	dst = appendText(dst, explain(err))
	dst = append(dst, `,"reason":"`...)
	dst = append(dst, seldonReasons[fault.KindOf(err)]...)
	return append(dst, `","status":"FAILURE"}}`...)
}
