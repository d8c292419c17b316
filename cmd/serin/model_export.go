package main

import (
	"context"
	"fmt"
	"io"

	"github.com/serin-ml/serin/internal/registry"
)

type modelExportCmd struct {
	Ref string `arg:"" help:"The version, such as NAME/3 or NAME@champion."`
	Dir string `arg:"" help:"A folder that does not exist yet, or is empty."`
}

// Run exports. Importing the folder again gives the same version.
func (m *modelExportCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	ref, control, err := c.reader(ctx, say, m.Ref)
	if err != nil {
		return err
	}
	defer control.Close()
	v, err := control.Registry.Export(ctx, ref, m.Dir)
	if err != nil {
		return err
	}
	answer := struct {
		Version registry.Version `json:"version"`
		Dir     string           `json:"dir"`
	}{v, m.Dir}
	return say.answer(answer, func(w io.Writer) {
		fmt.Fprintf(w, "exported %s to %s (%d files and model.yaml)\n", versionName(v), m.Dir, len(v.Files))
	})
}
