package payload

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Bounds of what is redacted.
const (
	MaxPaths = 64  // of one service
	maxPath  = 256 // bytes
)

// step is one part of a path.
type step struct {
	kind  stepKind
	key   string
	index int
}

type stepKind byte

const (
	byKey   stepKind = iota // the values of a key
	byEach                  // every element of an array
	byIndex                 // one element of an array
)

const pathHint = `write keys with dots between them, [] for every element of an array, [3] for one, ["a.b"] for a key with other characters: ` +
	`user.email, items[].price, data.ndarray[][3]`

// parsePath reads a path like user.email, items[].price, data.ndarray[][3] or user["e.mail"].
func parsePath(text string) ([]step, error) {
	bad := func(format string, args ...any) ([]step, error) {
		return nil, fault.Invalidf("path %.80q: %w", text, fault.Invalidf(format, args...)).WithHint(pathHint)
	}
	if text == "" || len(text) > maxPath {
		return bad("it has %d bytes; 1 to %d are read", len(text), maxPath)
	}
	var steps []step
	for rest := text; rest != ""; {
		switch {
		case rest[0] == '[':
			s, n, ok := bracket(rest)
			if !ok {
				return bad("%.20q is no [], no [number] and no [\"key\"]", rest)
			}
			steps, rest = append(steps, s), rest[n:]
			continue
		case len(steps) > 0:
			if rest[0] != '.' {
				return bad("a dot should stand before %.20q", rest)
			}
			rest = rest[1:]
		}
		n := strings.IndexAny(rest, `.[]"`)
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			return bad("a key is missing before %.20q", rest)
		}
		steps, rest = append(steps, step{kind: byKey, key: rest[:n]}), rest[n:]
	}
	return steps, nil
}

// bracket reads the step in brackets with which text begins, and tells how long it is.
func bracket(text string) (s step, n int, ok bool) {
	if strings.HasPrefix(text, `["`) {
		d := json.NewDecoder(strings.NewReader(text[1:]))
		if err := d.Decode(&s.key); err != nil {
			return s, 0, false
		}
		n = 1 + int(d.InputOffset())
		return s, n + 1, strings.HasPrefix(text[n:], "]")
	}
	inside, _, ok := strings.Cut(text[1:], "]")
	if inside == "" {
		return step{kind: byEach}, 2, ok
	}
	i, err := strconv.ParseUint(inside, 10, 31)
	return step{kind: byIndex, index: int(i)}, len(inside) + 2, ok && err == nil && strconv.FormatUint(i, 10) == inside
}

// Path leads to values of a JSON text, as the paths of a Redactor do. Whoever walks through a text asks it at each step what is left of it.
type Path struct{ steps []step }

// ParsePath reads a path such as user.email, items[].price, data.ndarray[][3] or user["e.mail"].
func ParsePath(text string) (Path, error) {
	steps, err := parsePath(text)
	return Path{steps}, err
}

// Ends tells whether the path leads to the value that was reached. An [] at its end stands also for a value that is no array.
func (p Path) Ends(array bool) bool { return len(p.alone(array).steps) == 0 }

// Member returns what is left of the path at the value of a key, false if it leads elsewhere.
func (p Path) Member(key string) (Path, bool) {
	p = p.alone(false)
	if len(p.steps) == 0 || p.steps[0].kind != byKey || p.steps[0].key != key {
		return Path{}, false
	}
	return Path{p.steps[1:]}, true
}

// Element returns what is left of the path at an element of an array, false if it leads elsewhere. A key is looked for in each element,
// though the path says no [].
func (p Path) Element(i int) (Path, bool) {
	switch {
	case len(p.steps) == 0:
		return Path{}, false
	case p.steps[0].kind == byKey:
		return p, true
	}
	return Path{p.steps[1:]}, p.steps[0].kind == byEach || p.steps[0].index == i
}

// alone leaves out each [] that stands for a value which is no array.
func (p Path) alone(array bool) Path {
	for !array && len(p.steps) > 0 && p.steps[0].kind == byEach {
		p.steps = p.steps[1:]
	}
	return p
}
