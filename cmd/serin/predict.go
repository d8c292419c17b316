package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/rows"
	"github.com/serin-ml/serin/internal/tensor"
)

// predictBatch is how many rows are read and answered at a time.
const predictBatch = 1024

type predictCmd struct {
	Ref    string   `arg:"" help:"The model or version: NAME, NAME@ALIAS, NAME/3, NAME@1.2.0."`
	Input  string   `required:"" placeholder:"ROWS" help:"File of rows, - for standard input."`
	Format string   `enum:",libsvm,csv,tsv,jsonl" default:"" placeholder:"FORMAT" help:"libsvm, csv, tsv or jsonl (default: told by name and first line)."`
	Output []string `placeholder:"NAME" help:"Outputs to print, such as prediction or margin (default: the model's own)."`
	Label  string   `placeholder:"COLUMN" help:"A column of CSV or TSV that is no input: its name, or its number from 0."`
	Header string   `enum:"auto,yes,no" default:"auto" help:"Whether the first row of CSV or TSV names the columns: auto, yes or no."`
}

// Run answers every row with a line of JSON. It stops at the first row that is wrong, after the answers to those before it.
func (p *predictCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	ref, control, err := c.reader(ctx, say, p.Ref)
	if err != nil {
		return err
	}
	defer control.Close()
	live, err := control.Registry.Load(ctx, ref)
	if err != nil {
		return err
	}
	in, name, err := p.open(say)
	if err != nil {
		return err
	}
	defer in.Close()
	signature := live.Model.Signature()
	if len(signature.Inputs) != 1 || len(signature.Inputs[0].Shape) != 2 {
		return fault.Invalidf("%s takes other inputs than rows of numbers", ref).WithHint("`serin model show %s` says what it takes", p.Ref)
	}
	for _, name := range p.Output {
		if !slices.ContainsFunc(signature.Outputs, func(s tensor.Spec) bool { return s.Name == name }) {
			return fault.Invalidf("unknown output %q; the model gives %s", name, outputNames(signature))
		}
	}
	input := signature.Inputs[0]
	headers := map[string]rows.Header{"auto": rows.HeaderAuto, "yes": rows.HeaderYes, "no": rows.HeaderNo}
	reader, err := rows.Open(in, rows.Format(p.Format), rows.Options{
		Name: name, Width: max(input.Shape[1], 0), Columns: input.Columns, Header: headers[p.Header], Label: p.Label,
	})
	if err != nil {
		return err
	}
	a := answerer{model: live.Model, input: input.Name, outputs: p.Output, file: name, out: bufio.NewWriterSize(say.out, 1<<16)}
	return errors.Join(a.all(ctx, reader), a.out.Flush())
}

func outputNames(s tensor.Signature) string {
	var names []string
	for _, o := range s.Outputs {
		names = append(names, strconv.Quote(o.Name))
	}
	return strings.Join(names, ", ")
}

// open opens the rows; name is what errors call them.
func (p *predictCmd) open(say *speaker) (in io.ReadCloser, name string, err error) {
	if p.Input == "-" {
		return io.NopCloser(say.in), "stdin", nil
	}
	f, err := os.Open(p.Input)
	if err != nil {
		return nil, "", fault.NotFoundf("rows: %w", err).WithHint("--input names a file of rows, or - for standard input")
	}
	return f, p.Input, nil
}

// answerer asks a model and prints what it says.
type answerer struct {
	model   predict.Model
	input   string
	outputs []string
	file    string
	out     *bufio.Writer
	line    []byte
}

func (a *answerer) all(ctx context.Context, reader *rows.Reader) error {
	var batch rows.Batch[float32]
	for {
		err := batch.Read(reader, predictBatch)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.batch(ctx, &batch); err != nil {
			return err
		}
	}
}

// batch answers all rows at once. Where that is refused it answers them one by one, to print those before the one at fault and to say
// which it is.
func (a *answerer) batch(ctx context.Context, b *rows.Batch[float32]) error {
	err := a.ask(ctx, b.Tensor(a.input))
	if fault.KindOf(err) != fault.Invalid {
		return err
	}
	for i := range b.Rows {
		row := tensor.New(a.input, []int{1, b.Width}, b.Values[i*b.Width:(i+1)*b.Width])
		if err := a.ask(ctx, row); err != nil {
			return fault.New(fault.KindOf(err), "%s: line %d: %w", a.file, b.Lines[i], err)
		}
	}
	return nil
}

// ask answers the rows of x and prints a line for each, or prints nothing.
func (a *answerer) ask(ctx context.Context, x tensor.Tensor) error {
	request := &tensor.Request{Inputs: []tensor.Tensor{x}, Outputs: a.outputs}
	if err := a.model.Signature().Check(request); err != nil {
		return err
	}
	response, err := a.model.Predict(ctx, request)
	if err != nil {
		return err
	}
	for row := range x.Rows() {
		a.line = append(a.line[:0], '{')
		for i, output := range response.Outputs {
			if i > 0 {
				a.line = append(a.line, ',', ' ')
			}
			a.line = strconv.AppendQuote(a.line, output.Name)
			a.line = append(a.line, ':', ' ')
			if a.line, err = appendRow(a.line, &output, row); err != nil {
				return err
			}
		}
		a.line = append(a.line, '}', '\n')
		if _, err := a.out.Write(a.line); err != nil {
			return fmt.Errorf("answers cannot be written: %w", err)
		}
	}
	return nil
}

// appendRow appends one row of an output: a number where the row has one cell by its shape, else a list.
func appendRow(dst []byte, t *tensor.Tensor, row int) (out []byte, err error) {
	bits := 64
	if t.DType() == tensor.Float32 {
		bits = 32
	}
	values, err := t.Float64s()
	if err != nil {
		return dst, err
	}
	width := len(values) / max(t.Rows(), 1)
	if len(t.Shape) > 1 {
		dst = append(dst, '[')
	}
	for i, v := range values[row*width : (row+1)*width] {
		if i > 0 {
			dst = append(dst, ',', ' ')
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return dst, fault.Internalf("the model answers with %v, which JSON cannot hold", v)
		}
		dst = appendFloat(dst, v, bits)
	}
	if len(t.Shape) > 1 {
		dst = append(dst, ']')
	}
	return dst, nil
}

// appendFloat appends the shortest decimal that reads back as the same number.
func appendFloat(dst []byte, v float64, bits int) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.AppendFloat(dst, v, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, bits)
}
