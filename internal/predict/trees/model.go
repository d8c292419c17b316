package trees

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Names of the model's input and outputs.
const (
	inputName      = "input"
	predictionName = "prediction"
	marginName     = "margin"
)

// block is how many rows are walked together: enough to keep a tree in the cache for many, few enough for their images to stay there.
const block = 64

// model answers with a forest. It is safe for concurrent use.
type model struct {
	forest    *forest[float32]
	objective objective
	signature tensor.Signature
	images    sync.Pool // of *[]float32, the images of a block of rows
}

func newModel(x *xgboost, o objective, f *forest[float32]) *model {
	many := []int{-1}
	if f.outputs() > 1 {
		many = append(many, f.outputs())
	}
	prediction := many
	if o.vote {
		prediction = []int{-1}
	}
	m := &model{forest: f, objective: o, signature: tensor.Signature{
		Inputs: []tensor.Spec{{Name: inputName, DType: tensor.Float32, Shape: []int{-1, f.features}, Columns: x.featureNames}},
		Outputs: []tensor.Spec{
			{Name: predictionName, DType: tensor.Float32, Shape: prediction},
			{Name: marginName, DType: tensor.Float32, Shape: many, OnDemand: true},
		},
	}}
	m.images.New = func() any { return new([]float32) }
	return m
}

// Signature implements predict.Model: one input of rows, the prediction, and on demand the margin, which is the prediction before the
// objective's transform.
func (m *model) Signature() tensor.Signature { return m.signature }

// Predict implements predict.Model. A NaN is a missing value; an infinity is Invalid, as it is to the library.
func (m *model) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	values, err := r.Inputs[0].Float32s()
	if err != nil {
		return nil, err
	}
	rows, k := r.Inputs[0].Rows(), m.forest.outputs()
	if rows > math.MaxInt32/k { // as tensor.Elements bounds a shape
		return nil, fault.Invalidf("%d rows of %d outputs are too many for one answer", rows, k).WithHint("send fewer rows at a time")
	}
	margins := make([]float32, rows*k)
	if err := m.margins(ctx, values, margins); err != nil {
		return nil, err
	}
	wanted := m.signature.Wanted(r)
	response := &tensor.Response{Outputs: make([]tensor.Tensor, len(wanted))}
	for i, name := range wanted {
		// The last output may have the margins' memory; the others need a copy.
		own := margins
		if i < len(wanted)-1 {
			own = append([]float32(nil), margins...)
		}
		if name == predictionName {
			own = m.predictions(own, rows)
		}
		response.Outputs[i] = tensor.New(name, m.shape(rows, len(own)), own)
	}
	return response, nil
}

func (m *model) shape(rows, values int) []int {
	if m.forest.outputs() > 1 && (values != rows || !m.objective.vote) {
		return []int{rows, m.forest.outputs()}
	}
	return []int{rows}
}

// margins computes the margins of rows into out.
func (m *model) margins(ctx context.Context, values, out []float32) error {
	f := m.forest
	width, k, n := f.features, f.outputs(), f.imageLen()
	if !f.baseLast {
		f.startFromBase(out)
	}
	images := m.images.Get().(*[]float32)
	defer m.images.Put(images)
	rows := len(out) / k
	if need := min(rows, block) * n; cap(*images) < need {
		*images = make([]float32, need)
	}
	for from := 0; from < rows; from += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+block, rows)
		img := (*images)[:(to-from)*n]
		for i := from; i < to; i++ {
			if column := f.image(img[(i-from)*n:(i-from+1)*n], values[i*width:(i+1)*width]); column >= 0 {
				return fault.Invalidf("row %d: %s is infinite; a missing value is NaN or null", i, m.column(column))
			}
		}
		f.addRows(img, out[from*k:to*k])
	}
	if f.baseLast {
		f.addBase(out)
	}
	return nil
}

// column names a column for a person.
func (m *model) column(i int) string {
	if names := m.signature.Inputs[0].Columns; i < len(names) {
		return fmt.Sprintf("column %d (%s)", i, names[i])
	}
	return fmt.Sprintf("column %d", i)
}

// predictions turns margins into predictions, in the same memory.
func (m *model) predictions(margins []float32, rows int) []float32 {
	k := m.forest.outputs()
	for i := range rows {
		row := margins[i*k : (i+1)*k]
		if m.objective.vote {
			margins[i] = float32(largest(row)) // never ahead of the rows still to be read
			continue
		}
		m.objective.transform(row)
	}
	if m.objective.vote {
		return margins[:rows]
	}
	return margins
}
