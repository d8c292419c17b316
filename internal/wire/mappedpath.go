package wire

import (
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// step is one step into a JSON value: into an object by a key, or into an array by a position.
type step struct {
	key     string
	index   int
	isIndex bool
}

// Bounds of a path.
const (
	maxSteps = 16
	maxIndex = 9999
)

// itself is the path of a value that is the row, or the body, itself.
const itself = "."

// parsePath reads a path: keys with a dot between them, and positions in brackets ("items[0].price"). A key with other characters than
// those that mean something here may stand in brackets and quotes (["a.b"]).
func parsePath(text string) ([]step, error) {
	if text == itself {
		return nil, nil
	}
	var steps []step
	for rest := text; rest != "" || len(steps) == 0; {
		var one step
		var err error
		if strings.HasPrefix(rest, "[") {
			one, rest, err = parseBracket(rest)
		} else {
			if len(steps) > 0 {
				if rest[0] != '.' {
					return nil, fault.Invalidf("a dot or a bracket is missing before %.40q", rest)
				}
				rest = rest[1:]
			}
			end := strings.IndexAny(rest, `.[]":`)
			if end < 0 {
				end = len(rest)
			}
			one.key, rest = rest[:end], rest[end:]
			if one.key == "" || strings.TrimSpace(one.key) != one.key {
				err = fault.Invalidf("a key is missing, or has blanks around it")
			}
		}
		if err != nil {
			return nil, err
		}
		if steps = append(steps, one); len(steps) > maxSteps {
			return nil, fault.Invalidf("it has more than %d steps", maxSteps)
		}
	}
	return steps, nil
}

// parseBracket reads a position or a quoted key in brackets, and returns what follows.
func parseBracket(text string) (s step, rest string, err error) {
	inner := text[1:]
	if quoted, err := strconv.QuotedPrefix(inner); err == nil && quoted[0] == '"' {
		key, err := strconv.Unquote(quoted)
		rest, closed := strings.CutPrefix(inner[len(quoted):], "]")
		if err != nil || !closed {
			return step{}, "", fault.Invalidf("%.40q has no closing bracket", text)
		}
		return step{key: key}, rest, nil
	}
	digits, rest, closed := strings.Cut(inner, "]")
	n, err := strconv.Atoi(digits)
	if err != nil || !closed || strconv.Itoa(n) != digits || n < 0 || n > maxIndex {
		return step{}, "", fault.Invalidf("%.40q is no position from 0 to %d", text, maxIndex)
	}
	return step{index: n, isIndex: true}, rest, nil
}

// appendStep writes a step behind a path, as parsePath reads it.
func appendStep(path string, s step) string {
	switch {
	case s.isIndex:
		return path + "[" + strconv.Itoa(s.index) + "]"
	case s.key == "" || strings.ContainsAny(s.key, `.[]":`) || strings.TrimSpace(s.key) != s.key:
		return path + "[" + strconv.Quote(s.key) + "]"
	case path == "":
		return s.key
	}
	return path + "." + s.key
}

// source is where a value comes from.
type source struct {
	text   string // as a person wrote it; what an error calls the field
	body   bool   // path is in the body
	once   bool   // outside the rows: one value for all of them
	path   []step
	origin Origin // where it is not in the body; 0 for a constant
	name   string
}

var origins = []struct {
	prefix string
	origin Origin
}{{"query:", Query}, {"path:", Path}, {"header:", Header}}

// parseSource reads what MappedField.From says.
func parseSource(text string) (source, error) {
	for _, o := range origins {
		if name, ok := strings.CutPrefix(text, o.prefix); ok {
			if name == "" || strings.TrimSpace(name) != name {
				return source{}, fault.Invalidf("%.60q names nothing", text)
			}
			return source{text: text, once: true, origin: o.origin, name: name}, nil
		}
	}
	if prefix, _, ok := strings.Cut(text, ":"); ok && prefix != "body" && !strings.ContainsAny(prefix, `.["`) {
		return source{}, fault.Invalidf("nothing is known as %.40q", prefix+":")
	}
	rest, outside := strings.CutPrefix(text, "body:")
	path, err := parsePath(rest)
	if err != nil {
		return source{}, err
	}
	return source{text: rest, body: true, once: outside, path: path}, nil
}
