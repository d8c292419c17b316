package wire

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// The other side of the dialects: what a server of one is asked by its client, and what it answers. Each client is a small value with the
// same two methods: Ask writes the body of a request, Read reads the body of its answer.
//
//	client                  asks with                                  is answered with
//	SeldonClient            data.ndarray or data.tensor, jsonData      data, jsonData, strData or binData
//	OpenInferenceClient     inputs as JSON or binary data, id          outputs as JSON or binary data
//	V1Client                instances                                  predictions or outputs
//	MLflowClient            dataframe_split, instances or inputs       predictions
//
// What all of them do alike:
//
//   - A tensor becomes one of the type that the signature says, as numpy's astype does it, where that loses nothing but a float's last
//     digits; a number that the type cannot hold is Invalid. Without a signature it is sent as it is.
//   - A float comes out of the answer as the float that went in: numbers are written as decimals that stand for one float alone, and read
//     to the type that the signature says. A NaN in a request is null, a missing value.
//   - An answer holds every output that was asked for, under its name, of its type and shape, and as many rows as were asked about where
//     the signature leaves their number open. Whatever else it holds is dropped. An answer that does not is Internal.
//   - Where the signature names no outputs, they are as they come: those that have no name in the dialect are called OpenOutput, and
//     those that have no type are whole numbers (INT64) where all of them are written so, else FP64; truths are BOOL and texts BYTES.

// OpenOutput is the name of an output of which neither the dialect nor a signature tells it.
const OpenOutput = "prediction"

// Question is what a server is asked. The dialects change nothing in it.
type Question struct {
	Request *tensor.Request
	// Signature is what the server's model takes and gives. Without inputs they are sent as they are, without outputs they are as they come.
	Signature tensor.Signature
}

// input returns input i as the server's model takes it.
func (q *Question) input(i int) (tensor.Tensor, error) {
	in := &q.Request.Inputs[i]
	if spec := q.spec(i); spec != nil && spec.DType != in.DType() {
		return asType(in, spec.DType)
	}
	return *in, nil
}

// spec returns what the server's model says of input i, nil where it says nothing.
func (q *Question) spec(i int) *tensor.Spec {
	if at := indexOfSpec(q.Signature.Inputs, q.Request.Inputs[i].Name); at >= 0 {
		return &q.Signature.Inputs[at]
	}
	return nil
}

// columns returns the names of the columns of input i, nil where they have none.
func (q *Question) columns(i int) []string {
	spec, shape := q.spec(i), q.Request.Inputs[i].Shape
	if spec == nil || len(shape) != 2 || len(spec.Columns) != shape[1] {
		return nil
	}
	return spec.Columns
}

// sound tells whether the request can be written at all.
func (q *Question) sound() error {
	if len(q.Request.Inputs) == 0 {
		return fault.Invalidf("the request has no input")
	}
	for i := range q.Request.Inputs {
		if err := q.Request.Inputs[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

// answered makes the response of the tensors that an answer held.
func (q *Question) answered(given []tensor.Tensor) (*tensor.Response, error) {
	if len(given) == 0 {
		return nil, fault.Internalf("the answer holds no output")
	}
	wanted := q.Signature.Wanted(q.Request)
	if len(wanted) == 0 {
		return &tensor.Response{Outputs: slices.Clone(given)}, nil // which nothing else hangs on
	}
	room := &struct { // in one allocation, for most
		tensor.Response
		one [1]tensor.Tensor
	}{}
	r := &room.Response
	if r.Outputs = room.one[:]; len(wanted) > 1 {
		r.Outputs = make([]tensor.Tensor, len(wanted))
	}
	for i, name := range wanted {
		at := slices.IndexFunc(given, func(t tensor.Tensor) bool { return t.Name == name })
		spec := indexOfSpec(q.Signature.Outputs, name)
		switch {
		case at < 0 && len(q.Signature.Outputs) == 0:
			return nil, fault.Invalidf("there is no output %.60q; those of this model are %s", name, tensorNames(given))
		case at < 0:
			return nil, fault.Internalf("the answer has no output %q; it has %s", name, tensorNames(given))
		}
		r.Outputs[i] = given[at]
		if spec < 0 {
			continue
		}
		if err := q.fit(&r.Outputs[i], &q.Signature.Outputs[spec]); err != nil {
			return nil, fault.Internalf("the answer's output %q %w", name, err)
		}
	}
	return r, nil
}

func tensorNames(list []tensor.Tensor) string {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return few(names)
}

// fit makes o an output of the type and rank that p says, where it is one but for dimensions of one and floats that are wider.
func (q *Question) fit(o *tensor.Tensor, p *tensor.Spec) error {
	if d := o.DType(); d != p.DType {
		if !widens(d, p.DType) {
			return fault.Internalf("holds %v; the signature says %v", d, p.DType)
		}
		wider, err := asType(o, p.DType)
		if err != nil {
			return err
		}
		*o = wider
	}
	if !reshape(o, p.Shape) {
		return fault.Internalf("has the shape %v; the signature says %v (-1: any number)", o.Shape, p.Shape)
	}
	rows := q.Request.Inputs[0].Rows()
	if in := q.spec(0); len(p.Shape) > 0 && p.Shape[0] == anySize && (in == nil || len(in.Shape) > 0 && in.Shape[0] == anySize) && o.Rows() != rows {
		return fault.Internalf("has %d rows where %d were asked about", o.Rows(), rows)
	}
	return nil
}

// reshape gives o the rank of want, where only dimensions of one at the end are too many or too few: [3] and [3,1] hold the same.
func reshape(o *tensor.Tensor, want []int) bool {
	if len(o.Shape) == len(want) {
		return fitsShape(o.Shape, want)
	}
	shape := slices.Clone(o.Shape)
	for len(shape) > len(want) && len(shape) > 1 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	for len(shape) > 0 && len(shape) < len(want) {
		shape = append(shape, 1)
	}
	if !fitsShape(shape, want) {
		return false
	}
	o.Shape = shape
	return true
}

func fitsShape(shape, want []int) bool {
	return slices.EqualFunc(shape, want, func(have, want int) bool { return want == anySize || have == want })
}

// longestComplaint is how much of what a server says is wrong is passed on, in bytes.
const longestComplaint = 400

// Complaint returns what the body of an answer that is an error says: the text where the dialects, the frameworks that servers are made
// with, and proxies before them have it; a short text that is no JSON as it is; "" where nothing is said. It is one line of printable
// text, cut where it is long.
func Complaint(body []byte) string {
	s := jsonscan.New(body)
	said := ""
	switch s.Peek() {
	case jsonscan.Object:
		said = complaintIn(s, 0)
	case jsonscan.String:
		said = s.String()
	default:
		if text := strings.TrimSpace(string(body[:min(len(body), longestComplaint)])); !strings.HasPrefix(text, "<") { // a page
			said = text
		}
	}
	return oneLine(said)
}

// complaintKeys are where an error document has its text, the most telling first: MLflow's and gRPC gateways' message, Seldon's info and
// reason in its status, Open Inference's and v1's error, FastAPI's detail, of which each mistake has a msg.
var complaintKeys = [...]string{"message", "error_message", "info", "error", "detail", "msg", "status", "reason"}

// complaintIn looks for the text in an object, or in what stands at those keys in it.
func complaintIn(s *jsonscan.Scanner, depth int) string {
	best, rank := "", len(complaintKeys)
	for s.Object(); s.Next(); {
		key := string(s.Key())
		at := slices.Index(complaintKeys[:], key)
		if at < 0 || at >= rank {
			s.Skip()
			continue
		}
		said := ""
		switch kind := s.Peek(); {
		case kind == jsonscan.String:
			said = s.String()
		case kind == jsonscan.Object && depth < 2:
			said = complaintIn(s, depth+1)
		case kind == jsonscan.Array && depth < 2:
			for s.Array(); s.Next(); {
				if said == "" && s.Peek() == jsonscan.Object {
					said = complaintIn(s, depth+1)
				} else {
					s.Skip()
				}
			}
		default:
			s.Skip()
		}
		if said != "" {
			best, rank = said, at
		}
	}
	return best
}

// oneLine makes a text that somebody else wrote fit to be shown.
func oneLine(text string) string {
	text = text[:min(len(text), 4*longestComplaint)] // before more is done with all of it
	text = strings.Join(strings.FieldsFunc(validText(text), func(r rune) bool { return r <= ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' }), " ")
	if len(text) <= longestComplaint {
		return text
	}
	cut := longestComplaint
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}
