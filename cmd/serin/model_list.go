package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/serin-ml/serin/internal/app"
)

type modelListCmd struct{}

// Run lists the models.
func (modelListCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	models, err := control.Models(ctx)
	if err != nil {
		return err
	}
	return say.answer(models, func(w io.Writer) {
		var rows [][]string
		for _, m := range models {
			newest, runtime, created := "-", "-", "-"
			if m.Newest != nil {
				newest = fmt.Sprintf("%d (%s)", m.Newest.Number, m.Newest.Semver)
				runtime, created = m.Newest.Runtime, when(m.Newest.CreatedAt)
			}
			rows = append(rows, []string{m.Name, strconv.Itoa(m.Versions), newest, created, runtime, aliasText(m.Aliases)})
		}
		say.table(w, "MODEL VERSIONS NEWEST IMPORTED RUNTIME ALIASES", rows)
	})
}
