package wire

import (
	"iter"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// output returns the output that answers, once it is known to be sound, and the form that it is told in: that of the request if it is
// numbers, tensor if the request had none of data's, else ndarray.
func (q *seldonQuestion) output(resp *tensor.Response) (*tensor.Tensor, seldonForm, error) {
	if len(resp.Outputs) == 0 {
		return nil, noForm, fault.Internalf("the model gave no output")
	}
	o := &resp.Outputs[0]
	if err := o.Check(); err != nil {
		return nil, noForm, fault.Internalf("the model's answer: %s", err.Error())
	}
	switch d := o.DType(); {
	case !d.Numeric() || d == tensor.Bool:
		return o, ndarrayForm, nil
	case q.form <= tftensorForm:
		return o, q.form, nil
	}
	return o, tensorForm, nil
}

// columnCount is how many names an output's columns have.
func columnCount(o *tensor.Tensor) int {
	if len(o.Shape) < 2 {
		return 0
	}
	return o.Shape[1]
}

// labels returns the names of an output's columns, nil where they only count.
func (q *seldonQuestion) labels(o *tensor.Tensor) []string {
	for i := range q.model.Outputs {
		if p := &q.model.Outputs[i]; p.Name == o.Name && len(p.Labels) == columnCount(o) {
			return p.Labels
		}
	}
	return nil
}

// answering is the entry of requestPath for the model that answers.
func answering(m Meta) seldonNode {
	image := m.Model
	if m.Version != "" {
		image += ":" + m.Version
	}
	return seldonNode{m.Model, image}
}

// id is the puid of the answer.
func (q *seldonQuestion) id(m Meta) string {
	if q.puid != "" {
		return q.puid
	}
	return m.ID
}

// Answer writes the first output in the request's own encoding, or as ndarray where it is not numbers. data.names are the output's class
// labels where it has one for each of its columns, else t:0, t:1, ..., and empty for an output of one dimension. Numbers are the
// protocol's doubles: a float32 is written as the double it equals, so that a client which compares it with a float32 that it widened
// finds them equal to the last bit. A tftensor keeps the output's own type.
func (c *seldonCall) Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	if c.explain {
		return c.appendExplained(dst, m, resp)
	}
	o, form, err := c.output(resp)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `{"data":{"names":[`...)
	if dst, err = c.appendNames(dst, o); err != nil {
		return dst, err
	}
	switch form {
	case tensorForm:
		dst = append(dst, `],"tensor":{"shape":`...)
		dst = appendShape(dst, o.Shape)
		dst = append(dst, `,"values":`...)
		dst, err = appendFlat(dst, o, doubles)
		dst = append(dst, '}')
	case tftensorForm:
		dst, err = appendTftensor(append(dst, `],"tftensor":`...), o)
	default:
		dst, err = appendNested(append(dst, `],"ndarray":`...), o, doubles)
	}
	if err != nil {
		return dst, err
	}
	dst = append(dst, `},"meta":{`...)
	dst = c.appendMeta(dst, m)
	return append(dst, "}}"...), nil
}

// appendExplained writes the answer of an explain call.
func (c *seldonCall) appendExplained(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	dst, err := appendExplanations(append(dst, `{"explanations":`...), c.model, resp)
	if err != nil {
		return dst, err
	}
	dst = appendTexts(append(dst, `,"names":`...), c.columns())
	dst = appendText(append(dst, `,"model":`...), m.Model)
	dst = appendText(append(dst, `,"version":`...), m.Version)
	return append(dst, '}'), nil
}

func (c *seldonCall) appendNames(dst []byte, o *tensor.Tensor) ([]byte, error) {
	labels := c.labels(o)
	var err error
	for i := range columnCount(o) {
		dst = comma(dst, i)
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

// appendMeta writes the fields of meta.
func (c *seldonCall) appendMeta(dst []byte, m Meta) []byte {
	first := len(dst)
	field := func(name string) {
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), `":`...)
	}
	if id := c.id(m); id != "" {
		field("puid")
		dst = appendText(dst, id)
	}
	if m.Model != "" || len(c.path) > 0 {
		field("requestPath")
		dst = c.appendPath(dst, m)
	}
	if c.tags != nil {
		field("tags")
		dst = append(dst, c.tags...)
	}
	if c.metrics != nil {
		field("metrics")
		dst = append(dst, c.metrics...)
	}
	return dst
}

func (c *seldonCall) appendPath(dst []byte, m Meta) []byte {
	dst = append(dst, '{')
	first := len(dst)
	for n := range c.nodes(m) {
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = appendText(append(appendText(dst, n.name), ':'), n.image)
	}
	return append(dst, '}')
}

// nodes yields the entries of the answer's requestPath: the model that answers, then those that the request came through.
func (q *seldonQuestion) nodes(m Meta) iter.Seq[seldonNode] {
	return func(yield func(seldonNode) bool) {
		if m.Model != "" && !yield(answering(m)) {
			return
		}
		for _, n := range q.path {
			if n.name != m.Model && !yield(n) { // whatever the request says of the model, it answers now
				return
			}
		}
	}
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
