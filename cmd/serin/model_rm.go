package main

import (
	"context"
	"fmt"
	"io"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

type modelRmCmd struct {
	Ref string `arg:"" help:"The version, such as NAME/3. Its number is not given out again."`
	Why string `placeholder:"TEXT" help:"The reason, for the history."`
}

// Run removes. What an alias points at stays.
func (m *modelRmCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	ref, err := registry.ParseRef(m.Ref)
	if err != nil {
		return err
	}
	if ref == (registry.Ref{Model: ref.Model}) {
		return fault.Invalidf("%q does not say which version to remove", m.Ref).WithHint("name one, such as %s/1; `serin model show %s` lists them", m.Ref, m.Ref)
	}
	control, err := app.Writer(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	v, err := control.Remove(ctx, ref, api.RemoveRequest{By: whoAmI(), Why: m.Why})
	if err != nil {
		return err
	}
	return say.answer(v, func(w io.Writer) { fmt.Fprintf(w, "removed %s\n", versionName(v)) })
}
