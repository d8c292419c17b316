package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
)

// exportCmd is the commands that write what was measured into files.
type exportCmd struct {
	Parquet exportParquetCmd `cmd:"" help:"Write a view into a Parquet file."`
}

type exportParquetCmd struct {
	View  string `required:"" placeholder:"NAME" help:"The view, such as outcomes; 'serin sql --schema' lists them."`
	Out   string `required:"" placeholder:"FILE" help:"The file to write; one that is there is replaced, whole or not at all."`
	Since string `placeholder:"TIME" help:"Only rows from this long ago on, such as 12h or 7d (default: all)."`
}

// Run exports.
func (e *exportParquetCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	var since time.Time
	if e.Since != "" {
		d, err := ago(e.Since)
		if err != nil {
			return err
		}
		since = time.Now().Add(-d)
	}
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	size, err := writeWhole(e.Out, func(w io.Writer) error { return control.ExportParquet(ctx, e.View, since, w) })
	if err != nil {
		return err
	}
	answer := struct {
		View  string `json:"view"`
		File  string `json:"file"`
		Bytes int64  `json:"bytes"`
	}{e.View, e.Out, size}
	return say.answer(answer, func(w io.Writer) { fmt.Fprintf(w, "exported %s to %s (%s)\n", e.View, e.Out, bytesText(size)) })
}

// writeWhole writes a file beside the one that is there, and puts it in its place when it is whole.
func writeWhole(path string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".serin-*")
	if err != nil {
		return 0, fault.Unavailablef("a file beside %s cannot be made: %w", path, err).WithHint("give a folder that is there and can be written")
	}
	buffered := bufio.NewWriter(f)
	if err = write(buffered); err == nil {
		err = buffered.Flush()
	}
	if info, failed := f.Stat(); failed == nil {
		size = info.Size()
	}
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		return size, nil
	}
	_ = os.Remove(f.Name()) // what is left of it is in nobody's way
	if fault.KindOf(err) == fault.Internal {
		err = fault.Unavailablef("%s cannot be written: %w", path, err).WithHint("free some space, or choose another file")
	}
	return 0, err
}
