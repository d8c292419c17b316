package wire

import (
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Seldon is the protocol of Seldon Core v1 over REST: a SeldonMessage in protobuf's JSON form. It carries one unnamed tensor each way.
//
//	payload        what a model with one input gets
//	data.tensor    numbers of a shape
//	data.ndarray   nested arrays of numbers, or of texts for an input of BYTES
//	data.tftensor  TensorFlow's TensorProto, of single or double floats, whole numbers, bools or strings
//	strData        one row of one text, for an input of BYTES
//	binData        the same of any bytes, in base64
//	jsonData       as data.ndarray, or rows by column: {"age": [1, 2]}, {"age": 1} or [{"age": 1}, {"age": 2}]
//
// A model with several inputs takes jsonData with an array for each, {"user": [1], "item": [2]}. Numbers become the input's own type;
// one that it cannot hold, such as a fraction where it is of whole numbers, is refused. customData is: its types are the sender's own.
//
// data.names, where given, must be the model's columns, in any order; the columns are put in the model's order. Names that only count
// (t:0, t:1, ...) stand for positions, and a model without column names takes any.
//
// The answer has the request's encoding where its first output is numbers: tensor, ndarray or tftensor, and tensor for a request that was
// not data. Else it is ndarray. Of the request's meta it repeats puid, tags, metrics and requestPath, to which the model that answered is
// added: {MODEL: "MODEL:VERSION"}, the version by its number in the registry. routing is not told; the token of the decision does that.
type Seldon struct {
	// Explain asks what each column contributes rather than for a prediction. The answer is an object: explanations, as
	// appendExplanations tells; names, the model's columns; model and version.
	Explain bool
}

// seldonForm is the form of a message's payload.
type seldonForm uint8

const (
	noForm seldonForm = iota
	tensorForm
	ndarrayForm
	tftensorForm
	stringForm
	binaryForm
	jsonForm
	customForm
)

// String returns the name of the form's field.
func (f seldonForm) String() string {
	return [...]string{"", "tensor", "ndarray", "tftensor", "strData", "binData", "jsonData", "customData"}[f]
}

// place names the form for an error, with the object that it stands in.
func (f seldonForm) place() string {
	if f <= tftensorForm {
		return "data." + f.String()
	}
	return f.String()
}

// seldonQuestion is what a SeldonMessage asks and what its answer repeats, whether it came as JSON or as protobuf.
type seldonQuestion struct {
	model   tensor.Signature
	limits  Limits
	explain bool

	request tensor.Request
	input   [1]tensor.Tensor
	shape   [maxRank]int // backs the shape of a tensor or a tftensor
	outputs [1]string
	names   seldonNames
	form    seldonForm
	named   bool // the payload says itself what its values are, by column or by input
	puid    string
	path    []seldonNode // requestPath as it came
}

// begin prepares for reading.
func (q *seldonQuestion) begin(model tensor.Signature, l Limits, explain bool) (err error) {
	q.model, q.limits, q.explain = model, l.orDefault(), explain
	if explain {
		q.request.Outputs, err = explanationOutputs(model)
	}
	return err
}

// seldonNode is an entry of requestPath: a node of the graph that a request came through, and what runs there.
type seldonNode struct{ name, image string }

// maxSeldonNodes is how many entries a request's requestPath may have; each is looked for among the others.
const maxSeldonNodes = 100

// passed adds an entry of the request's path. Of several under one name the last counts, as in any map of protobuf's.
func (q *seldonQuestion) passed(name, image string) error {
	if at := slices.IndexFunc(q.path, func(n seldonNode) bool { return n.name == name }); at >= 0 {
		q.path[at].image = image
		return nil
	}
	if len(q.path) == maxSeldonNodes {
		return fault.Invalidf("meta.requestPath has more than %d entries", maxSeldonNodes)
	}
	q.path = append(q.path, seldonNode{name, image})
	return nil
}

// seldonNames are the names of a request's columns. Those that stand where the model's do cost nothing.
type seldonNames struct {
	count int
	other []string // all of them, once one differs from the model's
}

func (n *seldonNames) add(name []byte, columns []string) {
	switch {
	case n.other != nil:
		n.other = append(n.other, string(name))
	case n.count == len(columns) || columns[n.count] != string(name):
		n.other = append(slices.Clone(columns[:n.count]), string(name))
	}
	n.count++
}

// takes notes the form of the payload, of which there may be one, and refuses a form that the model cannot take.
func (q *seldonQuestion) takes(form seldonForm) error {
	before := q.form
	q.form = form
	switch {
	case before != noForm && before <= tftensorForm && form <= tftensorForm:
		return fault.Invalidf("data holds both %v and %v; send one of them", before, form)
	case before != noForm:
		return fault.Invalidf("the request holds both %s and %s; send one of them", before.place(), form.place())
	case form == customForm:
		return fault.Invalidf("customData is not supported: its type is the sender's own").
			WithHint("send data.tensor, data.ndarray, data.tftensor, strData, binData or jsonData")
	case len(q.model.Inputs) == 0:
		return fault.Invalidf("this model takes no input")
	case form == jsonForm:
		return nil
	case len(q.model.Inputs) > 1:
		return fault.Invalidf("%s carries one input; this model takes %s", form.place(), inputNames(q.model)).
			WithHint(`send {"jsonData": {NAME: [...], ...}}, or ask over the Open Inference Protocol, /v2/models/NAME/infer`)
	}
	spec := &q.model.Inputs[0]
	switch numeric := spec.DType.Numeric(); {
	case numeric && (form == stringForm || form == binaryForm):
		return fault.Invalidf("%v is one text; input %q takes numbers, %v", form, spec.Name, spec.DType).
			WithHint("send data.tensor or data.ndarray")
	case !numeric && form == tensorForm:
		return fault.Invalidf("data.tensor holds numbers; input %q takes texts", spec.Name).
			WithHint("send data.ndarray or strData")
	}
	return nil
}

// width is how many values a row of the model has, 1 if that varies.
func (q *seldonQuestion) width() int {
	shape := q.model.Inputs[0].Shape
	if len(shape) == 0 {
		return 1
	}
	n, err := tensor.Elements(shape[1:])
	if err != nil {
		return 1
	}
	return n
}

// elements is the type that an input's elements are read into before settle makes them the input's own: whole numbers come with a
// point, as 1.0, from clients whose numbers are all doubles.
func (q *seldonQuestion) elements(input int) tensor.DType {
	if d := q.model.Inputs[input].DType; d == tensor.Float32 || d == tensor.Bytes {
		return d
	}
	return tensor.Float64
}

// one is a single value as a single row, of as many dimensions as the model's input has.
func (q *seldonQuestion) one(data any) {
	shape := q.shape[:min(len(q.model.Inputs[0].Shape), maxRank)]
	for i := range shape {
		shape[i] = 1
	}
	q.input[0] = tensor.Tensor{Shape: shape, Data: data}
}

// settle makes the request for the model once all is read.
func (q *seldonQuestion) settle() error {
	if q.form == noForm {
		return fault.Invalidf("the request has no data").WithHint(`send {"data": {"ndarray": [[...]]}}`)
	}
	if q.named && q.names.count > 0 { // which of the two is meant would be a guess
		return fault.Invalidf("data.names is given, but %s names its values itself", q.form.place()).
			WithHint("leave data.names out, or send jsonData as nested lists")
	}
	if q.request.Inputs == nil {
		q.request.Inputs = q.input[:]
		if err := q.nameColumns(); err != nil {
			return err
		}
	}
	for i := range q.request.Inputs {
		if err := q.convert(&q.request.Inputs[i]); err != nil {
			return err
		}
	}
	q.request.ID = q.puid
	if q.explain {
		return nil
	}
	defaults := 0
	for _, o := range q.model.Outputs {
		if o.OnDemand {
			continue
		}
		if defaults++; defaults == 1 {
			q.outputs[0] = o.Name
		}
	}
	if defaults > 1 {
		q.request.Outputs = q.outputs[:]
	}
	return nil
}

// nameColumns puts the columns in the model's order, where the request names them.
func (q *seldonQuestion) nameColumns() error {
	spec, shape := &q.model.Inputs[0], q.input[0].Shape
	if q.names.count == 0 || len(shape) == 0 || len(shape) > 2 || len(spec.Shape) != 2 {
		return nil // names of something else than columns
	}
	if width := shape[len(shape)-1]; width != q.names.count {
		return fault.Invalidf("data.names has %d names, but a row has %d values", q.names.count, width)
	}
	if len(spec.Columns) == 0 || q.names.other == nil && q.names.count == len(spec.Columns) {
		return nil
	}
	names := q.names.other
	if names == nil {
		names = spec.Columns[:q.names.count]
	}
	order, err := columnOrder(names, spec.Columns)
	if err != nil {
		return fault.Invalidf("data.names: %w", err)
	}
	if order == nil {
		return nil
	}
	reorderAny(q.input[0].Data, order)
	return nil
}

// reorderAny puts the columns of a tensor's data in order, in place.
func reorderAny(data any, order []int) {
	switch data := data.(type) {
	case []float32:
		reorder(data, order)
	case []float64:
		reorder(data, order)
	case []string:
		reorder(data, order)
	case []bool:
		reorder(data, order)
	case []int64:
		reorder(data, order)
	case []int32:
		reorder(data, order)
	case []int16:
		reorder(data, order)
	case []int8:
		reorder(data, order)
	case []uint64:
		reorder(data, order)
	case []uint32:
		reorder(data, order)
	case []uint16:
		reorder(data, order)
	case []uint8:
		reorder(data, order)
	}
}

// Request returns what is asked.
func (q *seldonQuestion) Request() *tensor.Request { return &q.request }

// columns are the names of the model's columns, if it has one input.
func (q *seldonQuestion) columns() []string {
	if len(q.model.Inputs) != 1 {
		return nil
	}
	return q.model.Inputs[0].Columns
}

// shaped makes the input of a shape and all its elements in a row.
func (q *seldonQuestion) shaped(shape []int, data any) error {
	q.input[0] = tensor.Tensor{Shape: shape, Data: data}
	n, err := tensor.Elements(shape)
	switch have := q.input[0].Len(); {
	case err != nil:
		return fault.Invalidf("%s: %w", q.form.place(), err)
	case n != have:
		return fault.Invalidf("%s has %d values, but shape %v needs %d", q.form.place(), have, shape, n)
	case len(shape) > 1 && shape[0] > q.limits.Rows:
		return fault.Invalidf("%s has %d rows; a request may have %d", q.form.place(), shape[0], q.limits.Rows)
	}
	return nil
}
