package main

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// testModels is a runtime of the models that Triton's own client examples ask. An artefact of it is a JSON
// file that holds {"interop_model": NAME}:
//
//	simple           INPUT0, INPUT1 INT32 [-1,16] -> OUTPUT0 their sum, OUTPUT1 their difference, which wrap as 32-bit numbers do
//	simple_int8      the same with INT8, which wrap as 8-bit numbers do
//	simple_string    the same with BYTES that hold decimal text of 32-bit numbers
//	simple_identity  INPUT0 BYTES [-1,-1] -> OUTPUT0, the same
//	densenet_onnx    data_0 FP32 [3,224,224] -> fc6_1 FP32 [1000], no network but sums of its input; it takes no batches
type testModels struct{}

var _ predict.Runtime = testModels{}

// candidate returns the name of the test model that the files of a are, "" if they are none.
func candidate(a predict.Artefact) (name string, err error) {
	for _, path := range a.Files() {
		text, err := a.ReadFile(path)
		if err != nil {
			return "", err
		}
		var doc struct {
			Model string `json:"interop_model"`
		}
		if json.Unmarshal(text, &doc) == nil && doc.Model != "" {
			return doc.Model, nil
		}
	}
	return "", nil
}

// Detect implements predict.Runtime.
func (testModels) Detect(a predict.Artefact) bool {
	name, err := candidate(a)
	return err == nil && name != ""
}

// Open implements predict.Runtime. It knows no options.
func (testModels) Open(_ context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	for key := range o {
		return nil, fault.Invalidf("test models: unknown option %q", key).WithHint("they have none")
	}
	name, err := candidate(a)
	if err != nil {
		return nil, err
	}
	switch name {
	case "simple":
		return addSub[int32]{tensor.Int32, 16}, nil
	case "simple_int8":
		return addSub[int8]{tensor.Int8, 16}, nil
	case "simple_string":
		return addSub[int32]{tensor.Bytes, 16}, nil
	case "simple_identity":
		return identity{}, nil
	case "densenet_onnx":
		return picture{}, nil
	}
	return nil, fault.Invalidf("test models: no file names a test model (found %q)", name)
}

// addSub adds and subtracts its two inputs, in the arithmetic of T.
type addSub[T int8 | int32] struct {
	dtype tensor.DType // of inputs and outputs
	width int
}

// Signature implements predict.Model.
func (m addSub[T]) Signature() tensor.Signature {
	spec := func(name string) tensor.Spec {
		return tensor.Spec{Name: name, DType: m.dtype, Shape: []int{-1, m.width}}
	}
	return tensor.Signature{
		Inputs:  []tensor.Spec{spec("INPUT0"), spec("INPUT1")},
		Outputs: []tensor.Spec{spec("OUTPUT0"), spec("OUTPUT1")},
	}
}

// Predict implements predict.Model.
func (m addSub[T]) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var inputs [2][]T
	for i := range r.Inputs {
		values, err := whole[T](&r.Inputs[i])
		if err != nil {
			return nil, err
		}
		if r.Inputs[i].Name == "INPUT0" {
			inputs[0] = values
		} else {
			inputs[1] = values
		}
	}
	answer := &tensor.Response{}
	for _, name := range m.Signature().Wanted(r) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out := make([]T, len(inputs[0]))
		for i, a := range inputs[0] {
			if b := inputs[1][i]; name == "OUTPUT0" {
				out[i] = a + b
			} else {
				out[i] = a - b
			}
		}
		answer.Outputs = append(answer.Outputs, m.tensor(name, slices.Clone(r.Inputs[0].Shape), out))
	}
	return answer, nil
}

// tensor is values in the type that the model gives.
func (m addSub[T]) tensor(name string, shape []int, values []T) tensor.Tensor {
	if m.dtype != tensor.Bytes {
		return tensor.New(name, shape, values)
	}
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = strconv.Itoa(int(v))
	}
	return tensor.New(name, shape, text)
}

// whole returns the elements of t, which are numbers or decimal text, as T. What T cannot hold is Invalid.
func whole[T int8 | int32](t *tensor.Tensor) ([]T, error) {
	out := make([]T, t.Len())
	if same, ok := t.Data.([]T); ok {
		copy(out, same)
		return out, nil
	}
	if text, ok := t.Data.([]string); ok {
		for i, s := range text {
			v, err := strconv.ParseInt(s, 10, 32)
			if err != nil {
				return nil, fault.Invalidf("input %q, element %d: %.20q is not a whole number of 32 bits", t.Name, i, s)
			}
			out[i] = T(v)
		}
		return out, nil
	}
	values, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		if v < math.MinInt32 || v > math.MaxInt32 || float64(T(v)) != v { // also where v is NaN
			return nil, fault.Invalidf("input %q, element %d: %g does not fit the model's whole numbers", t.Name, i, v)
		}
		out[i] = T(v)
	}
	return out, nil
}

// identity answers with what it was asked.
type identity struct{}

// Signature implements predict.Model.
func (identity) Signature() tensor.Signature {
	return tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "INPUT0", DType: tensor.Bytes, Shape: []int{-1, -1}}},
		Outputs: []tensor.Spec{{Name: "OUTPUT0", DType: tensor.Bytes, Shape: []int{-1, -1}}},
	}
}

// Predict implements predict.Model.
func (identity) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	text, ok := r.Inputs[0].Data.([]string)
	if !ok {
		return nil, fault.Internalf("input %q holds %s", r.Inputs[0].Name, r.Inputs[0].DType())
	}
	out := tensor.New("OUTPUT0", slices.Clone(r.Inputs[0].Shape), slices.Clone(text))
	if err := ctx.Err(); err != nil { // a large request takes a while
		return nil, err
	}
	return &tensor.Response{Outputs: []tensor.Tensor{out}}, nil
}

// picture adds up the values of a picture: each goes to one of a thousand sums, in turn.
type picture struct{}

// Signature implements predict.Model.
func (picture) Signature() tensor.Signature {
	return tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "data_0", DType: tensor.Float32, Shape: []int{3, 224, 224}}},
		Outputs: []tensor.Spec{{Name: "fc6_1", DType: tensor.Float32, Shape: []int{1000}}},
	}
}

// Predict implements predict.Model.
func (picture) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	values, err := r.Inputs[0].Float32s()
	if err != nil {
		return nil, err
	}
	sums := make([]float32, 1000)
	for i, v := range values {
		sums[i%len(sums)] += v
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &tensor.Response{Outputs: []tensor.Tensor{tensor.New("fc6_1", []int{len(sums)}, sums)}}, nil
}
