package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Outputs that a model may have, by the names that runtimes give them.
const (
	predictionOutput    = "prediction"
	marginOutput        = "margin"
	contributionsOutput = "contributions"
)

type explainCmd struct {
	Model string `arg:"" help:"A model or version (NAME, NAME@ALIAS, NAME/3, NAME@1.2.0), or the path of a model file or folder."`
	rowFile
	Top   int    `default:"10" placeholder:"N" help:"How many features to print, those that contribute most first (default: 10)."`
	All   bool   `help:"Print all features, also those that contribute nothing."`
	Class string `placeholder:"N" help:"Of several outputs explain this one alone: its number from 0, or its label."`
}

// Run explains every row: what each feature contributes to the margin, which is the prediction before the objective's transform. It
// stops at the first row that is wrong, after those before it.
func (e *explainCmd) Run(ctx context.Context, c *cli, say *speaker) (err error) {
	if e.Top < 0 {
		return fault.Invalidf("--top %d: how many features to print cannot be negative", e.Top)
	}
	m, err := c.open(ctx, say, e.Model)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	input, err := inputOf(m)
	if err != nil {
		return err
	}
	x, err := newExplainer(m, input, e)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(say.out, 1<<16)
	row := 0
	err = e.each(say, input, batchRows(m.model.Signature(), x.wanted), func(t tensor.Tensor, lines []int) error {
		answers, err := x.ask(ctx, t)
		if err != nil {
			return err
		}
		for i, line := range lines {
			row++
			why := x.explain(answers, i)
			why.Row, why.Line = row, line
			if err := why.print(say, out); err != nil {
				return fmt.Errorf("explanations cannot be written: %w", err)
			}
		}
		return nil
	})
	return errors.Join(err, out.Flush())
}

// explainer explains the rows of one model.
type explainer struct {
	m        *asked
	wanted   []string // the outputs to ask for, contributions last
	top      int      // how many features to tell, or -1 for all
	features int
	outputs  int
	only     int // the output to explain, or -1 for all
	columns  []string
	labels   []string // of the outputs, or none
}

func newExplainer(m *asked, input tensor.Spec, e *explainCmd) (*explainer, error) {
	x := &explainer{m: m, top: e.Top, features: input.Shape[1], outputs: 1, only: -1, columns: input.Columns}
	if e.All {
		x.top = -1
	}
	for _, name := range []string{predictionOutput, marginOutput, contributionsOutput} {
		at := slices.IndexFunc(m.model.Signature().Outputs, func(s tensor.Spec) bool { return s.Name == name })
		if at < 0 {
			return nil, fault.Invalidf("%s cannot be explained: it gives no %s, only %s", m.name, name, outputNames(m.model.Signature())).
				WithHint("models of trees give contributions where their files say how many training rows came to each node, " +
					"and where no leaf holds a linear function")
		}
		spec := m.model.Signature().Outputs[at]
		switch name {
		case predictionOutput:
			x.labels = spec.Labels
		case contributionsOutput:
			if last := spec.Shape[len(spec.Shape)-1]; len(spec.Shape) < 2 || len(spec.Shape) > 3 || last != x.features+1 {
				return nil, fault.Internalf("the contributions have the shape %v for %d features", spec.Shape, x.features)
			}
			if len(spec.Shape) == 3 {
				x.outputs = spec.Shape[1]
			}
		}
		x.wanted = append(x.wanted, name)
	}
	if len(x.labels) != x.outputs || x.outputs == 1 {
		x.labels = nil
	}
	return x, x.choose(e.Class)
}

// choose finds the one output to explain.
func (x *explainer) choose(class string) error {
	if class == "" {
		return nil
	}
	x.only = slices.Index(x.labels, class)
	if n, err := strconv.Atoi(class); err == nil && x.only < 0 {
		x.only = n
	}
	if x.only >= 0 && x.only < x.outputs {
		return nil
	}
	if x.outputs == 1 {
		return fault.Invalidf("there is no output %.60q; %s has one", class, x.m.name).WithHint("leave --class out")
	}
	return fault.Invalidf("there is no output %.60q; %s has those from 0 to %d", class, x.m.name, x.outputs-1).
		WithHint("leave --class out to have all explained")
}

func (x *explainer) ask(ctx context.Context, t tensor.Tensor) (answers answers, err error) {
	outputs, err := x.m.ask(ctx, t, x.wanted)
	if err != nil {
		return answers, err
	}
	answers.values, err = t.Float64s()
	answers.prediction, answers.margin, answers.contributions = outputs[0], outputs[1], outputs[2]
	return answers, err
}

// answers are a model's to some rows, and the rows.
type answers struct {
	values                            []float64
	prediction, margin, contributions numbers
}

// explanation is what is told of a row. Its JSON keys are documented in docs/guides/trees.md.
type explanation struct {
	Row        int             `json:"row"`  // of the file, from 1
	Line       int             `json:"line"` // of the file, from 1
	Prediction json.RawMessage `json:"prediction"`
	Outputs    []outputWhy     `json:"outputs"`

	several bool // the model has more outputs than one
}

// outputWhy explains one output: Bias, Contributions and Rest add up to Sum, which is the margin but for rounding.
type outputWhy struct {
	Output        int          `json:"output"` // its number, from 0
	Label         string       `json:"label"`  // empty where the model names none
	Margin        number       `json:"margin"`
	Bias          number       `json:"bias"`
	Sum           number       `json:"sum"`
	Contributions []featureWhy `json:"contributions"` // the greatest first
	Rest          restWhy      `json:"rest"`
}

// featureWhy is what one feature contributes to a margin.
type featureWhy struct {
	Feature      int    `json:"feature"` // its number, from 0
	Name         string `json:"name"`    // of its column; f and its number where the model names none
	Value        number `json:"value"`   // of the row
	Contribution number `json:"contribution"`
}

// restWhy is what the features that are not told contribute together.
type restWhy struct {
	Features     int    `json:"features"`
	Contribution number `json:"contribution"`
}

func (x *explainer) explain(a answers, row int) explanation {
	why := explanation{Prediction: a.prediction.appendRow(nil, row), several: x.outputs > 1}
	for k := range x.outputs {
		if x.only < 0 || x.only == k {
			why.Outputs = append(why.Outputs, x.output(a, row, k))
		}
	}
	return why
}

func (x *explainer) output(a answers, row, k int) outputWhy {
	bits := a.contributions.bits
	own := a.contributions.row(row)[k*(x.features+1) : (k+1)*(x.features+1)]
	values := a.values[row*x.features : (row+1)*x.features]
	why := outputWhy{Output: k, Margin: number{a.margin.row(row)[k], bits}, Bias: number{own[x.features], bits}, Contributions: []featureWhy{}}
	if x.labels != nil {
		why.Label = x.labels[k]
	}
	order := make([]int, x.features)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(math.Abs(own[j]), math.Abs(own[i])) })
	sum, rest := own[x.features], 0.0
	for at, i := range order {
		sum += own[i]
		if x.top >= 0 && (at >= x.top || own[i] == 0) {
			rest += own[i]
			why.Rest.Features++
			continue
		}
		why.Contributions = append(why.Contributions, featureWhy{i, x.column(i), number{values[i], bits}, number{own[i], bits}})
	}
	why.Sum, why.Rest.Contribution = number{sum, bits}, number{rest, bits}
	return why
}

func (x *explainer) column(i int) string {
	if i < len(x.columns) {
		return x.columns[i]
	}
	return "f" + strconv.Itoa(i)
}

// print writes the explanation as a line of JSON or for people.
func (w *explanation) print(say *speaker, out io.Writer) error {
	if say.json {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		return e.Encode(w)
	}
	_, err := fmt.Fprintf(out, "row %d, line %d: prediction %s", w.Row, w.Line, w.Prediction)
	if w.several {
		fmt.Fprintln(out)
	}
	for _, o := range w.Outputs {
		switch {
		case o.Label != "":
			fmt.Fprintf(out, "\noutput %d (%s)", o.Output, o.Label)
		case w.several:
			fmt.Fprintf(out, "\noutput %d", o.Output)
		}
		fmt.Fprintf(out, ", margin %s\n", o.Margin.text())
		say.table(out, "FEATURE VALUE CONTRIBUTION", o.table())
	}
	if err == nil {
		_, err = fmt.Fprintln(out)
	}
	return err
}

func (o *outputWhy) table() (rows [][]string) {
	for _, c := range o.Contributions {
		rows = append(rows, []string{c.Name, c.Value.text(), c.Contribution.signed()})
	}
	if o.Rest.Features > 0 {
		rows = append(rows, []string{fmt.Sprintf("(%d more)", o.Rest.Features), "", o.Rest.Contribution.signed()})
	}
	return append(rows, []string{"(bias)", "", o.Bias.signed()}, []string{"(sum)", "", o.Sum.signed()})
}

// number is written with the digits that its bits need: in JSON null where it is missing, and "Infinity" or "-Infinity", as in golden
// rows.
type number struct {
	v    float64
	bits int
}

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) { //nolint:unparam // the error is of the interface
	switch {
	case math.IsNaN(n.v):
		return []byte("null"), nil
	case math.IsInf(n.v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(n.v, -1):
		return []byte(`"-Infinity"`), nil
	}
	return appendFloat(nil, n.v, n.bits), nil
}

// text writes the number for people.
func (n number) text() string {
	switch {
	case math.IsNaN(n.v):
		return "missing"
	case math.IsInf(n.v, 0):
		return fmt.Sprint(n.v)
	}
	return string(appendFloat(nil, n.v, n.bits))
}

// signed writes a part of a sum for people: with its sign, and the six digits that are worth reading.
func (n number) signed() string { return fmt.Sprintf("%+.6g", n.v) }
