package wire

import (
	"slices"

	"github.com/serin-ml/serin/internal/tensor"
)

// MappedDescription tells people what a Mapped asks for and answers with, for one model.
type MappedDescription struct {
	NoBody bool
	Rows   []PathStep // where in the body the list of rows is
	Listed bool       // the body has such a list; else it is one row
	Places []MappedPlace
	Answer *Template // nil: an object with each output that is not on demand, by its name
}

// PathStep is one step into a JSON value: into an object by a key, or into an array by a position.
type PathStep struct {
	Key     string
	Index   int
	IsIndex bool
}

// MappedPlace is where the value of a column, or of a whole input, comes from.
type MappedPlace struct {
	Target    string
	Input     int // of the model
	At, Width int // the cells in a row of that input
	DType     tensor.DType

	From    Origin     // 0: the body
	Name    string     // of the query, path or header parameter
	Path    []PathStep // in the body, or in a row where Listed and not Outside; empty: all of it
	Outside bool       // of the rows: one value for all of them

	Required bool
	Values   map[string]any // what stands for each text; nil: the value itself
}

// Describe tells what is asked for and answered with. It leaves out what a constant fills.
func (m *Mapped) Describe(s tensor.Signature) (MappedDescription, error) {
	b, err := m.bind(s)
	if err != nil {
		return MappedDescription{}, err
	}
	d := MappedDescription{NoBody: m.mapping.NoBody, Rows: pathSteps(m.rows), Listed: m.mapping.Rows != "", Answer: m.mapping.Answer}
	for i := range b.targets {
		t := &b.targets[i]
		if t.fixed {
			continue
		}
		p := MappedPlace{
			Target: t.column, Input: t.input, At: t.at, Width: t.width, DType: t.dtype, Required: !t.fills,
			Name: t.source.name, Path: pathSteps(t.source.path), Outside: t.source.once,
		}
		if t.outside {
			p.From = t.source.origin
		}
		at := slices.IndexFunc(m.mapping.Fields, func(f MappedField) bool { return f.Target == t.column })
		if at >= 0 {
			p.Values = m.mapping.Fields[at].Values
		}
		d.Places = append(d.Places, p)
	}
	return d, nil
}

func pathSteps(steps []step) []PathStep {
	list := make([]PathStep, len(steps))
	for i, s := range steps {
		list[i] = PathStep{Key: s.key, Index: s.index, IsIndex: s.isIndex}
	}
	return list
}
