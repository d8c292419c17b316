package registry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/tensor"
)

// userManifest is model.yaml as people write it, and as Export does. Everything may be left out.
type userManifest struct {
	Format    int                 `yaml:"format"`
	Version   verbatim            `yaml:"version"`
	Runtime   string              `yaml:"runtime"`
	Options   map[string]verbatim `yaml:"options"`
	Signature struct {
		Inputs  []userSpec `yaml:"inputs"`
		Outputs []userSpec `yaml:"outputs"`
	} `yaml:"signature"`
	Files   []File      `yaml:"files"`
	Golden  *userGolden `yaml:"golden"`
	Lineage struct {
		Parent store.Digest        `yaml:"parent"`
		Data   verbatim            `yaml:"data"`
		Params map[string]verbatim `yaml:"params"`
		Code   verbatim            `yaml:"code"`
	} `yaml:"lineage"`
}

type userGolden struct {
	Tolerance *float64    `yaml:"tolerance"`
	Rows      []GoldenRow `yaml:"rows,required"`
}

// userSpec is a tensor.Spec of which all but the name may be left out.
type userSpec struct {
	Name       string       `yaml:"name,required"`
	DType      tensor.DType `yaml:"datatype"`
	Shape      []int        `yaml:"shape"`
	Columns    []string     `yaml:"columns"`
	Labels     []string     `yaml:"labels"`
	OnDemand   *bool        `yaml:"onDemand"`
	AbsentZero *bool        `yaml:"absentZero"`
}

// verbatim is a scalar as it stands in the file, so that a parameter may be written as a number without quotes.
type verbatim string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *verbatim) UnmarshalText(text []byte) error {
	*v = verbatim(text)
	return nil
}

func plain(in map[string]verbatim) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[k] = string(v)
	}
	return out
}

func decodeUserManifest(data []byte) (m userManifest, err error) {
	doc, err := strictyaml.Parse(ManifestFile, data)
	if err != nil {
		return m, err
	}
	err = doc.Decode(&m)
	if m.Format < 0 || m.Format > manifestFormat {
		return m, newerFormat(ManifestFile, m.Format, manifestFormat)
	}
	if m.Golden != nil && m.Golden.Tolerance != nil && !(*m.Golden.Tolerance > 0 && *m.Golden.Tolerance < 1) {
		doc.Problem("golden.tolerance", "the tolerance must lie between 0 and 1", fmt.Sprintf("leave it out for %v", DefaultTolerance))
		return m, doc.Err()
	}
	return m, err
}

// overlay returns the model's own signature with the labels and column names that the user gives.
func (m userManifest) overlay(sig tensor.Signature) (tensor.Signature, error) {
	out := tensor.Signature{Inputs: copySpecs(sig.Inputs), Outputs: copySpecs(sig.Outputs)}
	for _, side := range []struct {
		what  string
		users []userSpec
		specs []tensor.Spec
	}{{"input", m.Signature.Inputs, out.Inputs}, {"output", m.Signature.Outputs, out.Outputs}} {
		seen := map[string]bool{}
		for _, user := range side.users {
			at := slices.IndexFunc(side.specs, func(p tensor.Spec) bool { return p.Name == user.Name })
			if at < 0 {
				return sig, disagree(side.what, user.Name, "the model has no such "+side.what)
			}
			if seen[user.Name] {
				return sig, disagree(side.what, user.Name, "it is given twice")
			}
			seen[user.Name] = true
			if reason := user.apply(&side.specs[at]); reason != "" {
				return sig, disagree(side.what, user.Name, reason)
			}
		}
	}
	return out, nil
}

func copySpecs(specs []tensor.Spec) []tensor.Spec {
	out := make([]tensor.Spec, len(specs))
	for i, p := range specs {
		p.Shape = append([]int{}, p.Shape...) // never nil: null and [] would be two spellings
		out[i] = p
	}
	return out
}

func disagree(what, name, reason string) error {
	return fault.Invalidf("%s: signature: %s %.80q: %s", ManifestFile, what, name, reason).
		WithHint("the signature comes from the model; %s may add labels and rename columns", ManifestFile)
}

// apply puts the user's names on p, or says what does not agree.
func (u userSpec) apply(p *tensor.Spec) (reason string) {
	switch {
	case u.DType != 0 && u.DType != p.DType:
		return fmt.Sprintf("the datatype is %s in the model, not %s", p.DType, u.DType)
	case u.Shape != nil && !slices.Equal(u.Shape, p.Shape):
		return fmt.Sprintf("the shape is %v in the model, not %v", p.Shape, u.Shape)
	case u.OnDemand != nil && *u.OnDemand != p.OnDemand:
		return fmt.Sprintf("onDemand is %v in the model", p.OnDemand)
	case u.AbsentZero != nil && *u.AbsentZero != p.AbsentZero:
		return fmt.Sprintf("absentZero is %v in the model", p.AbsentZero)
	}
	if len(u.Columns) > 0 {
		last := -1
		if len(p.Shape) > 0 {
			last = p.Shape[len(p.Shape)-1]
		}
		if last >= 0 && len(u.Columns) != last {
			return fmt.Sprintf("%d columns are named; the model has %d", len(u.Columns), last)
		}
		if name := repeated(u.Columns); name != "" {
			return fmt.Sprintf("column %.80q is named twice", name)
		}
		p.Columns = u.Columns
	}
	if len(u.Labels) > 0 {
		if name := repeated(u.Labels); name != "" {
			return fmt.Sprintf("label %.80q is given twice", name)
		}
		if len(p.Labels) > 0 && len(p.Labels) != len(u.Labels) {
			return fmt.Sprintf("%d labels are given; the model has %d", len(u.Labels), len(p.Labels))
		}
		p.Labels = u.Labels
	}
	return ""
}

func repeated(names []string) string {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return name
		}
		seen[name] = true
	}
	return ""
}

// renderManifest writes m as model.yaml. Importing it with its files gives the same digest: the leaves are JSON, which YAML reads as
// it is, so that no text has two meanings.
func renderManifest(m Manifest, version string) ([]byte, error) {
	w := yamlWriter{}
	w.line("# Written by serin. The version's digest is taken of what is below, comments and version left out.")
	w.field("format", m.Format)
	w.field("version", version)
	w.field("runtime", m.Runtime)
	if len(m.Options) > 0 {
		w.field("options", m.Options)
	}
	w.line("signature:")
	w.items("  inputs:", len(m.Signature.Inputs), func(i int) any { return m.Signature.Inputs[i] })
	w.items("  outputs:", len(m.Signature.Outputs), func(i int) any { return m.Signature.Outputs[i] })
	w.items("files:", len(m.Files), func(i int) any { return m.Files[i] })
	if m.Golden != nil {
		w.line("golden:")
		w.field("  tolerance", m.Golden.Tolerance)
		w.items("  rows:", len(m.Golden.Rows), func(i int) any { return m.Golden.Rows[i] })
	}
	if text, err := canonical(m.Lineage); err == nil && string(text) != "{}" {
		w.field("lineage", m.Lineage)
	}
	return w.b.Bytes(), w.err
}

type yamlWriter struct {
	b   bytes.Buffer
	err error
}

func (w *yamlWriter) line(text string) { w.b.WriteString(text + "\n") }

func (w *yamlWriter) field(key string, v any) { w.line(key + ": " + w.flow(v)) }

// items writes a list with an entry a line, or an empty one.
func (w *yamlWriter) items(key string, n int, item func(int) any) {
	if n == 0 {
		w.line(key + " []")
		return
	}
	w.line(key)
	indent := strings.Repeat(" ", len(key)-len(strings.TrimLeft(key, " "))+2)
	for i := range n {
		w.line(indent + "- " + w.flow(item(i)))
	}
}

// flow writes v as JSON with a space after commas and colons, for people's eyes and for YAML, which asks for the latter. What is not
// printable is written as an escape of YAML's.
func (w *yamlWriter) flow(v any) string {
	text, err := canonical(v)
	if err != nil {
		w.err = err
		return ""
	}
	var out strings.Builder
	quoted := false
	for i, c := range string(text) {
		switch {
		case c > 0xffff && !unicode.IsPrint(c):
			fmt.Fprintf(&out, `\U%08x`, c)
		case c > '~' && !unicode.IsPrint(c):
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			out.WriteRune(c)
		}
		if c == '"' && !escaped(text[:i]) {
			quoted = !quoted
		}
		if !quoted && (c == ',' || c == ':') {
			out.WriteByte(' ')
		}
	}
	return out.String()
}

// escaped tells whether an odd number of backslashes ends text.
func escaped(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 1
}
