package wire

import (
	"encoding/json"
	"testing"

	"github.com/serin-ml/serin/internal/tensor"
)

// BenchmarkSeldonProto reads and answers a row of 56 numbers over gRPC's form of the protocol.
func BenchmarkSeldonProto(b *testing.B) {
	text, _ := json.Marshal(map[string]any{"data": map[string]any{"tensor": map[string]any{"shape": []int{1, 56}, "values": make([]float64, 56)}}})
	tensorBody := newLibrary(b).must(seldonMessage, string(text))
	text, _ = json.Marshal(map[string]any{"data": map[string]any{"ndarray": [][]float64{make([]float64, 56)}}})
	arrayBody := newLibrary(b).must(seldonMessage, string(text))
	sig := tensor.Signature{Inputs: []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 56}}}, Outputs: []tensor.Spec{{Name: "prediction"}}}
	resp := &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{1}, []float32{.5})}}
	for name, body := range map[string][]byte{"tensor": tensorBody, "ndarray": arrayBody} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				x, err := SeldonProto{}.Decode(body, sig, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if dst, err = x.Answer(dst[:0], meta, resp); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
