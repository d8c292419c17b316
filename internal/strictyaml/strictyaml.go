// Package strictyaml decodes one YAML document into a Go struct and tells every mistake at once, each with its line and column.
//
// It takes less than YAML allows, so that a file means what a person reads in it:
//   - Unknown keys, keys given twice, numbers where text is wanted and text where a number is wanted are mistakes.
//   - Anchors, aliases, merge keys, tags, directives, "?" keys and a second document are refused. (Aliases would also let a small
//     file grow without bound.)
//   - Text ends with its line, but in a block (|). Tabs stand in quotes, blocks and comments only.
//   - Only true and false are booleans; whole numbers are decimal and have no leading zeros; NaN and infinities are refused.
//
// The text is read by the parser of go.yaml.in/yaml/v4. Its nodes do not tell what lies between them, nor whether text goes on on
// another line; the builder of this package looks at the source for that.
package strictyaml

import (
	"fmt"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Bounds of a document. The time to read one grows with its bytes, the memory with its marks.
const (
	MaxBytes    = 1 << 20 // size of the document
	MaxMarks    = 100_000 // lines, commas, colons and opening brackets, wherever they stand
	MaxDepth    = 32      // brackets inside each other, and lists and mappings by indentation
	MaxKey      = 128     // bytes of a key
	MaxProblems = 100     // problems told; those beyond are counted
)

// Decode reads the document data into the struct that into points to. See Doc.Decode for the types and Parse for file.
func Decode(file string, data []byte, into any) error {
	d, err := Parse(file, data)
	if err != nil {
		return err
	}
	return d.Decode(into)
}

// Doc is a document that was read, and the problems found in it so far.
type Doc struct {
	root     *node
	problems *problems
}

// Parse reads a document. File is the name that messages show. The error is a *Problems when the text is no YAML at all; what
// can be told apart (a key given twice, an anchor) is kept, and told by Decode or Err with the rest.
func Parse(file string, data []byte) (*Doc, error) {
	if len(data) > MaxBytes {
		p := &problems{file: file}
		p.add(place{1, 1}, "", fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), MaxBytes), "split it")
		return nil, p.err()
	}
	p := &problems{file: file}
	root := read(p, strings.TrimPrefix(string(data), "\uFEFF"))
	if root == nil {
		return nil, p.err()
	}
	return &Doc{root: root, problems: p}, nil
}

// Problem reports a mistake that only the meaning shows, at the place of path ("services[2].timeout"). It does nothing when path,
// or a value around it, has a problem already: what is there was not read, and is not to be judged.
func (d *Doc) Problem(path, message, hint string) {
	if d.problems.covers(path) {
		return
	}
	d.problems.add(d.find(path).at, path, message, hint)
}

// Err returns all problems so far as a *Problems, or nil.
func (d *Doc) Err() error { return d.problems.err() }

// At returns where the value of path begins, counted from 1, columns in characters. What the document leaves out is at the place
// of the nearest value around it, the document at 1, 1. Keys with other characters than letters, digits, "-" and "_" are
// written params["a.b"].
func (d *Doc) At(path string) (line, column int) {
	at := d.find(path).at
	return at.line, at.column
}

// Has tells whether the document says something at path: a value, be it null.
func (d *Doc) Has(path string) bool {
	n := d.root
	for path != "" && n != nil {
		n, path = n.step(path)
	}
	return n != nil
}

// unsupported is the error of a Go type that no document can be decoded into: a bug of the caller.
func unsupported(what string) error {
	return fault.Internalf("strictyaml: cannot decode into %s", what)
}
