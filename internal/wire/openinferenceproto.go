package wire

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// OpenInferenceProto is the Open Inference Protocol v2 over gRPC: the body of a request is an inference.ModelInferRequest, that of an
// answer an inference.ModelInferResponse.
//
// The inputs of one request are all raw (raw_input_contents) or all typed (contents). A raw request is answered raw. A typed one is
// answered both ways at once, though the protocol wants one: KServe and MLServer answer typed then and Triton raw, and clients written
// for each read what they are used to and nothing else. Classes are asked for as OpenInference has them, by the parameter classification.
type OpenInferenceProto struct{}

// openInferenceProtoCall is an inference request and what reading it needs, in one allocation.
type openInferenceProtoCall struct {
	inference
	signature tensor.Signature
	model     []byte // as the request has it
	protos    []protoInput
	proto     [1]protoInput
	raws      [][]byte // raw_input_contents
	raws1     [1][]byte
}

// protoInput is an input before its values are read. It shares the body.
type protoInput struct {
	name     string
	datatype tensor.DType
	shape    []int
	typed    bool     // it has contents, maybe empty
	contents []byte   // those
	more     [][]byte // and those of further such fields: protobuf puts all of them together
}

// Decode reads an inference request for a model of the given signature. Inputs whose names only count stand for the model's, as
// OpenInference has it.
func (OpenInferenceProto) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	c := &openInferenceProtoCall{signature: signature}
	c.begin(l)
	c.protos, c.raws = c.proto[:0], c.raws1[:0]
	if err := c.message(body); err != nil {
		return nil, err
	}
	if len(c.protos) == 0 {
		return nil, fault.Invalidf("the request has no inputs")
	}
	if len(c.raws) > 0 {
		if err := c.onlyRaw(); err != nil {
			return nil, err
		}
		c.binary = true
	}
	for i := range c.protos {
		in := &c.protos[i]
		data, err := c.values(in, i)
		if err != nil {
			return nil, fault.Invalidf("%s: %w", inputWhat(in.name, i), err)
		}
		c.request.Inputs = append(c.request.Inputs, tensor.Tensor{Name: in.name, Shape: in.shape, Data: data})
	}
	c.nameInputs(signature)
	c.nameOutputs(signature)
	return c, nil
}

// Error appends nothing: the status of a gRPC call tells what went wrong.
func (OpenInferenceProto) Error(dst []byte, _ int, _ error) []byte { return dst }

// message reads all of a request but the values.
func (c *openInferenceProtoCall) message(body []byte) error {
	f := protoFields{message: "ModelInferRequest", left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			c.model = f.chars()
		case 2<<3 | delimited: // the version, which InferenceTarget tells
			f.chars()
		case 3<<3 | delimited:
			c.id = f.text()
			c.request.ID = c.id
		case 4<<3 | delimited: // no other changes anything, but all must be well-formed
			if p := readProtoParameter(&f); p.key == "timeout" && (p.choice == 2 || p.choice == 5) {
				c.setTimeout(float64(int64(p.number)))
			}
		case 5<<3 | delimited:
			c.input(&f)
		case 6<<3 | delimited:
			c.output(&f)
		case 7<<3 | delimited:
			c.raws = append(c.raws, f.bytes)
		}
		if len(c.protos) > maxInputs || len(c.raws) > maxInputs {
			return fault.Invalidf("the request has more than %d inputs", maxInputs)
		}
	}
	return f.err
}

// input reads one input, all but its values.
func (c *openInferenceProtoCall) input(of *protoFields) {
	var in protoInput
	var datatype []byte
	var sizes [maxRank]int
	rank := 0
	var problem error // told once the name is known: fields come in any order
	shape := func(size uint64) {
		switch {
		case problem != nil:
		case rank == maxRank:
			problem = fault.Invalidf("a shape of more than %d dimensions", maxRank)
		case size > math.MaxInt32: // a negative one is larger yet
			problem = fault.Invalidf("%d cannot be the size of a dimension", int64(size))
		default:
			sizes[rank] = int(size)
			rank++
		}
	}
	f := protoFields{message: of.message, left: of.bytes}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			in.name = knownName(c.signature.Inputs, f.chars())
		case 2<<3 | delimited:
			datatype = f.chars()
		case 3<<3 | varint:
			shape(f.number)
		case 3<<3 | delimited:
			for packed := f.bytes; len(packed) > 0 && f.err == nil; {
				size, n := protowire.ConsumeVarint(packed)
				if n < 0 {
					f.broken(n)
					break
				}
				shape(size)
				packed = packed[n:]
			}
		case 4<<3 | delimited:
			if p := readProtoParameter(&f); p.key == sharedMemory {
				problem = errSharedMemory
			}
		case 5<<3 | delimited:
			if len(in.contents) > 0 && len(f.bytes) > 0 {
				in.more = append(in.more, f.bytes)
			} else if len(f.bytes) > 0 {
				in.contents = f.bytes
			}
			in.typed = true
		}
	}
	if in.datatype = parseDatatype(datatype); in.datatype == 0 && problem == nil {
		_, problem = tensor.ParseDType(string(datatype))
	}
	switch at := len(c.protos); {
	case in.name == "":
		f.refuse(fault.Invalidf("input %d has no name", at))
	case problem != nil:
		f.refuse(fault.Invalidf("%s: %w", inputWhat(in.name, at), problem))
	}
	of.err = f.err
	from := len(c.sizes)
	c.sizes = append(c.sizes, sizes[:rank]...)
	in.shape = c.sizes[from:len(c.sizes):len(c.sizes)]
	c.protos = append(c.protos, in)
}

// output reads one output asked for.
func (c *openInferenceProtoCall) output(of *protoFields) {
	var w wish
	f := protoFields{message: of.message, left: of.bytes}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			w.name = knownName(c.signature.Outputs, f.chars())
		case 2<<3 | delimited:
			switch p := readProtoParameter(&f); p.key {
			case sharedMemory:
				f.refuse(fault.Invalidf("an output: %w", errSharedMemory))
			case "classification":
				if p.choice != 2 && p.choice != 5 || p.number < 1 || p.number > math.MaxInt32 {
					f.refuse(fault.Invalidf("the parameter classification of an output must be a number of classes, from 1 on"))
				}
				w.classes = int(p.number)
			}
		}
	}
	if f.err == nil {
		f.err = c.ask(w, c.signature)
	}
	of.err = f.err
}

// onlyRaw checks that a request with raw_input_contents holds one for each input, and no values beside them.
func (c *openInferenceProtoCall) onlyRaw() error {
	for i := range c.protos {
		if c.protos[i].typed { // clients look for these words
			return fault.Invalidf("contents field must not be specified when using raw_input_contents for '%.60s' for model '%.60s'", c.protos[i].name, c.model).
				WithHint("send the values of all inputs in one of the two")
		}
	}
	if len(c.raws) != len(c.protos) {
		return fault.Invalidf("%d raw_input_contents for %d inputs: there must be one for each", len(c.raws), len(c.protos))
	}
	return nil
}

// values reads the values of input i.
func (c *openInferenceProtoCall) values(in *protoInput, i int) (any, error) {
	n, err := c.admit(in.shape)
	switch {
	case err != nil:
		return nil, err
	case c.binary:
		return readBinary(in.datatype, c.raws[i], n)
	}
	return readContents(in, n)
}
