package wire

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// ReadV1Metadata reads what TensorFlow Serving tells of a model: its signature serving_default, or the only one that it has. Inputs and
// outputs are in the order of the document, which has none of its own.
func ReadV1Metadata(body []byte) (tensor.Signature, error) {
	r := metadataReader{}
	r.s.Reset(body)
	var one, byDefault tensor.Signature
	n := 0
	r.within("metadata", func() {
		r.within("signature_def", func() {
			r.within("signature_def", func() {
				for r.s.Object(); r.s.Next(); n++ {
					name := string(r.s.Key())
					if one = r.signatureDef(); name == servingDefault {
						byDefault = one
					}
				}
			})
		})
	})
	r.s.End()
	switch {
	case r.s.Err() != nil:
		return one, fault.Internalf("the model's metadata cannot be read: %w", r.s.Err())
	case byDefault.Inputs != nil:
		one = byDefault
	case n != 1:
		return one, fault.Internalf("the model's metadata has %d signatures, none of which is %s", n, servingDefault)
	}
	if r.wrong != nil {
		return one, fault.Internalf("the model's metadata cannot be read: %w", r.wrong)
	}
	return one, nil
}

// within reads an object for what stands at one key.
func (r *metadataReader) within(key string, read func()) {
	s := &r.s
	if s.Peek() != jsonscan.Object {
		s.Skip()
		return
	}
	for s.Object(); s.Next(); {
		if string(s.Key()) == key && s.Peek() == jsonscan.Object {
			read()
		} else {
			s.Skip()
		}
	}
}

// signatureDef reads a SignatureDef.
func (r *metadataReader) signatureDef() (sig tensor.Signature) {
	s := &r.s
	for s.Object(); s.Next(); {
		switch string(s.Key()) {
		case "inputs":
			sig.Inputs = r.infos()
		case "outputs":
			sig.Outputs = r.infos()
		default:
			s.Skip()
		}
	}
	return sig
}

// infos reads a map of TensorInfo by name.
func (r *metadataReader) infos() (list []tensor.Spec) {
	s := &r.s
	for s.Object(); s.Next(); {
		p := tensor.Spec{Name: string(s.Key())}
		dtype := ""
		for s.Object(); s.Next(); {
			switch string(s.Key()) {
			case "dtype":
				dtype = r.text()
			case "tensor_shape":
				p.Shape = r.tensorShape()
			default:
				s.Skip()
			}
		}
		p.DType = dtypeOfTensorflow(dtype)
		switch {
		case s.Err() != nil || r.wrong != nil:
			return nil
		case p.DType == 0:
			r.wrong = fault.Invalidf("%.60q is of the type %.40q", p.Name, dtype)
		case len(p.Shape) == 0: // of unknown rank, or a scalar
			r.wrong = fault.Invalidf("%.60q is of no known rank", p.Name)
		case len(list) == maxSpecs:
			r.wrong = fault.Invalidf("more than %d inputs or outputs", maxSpecs)
		}
		list = append(list, p)
	}
	return list
}

// tensorShape reads a TensorShapeProto. Sizes are texts, as protobuf's JSON writes 64 bits, or numbers.
func (r *metadataReader) tensorShape() (shape []int) {
	s := &r.s
	for s.Object(); s.Next(); {
		if string(s.Key()) != "dim" || s.Peek() != jsonscan.Array {
			s.Skip()
			continue
		}
		for s.Array(); s.Next(); {
			size := ""
			for s.Object(); s.Next(); {
				switch key := string(s.Key()); {
				case key == "size" && s.Peek() == jsonscan.Number:
					size = string(s.Number())
				case key == "size":
					size = r.text()
				default:
					s.Skip()
				}
			}
			d, err := strconv.ParseInt(size, 10, 32)
			if (err != nil || d < -1 || d == 0 || len(shape) == maxRank) && s.Err() == nil {
				s.Failf("a shape with the size %.20q, or of more than %d dimensions", size, maxRank)
			}
			shape = append(shape, int(d))
		}
	}
	return shape
}

// dtypeOfTensorflow is the type that TensorFlow calls so, 0 where there is none.
func dtypeOfTensorflow(name string) tensor.DType {
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		if tensorflowType(d) == name {
			return d
		}
	}
	return 0
}
