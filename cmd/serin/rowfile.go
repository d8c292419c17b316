package main

import (
	"errors"
	"io"
	"os"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/rows"
	"github.com/serin-ml/serin/internal/tensor"
)

// rowFile is a file of rows as a command's flags describe it.
type rowFile struct {
	Input  string `required:"" placeholder:"ROWS" help:"File of rows, - for standard input."`
	Format string `enum:",libsvm,csv,tsv,jsonl" default:"" placeholder:"FORMAT" help:"libsvm, csv, tsv or jsonl (default: told by name and first line)."`
	Label  string `placeholder:"COLUMN" help:"A column of CSV or TSV that is no input: its name, or its number from 0."`
	Header string `enum:"auto,yes,no" default:"auto" help:"Whether the first row of CSV or TSV names the columns: auto, yes or no."`
}

// most is how many rows are read and answered at a time, and about how many numbers their answers may hold.
const (
	mostRows    = 1024
	mostNumbers = 4 << 20
)

// batchRows is how many rows are asked about at a time for these outputs.
func batchRows(s tensor.Signature, outputs []string) int {
	cells := 1
	for _, o := range s.Outputs {
		if !slices.Contains(outputs, o.Name) {
			continue
		}
		n := 1
		for _, d := range o.Shape[min(1, len(o.Shape)):] {
			if d < 0 {
				d = mostRows // any size: trees, say
			}
			n *= max(d, 1)
		}
		cells += n
	}
	return min(max(mostNumbers/cells, 1), mostRows)
}

// inputOf returns the one input that rows can be read for.
func inputOf(m *asked) (tensor.Spec, error) {
	s := m.model.Signature()
	if len(s.Inputs) != 1 || len(s.Inputs[0].Shape) != 2 || !s.Inputs[0].DType.Numeric() {
		return tensor.Spec{}, fault.Invalidf("%s takes other inputs than rows of numbers", m.name).
			WithHint("`serin model show` says what a model takes")
	}
	return s.Inputs[0], nil
}

// each reads the rows for an input, at most n at a time and in the precision of the model, and has them answered. Where many at once are
// refused they are asked about one by one, so that those before the one at fault are answered and it is named. Answer prints all that it
// is asked about, or nothing.
func (f *rowFile) each(say *speaker, input tensor.Spec, n int, answer func(x tensor.Tensor, lines []int) error) error {
	in, name, err := f.open(say)
	if err != nil {
		return err
	}
	defer in.Close()
	headers := map[string]rows.Header{"auto": rows.HeaderAuto, "yes": rows.HeaderYes, "no": rows.HeaderNo}
	reader, err := rows.Open(in, rows.Format(f.Format), rows.Options{
		Name: name, Width: max(input.Shape[1], 0), Columns: input.Columns, Header: headers[f.Header], Label: f.Label, AbsentZero: input.AbsentZero,
	})
	if err != nil {
		return err
	}
	if input.DType == tensor.Float32 {
		return batches[float32](reader, input.Name, name, n, answer)
	}
	return batches[float64](reader, input.Name, name, n, answer)
}

// open opens the rows; name is what errors call them.
func (f *rowFile) open(say *speaker) (in io.ReadCloser, name string, err error) {
	if f.Input == "-" {
		return io.NopCloser(say.in), "stdin", nil
	}
	file, err := os.Open(f.Input)
	if err != nil {
		return nil, "", fault.NotFoundf("rows: %w", err).WithHint("--input names a file of rows, or - for standard input")
	}
	return file, f.Input, nil
}

func batches[F float32 | float64](r *rows.Reader, input, file string, n int, answer func(tensor.Tensor, []int) error) error {
	var b rows.Batch[F]
	for {
		err := b.Read(r, n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = answer(b.Tensor(input), b.Lines)
		if fault.KindOf(err) == fault.Invalid {
			err = oneByOne(&b, input, file, answer)
		}
		if err != nil {
			return err
		}
	}
}

func oneByOne[F float32 | float64](b *rows.Batch[F], input, file string, answer func(tensor.Tensor, []int) error) error {
	for i := range b.Rows {
		row := tensor.New(input, []int{1, b.Width}, b.Values[i*b.Width:(i+1)*b.Width])
		if err := answer(row, b.Lines[i:i+1]); err != nil {
			return fault.New(fault.KindOf(err), "%s: line %d: %w", file, b.Lines[i], err)
		}
	}
	return nil
}
