package wire

import (
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// V1 is the predict call of the v1 protocols over REST: KServe's, or TensorFlow Serving's, which differ in what "inputs" means and in how
// several outputs are answered.
//
// "instances" holds rows: lists in the model's order; bare values, for a model of one column; or objects that name columns, in any order,
// or inputs. A name that the model does not have is Invalid, and so is one that is not there: null says that a value is missing.
// KServe's "inputs" means the same; TensorFlow's holds columns instead, all rows of each: the only input's value alone, or an object with
// one by each name. Bytes may be written {"b64": "..."}.
type V1 struct {
	Tensorflow bool // TensorFlow Serving's form rather than KServe's
	Explain    bool // the call asks for explanations of predictions (KServe)
}

// v1Call is a v1 request and what reading it needs.
type v1Call struct {
	rowsCall
	dialect V1
	columns bool // it came as columns, and is answered so
}

// servingDefault is the name of the one signature that a model has.
const servingDefault = "serving_default"

// Decode reads a request for a model of the given signature. The request asks for the outputs that are not on demand, or for those that
// explain.
func (d V1) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	c := &v1Call{dialect: d}
	if d.Explain {
		outputs, err := explanationOutputs(signature)
		if err != nil {
			return nil, err
		}
		c.request.Outputs = outputs
	}
	if len(signature.Inputs) == 0 {
		return nil, fault.Invalidf("the model takes no input")
	}
	c.begin(body, signature, l)
	given := c.message()
	if err := c.end(); err != nil {
		return nil, err
	}
	if !given {
		return nil, fault.Invalidf(`expected "instances" or "inputs" to be a list`).WithHint(`send {"instances": [[...], ...]}, a list for each row`)
	}
	return c, nil
}

// DecodeCall is Decode of a body whose Content-Type is one that is read as JSON.
func (d V1) DecodeCall(body []byte, call Call, signature tensor.Signature, l Limits) (Exchange, error) {
	if media, _ := call.Lookup(Header, "Content-Type"); media != "" && media != "application/json" { // as nearly all say it
		if err := jsonMedia(mediaType(media)); err != nil {
			return nil, err
		}
	}
	return d.Decode(body, signature, l)
}

// message reads the whole body and tells whether it holds rows.
func (c *v1Call) message() (given bool) {
	const instances, inputs, name = 0, 1, 2
	var seen keys
	s := &c.s
	s.Object()
	for s.Next() {
		switch key := string(s.Key()); key {
		case "instances":
			if seen.once(s, instances, key) && c.only(&given) {
				c.instances(key)
			}
		case "inputs":
			if !seen.once(s, inputs, key) || !c.only(&given) {
				continue
			}
			if c.dialect.Tensorflow {
				c.columns = true
				c.columnar(key)
			} else {
				c.instances(key)
			}
		case "signature_name":
			if !c.dialect.Tensorflow {
				s.Skip()
			} else if seen.once(s, name, key) {
				if asked := s.String(); s.Err() == nil && asked != "" && asked != servingDefault {
					c.fail(fault.Invalidf("the model has no signature %.60q; it has %q alone", asked, servingDefault))
				}
			}
		default:
			s.Skip()
		}
	}
	return given
}

// only notes that rows have come, which may be once.
func (c *v1Call) only(given *bool) bool {
	if *given {
		c.s.Failf(`the request holds both "instances" and "inputs"; send one of them`)
		return false
	}
	*given = true
	return true
}

// Answer writes {"predictions": [...]} in the shape of the model's output: a value or a list for each row, or an object with each output by
// its name where the model gives several. To TensorFlow's columns it answers {"outputs": ...}, whole tensors; and its outputs of bytes whose
// names end in "_bytes" are written {"b64": "..."}. Explanations are {"explanations": [...]}. A float32 is written as the double it equals,
// as numpy's tolist gives it.
func (c *v1Call) Answer(dst []byte, _ Meta, resp *tensor.Response) (_ []byte, err error) {
	switch {
	case c.dialect.Explain:
		dst = append(dst, `{"explanations":`...)
		dst, err = appendExplanations(dst, c.signature, resp)
	case c.columns:
		dst = append(dst, `{"outputs":`...)
		dst, err = appendColumns(dst, resp)
	default:
		dst = append(dst, `{"predictions":`...)
		dst, err = appendPredictions(dst, resp, c.rows(), c.dialect.Tensorflow)
	}
	return append(dst, '}'), err
}

// Error appends the protocols' error object. It never fails. The status is not part of it.
func (V1) Error(dst []byte, _ int, err error) []byte {
	dst = append(dst, `{"error":`...)
	dst = appendText(dst, explain(err))
	return append(dst, '}')
}
