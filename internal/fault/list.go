package fault

import (
	"fmt"
	"strings"
)

// List collects problems, so that all of them are told at once. The zero value is ready to use.
type List struct{ problems []string }

// Addf adds a problem.
func (l *List) Addf(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// If adds a problem when bad is true.
func (l *List) If(bad bool, format string, args ...any) {
	if bad {
		l.Addf(format, args...)
	}
}

// Err returns nil when nothing was added, else one Invalid error with a line per problem.
func (l *List) Err() error {
	if len(l.problems) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Message: strings.Join(l.problems, "\n")}
}
