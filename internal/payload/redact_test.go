package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

func redactor(t testing.TB, paths ...string) *Redactor {
	t.Helper()
	r, err := NewRedactor(paths)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestValuesAtPathsAreReplaced(t *testing.T) {
	tests := []struct {
		name, paths, in, want string
		replaced              int
	}{
		{"a key", "email", `{"email": "a@b.c", "n": 1}`, `{"email": "[redacted]", "n": 1}`, 1},
		{"nested", "user.email", `{"user":{"email":"x","name":"y"},"email":"z"}`, `{"user":{"email":"[redacted]","name":"y"},"email":"z"}`, 1},
		{"a whole object", "user", `{"user":{"email":["x",{"y":1}]},"n":1}`, `{"user":"[redacted]","n":1}`, 1},
		{"each of an array", "items[].price", `{"items":[{"price":1,"id":7},{"id":8},{"price":[2,3]}]}`, `{"items":[{"price":"[redacted]","id":7},{"id":8},{"price":"[redacted]"}]}`, 2},
		{"elements themselves", "items[]", `{"items":[1, {"a":2} ,[3]]}`, `{"items":["[redacted]", "[redacted]" ,"[redacted]"]}`, 3},
		{"an array at the root", "[].a", `[{"a":1},{"a":2}]`, `[{"a":"[redacted]"},{"a":"[redacted]"}]`, 2},
		{"one element", "a[1]", `{"a":[1,2,3]}`, `{"a":[1,"[redacted]",3]}`, 1},
		{"a column of rows", "data.ndarray[][1]", `{"data":{"ndarray":[[1,2],[3,4]]}}`, `{"data":{"ndarray":[[1,"[redacted]"],[3,"[redacted]"]]}}`, 2},
		{"an element that is not there", "a[7]", `{"a":[1,2]}`, `{"a":[1,2]}`, 0},
		{"an index of no array", "a[0]", `{"a":{"0":1},"b":2}`, `{"a":{"0":1},"b":2}`, 0},
		{"an array where none was expected", "user.email", `{"user":[{"email":1},[{"email":2}]]}`, `{"user":[{"email":"[redacted]"},[{"email":"[redacted]"}]]}`, 2},
		{"no array where one was expected", "items[].price", `{"items":{"price":1}}`, `{"items":{"price":"[redacted]"}}`, 1},
		{"a scalar where an array was expected", "items[][]", `{"items":5}`, `{"items":"[redacted]"}`, 1},
		{"arrays deeper than expected", "a[].b", `{"a":[[[{"b":1}]]]}`, `{"a":[[[{"b":"[redacted]"}]]]}`, 1},
		{"a key that is there twice", "a.b", `{"a":{"b":1,"b":2},"a":{"b":3}}`, `{"a":{"b":"[redacted]","b":"[redacted]"},"a":{"b":"[redacted]"}}`, 3},
		{"an escaped key", "email", `{"\u0065m\u0061il":"x"}`, `{"\u0065m\u0061il":"[redacted]"}`, 1},
		{"a key of other characters", `["a.b"]["[]"]`, `{"a.b":{"[]":1}}`, `{"a.b":{"[]":"[redacted]"}}`, 1},
		{"a key in a quoted escape", `["\u00e9"]`, `{"é":1}`, `{"é":"[redacted]"}`, 1},
		{"the empty key", `[""]`, `{"":1}`, `{"":"[redacted]"}`, 1},
		{"one path within another", "a.b a", `{"a":{"b":1}}`, `{"a":"[redacted]"}`, 1},
		{"several paths", "a.x a.y b", `{"a":{"x":1,"y":2,"z":3},"b":null}`, `{"a":{"x":"[redacted]","y":"[redacted]","z":3},"b":"[redacted]"}`, 3},
		{"keys like the path's beginning", "ab", `{"a":1,"abc":2,"AB":3}`, `{"a":1,"abc":2,"AB":3}`, 0},
		{"nothing there", "a.b.c", `{"a":{"b":5}}`, `{"a":{"b":5}}`, 0},
		{"numbers that are not finite", "b", `{"a":[NaN,-Infinity],"b":NaN}`, `{"a":[NaN,-Infinity],"b":"[redacted]"}`, 1},
		{"the text around is kept", "b", "\n{ \"a\" : 1.50e+2 ,\t\"b\" : true }\r\n", "\n{ \"a\" : 1.50e+2 ,\t\"b\" : \"[redacted]\" }\r\n", 1},
		{"a scalar alone", "a", `"a"`, `"a"`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, n, err := redactor(t, strings.Fields(tt.paths)...).Redact([]byte(tt.in))
			if err != nil || string(got) != tt.want || n != tt.replaced {
				t.Errorf("got %s, %d, %v\nwant %s, %d", got, n, err, tt.want, tt.replaced)
			}
		})
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	r := redactor(t, "a")
	for _, in := range []string{
		"", "a=1", `{"a":1`, `{"a":"x`, `{"a":1}}`, `{"a":1}{"a":2}`, `{a:1}`, `{"a":01}`, `{"a":1,}`, "\ufeff{}", "{\"a\":\"\xff\"}", `{"a":"` + "\n" + `"}`,
		strings.Repeat("[", 1000), strings.Repeat("[", 129) + strings.Repeat("]", 129),
	} {
		if out, _, err := r.Redact([]byte(in)); fault.KindOf(err) != fault.Invalid || out != nil {
			t.Errorf("%.40q: %q, %v", in, out, err)
		}
	}
}

func TestPathsThatMeanNothingAreRefused(t *testing.T) {
	for path, want := range map[string]string{
		"":                       "it has 0 bytes",
		strings.Repeat("a", 257): "it has 257 bytes",
		".a":                     `a key is missing before ".a"`,
		"a.":                     `a key is missing before ""`,
		"a..b":                   `a key is missing before ".b"`,
		"a.[]":                   `a key is missing before "[]"`,
		"a]":                     `a dot should stand before "]"`,
		"a[":                     `"[" is no []`,
		"a[-1]":                  `"[-1]" is no []`,
		"a[01]":                  `"[01]" is no []`,
		"a[99999999999]":         `"[99999999999]" is no []`,
		"a[b]":                   `"[b]" is no []`,
		`a["b]`:                  `"[\"b]" is no []`,
		`a["b" ]`:                `"[\"b\" ]" is no []`,
		`a[]b`:                   `a dot should stand before "b"`,
		`"a"`:                    `a key is missing before "\"a\""`,
	} {
		_, err := NewRedactor([]string{path})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
			t.Errorf("%.20q: %v, want ... %s", path, err, want)
		}
	}
	if r, err := NewRedactor(nil); r != nil || err != nil {
		t.Error("without paths there is nothing to redact")
	}
	if _, err := NewRedactor(make([]string, MaxPaths+1)); fault.KindOf(err) != fault.Invalid {
		t.Error(err)
	}
}

// node is a JSON value with its keys in order and as often as they are there, read by encoding/json's tokens.
type node struct {
	Keys  []string // of an object
	Nodes []node   // of an object or an array
	Leaf  any      // json.Delim for an object or an array
}

func readNode(d *json.Decoder) (n node, err error) {
	if n.Leaf, err = d.Token(); err != nil {
		return n, err
	}
	delim, ok := n.Leaf.(json.Delim)
	if !ok {
		return n, nil
	}
	for d.More() {
		if delim == '{' {
			key, err := d.Token()
			if err != nil {
				return n, err
			}
			n.Keys = append(n.Keys, key.(string))
		}
		child, err := readNode(d)
		if err != nil {
			return n, err
		}
		n.Nodes = append(n.Nodes, child)
	}
	_, err = d.Token()
	return n, err
}

func parseNode(text []byte) (node, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	n, err := readNode(d)
	if err != nil {
		return n, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return n, errors.New("more text behind the value")
	}
	return n, nil
}

// redactNode is the oracle: one path after the other on a tree.
func redactNode(n *node, path []step) {
	isArray := n.Leaf == json.Delim('[')
	switch {
	case len(path) == 0:
		*n = node{Leaf: Redacted}
	case path[0].kind == byEach && !isArray:
		redactNode(n, path[1:])
	case isArray:
		for i := range n.Nodes {
			switch path[0].kind {
			case byKey:
				redactNode(&n.Nodes[i], path)
			case byEach:
				redactNode(&n.Nodes[i], path[1:])
			case byIndex:
				if path[0].index == i {
					redactNode(&n.Nodes[i], path[1:])
				}
			}
		}
	case path[0].kind == byKey:
		for i, key := range n.Keys {
			if key == path[0].key {
				redactNode(&n.Nodes[i], path[1:])
			}
		}
	}
}

// checkRedaction holds Redact against the oracle.
func checkRedaction(t interface{ Fatalf(string, ...any) }, paths []string, text []byte) {
	r, err := NewRedactor(paths)
	if err != nil || r == nil {
		return
	}
	before := bytes.Clone(text)
	got, replaced, err := r.Redact(text)
	if !bytes.Equal(before, text) {
		t.Fatalf("the text was written to: %q became %q", before, text)
	}
	want, invalid := parseNode(text)
	switch {
	case err != nil:
		if got != nil {
			t.Fatalf("%q is refused, and returned", text)
		}
		return
	case invalid != nil:
		if bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Infinity")) {
			return // which encoding/json does not read
		}
		t.Fatalf("%q is taken, but: %v", text, invalid)
	}
	for _, path := range r.paths {
		redactNode(&want, path)
	}
	have, err := parseNode(got)
	if err != nil || !json.Valid(got) {
		t.Fatalf("%q of %q is no JSON: %v", got, text, err)
	}
	if !reflect.DeepEqual(have, want) {
		t.Fatalf("paths %q, text %q:\ngot  %q %v\nwant %v", paths, text, got, have, want)
	}
	if replaced == 0 && !bytes.Equal(got, text) {
		t.Fatalf("nothing was replaced, but %q became %q", text, got)
	}
	again, _, err := r.Redact(got)
	if err != nil || !bytes.Equal(again, got) {
		t.Fatalf("redacted once %q, twice %q (%v)", got, again, err)
	}
}

func TestRedactionAgreesWithAWalkOfTheTree(t *testing.T) {
	keys := rapid.SampledFrom([]string{"a", "b", "c", "", "é", `\u0061`, "a.b"})
	paths := rapid.SliceOfN(rapid.StringMatching(`(a|b|c|\[\]|\[[0-2]\]|\[""\]|\["a\.b"\]|\["é"\])((\.(a|b|c))|\[\]|\[[0-2]\]){0,3}`), 1, 5)
	var value func(depth int) *rapid.Generator[string]
	value = func(depth int) *rapid.Generator[string] {
		leaf := rapid.SampledFrom([]string{"1", "-2.5e3", `"a"`, `"\"]},{[\\"`, "true", "null", "{}", "[]"})
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) string {
			parts := rapid.SliceOfN(value(depth-1), 1, 3).Draw(t, "parts")
			if rapid.Bool().Draw(t, "array") {
				return "[" + strings.Join(parts, ",") + "]"
			}
			for i := range parts {
				parts[i] = `"` + keys.Draw(t, "key") + `": ` + parts[i]
			}
			return "{" + strings.Join(parts, " ,") + "}"
		}))
	}
	rapid.Check(t, func(t *rapid.T) {
		checkRedaction(t, paths.Draw(t, "paths"), []byte(value(4).Draw(t, "text")))
	})
}

func FuzzRedact(f *testing.F) {
	f.Fuzz(func(t *testing.T, paths string, text []byte) {
		checkRedaction(t, strings.Fields(paths), text)
	})
}
