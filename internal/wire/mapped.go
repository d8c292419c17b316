package wire

import (
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Mapping is a JSON contract of a team's own: which part of a request fills which column of the model, and what the answer looks like.
// CompileMapping makes a dialect of it.
//
// A column that no field names is found by its own name: in a parameter of the path if there is one so called, else in a field of the
// row, or, where there is no body, in the query.
type Mapping struct {
	Parameters []string // names of the parameters in the route's path
	NoBody     bool     // the request has no body: GET
	Rows       string   // the path of the list in the body whose entries are the rows, "" if the body is one row
	Strict     bool     // a field that nothing reads is an error
	Missing    bool     // an absent number is missing (NaN) rather than an error, unless its field says otherwise
	Fields     []MappedField
	Answer     *Template // nil: an object with each output that is not on demand, by its name
	Labels     Labels
}

// MappedField says where one column, or one whole input, comes from. Constants, defaults and values are a bool, an int64, a float64 or a string.
type MappedField struct {
	Target  string         // the name of a column or an input of the model
	From    string         // "user.age", "items[0].price", "query:NAME", "path:NAME", "header:NAME"; "body:PATH" is outside the rows
	Const   any            // instead of From
	Default any            // what stands for an absent value, null, NaN and text that Values does not list; nil: none
	Values  map[string]any // what stands for each text, nil: the text itself
	Parse   bool           // text may hold a number; always so beyond the body
	Missing Absence
}

// Absence says what an absent value without a default means.
type Absence uint8

// What an absent value means.
const (
	AsMapping Absence = iota // what Mapping.Missing says
	Refused
	NotANumber
)

// Labels name the classes of a prediction.
type Labels struct {
	Classes   []string // by class number; nil: those of the model's signature
	Threshold float64  // from which number on a single number means the second of two classes
}

// Template is an answer's form: one of its fields is set.
type Template struct {
	Word   string    // prediction, margin, output:NAME, label, score, decision, decisionId, model, version, variant, or const:TEXT
	Const  any       // a number or a bool that stands for itself
	Object []Member  // in the order they are written
	Each   *Template // a list with one entry for each row
}

// Member is a key of an object and what stands there.
type Member struct {
	Key   string
	Value Template
}

// MappingProblem is one mistake in a Mapping.
type MappingProblem struct {
	Path    string // "request.age.from": a place in the route, as strictyaml.Doc.Problem takes it
	Message string
	Hint    string
}

// MappingProblems is an error that tells every mistake in a Mapping. Its kind is fault.Invalid.
type MappingProblems []MappingProblem

// Error returns a line for each problem.
func (p MappingProblems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Path + ": " + one.Message + "; " + one.Hint
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error its kind.
func (p MappingProblems) Unwrap() error { return fault.Invalidf("%s", p.Error()) }

// Origin is a part of a request other than its body.
type Origin uint8

// Where values come from beyond the body.
const (
	Query Origin = iota + 1
	Path
	Header
)

// Call is the part of a request that is not its body.
type Call interface {
	// Lookup returns the first value of that name, and how many there are.
	Lookup(from Origin, name string) (value string, times int)
}

// Mapped is the dialect of one Mapping. It is safe for concurrent use.
//
// A null or a NaN is the field's default, else a missing value (NaN) where the model takes numbers with a fraction, as in the other
// dialects; a field that is not there at all is an error unless the mapping says otherwise: its name may be misspelt. A bool read as a
// number is 0 or 1, and an empty body is an empty object. What is mapped must not be given twice; what is not is ignored, unless the
// mapping is strict. Errors are {"error": {"message": ..., "field": ...}}, where field
// names the place as the mapping does.
type Mapped struct {
	mapping  Mapping
	fields   []source // of mapping.Fields
	rows     []step   // of mapping.Rows
	bindings atomic.Pointer[[]*binding]
}

// Fits tells what of the mapping does not fit a model: columns, inputs or outputs that it does not have, or values of another type.
func (m *Mapped) Fits(s tensor.Signature) error {
	_, err := m.bind(s)
	return err
}

// Decode reads a body of a request that has nothing else.
func (m *Mapped) Decode(body []byte, s tensor.Signature, l Limits) (Exchange, error) {
	return m.DecodeCall(body, nothing{}, s, l)
}

type nothing struct{}

func (nothing) Lookup(Origin, string) (string, int) { return "", 0 }

// maxBindings is how many signatures are remembered: those of a service's variants, and of versions being swapped.
const maxBindings = 8

// bind works out the mapping for a signature, or finds that it has done so before.
func (m *Mapped) bind(s tensor.Signature) (*binding, error) {
	before := m.bindings.Load()
	if before != nil {
		for _, b := range *before {
			if identical(b.signature, s) {
				return b, nil
			}
		}
		for _, b := range *before {
			if b.signature.Equal(s) {
				return b, nil
			}
		}
	}
	b, err := newBinding(m, s)
	if err != nil {
		return nil, err
	}
	now := []*binding{b}
	if before != nil {
		now = append(now, (*before)[:min(len(*before), maxBindings-1)]...)
	}
	m.bindings.CompareAndSwap(before, &now) // who loses the race works it out once more
	return b, nil
}

// identical tells, at no cost, that two signatures share what they hold.
func identical(a, b tensor.Signature) bool {
	return len(a.Inputs) == len(b.Inputs) && len(a.Outputs) == len(b.Outputs) && len(a.Inputs) > 0 && len(a.Outputs) > 0 &&
		&a.Inputs[0] == &b.Inputs[0] && &a.Outputs[0] == &b.Outputs[0]
}

// FieldError is an error about one field of a request.
type FieldError struct {
	Field string // "user.age", "items[3].price", "query:lang"
	Err   error
}

// Error names the field and tells what is wrong with it.
func (e *FieldError) Error() string { return "field " + strconv.Quote(e.Field) + " " + e.Err.Error() }

// Unwrap returns what is wrong, of kind Invalid.
func (e *FieldError) Unwrap() error { return e.Err }
