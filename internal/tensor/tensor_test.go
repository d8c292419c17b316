package tensor

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDTypeNamesRoundTrip(t *testing.T) {
	for d := Bool; d <= Bytes; d++ {
		text, _ := d.MarshalText()
		var back DType
		if err := back.UnmarshalText(text); err != nil || back != d {
			t.Errorf("%v: %q reads back as %v, %v", d, text, back, err)
		}
	}
	if _, err := ParseDType("FP8"); err == nil {
		t.Error("FP8 is accepted")
	}
	if _, err := ParseDType(""); err == nil {
		t.Error("the empty name is accepted")
	}
}

func TestElementsNeverOverflows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(-1, 1<<40), 0, 6).Draw(t, "shape")
		n, err := Elements(shape)
		if err == nil && (n < 0 || n > 1<<31-1) {
			t.Fatalf("Elements(%v) = %d", shape, n)
		}
	})
	for _, tt := range []struct {
		shape []int
		want  int
	}{{nil, 1}, {[]int{0}, 0}, {[]int{2, 3}, 6}, {[]int{1 << 30, 0, 1 << 30}, 0}} {
		if n, err := Elements(tt.shape); err != nil || n != tt.want {
			t.Errorf("Elements(%v) = %d, %v, want %d", tt.shape, n, err, tt.want)
		}
	}
}

func TestFloatsConvertEveryNumber(t *testing.T) {
	tensors := []Tensor{
		New("", []int{2}, []bool{false, true}), New("", []int{2}, []uint8{0, 1}), New("", []int{2}, []uint16{0, 1}),
		New("", []int{2}, []uint32{0, 1}), New("", []int{2}, []uint64{0, 1}), New("", []int{2}, []int8{0, 1}),
		New("", []int{2}, []int16{0, 1}), New("", []int{2}, []int32{0, 1}), New("", []int{2}, []int64{0, 1}),
		New("", []int{2}, []float32{0, 1}), New("", []int{2}, []float64{0, 1}),
	}
	for _, x := range tensors {
		if err := x.Check(); err != nil {
			t.Errorf("%v: %v", x.DType(), err)
		}
		f, err := x.Float32s()
		if err != nil || len(f) != 2 || f[0] != 0 || f[1] != 1 {
			t.Errorf("%v as float32: %v, %v", x.DType(), f, err)
		}
		d, err := x.Float64s()
		if err != nil || len(d) != 2 || d[0] != 0 || d[1] != 1 {
			t.Errorf("%v as float64: %v, %v", x.DType(), d, err)
		}
	}
	s := New("text", []int{1}, []string{"x"})
	if _, err := s.Float32s(); err == nil {
		t.Error("text became a number")
	}
}

func TestSignatureCheckSaysWhatIsWrong(t *testing.T) {
	sig := Signature{
		Inputs:  []Spec{{Name: "input", DType: Float32, Shape: []int{-1, 2}}},
		Outputs: []Spec{{Name: "prediction", DType: Float32, Shape: []int{-1}}, {Name: "margin", DType: Float32, Shape: []int{-1}, OnDemand: true}},
	}
	row := func(name string, shape ...int) Tensor {
		n, _ := Elements(shape)
		return New(name, shape, make([]float32, n))
	}
	tests := []struct {
		name string
		req  Request
		want string // part of the error; "" for none
	}{
		{"exact", Request{Inputs: []Tensor{row("input", 3, 2)}}, ""},
		{"unnamed", Request{Inputs: []Tensor{row("", 1, 2)}}, ""},
		{"one row without batch", Request{Inputs: []Tensor{row("input", 2)}}, ""},
		{"another number type", Request{Inputs: []Tensor{New("input", []int{1, 2}, []int64{1, 2})}}, ""},
		{"margin asked for", Request{Inputs: []Tensor{row("input", 1, 2)}, Outputs: []string{"margin"}}, ""},
		{"none", Request{}, `no input given; the model takes "input"`},
		{"wide", Request{Inputs: []Tensor{row("input", 1, 3)}}, "shape [1 3]; the model takes [-1 2]"},
		{"empty", Request{Inputs: []Tensor{row("input", 0, 2)}}, "at least one row"},
		{"lying shape", Request{Inputs: []Tensor{New("input", []int{2, 2}, []float32{1})}}, "has 1 elements"},
		{"text", Request{Inputs: []Tensor{New("input", []int{1, 2}, []string{"a", "b"})}}, "holds BYTES; the model takes FP32"},
		{"unknown input", Request{Inputs: []Tensor{row("x", 1, 2)}}, `unknown input "x"`},
		{"twice", Request{Inputs: []Tensor{row("input", 1, 2), row("input", 1, 2)}}, "given twice"},
		{"unknown output", Request{Inputs: []Tensor{row("input", 1, 2)}, Outputs: []string{"leaf"}}, `unknown output "leaf"; the model gives "prediction", "margin"`},
		{"no data", Request{Inputs: []Tensor{{Name: "input", Shape: []int{1, 2}}}}, "holds no data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := sig.Check(&tt.req)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if got := sig.Wanted(&Request{}); len(got) != 1 || got[0] != "prediction" {
		t.Errorf("default outputs are %v", got)
	}
}
