package wire

import (
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// SeldonClient asks a server of Seldon Core's v1 protocol over REST: the only input as data, with the names of its columns where the
// signature has them, several inputs as jsonData by their names. The request's id is meta.puid.
//
// An answer holds one output, which has no name: the first that the signature gives without being asked. Where the signature names several,
// they are the columns of that output, if data.names are their names, or the values of jsonData. A tftensor is answered to none but those
// who ask with one, and is not read.
type SeldonClient struct {
	// Tensor sends data.tensor, as Seldon's own client does, rather than data.ndarray. A missing value is "NaN" then, which servers read
	// that are made of protobuf, rather than null.
	Tensor bool
}

// Ask appends the body of a request.
func (c SeldonClient) Ask(dst []byte, q *Question) (_ []byte, _ Frame, err error) {
	inputs, err := q.inputs(false)
	if err != nil {
		return dst, Frame{}, err
	}
	dst = append(dst, '{')
	if id := q.Request.ID; id != "" {
		dst = append(appendText(append(dst, `"meta":{"puid":`...), id), "},"...)
	}
	if len(inputs) > 1 {
		dst, err = appendByName(append(dst, `"jsonData":`...), inputs)
		return append(dst, '}'), Frame{}, err
	}
	in := &inputs[0]
	dst = append(dst, `"data":{`...)
	if columns := q.columns(0); columns != nil {
		dst = append(appendTexts(append(dst, `"names":`...), columns), ',')
	}
	if c.Tensor && in.DType().Numeric() {
		dst = appendShape(append(dst, `"tensor":{"shape":`...), in.Shape)
		dst, err = appendFlat(append(dst, `,"values":`...), &in.Tensor, in.form&^nulls|texted)
		return append(dst, "}}}"...), Frame{}, err
	}
	dst, err = appendNested(append(dst, `"ndarray":`...), &in.Tensor, in.form)
	return append(dst, "}}"...), Frame{}, err
}

// Read reads the body of an answer. One that says of itself that it is a failure is Internal, whatever the status was that it came with.
func (SeldonClient) Read(body []byte, _ Frame, q *Question, l Limits) (*tensor.Response, error) {
	r := seldonReader{answerReader: answerReader{question: q, limits: l.orDefault(), proto: true}}
	r.begin(body)
	r.message()
	if r.failed && r.s.Err() == nil {
		return nil, fault.Internalf("the answer says that it is a failure: %s", Complaint(body))
	}
	return r.response("the answer has no data")
}

// seldonReader is an answer while it is read.
type seldonReader struct {
	answerReader
	failed bool
	names  []string
	later  jsonscan.Scanner // at an ndarray that is several outputs
}

func (r *seldonReader) message() {
	const data, text, binary, json, status = 0, 1, 2, 3, 4
	var seen keys
	s := &r.s
	for s.Object(); s.Next(); {
		switch key := string(s.Key()); key {
		case "data":
			if seen.once(s, data, key) && r.only(key) {
				r.data()
			}
		case "strData":
			if seen.once(s, text, key) && r.only(key) {
				r.one(s.String())
			}
		case "binData":
			if seen.once(s, binary, key) && r.only(key) {
				r.one(string(readBase64(s, key)))
			}
		case "jsonData":
			if seen.once(s, json, key) && r.only(key) {
				r.outputs(key)
			}
		case "status":
			if seen.once(s, status, key) {
				r.status()
			}
		default:
			s.Skip()
		}
	}
}

// status reads a status, which answers that are none have too.
func (r *seldonReader) status() {
	s := &r.s
	if s.Peek() != jsonscan.Object {
		s.Skip()
		return
	}
	for s.Object(); s.Next(); {
		switch key := string(s.Key()); {
		case key == "status" && s.Peek() == jsonscan.String:
			r.failed = r.failed || string(s.Bytes()) == "FAILURE"
		case key == "status" && s.Peek() == jsonscan.Number:
			r.failed = r.failed || string(s.Number()) == "1"
		default:
			s.Skip()
		}
	}
}

// one makes an output of a single text.
func (r *seldonReader) one(text string) {
	spec := r.unnamed()
	name, shape := OpenOutput, []int{1}
	if spec != nil {
		name = spec.Name
	}
	r.tensors = append(r.tensors, tensor.New(name, shape, []string{text}))
}

// data reads the object that holds names and a tensor.
func (r *seldonReader) data() {
	const names, ndarray, tensors = 0, 1, 2
	var seen keys
	s := &r.s
	count := 0
	several := len(r.question.Signature.Outputs) > 1
	for s.Object(); s.Next(); {
		switch key := string(s.Key()); key {
		case "names":
			if seen.once(s, names, key) {
				r.readNames(several)
			}
		case "ndarray":
			if !seen.once(s, ndarray, key) {
				continue
			}
			count++
			if r.later = *s; several && s.Peek() == jsonscan.Array { // its names may come behind it
				s.Skip()
				continue
			}
			r.outputs("data.ndarray")
		case "tensor":
			if seen.once(s, tensors, key) {
				count++
				r.tensor()
			}
		case "tftensor":
			s.Failf("data.tftensor is not read: none was asked for")
		default:
			s.Skip()
		}
	}
	switch {
	case s.Err() != nil:
	case count != 1:
		s.Failf("data holds %d of tensor and ndarray", count)
	case several && len(r.tensors) == 0:
		r.columns()
	}
}

// readNames reads the names of columns, if they can be those of outputs.
func (r *seldonReader) readNames(keep bool) {
	s := &r.s
	if !keep {
		s.Skip()
		return
	}
	for s.Array(); s.Next(); {
		name := s.String()
		if len(r.names) <= maxOutputs {
			r.names = append(r.names, name)
		}
	}
}

// columns makes outputs of the columns of an ndarray, if their names are those of outputs; else the whole of it is the first.
func (r *seldonReader) columns() {
	after := r.s
	r.s = r.later
	wanted := r.question.Signature.Wanted(r.question.Request)
	if slices.ContainsFunc(wanted, func(name string) bool {
		spec, _ := r.named(name)
		return spec == nil || !slices.Contains(r.names, name)
	}) {
		r.outputs("data.ndarray")
	} else {
		r.split(wanted)
	}
	if r.s.Err() == nil {
		r.s = after
	}
}

// split reads an ndarray whose columns are outputs.
func (r *seldonReader) split(wanted []string) {
	d := tensor.Float64
	if spec, _ := r.named(wanted[0]); spec.DType == tensor.Bytes {
		d = tensor.Bytes
	}
	data, shape, err := r.list(&r.s, d, nil)
	switch {
	case err != nil:
		r.wrong("data.ndarray", err)
		return
	case len(shape) != 2 || shape[1] != len(r.names):
		r.fail(fault.Invalidf("data.ndarray has the shape %v where %d columns are named", shape, len(r.names)))
		return
	}
	rows := shape[0]
	for _, name := range wanted {
		spec, _ := r.named(name)
		t := tensor.Tensor{Name: name, Shape: []int{rows}}
		at := slices.Index(r.names, name)
		switch data := data.(type) {
		case []string:
			t.Data = column1(data, at, len(r.names))
		case []float64:
			var wrong int
			if t.Data, wrong = fromDoubles(column1(data, at, len(r.names)), spec.DType); wrong >= 0 {
				r.fail(fault.Invalidf("data.ndarray, row %d: %q is no %v", wrong, name, spec.DType))
				return
			}
		}
		r.tensors = append(r.tensors, t)
	}
}

// column1 returns one column of rows of a width.
func column1[T tensor.Element](data []T, at, width int) []T {
	out := make([]T, 0, len(data)/max(width, 1))
	for ; at < len(data); at += width {
		out = append(out, data[at])
	}
	return out
}

// tensor reads {"shape": [...], "values": [...]}.
func (r *seldonReader) tensor() {
	const shapeKey, valuesKey = 0, 1
	var seen keys
	var sizes [maxRank]int
	rank := -1
	s := &r.s
	for s.Object(); s.Next(); {
		switch key := string(s.Key()); key {
		case "shape":
			if seen.once(s, shapeKey, key) {
				rank = readShape(s, sizes[:])
			}
		case "values":
			if seen.once(s, valuesKey, key) {
				r.outputs("data.tensor.values")
			}
		default:
			s.Skip()
		}
	}
	if s.Err() != nil {
		return
	}
	n, err := tensor.Elements(sizes[:max(rank, 0)])
	switch {
	case rank < 0 || len(r.tensors) != 1:
		s.Failf("data.tensor has no shape or no values")
	case err != nil:
		r.fail(fault.Invalidf("data.tensor: %w", err))
	case len(r.tensors[0].Shape) != 1 || n != r.tensors[0].Len():
		s.Failf("data.tensor has %d values, but shape %v needs %d", r.tensors[0].Len(), sizes[:rank], n)
	default:
		r.tensors[0].Shape = slices.Clone(sizes[:rank])
	}
}
