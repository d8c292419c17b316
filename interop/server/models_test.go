package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestTestModelsPassTheSuite(t *testing.T) {
	var models []predicttest.Model
	for _, name := range []string{"simple", "simple_int8", "simple_string", "simple_identity"} {
		text, err := os.ReadFile(filepath.Join("..", "models", name, "model.json"))
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, predicttest.Model{Name: name, Files: predicttest.Files{"model.json": text}})
	}
	predicttest.Run(t, predicttest.Options{
		Runtime: testModels{}, Models: models,
		Foreign: map[string]predicttest.Files{"JSON of something else": {"model.json": []byte(`{"learner": {}}`)}},
		Request: wholeNumbers,
	})
}

// wholeNumbers draws numbers that the test models take, of which sums stay in eight bits.
func wholeNumbers(r *rand.Rand, s tensor.Signature, rows int) tensor.Request {
	var req tensor.Request
	for _, spec := range s.Inputs {
		width := spec.Shape[1]
		if width < 0 {
			width = 3
		}
		values := make([]int8, rows*width)
		text := make([]string, len(values))
		for i := range values {
			values[i] = int8(r.IntN(120) - 60)
			text[i] = strconv.Itoa(int(values[i]))
		}
		if spec.DType == tensor.Bytes {
			req.Inputs = append(req.Inputs, tensor.New(spec.Name, []int{rows, width}, text))
		} else {
			req.Inputs = append(req.Inputs, tensor.New(spec.Name, []int{rows, width}, values))
		}
	}
	return req
}

func TestSumsAndDifferences(t *testing.T) {
	shape := []int{1, 2}
	for name, tt := range map[string]struct {
		model             predict.Model
		a, b, sum, differ any
	}{
		"32 bits wrap": {addSub[int32]{tensor.Int32, 2}, []int32{math.MaxInt32, 5}, []int32{1, 7}, []int32{math.MinInt32, 12}, []int32{math.MaxInt32 - 1, -2}},
		"8 bits wrap":  {addSub[int8]{tensor.Int8, 2}, []int8{127, 5}, []int8{1, 7}, []int8{-128, 12}, []int8{126, -2}},
		"text":         {addSub[int32]{tensor.Bytes, 2}, []string{"-1", "+5"}, []string{"1", "07"}, []string{"0", "12"}, []string{"-2", "-2"}},
		"other types":  {addSub[int8]{tensor.Int8, 2}, []float64{127, 5}, []uint64{1, 7}, []int8{-128, 12}, []int8{126, -2}},
	} {
		a, b := tensor.Tensor{Name: "INPUT0", Shape: shape, Data: tt.a}, tensor.Tensor{Name: "INPUT1", Shape: shape, Data: tt.b}
		got, err := tt.model.Predict(t.Context(), &tensor.Request{Inputs: []tensor.Tensor{b, a}}) // they may come in any order
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := []tensor.Tensor{{Name: "OUTPUT0", Shape: shape, Data: tt.sum}, {Name: "OUTPUT1", Shape: shape, Data: tt.differ}}
		if diff := cmp.Diff(want, got.Outputs); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestWhatATypeCannotHoldIsRefused(t *testing.T) {
	for _, data := range []any{[]float64{math.NaN()}, []float64{0.5}, []float64{1e300}, []int32{128}, []string{"128x"}, []string{""}, []string{"2147483648"}} {
		in := tensor.Tensor{Name: "INPUT0", Shape: []int{1, 1}, Data: data}
		if v, err := whole[int8](&in); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v is read as %v, %v", data, v, err)
		}
	}
}

func TestAPictureIsAddedUp(t *testing.T) {
	pixels := make([]float32, 3*224*224)
	for i := range pixels {
		pixels[i] = float32(i % 1000)
	}
	got, err := picture{}.Predict(t.Context(), &tensor.Request{Inputs: []tensor.Tensor{tensor.New("data_0", []int{3, 224, 224}, pixels)}})
	if err != nil {
		t.Fatal(err)
	}
	sums := got.Outputs[0].Data.([]float32)
	for i, v := range sums { // 150,528 pixels: 151 for each of the first 528 sums, 150 for the others
		want := float32(150 * i)
		if i < 528 {
			want = float32(151 * i)
		}
		if v != want {
			t.Fatalf("sum %d is %g, not %g", i, v, want)
		}
	}
}
