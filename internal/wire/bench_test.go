package wire

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/tensor"
)

// What encoding/json would decode into.
type rivalSeldon struct {
	Data struct {
		Tensor *struct {
			Shape  []int     `json:"shape"`
			Values []float64 `json:"values"`
		} `json:"tensor"`
		Ndarray [][]float64 `json:"ndarray"`
	} `json:"data"`
}

type rivalInfer struct {
	ID     string `json:"id"`
	Inputs []struct {
		Name     string    `json:"name"`
		Shape    []int     `json:"shape"`
		Datatype string    `json:"datatype"`
		Data     []float32 `json:"data"`
	} `json:"inputs"`
}

func benchBodies(rows, width int) (seldonTensor, seldonArray, inference []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	values, arrays := make([]string, 0, rows*width), make([]string, rows)
	for i := range arrays {
		for range width {
			values = append(values, fmt.Sprint(float32(r.NormFloat64())))
		}
		arrays[i] = "[" + strings.Join(values[i*width:], ",") + "]"
	}
	flat := strings.Join(values, ",")
	return fmt.Appendf(nil, `{"data":{"names":[],"tensor":{"shape":[%d,%d],"values":[%s]}},"meta":{}}`, rows, width, flat),
		fmt.Appendf(nil, `{"data":{"names":[],"ndarray":[%s]},"meta":{}}`, strings.Join(arrays, ",")),
		fmt.Appendf(nil, `{"id":"1","inputs":[{"name":"input","shape":[%d,%d],"datatype":"FP32","data":[%s]}]}`, rows, width, flat)
}

func BenchmarkDecode(b *testing.B) {
	sig := tensor.Signature{Inputs: []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 56}}}, Outputs: []tensor.Spec{{Name: "prediction"}}}
	for _, rows := range []int{1, 1000} {
		seldonTensor, seldonArray, inference := benchBodies(rows, 56)
		run := func(name string, body []byte, decode func([]byte) error) {
			b.Run(fmt.Sprintf("%s/%dx56", name, rows), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if err := decode(body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		ours := func(d dialect) func([]byte) error {
			return func(body []byte) error { _, err := d.Decode(body, sig, Limits{}); return err }
		}
		run("seldon-tensor", seldonTensor, ours(Seldon{}))
		run("seldon-tensor-encoding-json", seldonTensor, func(body []byte) error { return json.Unmarshal(body, new(rivalSeldon)) })
		run("seldon-ndarray", seldonArray, ours(Seldon{}))
		run("seldon-ndarray-encoding-json", seldonArray, func(body []byte) error { return json.Unmarshal(body, new(rivalSeldon)) })
		run("openinference", inference, ours(OpenInference{}))
		run("openinference-encoding-json", inference, func(body []byte) error { return json.Unmarshal(body, new(rivalInfer)) })
	}
}

func BenchmarkAnswer(b *testing.B) {
	for _, rows := range []int{1, 1000} {
		data := make([]float32, rows)
		for i := range data {
			data[i] = rand.Float32()
		}
		resp := &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{rows}, data)}}
		_, seldonArray, inference := benchBodies(1, 3)
		for name, body := range map[string][]byte{"seldon": seldonArray, "openinference": inference} {
			x, err := dialects[name].Decode(body, score, Limits{})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%d", name, rows), func(b *testing.B) {
				b.ReportAllocs()
				var dst []byte
				for b.Loop() {
					if dst, err = x.Answer(dst[:0], meta, resp); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
