// Package wire holds the dialects: it turns the body of a request into a tensor.Request, and a tensor.Response or an error into the
// body of the answer. It is bytes to values and back; sockets, paths and headers are the gateway's.
//
// Each dialect is a small value with the same two methods: Decode reads a body and gives an Exchange, which remembers what the answer
// must repeat (an id, an encoding, tags), and Error writes an error in the dialect's own form.
//
//	dialect         body                                    answer
//	Seldon          data, strData, binData or jsonData      data in the same encoding, meta
//	OpenInference   inputs as JSON or binary data, id       outputs as JSON or binary data, id
//	V1              instances (rows) or inputs              predictions, outputs or explanations
//	MLflow          a data frame or tensors in JSON, CSV    predictions
//	Mapped          any JSON, as a Mapping reads it         any JSON, as the Mapping forms it
//
// What all of them do alike:
//
//   - Decode takes apart what the body says and refuses what contradicts itself; whether it fits the model is asked once, with
//     tensor.Signature.Check, by the caller.
//   - Numbers are read to the nearest float64 and then, for a FP32 model, rounded to the nearest float32. That is two roundings, and on
//     purpose: a client's library does the same (decimal text -> double -> numpy.float32), and the number must be the one that the model
//     got offline. A decimal that float64 holds but float32 cannot is refused rather than turned into an infinity.
//   - null is a missing value (NaN) where numbers with a fraction are meant. The tokens NaN, Infinity and -Infinity, which Python
//     writes, are read too; whether an infinity makes sense is the model's to say.
//   - Answers are strict JSON. A NaN or an infinity, or text that is not valid UTF-8, in an output is an Internal error.
//   - Unknown keys are ignored, known ones given twice are refused, and their order does not matter.
package wire

import (
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// Exchange is one request on its way to its answer. It may share the body's bytes: keep them unchanged until Answer has returned.
type Exchange interface {
	// Request returns what is asked, always the same value. The caller may change it, as tensor.Signature.Check does.
	Request() *tensor.Request
	// Answer appends the body that answers with resp to dst. An output that the dialect cannot carry is Internal: dst then holds
	// a part of an answer and must not be sent.
	Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error)
}

// Meta is what an answer tells besides tensors. Empty fields are left out of it.
type Meta struct {
	Service string // the name clients call; Open Inference's model_name
	Model   string // the model that answered
	Version string // its version in the registry
	Semver  string // its semantic version; neither Seldon nor Open Inference has a place for it
	ID      string // the request's id where its body brings none (the Seldon-Puid header, or one that the server made)

	Variant    string // the service's variant that answered
	DecisionID string // the decision's id
	Token      string // the decision's token
}

// Limits bound what one request may hold. A zero field means its default.
type Limits struct {
	Rows     int // first dimension of a tensor of two or more dimensions; DefaultRows
	Elements int // values in all inputs together; DefaultElements
}

// The limits of a request that names none.
const (
	DefaultRows     = 100_000
	DefaultElements = 1 << 24
)

func (l Limits) orDefault() Limits {
	if l.Rows <= 0 {
		l.Rows = DefaultRows
	}
	if l.Elements <= 0 {
		l.Elements = DefaultElements
	}
	return l
}

// keys remembers which keys of an object came by, one bit each.
type keys uint16

// once tells whether the key came for the first time and holds something: a null counts as absent, as clients mean it.
func (k *keys) once(s *jsonscan.Scanner, bit int, name string) bool {
	if *k&(1<<bit) != 0 {
		s.Failf("the key %q is given twice", name)
		return false
	}
	*k |= 1 << bit
	if s.Peek() == jsonscan.Null {
		s.Null()
		return false
	}
	return s.Err() == nil
}

// reading is what every dialect reads a body with.
type reading struct {
	s         jsonscan.Scanner
	array     array
	signature tensor.Signature
	err       error // the first that tells its own place, not the scanner's
}

func (r *reading) start(body []byte, signature tensor.Signature) {
	r.signature = signature
	r.s.AllowNonFinite().Reset(body)
}

// fail records an error that tells its own place, unless one came before it, and ends the reading.
func (r *reading) fail(err error) {
	if r.err == nil && r.s.Err() == nil {
		r.err = err
		r.s.Failf("%w", err)
	}
}

// end checks that nothing follows, and returns the first error.
func (r *reading) end() error {
	r.s.End()
	if r.err != nil {
		return r.err
	}
	return r.s.Err()
}
