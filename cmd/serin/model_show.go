package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/tensor"
)

type modelShowCmd struct {
	Ref string `arg:"" help:"NAME for the model; NAME/3, NAME@champion or NAME@1.2.0 for a version."`
}

// Run shows a model or a version.
func (m *modelShowCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	ref, control, err := c.reader(ctx, say, m.Ref)
	if err != nil {
		return err
	}
	defer control.Close()
	if ref == (registry.Ref{Model: ref.Model}) {
		d, err := control.Model(ctx, ref.Model)
		if err != nil {
			return err
		}
		return say.answer(d, func(w io.Writer) { showModel(say, w, d) })
	}
	v, err := control.Version(ctx, ref)
	if err != nil {
		return err
	}
	return say.answer(v, func(w io.Writer) { showVersion(w, v) })
}

func showModel(say *speaker, w io.Writer, d registry.Details) {
	fmt.Fprintf(w, "%s, since %s, aliases: %s\n\n", d.Name, when(d.CreatedAt), aliasText(d.Aliases))
	var rows [][]string
	for _, v := range d.All {
		note := v.Why
		if v.Removed != nil {
			note = fmt.Sprintf("removed %s by %s%s", when(v.Removed.At), v.Removed.By, because(v.Removed.Why))
		}
		rows = append(rows, []string{strconv.Itoa(v.Number), v.Semver, v.Digest.Short(), when(v.CreatedAt), v.By, bytesText(v.Size()), note})
	}
	say.table(w, "VERSION SEMVER DIGEST IMPORTED BY SIZE NOTE", rows)
	rows = nil
	for _, m := range d.Moves {
		rows = append(rows, []string{when(m.At), m.Alias, numberOrNothing(m.From), numberOrNothing(m.To), m.By, m.Why})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		say.table(w, "WHEN ALIAS FROM TO BY WHY", rows)
	}
}

func showVersion(w io.Writer, v api.VersionDetails) {
	fmt.Fprintf(w, "%s\n", versionName(v.Version))
	line(w, "digest", v.Digest)
	line(w, "imported", when(v.CreatedAt)+" by "+v.By+because(v.Why))
	line(w, "aliases", strings.Join(v.Aliases, ", "))
	line(w, "runtime", v.Runtime)
	pairs(w, "option", v.Manifest.Options)
	for _, in := range v.Manifest.Signature.Inputs {
		line(w, "input", specText(in))
	}
	for _, out := range v.Manifest.Signature.Outputs {
		line(w, "output", specText(out))
	}
	for _, f := range v.Files {
		line(w, "file", fmt.Sprintf("%s (%s, %s)", f.Path, bytesText(f.Size), f.Digest.Short()))
	}
	if v.Manifest.Golden != nil {
		line(w, "golden", fmt.Sprintf("%d rows", len(v.Manifest.Golden.Rows)))
	}
	if v.Parent != 0 {
		line(w, "parent", v.Parent)
	}
	line(w, "data", v.Manifest.Lineage.Data)
	line(w, "code", v.Manifest.Lineage.Code)
	pairs(w, "param", v.Manifest.Lineage.Params)
	pairs(w, "label", v.Labels)
}

// pairs prints the entries of a map, sorted.
func pairs(w io.Writer, label string, m map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		line(w, label, key+" = "+m[key])
	}
}

func specText(s tensor.Spec) string {
	text := fmt.Sprintf("%s %s %v", s.Name, s.DType, s.Shape)
	if s.OnDemand {
		text += ", on demand"
	}
	if s.AbsentZero {
		text += ", absent from a sparse row: 0"
	}
	if len(s.Labels) > 0 {
		text += ", labels " + strings.Join(s.Labels, ", ")
	}
	if n := len(s.Columns); n > 0 {
		text += ", columns " + strings.Join(s.Columns[:min(n, 8)], ", ")
		if n > 8 {
			text += fmt.Sprintf(" and %d more", n-8)
		}
	}
	return text
}

func numberOrNothing(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}
