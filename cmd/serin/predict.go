package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

type predictCmd struct {
	Model string `arg:"" help:"A model or version (NAME, NAME@ALIAS, NAME/3, NAME@1.2.0), or the path of a model file or folder."`
	rowFile
	Output []string `placeholder:"NAME" help:"Outputs to print, such as prediction, margin, leaf or contributions (default: the model's own)."`
}

// Run answers every row with a line of JSON. It stops at the first row that is wrong, after the answers to those before it.
func (p *predictCmd) Run(ctx context.Context, c *cli, say *speaker) (err error) {
	m, err := c.open(ctx, say, p.Model)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	input, err := inputOf(m)
	if err != nil {
		return err
	}
	signature := m.model.Signature()
	for i, name := range p.Output {
		if !slices.ContainsFunc(signature.Outputs, func(s tensor.Spec) bool { return s.Name == name }) {
			return fault.Invalidf("unknown output %q; the model gives %s", name, outputNames(signature))
		}
		if slices.Contains(p.Output[:i], name) {
			return fault.Invalidf("the output %q is asked for twice", name)
		}
	}
	wanted := signature.Wanted(&tensor.Request{Outputs: p.Output})
	out := bufio.NewWriterSize(say.out, 1<<16)
	var line []byte
	err = p.each(say, input, batchRows(signature, wanted), func(x tensor.Tensor, lines []int) error {
		outputs, err := m.ask(ctx, x, wanted)
		if err != nil {
			return err
		}
		for row := range lines {
			line = append(line[:0], '{')
			for i, output := range outputs {
				if i > 0 {
					line = append(line, ", "...)
				}
				line = strconv.AppendQuote(line, wanted[i])
				line = append(line, ": "...)
				line = output.appendRow(line, row)
			}
			line = append(line, '}', '\n')
			if _, err := out.Write(line); err != nil {
				return fmt.Errorf("answers cannot be written: %w", err)
			}
		}
		return nil
	})
	return errors.Join(err, out.Flush())
}

func outputNames(s tensor.Signature) string {
	var names []string
	for _, o := range s.Outputs {
		names = append(names, strconv.Quote(o.Name))
	}
	return strings.Join(names, ", ")
}

// appendRow appends one row of an output: a number where the row has one cell by its shape, else a list, or a list of lists.
func (n *numbers) appendRow(dst []byte, row int) []byte {
	return appendCells(dst, n.shape, n.row(row), n.bits)
}

func appendCells(dst []byte, shape []int, values []float64, bits int) []byte {
	if len(shape) == 0 {
		return appendFloat(dst, values[0], bits)
	}
	dst = append(dst, '[')
	part := len(values) / max(shape[0], 1)
	for i := range shape[0] {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendCells(dst, shape[1:], values[i*part:(i+1)*part], bits)
	}
	return append(dst, ']')
}

// appendFloat appends the shortest decimal that reads back as the same number.
func appendFloat(dst []byte, v float64, bits int) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.AppendFloat(dst, v, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, bits)
}
