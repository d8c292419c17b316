package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/tensor"
)

// asked is a model that a command asks in its own process.
type asked struct {
	model predict.Model
	name  string // as the command was told
	close func() error
}

// open finds the model that a command's argument names, a version in the registry or files on disk, and brings it to life. The caller
// closes it.
func (c *cli) open(ctx context.Context, say *speaker, text string) (*asked, error) {
	if isPath(text) {
		return c.openFiles(ctx, say, text)
	}
	ref, control, err := c.reader(ctx, say, text)
	if err != nil {
		return nil, orFile(text, err)
	}
	live, err := control.Registry.Load(ctx, ref)
	if err != nil {
		return nil, errors.Join(orFile(text, err), control.Close())
	}
	return &asked{model: live.Model, name: text, close: control.Close}, nil
}

// orFile adds to the error of what may be meant for a reference or for a path that there is no such file.
func orFile(text string, err error) error {
	if _, missing := os.Stat(text); missing != nil && strings.ContainsAny(text, "./") {
		return fault.New(fault.KindOf(err), "%w, and there is no file %.200s", err, text)
	}
	return err
}

// isPath tells whether an argument names files: it begins with a dot or a slash, or is there and cannot well be a reference. A model
// whose name looks like a file's that is there is named with models:/ before it.
func isPath(text string) bool {
	if strings.HasPrefix(text, ".") || filepath.IsAbs(text) {
		return true
	}
	info, err := os.Stat(text)
	if err != nil {
		return false
	}
	_, err = registry.ParseRef(text)
	return err != nil || info.Mode().IsRegular() && filepath.Ext(text) != ""
}

// openFiles opens files as an import would, with the same refusals and checks, into a registry that is gone afterwards.
func (c *cli) openFiles(ctx context.Context, say *speaker, path string) (m *asked, err error) {
	files, closeFiles, err := sources(path)
	if err != nil {
		return nil, err
	}
	defer closeFiles()
	dir, err := os.MkdirTemp("", "serin-")
	if err != nil {
		return nil, fault.Unavailablef("a folder for the model cannot be made: %w", err).WithHint("TMPDIR names the folder for it")
	}
	remove := func() error { return os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	o := c.options(say.errs)
	o.DataDir, o.Create = filepath.Join(dir, "data"), true
	control, err := app.Writer(ctx, o)
	if err != nil {
		return nil, err
	}
	const name = "file"
	if _, err = control.Import(ctx, name, api.ImportOptions{By: whoAmI()}, files); err != nil {
		return nil, errors.Join(err, control.Close())
	}
	live, err := control.Registry.Load(ctx, registry.Ref{Model: name})
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	return &asked{model: live.Model, name: path, close: func() error { return errors.Join(control.Close(), remove()) }}, nil
}

// ask asks for outputs, by name.
func (m *asked) ask(ctx context.Context, x tensor.Tensor, outputs []string) ([]numbers, error) {
	request := &tensor.Request{Inputs: []tensor.Tensor{x}, Outputs: outputs}
	if err := m.model.Signature().Check(request); err != nil {
		return nil, err
	}
	response, err := m.model.Predict(ctx, request)
	if err != nil {
		return nil, err
	}
	all := make([]numbers, len(response.Outputs))
	for i := range response.Outputs {
		if all[i], err = numbersOf(&response.Outputs[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// numbers are an answer's, to be written.
type numbers struct {
	values []float64
	width  int   // of a row
	shape  []int // of a row
	bits   int   // of a number, which takes no more digits than that
}

func numbersOf(t *tensor.Tensor) (n numbers, err error) {
	if n.values, err = t.Float64s(); err != nil {
		return n, err
	}
	for _, v := range n.values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return n, fault.Internalf("the model answers %q with %v, which JSON cannot hold", t.Name, v)
		}
	}
	n.shape, n.width, n.bits = t.Shape[min(1, len(t.Shape)):], len(n.values)/max(t.Rows(), 1), 64
	if t.DType() == tensor.Float32 {
		n.bits = 32
	}
	return n, nil
}

func (n *numbers) row(i int) []float64 { return n.values[i*n.width : (i+1)*n.width] }
