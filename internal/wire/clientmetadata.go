package wire

import (
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// The documents in which servers tell what their models take and give, as a client reads them. A document that is none is Internal.

// maxSpecs is how many inputs, or outputs, a document may describe.
const maxSpecs = 1000

// ReadModelMetadata reads the Open Inference Protocol's model metadata. Servers that do not know a model's inputs or outputs name none. Of
// FP16 and BF16, outputs are FP32, as answers hold them; inputs are not supported.
func ReadModelMetadata(body []byte) (ModelInfo, error) {
	var m ModelInfo
	var err error
	r := metadataReader{}
	s := &r.s
	s.Reset(body)
	for s.Object(); s.Next(); {
		switch string(s.Key()) {
		case "name":
			m.Name = r.text()
		case "versions":
			m.Versions = r.texts()
		case "platform":
			m.Platform = r.text()
		case "inputs":
			m.Signature.Inputs = r.specs(true)
		case "outputs":
			m.Signature.Outputs = r.specs(false)
		default:
			s.Skip()
		}
	}
	if s.End(); r.wrong == nil {
		r.wrong = s.Err()
	}
	if r.wrong != nil {
		err = fault.Internalf("the model's metadata cannot be read: %w", r.wrong)
	}
	return m, err
}

// ReadServerMetadata reads the Open Inference Protocol's server metadata.
func ReadServerMetadata(body []byte) (ServerInfo, error) {
	var i ServerInfo
	r := metadataReader{}
	s := &r.s
	s.Reset(body)
	for s.Object(); s.Next(); {
		switch string(s.Key()) {
		case "name":
			i.Name = r.text()
		case "version":
			i.Version = r.text()
		case "extensions":
			i.Extensions = r.texts()
		default:
			s.Skip()
		}
	}
	s.End()
	if s.Err() != nil {
		return i, fault.Internalf("the server's metadata cannot be read: %w", s.Err())
	}
	return i, nil
}

// ReadSeldonMetadata reads what Seldon's servers tell of a model or, as graphinputs and graphoutputs, of a deployment. Those that are not
// described by a name, a type and a shape are left out, all of them: such documents are for people.
func ReadSeldonMetadata(body []byte) (tensor.Signature, error) {
	var sig tensor.Signature
	r := metadataReader{loose: true}
	s := &r.s
	s.Reset(body)
	for s.Object(); s.Next(); {
		switch string(s.Key()) {
		case "inputs", "graphinputs":
			sig.Inputs = r.specs(true)
		case "outputs", "graphoutputs":
			sig.Outputs = r.specs(false)
		default:
			s.Skip()
		}
	}
	s.End()
	if s.Err() != nil {
		return tensor.Signature{}, fault.Internalf("the metadata cannot be read: %w", s.Err())
	}
	return sig, nil
}

// metadataReader reads metadata.
type metadataReader struct {
	s     jsonscan.Scanner
	loose bool  // what cannot be understood is left out
	wrong error // what cannot be understood
}

// text reads a text, and passes over what is none.
func (r *metadataReader) text() string {
	if r.s.Peek() != jsonscan.String {
		r.s.Skip()
		return ""
	}
	return r.s.String()
}

// texts reads a list of texts, and passes over what is none.
func (r *metadataReader) texts() (list []string) {
	if r.s.Peek() != jsonscan.Array {
		r.s.Skip()
		return nil
	}
	for r.s.Array(); r.s.Next(); {
		if text := r.text(); text != "" && len(list) < maxOpenColumns {
			list = append(list, text)
		}
	}
	return list
}

// specs reads a list of inputs or outputs.
func (r *metadataReader) specs(inputs bool) []tensor.Spec {
	s := &r.s
	if s.Peek() != jsonscan.Array {
		s.Skip()
		return nil
	}
	var list []tensor.Spec
	known := true
	for s.Array(); s.Next(); {
		if s.Peek() != jsonscan.Object {
			s.Skip()
			known = false
			continue
		}
		p, err := r.spec(inputs)
		switch {
		case s.Err() != nil:
			return nil
		case err == nil && len(list) == maxSpecs:
			err = fault.Invalidf("more than %d inputs or outputs", maxSpecs)
		case err == nil && slices.ContainsFunc(list, func(before tensor.Spec) bool { return before.Name == p.Name }):
			err = fault.Invalidf("%q comes twice", p.Name)
		}
		if err != nil {
			if known = false; r.wrong == nil {
				r.wrong = err
			}
			continue
		}
		list = append(list, p)
	}
	if !known && r.loose {
		return nil
	}
	return list
}

// spec reads one input or output.
func (r *metadataReader) spec(input bool) (p tensor.Spec, err error) {
	s := &r.s
	datatype := ""
	for s.Object(); s.Next(); {
		switch string(s.Key()) {
		case "name":
			p.Name = r.text()
		case "datatype":
			datatype = r.text()
		case "shape":
			if s.Peek() == jsonscan.Array {
				p.Shape = r.shape()
			} else {
				s.Skip()
			}
		case "parameters":
			r.parameters(&p)
		default:
			s.Skip()
		}
	}
	return p, described(&p, datatype, input)
}

// described completes an input or output of which a document has been read.
func described(p *tensor.Spec, datatype string, input bool) error {
	p.DType = parseDatatype([]byte(datatype))
	switch half := p.DType > tensor.Bytes; {
	case p.Name == "":
		return fault.Invalidf("an input or output has no name")
	case p.DType == 0:
		return fault.Invalidf("%.60q has the datatype %.40q, which is unknown", p.Name, datatype)
	case half && input:
		return fault.Invalidf("input %.60q is %s, which cannot be sent", p.Name, datatype)
	case half:
		p.DType = tensor.Float32
	}
	if len(p.Shape) == 0 || len(p.Shape) > maxRank || slices.ContainsFunc(p.Shape, func(d int) bool { return d < -1 || d == 0 || d > math.MaxInt32 }) {
		return fault.Invalidf("%.60q has the shape %v", p.Name, p.Shape[:min(len(p.Shape), maxRank)])
	}
	if width := p.Shape[len(p.Shape)-1]; len(p.Columns) > 0 && (len(p.Shape) < 2 || width != len(p.Columns) && width != anySize) {
		p.Columns = nil
	}
	return nil
}

// shape reads sizes, -1 for any.
func (r *metadataReader) shape() (shape []int) {
	s := &r.s
	for s.Array(); s.Next(); {
		d := s.Int64()
		if len(shape) == maxRank || d > math.MaxInt32 || d < math.MinInt32 {
			s.Failf("a shape with %d in it, or of more than %d dimensions", d, maxRank)
			return nil
		}
		shape = append(shape, int(d))
	}
	return shape
}

// parameters reads what Serin tells of a tensor besides; see appendParameters.
func (r *metadataReader) parameters(p *tensor.Spec) {
	s := &r.s
	if s.Peek() != jsonscan.Object {
		s.Skip()
		return
	}
	for s.Object(); s.Next(); {
		switch key := string(s.Key()); {
		case key == onDemandKey && s.Peek() == jsonscan.Bool:
			p.OnDemand = s.Bool()
		case key == absentZeroKey && s.Peek() == jsonscan.Bool:
			p.AbsentZero = s.Bool()
		case key == columnsKey:
			p.Columns = r.texts()
		case key == labelsKey:
			p.Labels = r.texts()
		default:
			s.Skip()
		}
	}
}
