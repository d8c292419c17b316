package wire

import (
	"strconv"

	"github.com/serin-ml/serin/internal/tensor"
)

// V1Version is what a document of TensorFlow Serving's says of one version of a model.
type V1Version struct {
	Version string
	State   string // START, LOADING, AVAILABLE, UNLOADING or END
	Err     error  // why it cannot be used; nil: nothing is wrong
}

// V1ModelStatus returns what GET /v1/models/NAME says: KServe's keys (name and ready) and TensorFlow Serving's (model_version_status) in one
// object, so that clients of both read what they know.
func V1ModelStatus(name string, ready bool, versions []V1Version) []byte {
	dst := appendText([]byte(`{"name":`), name)
	dst = append(dst, `,"ready":`...)
	dst = strconv.AppendBool(dst, ready)
	dst = append(dst, `,"model_version_status":[`...)
	for i, v := range versions {
		dst = append(comma(dst, i), `{"version":`...)
		dst = appendText(dst, v.Version)
		dst = append(dst, `,"state":`...)
		dst = appendText(dst, v.State)
		code, message := "OK", ""
		if v.Err != nil {
			code, message = "UNAVAILABLE", explain(v.Err)
		}
		dst = append(dst, `,"status":{"error_code":"`...)
		dst = append(dst, code...)
		dst = append(dst, `","error_message":`...)
		dst = append(appendText(dst, message), "}}"...)
	}
	return append(dst, "]}"...)
}

// V1ModelList returns what GET /v1/models says.
func V1ModelList(names []string) []byte { return AppendModelList(nil, names) }

// V1Metadata returns what GET /v1/models/NAME/metadata says in TensorFlow Serving: the one signature, with sizes of -1 where any goes. Outputs
// on demand are left out, since a predict call does not answer with them.
func V1Metadata(name, version string, signature tensor.Signature) []byte {
	dst := appendText([]byte(`{"model_spec":{"name":`), name)
	dst = append(dst, `,"signature_name":"","version":`...)
	dst = appendText(dst, version)
	dst = append(dst, `},"metadata":{"signature_def":{"signature_def":{"`+servingDefault+`":{"inputs":{`...)
	dst = appendInfos(dst, signature.Inputs)
	dst = append(dst, `},"outputs":{`...)
	dst = appendInfos(dst, signature.Outputs)
	return append(dst, `},"method_name":"tensorflow/serving/predict"}}}}}`...)
}

func appendInfos(dst []byte, specs []tensor.Spec) []byte {
	written := 0
	for i := range specs {
		p := &specs[i]
		if p.OnDemand {
			continue
		}
		dst = appendText(comma(dst, written), p.Name)
		written++
		dst = append(dst, `:{"dtype":"`...)
		dst = append(dst, tensorflowType(p.DType)...)
		dst = append(dst, `","tensor_shape":{"dim":[`...)
		for k, d := range p.Shape {
			dst = append(comma(dst, k), `{"size":"`...) // a string: protobuf's JSON writes 64-bit numbers so
			dst = strconv.AppendInt(dst, int64(d), 10)
			dst = append(dst, `","name":""}`...)
		}
		dst = append(dst, `],"unknown_rank":false},"name":`...)
		dst = append(appendText(dst, p.Name+":0"), '}')
	}
	return dst
}

// tensorflowType is TensorFlow's name of a type.
func tensorflowType(d tensor.DType) string {
	switch d {
	case tensor.Float32:
		return "DT_FLOAT"
	case tensor.Float64:
		return "DT_DOUBLE"
	case tensor.Bytes:
		return "DT_STRING"
	}
	return "DT_" + d.String() // DT_BOOL, DT_UINT8, DT_INT64, ...
}
