package trees

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Names of the model's input and outputs.
const (
	inputName         = "input"
	predictionName    = "prediction"
	marginName        = "margin"
	leafName          = "leaf"
	contributionsName = "contributions"
)

// booster is what stands behind a model: a forest, or a linear function. Rows are as wide as it has features, one after the other; a
// missing value is NaN. It is safe for concurrent use.
type booster[F number] interface {
	size() (features, outputs, trees int)
	// margins computes outputs for each row.
	margins(ctx context.Context, rows, out []F) error
	// leaves gives for each row and tree the number of the leaf that the row ends in.
	leaves(ctx context.Context, rows []F, out []int32) error
	// contributions gives for each row and output what each feature contributes to the margin, and behind them the bias.
	contributions(ctx context.Context, rows, out []F) error
}

// link makes predictions of margins.
type link[F number] struct {
	inverse func(row []F) // of one row's margins, in place
	vote    bool          // the prediction is the number of the largest margin
}

// modelOptions say what else a model's file tells of it.
type modelOptions struct {
	columns     []string // names of the features, or none
	absentZero  bool     // what is absent from a sparse row is 0, not missing
	finite      bool     // an infinity in a row is an error
	unexplained bool     // the file lacks what contributions need
}

// model answers with a booster. It is safe for concurrent use.
type model[F number] struct {
	booster   booster[F]
	link      link[F]
	options   modelOptions
	signature tensor.Signature
	features  int
	outputs   int
	trees     int
}

func newModel[F number](b booster[F], l link[F], o modelOptions) *model[F] {
	m := &model[F]{booster: b, link: l, options: o}
	m.features, m.outputs, m.trees = b.size()
	none := tensor.New("", []int{0}, []F{})
	dtype := none.DType()
	each := func(more ...int) []int {
		shape := []int{-1}
		if m.outputs > 1 {
			shape = append(shape, m.outputs)
		}
		return append(shape, more...)
	}
	prediction := each()
	if l.vote {
		prediction = []int{-1}
	}
	m.signature = tensor.Signature{
		Inputs: []tensor.Spec{{Name: inputName, DType: dtype, Shape: []int{-1, m.features}, Columns: o.columns, AbsentZero: o.absentZero}},
		Outputs: []tensor.Spec{
			{Name: predictionName, DType: dtype, Shape: prediction},
			{Name: marginName, DType: dtype, Shape: each(), OnDemand: true},
		},
	}
	if m.trees > 0 {
		m.signature.Outputs = append(m.signature.Outputs, tensor.Spec{Name: leafName, DType: tensor.Int32, Shape: []int{-1, -1}, OnDemand: true}) // versions may differ in their number of trees
	}
	if !o.unexplained {
		m.signature.Outputs = append(m.signature.Outputs, tensor.Spec{Name: contributionsName, DType: dtype, Shape: each(m.features + 1), OnDemand: true})
	}
	return m
}

// Signature implements predict.Model: one input of rows, the prediction, and on demand the margin, which is the prediction before the
// objective's transform; the leaf of each tree, by the library's numbers; and the contributions of each feature to the margin, the bias
// behind them: exact TreeSHAP values (see explainer), whose sum is the margin.
func (m *model[F]) Signature() tensor.Signature { return m.signature }

// Predict implements predict.Model. A NaN is a missing value; an infinity is Invalid where the library says so.
func (m *model[F]) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	rows, err := numbers[F](&r.Inputs[0])
	if err != nil {
		return nil, err
	}
	wanted := m.signature.Wanted(r)
	if err := m.check(rows, wanted); err != nil {
		return nil, err
	}
	n := r.Inputs[0].Rows()
	var margins []F
	if slices.Contains(wanted, predictionName) || slices.Contains(wanted, marginName) {
		margins = make([]F, n*m.outputs)
		if err := m.booster.margins(ctx, rows, margins); err != nil {
			return nil, err
		}
	}
	response := &tensor.Response{Outputs: make([]tensor.Tensor, len(wanted))}
	for i, name := range wanted {
		o := &response.Outputs[i]
		switch name {
		case predictionName:
			own := margins
			if slices.Contains(wanted, marginName) {
				own = slices.Clone(margins)
			}
			own = m.predictions(own)
			*o = tensor.New(name, m.shape(n, len(own)), own)
		case marginName:
			*o = tensor.New(name, m.shape(n, len(margins)), margins)
		case leafName:
			leaves := make([]int32, n*m.trees)
			if err := m.booster.leaves(ctx, rows, leaves); err != nil {
				return nil, err
			}
			*o = tensor.New(name, []int{n, m.trees}, leaves)
		case contributionsName:
			values := make([]F, n*m.outputs*(m.features+1))
			if err := m.booster.contributions(ctx, rows, values); err != nil {
				return nil, err
			}
			*o = tensor.New(name, append(m.shape(n, n*m.outputs), m.features+1), values)
		}
	}
	return response, nil
}

// PredictInto answers rows, one after the other, into memory of the caller's: the prediction alone, as Predict gives it. Once it has
// answered as many rows before, it allocates nothing.
func (m *model[F]) PredictInto(ctx context.Context, rows, out []F) error {
	if len(rows)%m.features != 0 || len(out) != len(rows)/m.features*m.outputs || m.link.vote && m.outputs > 1 {
		return fault.Invalidf("%d numbers in and %d out do not fit the model (%d features, %d outputs)", len(rows), len(out), m.features, m.outputs)
	}
	if err := m.check(rows, nil); err != nil {
		return err
	}
	if err := m.booster.margins(ctx, rows, out); err != nil {
		return err
	}
	m.predictions(out)
	return nil
}

// check tells which of the rows the model cannot take, and when the answer would be too large.
func (m *model[F]) check(rows []F, wanted []string) error {
	n := len(rows) / m.features
	each := m.outputs
	if slices.Contains(wanted, leafName) {
		each = max(each, m.trees)
	}
	if slices.Contains(wanted, contributionsName) {
		each = max(each, m.outputs*(m.features+1))
	}
	if n > math.MaxInt32/each { // as tensor.Elements bounds a shape
		return fault.Invalidf("%d rows of %d numbers are too many for one answer", n, each).WithHint("send fewer rows at a time")
	}
	if m.options.finite {
		if i := infinite(rows); i >= 0 {
			return fault.Invalidf("row %d: %s is infinite; a missing value is NaN or null", i/m.features, m.column(i%m.features))
		}
	}
	return nil
}

// numbers returns a tensor's numbers in the arithmetic of the model.
func numbers[F number](t *tensor.Tensor) ([]F, error) {
	var rows []F
	var err error
	switch dst := any(&rows).(type) {
	case *[]float32:
		*dst, err = t.Float32s()
	case *[]float64:
		*dst, err = t.Float64s()
	}
	return rows, err
}

// infinite returns the place of the first infinity, -1 if there is none.
func infinite[F number](values []F) int {
	for i, v := range values {
		if v-v != 0 && v == v {
			return i
		}
	}
	return -1
}

func (m *model[F]) shape(rows, values int) []int {
	if m.outputs > 1 && (values != rows || !m.link.vote) {
		return []int{rows, m.outputs}
	}
	return []int{rows}
}

// column names a column for a person.
func (m *model[F]) column(i int) string {
	if i < len(m.options.columns) {
		return fmt.Sprintf("column %d (%s)", i, m.options.columns[i])
	}
	return fmt.Sprintf("column %d", i)
}

// predictions turns margins into predictions, in the same memory.
func (m *model[F]) predictions(margins []F) []F {
	k := m.outputs
	rows := len(margins) / k
	for i := range rows {
		row := margins[i*k : (i+1)*k]
		if m.link.vote {
			margins[i] = F(largest(row)) // never ahead of the rows still to be read
			continue
		}
		m.link.inverse(row)
	}
	if m.link.vote {
		return margins[:rows]
	}
	return margins
}

// largest returns the number of the first of the largest margins.
func largest[F number](row []F) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
