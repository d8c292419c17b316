package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Problem is one mistake in a document.
type Problem struct {
	File         string
	Line, Column int    // counted from 1; columns count characters
	Path         string // "services[2].timeout"; empty for the document as a whole
	Message      string // what is wrong
	Hint         string // what to do; may be empty
}

// String returns "file:line:column: path: what is wrong; what to do".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	b.WriteString(strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column) + ": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems is an error that tells all mistakes of a document. Its kind is fault.Invalid.
type Problems struct {
	List []Problem // in the order of the text; at most MaxProblems
	More int       // how many more there are
}

// Error returns one line per problem.
func (p *Problems) Error() string {
	lines := make([]string, 0, len(p.List)+1)
	for _, problem := range p.List {
		lines = append(lines, problem.String())
	}
	if p.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more mistakes; mend these first", p.More))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error its kind.
func (p *Problems) Unwrap() error { return &fault.Error{Kind: fault.Invalid, Message: p.Error()} }

// problems collects what is wrong with one document.
type problems struct {
	file  string
	found []Problem
	more  int
}

func (p *problems) add(at place, path, message, hint string) {
	if len(p.found) == MaxProblems {
		p.more++
		return
	}
	p.found = append(p.found, Problem{p.file, at.line, at.column, path, message, hint})
}

// tell is add for a path not yet spelt out.
func (p *problems) tell(at place, where *path, message, hint string) {
	if len(p.found) == MaxProblems {
		p.more++
		return
	}
	p.add(at, where.String(), message, hint)
}

// covers tells whether the value at path, or one around it, has a problem.
func (p *problems) covers(path string) bool {
	return slices.ContainsFunc(p.found, func(f Problem) bool {
		rest, ok := strings.CutPrefix(path, f.Path)
		return ok && f.Path != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// err returns the problems in the order of the text, or nil when there are none.
func (p *problems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	list := slices.Clone(p.found)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Problems{List: list, More: p.more}
}
