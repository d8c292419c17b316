package registry

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// Golden are a version's known answers. The version is never ready before it gives them.
type Golden struct {
	Tolerance float64     `json:"tolerance"` // greatest relative difference, as in math.isclose of Python; 0 means DefaultTolerance
	Rows      []GoldenRow `json:"rows"`
}

// GoldenRow is one question and its answer: flat values by the names of inputs and outputs, without the batch dimension. An
// output that is left out is not compared.
type GoldenRow struct {
	Inputs  map[string]Values `json:"inputs" yaml:"inputs,required"`
	Outputs map[string]Values `json:"outputs" yaml:"outputs,required"`
}

// DefaultTolerance is a few units in the last place of a float32.
const DefaultTolerance = 1e-6

// Bounds of golden rows. They go into model.yaml, and every load computes them.
const (
	maxGoldenRows   = 1000
	maxGoldenValues = 50_000
)

// ReadGolden reads golden rows as JSON lines: {"inputs": {"input": [1, null]}, "outputs": {"prediction": [0.5]}}. A mistake is
// Invalid and says its line.
func ReadGolden(r io.Reader) (Golden, error) {
	var g Golden
	values := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		row, err := readRow(lines.Bytes())
		if err != nil {
			return Golden{}, fault.Invalidf("golden rows, line %d: %w", n, err)
		}
		g.Rows = append(g.Rows, row)
		values += row.size()
		if len(g.Rows) > maxGoldenRows || values > maxGoldenValues {
			return Golden{}, tooManyGolden()
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return Golden{}, fault.Invalidf("golden rows: a line is longer than 4 MiB").WithHint("write one row a line")
	}
	if lines.Err() != nil {
		return Golden{}, fmt.Errorf("golden rows: %w", lines.Err())
	}
	if len(g.Rows) == 0 {
		return Golden{}, fault.Invalidf("there are no golden rows in the file")
	}
	return g, nil
}

func tooManyGolden() error {
	return fault.Invalidf("more than %d golden rows, or %d values in them", maxGoldenRows, maxGoldenValues).
		WithHint("keep those that cover the model best: they are checked at every load")
}

func (r GoldenRow) size() (n int) {
	for _, side := range []map[string]Values{r.Inputs, r.Outputs} {
		for _, values := range side {
			n += len(values)
		}
	}
	return n
}

func readRow(line []byte) (row GoldenRow, err error) {
	s := jsonscan.New(line).AllowNonFinite() // Python writes NaN
	s.Object()
	for s.Next() {
		switch key := string(s.Key()); {
		case key == "inputs" && row.Inputs == nil:
			row.Inputs = readSide(s)
		case key == "outputs" && row.Outputs == nil:
			row.Outputs = readSide(s)
		default:
			s.Failf(`%.40q is given twice or is no part of a golden row; want "inputs" and "outputs"`, key)
		}
	}
	s.End()
	if s.Err() == nil && (len(row.Inputs) == 0 || len(row.Outputs) == 0) {
		return row, fault.Invalidf(`a golden row needs "inputs" and "outputs"`)
	}
	return row, s.Err()
}

func readSide(s *jsonscan.Scanner) map[string]Values {
	side := map[string]Values{}
	s.Object()
	for s.Next() {
		name := string(s.Key())
		if _, twice := side[name]; twice {
			s.Failf("%.80q is given twice", name)
		}
		values := Values{}
		s.Array()
		for s.Next() {
			values = append(values, readValue(s))
		}
		side[name] = values
	}
	return side
}

func readValue(s *jsonscan.Scanner) any {
	switch s.Peek() {
	case jsonscan.Number:
		switch text := string(s.Number()); text {
		case "NaN":
			return nil
		case "Infinity", "-Infinity":
			return text
		default:
			return json.Number(text)
		}
	case jsonscan.String:
		return s.String()
	case jsonscan.Bool:
		return s.Bool()
	case jsonscan.Array:
		s.Failf("a list in a list; write the values of one row flat")
		return nil
	default:
		s.Null()
		return nil
	}
}

// normal returns g in its one spelling, once it fits the signature.
func (g Golden) normal(sig tensor.Signature) (Golden, error) {
	if g.Tolerance == 0 {
		g.Tolerance = DefaultTolerance
	}
	if !(g.Tolerance > 0 && g.Tolerance < 1) {
		return g, fault.Invalidf("the golden rows' tolerance is %v; it must lie between 0 and 1", g.Tolerance).
			WithHint("leave it out for %v", DefaultTolerance)
	}
	values := 0
	rows := make([]GoldenRow, len(g.Rows))
	for i, row := range g.Rows {
		values += row.size()
		var err error
		if rows[i].Inputs, err = normalSide(sig.Inputs, row.Inputs, "input", true); err == nil {
			rows[i].Outputs, err = normalSide(sig.Outputs, row.Outputs, "output", false)
		}
		if err == nil && len(row.Outputs) == 0 {
			err = fault.Invalidf("no outputs are given")
		}
		if err != nil {
			return g, fault.Invalidf("golden row %d: %w", i+1, err)
		}
	}
	if len(rows) > maxGoldenRows || values > maxGoldenValues {
		return g, tooManyGolden()
	}
	g.Rows = rows
	return g, nil
}

func normalSide(specs []tensor.Spec, side map[string]Values, what string, all bool) (map[string]Values, error) {
	out := make(map[string]Values, len(side))
	for _, spec := range specs {
		values, ok := side[spec.Name]
		if !ok && all {
			return nil, fault.Invalidf("%s %q is missing", what, spec.Name)
		}
		if !ok {
			continue
		}
		t, err := rowOf(spec, values)
		if err != nil {
			return nil, fault.Invalidf("%s %q: %w", what, spec.Name, err)
		}
		out[spec.Name] = valuesOf(&t)
	}
	for _, name := range slices.Sorted(maps.Keys(side)) {
		if _, ok := out[name]; !ok {
			return nil, fault.Invalidf("the model has no %s %.80q", what, name)
		}
	}
	return out, nil
}

// Example returns one row that the version was asked when it was loaded: the first of its golden rows, or zeros and empty text. It is nil
// where neither can be had. A model need not take zeros.
func (l Live) Example() []tensor.Tensor {
	var list []tensor.Tensor
	for _, spec := range l.Manifest.Signature.Inputs {
		t, err := zeros(spec)
		if g := l.Manifest.Golden; g != nil && len(g.Rows) > 0 {
			t, err = rowOf(spec, g.Rows[0].Inputs[spec.Name])
		}
		if err != nil {
			return nil
		}
		list = append(list, t)
	}
	return list
}

// check asks the model every row and compares. Its errors are Invalid and say the row, the output, and both values.
func (g Golden) check(ctx context.Context, m predict.Model, sig tensor.Signature) error {
	for i, row := range g.Rows {
		if err := row.check(ctx, m, sig, g.Tolerance); err != nil {
			return fault.New(fault.KindOf(err), "golden row %d: %w", i+1, err)
		}
	}
	return nil
}

func (r GoldenRow) check(ctx context.Context, m predict.Model, sig tensor.Signature, tolerance float64) error {
	request := &tensor.Request{Outputs: slices.Sorted(maps.Keys(r.Outputs))}
	for _, spec := range sig.Inputs {
		t, err := rowOf(spec, r.Inputs[spec.Name])
		if err != nil {
			return err
		}
		request.Inputs = append(request.Inputs, t)
	}
	response, err := ask(ctx, m, sig, request)
	if err != nil {
		return err
	}
	for _, got := range response.Outputs {
		at := slices.IndexFunc(sig.Outputs, func(p tensor.Spec) bool { return p.Name == got.Name })
		want, err := rowOf(sig.Outputs[at], r.Outputs[got.Name])
		if err != nil {
			return err
		}
		if err := compare(&got, &want, tolerance); err != nil {
			return err
		}
	}
	return nil
}

// ask is Predict with the answer checked: what was wanted, in that order, and sound.
func ask(ctx context.Context, m predict.Model, sig tensor.Signature, r *tensor.Request) (*tensor.Response, error) {
	if err := sig.Check(r); err != nil {
		return nil, err
	}
	response, err := m.Predict(ctx, r)
	if err != nil {
		return nil, err
	}
	wanted := sig.Wanted(r)
	if len(response.Outputs) != len(wanted) {
		return nil, fault.Internalf("the runtime gave %d outputs; %d were wanted", len(response.Outputs), len(wanted))
	}
	for i := range response.Outputs {
		out := &response.Outputs[i]
		if out.Name != wanted[i] {
			return nil, fault.Internalf("the runtime gave output %q where %q was wanted", out.Name, wanted[i])
		}
		if err := out.Check(); err != nil {
			return nil, fault.Internalf("the runtime's answer is unsound: %w", err)
		}
	}
	return response, nil
}

func compare(got, want *tensor.Tensor, tolerance float64) error {
	have, expected := valuesOf(got), valuesOf(want)
	if len(have) != len(expected) {
		return fault.Invalidf("output %q has %d values, want %d", got.Name, len(have), len(expected))
	}
	numbers := got.DType() == tensor.Float32 || got.DType() == tensor.Float64
	for i := range have {
		if have[i] == expected[i] || numbers && near(have[i], expected[i], tolerance) {
			continue
		}
		return fault.Invalidf("output %q value %d is %s, want %s (relative tolerance %v)",
			got.Name, i+1, show(have[i]), show(expected[i]), tolerance).
			WithHint("check that the rows were computed by this very model, from inputs in this order; " +
				"if the difference is rounding alone, set golden.tolerance")
	}
	return nil
}

// near tells whether a and b differ by no more than the tolerance of the greater one. What is not finite is equal or not.
func near(a, b any, tolerance float64) bool {
	x, err1 := float(a, 64)
	y, err2 := float(b, 64)
	if err1 != nil || err2 != nil || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return false
	}
	return math.Abs(x-y) <= tolerance*max(math.Abs(x), math.Abs(y)) // false for a NaN
}
