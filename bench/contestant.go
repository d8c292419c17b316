package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/trees"
	"github.com/serin-ml/serin/internal/tensor"
)

// features is the width of a row, as model.py makes them.
const features = 56

// number is what a library computes with.
type number interface{ float32 | float64 }

// onDisk is an artefact of one file.
type onDisk string

// Files implements predict.Artefact.
func (f onDisk) Files() []string { return []string{filepath.Base(string(f))} }

// ReadFile implements predict.Artefact.
func (f onDisk) ReadFile(path string) ([]byte, error) {
	if path != filepath.Base(string(f)) {
		return nil, fault.NotFoundf("no file %q", path)
	}
	return os.ReadFile(string(f))
}

// open opens a model as serving does.
func open(ctx context.Context, path string) (predict.Model, error) {
	return trees.Runtime{}.Open(ctx, onDisk(path), nil)
}

// contestant is Serin's side: a model, asked as serving asks it, and requests that are made beforehand.
type contestant[F number] struct {
	predict.Model
	rows []F
	each []tensor.Request // a row each
	all  tensor.Request
}

// newContestant opens a model and reads its rows.
func newContestant[F number](ctx context.Context, path string) (*contestant[F], error) {
	m, err := open(ctx, path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path + ".rows")
	if err != nil {
		return nil, err
	}
	c := &contestant[F]{Model: m, rows: make([]F, len(data)/binary.Size(F(0)))}
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, c.rows); err != nil {
		return nil, err
	}
	c.all = c.request(c.rows)
	for from := 0; from < len(c.rows); from += features {
		c.each = append(c.each, c.request(c.rows[from:from+features]))
	}
	return c, m.Signature().Check(&c.all)
}

func (c *contestant[F]) request(rows []F, outputs ...string) tensor.Request {
	input := c.Signature().Inputs[0].Name
	return tensor.Request{Inputs: []tensor.Tensor{tensor.New(input, []int{len(rows) / features, features}, rows)}, Outputs: outputs}
}

// ask returns the numbers of the one output asked for.
func (c *contestant[F]) ask(ctx context.Context, r *tensor.Request) ([]F, error) {
	answer, err := c.Predict(ctx, r)
	if err != nil {
		return nil, err
	}
	values, ok := answer.Outputs[0].Data.([]F)
	if !ok {
		return nil, fmt.Errorf("the answer holds %s", answer.Outputs[0].DType())
	}
	return values, nil
}
