package strictyaml

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// shapeOf is what a scalar without quotes is by its looks, after the core schema of YAML 1.2.
type shapeOf uint8

const (
	shapeText shapeOf = iota
	shapeNull
	shapeBool
	shapeNumber // any number, also one that this package refuses to read
)

var number = regexp.MustCompile(`^([-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?0[xob][0-9a-fA-F_]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)

func shape(text string) shapeOf {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return shapeNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return shapeBool
	}
	if number.MatchString(text) {
		return shapeNumber
	}
	return shapeText
}

// describe says for a message what was found.
func (n *node) describe() string {
	switch n.kind {
	case list:
		return "a list"
	case object:
		return "a mapping"
	case scalar:
		switch {
		case n.quoted:
			return "the text " + quote(n.text)
		case shape(n.text) == shapeBool:
			return n.text
		case shape(n.text) == shapeNumber:
			return "the number " + strings.Trim(quote(n.text), `"`)
		}
		return "the text " + quote(n.text)
	default:
		return "nothing"
	}
}

// mistake is what is wrong with a value, and what to do.
type mistake struct{ message, hint string }

// wanted says that n is of the wrong type.
func (n *node) wanted(what, hint string) *mistake {
	return &mistake{fmt.Sprintf("found %s, want %s", n.describe(), what), hint}
}

func (n *node) string() (string, *mistake) {
	switch {
	case n.kind != scalar:
		return "", n.wanted("text", "")
	case n.quoted || shape(n.text) == shapeText:
		return n.text, nil
	default:
		return "", n.wanted("text", "put it in quotes")
	}
}

func (n *node) bool() (bool, *mistake) {
	if n.kind == scalar && !n.quoted && shape(n.text) == shapeBool {
		return n.text[0]|0x20 == 't', nil
	}
	if n.kind == scalar && n.quoted {
		return false, n.wanted("true or false", "write it without quotes")
	}
	return false, n.wanted("true or false", "")
}

var decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

// int reads a whole number of the given size.
func (n *node) int(bits int) (int64, *mistake) {
	if m := n.whole(); m != nil {
		return 0, m
	}
	i, err := strconv.ParseInt(n.text, 10, bits)
	if err != nil {
		limit := int64(1)<<(bits-1) - 1
		return 0, n.wanted(fmt.Sprintf("a whole number from %d to %d", -limit-1, limit), "")
	}
	return i, nil
}

func (n *node) uint(bits int) (uint64, *mistake) {
	if m := n.whole(); m != nil {
		return 0, m
	}
	u, err := strconv.ParseUint(strings.TrimPrefix(n.text, "+"), 10, bits)
	if err != nil {
		return 0, n.wanted(fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-bits)), "")
	}
	return u, nil
}

func (n *node) whole() *mistake {
	switch {
	case n.kind == scalar && !n.quoted && decimal.MatchString(n.text):
		return nil
	case n.kind == scalar && n.quoted && decimal.MatchString(n.text):
		return n.wanted("a whole number", "write it without quotes")
	case n.kind == scalar && !n.quoted && shape(n.text) == shapeNumber:
		return n.wanted("a whole number", "write it in plain decimal digits, like 1500")
	default:
		return n.wanted("a whole number", "")
	}
}

var finite = regexp.MustCompile(`^[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

func (n *node) float(bits int) (float64, *mistake) {
	switch decimal := n.kind == scalar && finite.MatchString(n.text); {
	case decimal && n.quoted:
		return 0, n.wanted("a number", "write it without quotes")
	case !decimal && n.kind == scalar && !n.quoted && shape(n.text) == shapeNumber:
		return 0, n.wanted("a number", "write a finite decimal number, like 1500 or 1.5e3")
	case !decimal:
		return 0, n.wanted("a number", "")
	}
	f, err := strconv.ParseFloat(n.text, bits)
	if err != nil {
		return 0, n.wanted(fmt.Sprintf("a number that fits in %d bits", bits), "")
	}
	return f, nil
}

func (n *node) duration() (time.Duration, *mistake) {
	const want, hint = "a duration", "write a number with a unit, like 500ms, 1s, 5m, 12h or 14d"
	d, err := ParseDuration(n.text)
	if err != nil || n.kind != scalar || !n.quoted && shape(n.text) != shapeText {
		return 0, n.wanted(want, hint)
	}
	return d, nil
}

// ParseDuration reads a duration as time.ParseDuration does, and days of 24 hours before the rest: "14d", "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	before, after, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	// As hours, so that fractions, signs and overflow are time.ParseDuration's matter.
	hours, err := time.ParseDuration(before + "h")
	if err != nil || strings.Trim(before, "+-.0123456789") != "" {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	rest := time.Duration(0)
	if after != "" {
		if rest, err = time.ParseDuration(after); err != nil || strings.ContainsAny(after, "+-") || after == "0" {
			return 0, fmt.Errorf("%q is no duration", s)
		}
	}
	if strings.HasPrefix(s, "-") {
		rest = -rest
	}
	total := 24*hours + rest
	if 24*hours/24 != hours || rest > 0 && total < 24*hours || rest < 0 && total > 24*hours {
		return 0, fmt.Errorf("the duration %q is too long", s)
	}
	return total, nil
}
