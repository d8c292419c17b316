package wire

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/serin-ml/serin/internal/tensor"
)

// BenchmarkBinaryExchange decodes a request of rows of 56 FP32 and encodes its answer, as a server does for each: the binary extension
// and protobuf, raw and typed.
func BenchmarkBinaryExchange(b *testing.B) {
	const width = 56
	sig := tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, width}}},
		Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}},
	}
	files := protos(b)
	for _, rows := range []int{1, 1000} {
		values := make([]float32, rows*width)
		for i := range values {
			values[i] = float32(rand.NormFloat64())
		}
		in := tensor.New("input", []int{rows, width}, values)
		raw := rawContents(in)
		text := fmt.Sprintf(`{"id":"1","inputs":[{"name":"input","shape":[%d,%d],"datatype":"FP32","parameters":{"binary_data_size":%d}}],`+
			`"outputs":[{"name":"prediction","parameters":{"binary_data":true}}]}`, rows, width, len(raw))
		call := headers{HeaderLength: strconv.Itoa(len(text)), "Content-Type": octetStream}
		head := fmt.Sprintf(`model_name: "m" id: "1" inputs {name: "input" datatype: "FP32" shape: [%d, %d]`, rows, width)
		typed := make([]byte, 0, 8*len(values))
		for _, v := range values {
			typed = fmt.Appendf(typed, "%g,", v)
		}
		answer := &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{rows}, make([]float32, rows))}}
		for _, form := range []struct {
			name   string
			body   []byte
			decode func([]byte) (Exchange, error)
		}{
			{"rest", append([]byte(text), raw...), func(body []byte) (Exchange, error) { return OpenInference{}.DecodeCall(body, call, sig, Limits{}) }},
			{"proto-raw", protoRequest(b, files, head+fmt.Sprintf(`} raw_input_contents: %q`, raw)), func(body []byte) (Exchange, error) { return OpenInferenceProto{}.Decode(body, sig, Limits{}) }},
			{"proto-typed", protoRequest(b, files, head+` contents {fp32_contents: [`+string(typed[:len(typed)-1])+`]}}`), func(body []byte) (Exchange, error) { return OpenInferenceProto{}.Decode(body, sig, Limits{}) }},
		} {
			b.Run(fmt.Sprintf("%s/%dx%d", form.name, rows, width), func(b *testing.B) {
				b.SetBytes(int64(len(form.body)))
				b.ReportAllocs()
				var dst []byte
				for b.Loop() {
					x, err := form.decode(form.body)
					if err != nil {
						b.Fatal(err)
					}
					if dst, err = x.Answer(dst[:0], meta, answer); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
