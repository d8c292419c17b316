package main

import (
	"context"
	"fmt"
	"io"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
)

type modelAliasCmd struct {
	Name   string `arg:"" help:"Name of the model."`
	Alias  string `arg:"" help:"The alias, such as champion."`
	To     string `arg:"" optional:"" help:"Where it shall point: a version's number, semantic version, or another alias."`
	Rm     bool   `help:"Remove the alias."`
	Expect *int   `placeholder:"NUMBER" help:"Move it only if it points at this version now (0: at none)."`
	Why    string `placeholder:"TEXT" help:"The reason, for the history."`

	Supersede bool `help:"Move it though a release is bound to it: that one is aborted, and begins anew."`
}

// Run moves or removes the alias.
func (m *modelAliasCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	if m.Rm == (m.To != "") {
		return fault.Invalidf("say either where the alias shall point, or --rm").
			WithHint("serin model alias %s %s NUMBER, or serin model alias %s %s --rm", m.Name, m.Alias, m.Name, m.Alias)
	}
	control, err := app.Writer(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	moved, err := control.MoveAlias(ctx, m.Name, m.Alias, api.AliasChange{To: m.To, Expect: m.Expect, By: whoAmI(), Why: m.Why, Supersede: m.Supersede})
	if err != nil {
		return err
	}
	return say.answer(moved, func(w io.Writer) {
		switch {
		case moved.Move == nil:
			fmt.Fprintf(w, "%s of %s points at %d already; nothing to do\n", m.Alias, m.Name, moved.To)
		case moved.To == 0:
			fmt.Fprintf(w, "%s of %s removed; it pointed at %d\n", m.Alias, m.Name, moved.Move.From)
		case moved.Move.From == 0:
			fmt.Fprintf(w, "%s of %s points at %d\n", m.Alias, m.Name, moved.To)
		default:
			fmt.Fprintf(w, "%s of %s moved from %d to %d\n", m.Alias, m.Name, moved.Move.From, moved.To)
		}
	})
}
