package sqlite

import (
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// oneStatement sees to it that a query is one statement, as SQLite would run all of several and answer with the last. It knows as
// much of SQL as to tell a semicolon from one in quotes or in a comment.
func oneStatement(text string) error {
	if len(text) > maxQuery {
		return fault.Invalidf("the query has %d bytes; %d are allowed", len(text), maxQuery)
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return fault.Invalidf("the query has a zero byte at byte %d", i)
	}
	said, ended := false, false
	for i := 0; i < len(text); {
		n, token := tokenAt(text[i:])
		switch {
		case !token:
		case text[i] == ';':
			ended = ended || said
		case ended:
			return fault.Invalidf("the query goes on after its end, at byte %d", i).WithHint("ask one thing at a time")
		default:
			said = true
		}
		i += n
	}
	if !said {
		return fault.Invalidf("the query is empty").WithHint("use SELECT on the views %s", viewList())
	}
	return nil
}

// tokenAt returns how many bytes the first part of text takes, and whether it is more than space or a comment. What is opened and
// not closed takes the rest, as in SQLite.
func tokenAt(text string) (n int, token bool) {
	switch c := text[0]; {
	case c == ' ' || c >= '\t' && c <= '\r':
		return 1, false
	case strings.HasPrefix(text, "--"):
		return until(text, 2, "\n"), false
	case strings.HasPrefix(text, "/*"):
		return until(text, 2, "*/"), false
	case c == '\'' || c == '"' || c == '`':
		return until(text, 1, text[:1]), true // a doubled quote begins the next string at once, which comes to the same
	case c == '[':
		return until(text, 1, "]"), true
	default:
		return 1, true
	}
}

// until returns the place behind the first end after from.
func until(text string, from int, end string) int {
	i := strings.Index(text[from:], end)
	if i < 0 {
		return len(text)
	}
	return from + i + len(end)
}
