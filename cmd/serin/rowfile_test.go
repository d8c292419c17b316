package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// TestRowsHaveThePrecisionAndTheZerosOfTheModel reads rows for inputs of several kinds, as far as the model.
func TestRowsHaveThePrecisionAndTheZerosOfTheModel(t *testing.T) {
	const text = "1 0:0.1 2:16777217\n0 1:-1e300\n"
	for _, tt := range []struct {
		input tensor.Spec
		want  string
	}{
		{tensor.Spec{DType: tensor.Float64}, "[0.1 NaN 1.6777217e+07 NaN -1e+300 NaN] of FP64"},
		{tensor.Spec{DType: tensor.Float64, AbsentZero: true}, "[0.1 0 1.6777217e+07 0 -1e+300 0] of FP64"},
		{tensor.Spec{DType: tensor.Float32}, "stdin: line 2: value 1, -1e+300, does not fit a 32-bit float"},
		{tensor.Spec{DType: tensor.Int64, AbsentZero: true}, "[0.1 0 1.6777217e+07 0 -1e+300 0] of FP64"},
	} {
		tt.input.Name, tt.input.Shape = "input", []int{-1, 3}
		f := rowFile{Input: "-", Format: "libsvm", Header: "auto"}
		got := ""
		err := f.each(&speaker{in: strings.NewReader(text)}, tt.input, 10, func(x tensor.Tensor, lines []int) error {
			got = fmt.Sprintf("%v of %s", x.Data, x.DType())
			return nil
		})
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.input, got, tt.want)
		}
	}
}

// TestTheRowAtFaultIsNamed refuses rows by their number in the batch; those before it are answered, once.
func TestTheRowAtFaultIsNamed(t *testing.T) {
	input := tensor.Spec{Name: "input", DType: tensor.Float64, Shape: []int{-1, 1}}
	f := rowFile{Input: "-", Format: "csv", Header: "no"}
	var answered []float64
	err := f.each(&speaker{in: strings.NewReader("1\n2\n\n3\n-4\n5\n")}, input, 3, func(x tensor.Tensor, lines []int) error {
		values := x.Data.([]float64)
		for _, v := range values {
			if v < 0 {
				return fault.Invalidf("no negative numbers")
			}
		}
		answered = append(answered, values...)
		return nil
	})
	if fault.KindOf(err) != fault.Invalid || err.Error() != "stdin: line 5: no negative numbers" || fmt.Sprint(answered) != "[1 2 3]" {
		t.Errorf("%v were answered, then %v", answered, err)
	}
}

func TestBatchesAreBoundedByTheirAnswers(t *testing.T) {
	s := tensor.Signature{Outputs: []tensor.Spec{
		{Name: "prediction", Shape: []int{-1}}, {Name: "contributions", Shape: []int{-1, 100, 10001}}, {Name: "leaf", Shape: []int{-1, -1}},
	}}
	for _, tt := range []struct {
		outputs []string
		want    int
	}{{[]string{"prediction"}, mostRows}, {[]string{"prediction", "contributions"}, 4}, {[]string{"leaf"}, mostRows}} {
		if got := batchRows(s, tt.outputs); got != tt.want {
			t.Errorf("%q: %d rows, want %d", tt.outputs, got, tt.want)
		}
	}
}
