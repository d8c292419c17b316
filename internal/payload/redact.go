package payload

import (
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// Redacted stands, as a JSON string, where a value was.
const Redacted = "[redacted]"

// Redactor replaces the values at given paths of JSON texts. It is safe for concurrent use.
//
// Rather too much is replaced than too little: every value of a key that is there twice; a key is looked for in each element of an array
// though the path says no []; and [] stands also for a value alone where an array was expected.
type Redactor struct {
	paths [][]step
}

// NewRedactor makes a Redactor of paths such as user.email or items[].price. Without any it returns nil.
func NewRedactor(paths []string) (*Redactor, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	if len(paths) > MaxPaths {
		return nil, fault.Invalidf("%d paths to redact; at most %d are taken", len(paths), MaxPaths)
	}
	r := &Redactor{}
	for _, text := range paths {
		steps, err := parsePath(text)
		if err != nil {
			return nil, err
		}
		r.paths = append(r.paths, steps)
	}
	return r, nil
}

// Redact returns text with the values at the paths replaced by "[redacted]", and how many were. Everything else stays as it is, to the
// byte. The result may share text. NaN and infinities count as numbers, as they do in requests. What is no JSON is Invalid.
func (r *Redactor) Redact(text []byte) (clean []byte, replaced int, err error) {
	w := walker{scanner: jsonscan.New(text).AllowNonFinite(), text: text, states: slices.Clone(r.paths)}
	w.value(0)
	w.scanner.End()
	if err := w.scanner.Err(); err != nil {
		return nil, 0, err
	}
	if w.replaced == 0 {
		return text, 0, nil
	}
	return append(w.out, text[w.copied:]...), w.replaced, nil
}

// walker goes through one text. At each value it knows what is left of the paths that lead there: an automaton with many states at once.
type walker struct {
	scanner  *jsonscan.Scanner
	text     []byte
	states   [][]step // a stack: those of the value that is being read come last
	out      []byte
	copied   int // bytes of text that are in out or left out of it
	replaced int
}

// value reads a value, to which the states from index from on apply.
func (w *walker) value(from int) {
	s := w.scanner
	kind := s.Peek()
	if kind != jsonscan.Array {
		w.forgoEach(from)
	}
	if slices.ContainsFunc(w.states[from:], func(path []step) bool { return len(path) == 0 }) {
		w.replace()
		return
	}
	to := len(w.states)
	switch {
	case from == to || kind != jsonscan.Object && kind != jsonscan.Array:
		s.Skip()
	case kind == jsonscan.Object:
		s.Object()
		for s.Next() {
			key := s.Key()
			for i := from; i < to; i++ {
				if path := w.states[i]; path[0].kind == byKey && path[0].key == string(key) {
					w.states = append(w.states, path[1:])
				}
			}
			w.value(to)
			w.states = w.states[:to]
		}
	default:
		s.Array()
		for n := 0; s.Next(); n++ {
			for i := from; i < to; i++ {
				switch path := w.states[i]; path[0].kind {
				case byKey:
					w.states = append(w.states, path)
				case byEach:
					w.states = append(w.states, path[1:])
				case byIndex:
					if path[0].index == n {
						w.states = append(w.states, path[1:])
					}
				}
			}
			w.value(to)
			w.states = w.states[:to]
		}
	}
}

// forgoEach lets [] stand for a value that is no array.
func (w *walker) forgoEach(from int) {
	for i, path := range w.states[from:] {
		for len(path) > 0 && path[0].kind == byEach {
			path = path[1:]
		}
		w.states[from+i] = path
	}
}

// replace reads a value and puts something else in its place.
func (w *walker) replace() {
	start := w.scanner.Offset() // Peek has skipped the space before it
	w.scanner.Skip()
	w.out = append(w.out, w.text[w.copied:start]...)
	w.out = append(w.out, `"`+Redacted+`"`...)
	w.copied = w.scanner.Offset()
	w.replaced++
}
