package main

import (
	"context"
	"fmt"
	"io"

	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

type modelVerifyCmd struct {
	Ref string `arg:"" optional:"" help:"The version to verify, such as NAME/3 (default: all)."`
}

// Run reads everything again. Damage makes it fail.
func (m *modelVerifyCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	var ref *registry.Ref
	if m.Ref != "" {
		parsed, err := registry.ParseRef(m.Ref)
		if err != nil {
			return err
		}
		ref = &parsed
	}
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	report, err := control.Verify(ctx, ref)
	if err != nil {
		return err
	}
	err = say.answer(report, func(w io.Writer) {
		fmt.Fprintf(w, "%d versions, %d files, %s read: %d damaged\n", report.Versions, report.Blobs, bytesText(report.Bytes), len(report.Damage))
		for _, d := range report.Damage {
			fmt.Fprintf(w, "  %s/%d %s: %s\n", d.Model, d.Number, d.Path, d.Problem)
		}
	})
	if err == nil && len(report.Damage) > 0 {
		return fault.Internalf("%d files are damaged or lost", len(report.Damage)).
			WithHint("import the same files again, which repairs them, or restore the blobs folder from a backup")
	}
	return err
}
