package strictyaml

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
)

type level string

func (l *level) UnmarshalText(b []byte) error {
	if s := string(b); s != "low" && s != "high" {
		return fault.Invalidf("%q is no level", s).WithHint("write low or high")
	}
	*l = level(b)
	return nil
}

type part struct {
	Name  string   `yaml:"name,required"`
	Sizes []int    `yaml:"sizes,flow"`
	Ratio *float32 `yaml:"ratio"`
}

type common struct {
	Owner string `yaml:"owner"`
}

type sample struct {
	Name    string         `yaml:"name"`
	On      bool           `yaml:"on"`
	Count   int            `yaml:"count"`
	Small   int8           `yaml:"small"`
	Size    uint16         `yaml:"size"`
	Rate    float64        `yaml:"rate"`
	Wait    time.Duration  `yaml:"wait"`
	Level   level          `yaml:"level"`
	Parts   []part         `yaml:"parts,omitempty"`
	Main    part           `yaml:"main"`
	Next    *part          `yaml:"next"`
	Labels  map[string]int `yaml:"labels"`
	Rows    [][]*float64   `yaml:"rows"`
	Free    any            `yaml:"free"`
	Ignored string         `yaml:"-"`
	NoTag   string
	common  `yaml:",inline"`
	Common  common `yaml:",inline"`
}

func TestEveryTypeIsDecoded(t *testing.T) {
	const text = `---
name: "x: y"   # a comment
on: true
count: -12
small: -128
size: 65535
rate: 1.5e-3
wait: 1d12h
level: high
parts:
  - name: 'it''s'
    sizes: [1, 2,
      3
    ]
  - {name: b, ratio: 0.1, sizes: []}
main:
  name: |
    two
    lines
next: {name: "é\n"}
labels: {"1": 1, a.b: 2}
rows: [[1, null], [~, .5], []]
free: {a: [1, 2.5, x, "3", true, null]}
owner: me
`
	one, half, tenth := 1.0, 0.5, float32(0.1)
	want := sample{
		Name: "x: y", On: true, Count: -12, Small: -128, Size: 65535, Rate: 1.5e-3, Wait: 36 * time.Hour, Level: "high",
		Parts:  []part{{Name: "it's", Sizes: []int{1, 2, 3}}, {Name: "b", Sizes: []int{}, Ratio: &tenth}},
		Main:   part{Name: "two\nlines\n"},
		Next:   &part{Name: "é\n"},
		Labels: map[string]int{"1": 1, "a.b": 2},
		Rows:   [][]*float64{{&one, nil}, {nil, &half}, {}},
		Free:   map[string]any{"a": []any{int64(1), 2.5, "x", "3", true, nil}},
		Common: common{Owner: "me"},
	}
	for name, text := range map[string]string{
		"lines end with LF": text, "lines end with CRLF": strings.ReplaceAll(text, "\n", "\r\n"), "byte order mark": "\uFEFF" + text,
	} {
		t.Run(name, func(t *testing.T) {
			var got sample
			if err := Decode("f.yaml", []byte(text), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsLeftOutKeepsItsDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "main:\n", "main: {}\nparts:\nlabels:\n"} {
		got := sample{Name: "kept", Main: part{Name: "kept too"}, Wait: time.Second}
		if err := Decode("f.yaml", []byte(text), &got); err != nil && !strings.Contains(err.Error(), "main.name: this key is missing") {
			t.Errorf("%q: %v", text, err)
		}
		if got.Name != "kept" || got.Main.Name != "kept too" || got.Wait != time.Second {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

type door struct {
	Name  string `yaml:"name"`
	Paint string `yaml:"paint"`
	Steps int    `yaml:"steps"`
}

func (d *door) SetDefaults() { d.Paint, d.Steps = "green", 3 }

func TestEntriesGetTheirDefaultsBeforeTheirKeys(t *testing.T) {
	var got struct {
		Doors []door           `yaml:"doors"`
		Named map[string]*door `yaml:"named"`
		Front door             `yaml:"front"`
		Kept  door             `yaml:"kept"`
	}
	got.Kept = door{Paint: "red"}
	if err := Decode("", []byte("doors: [{name: a}, {steps: 0}, {}]\nnamed: {x: {name: b}, y: null}\nfront:\nkept: {name: c}\n"), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]door{{"a", "green", 3}, {"", "green", 0}, {"", "green", 3}}, got.Doors); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]*door{"x": {"b", "green", 3}, "y": nil}, got.Named); diff != "" {
		t.Error(diff)
	}
	if got.Front != (door{"", "green", 3}) || got.Kept != (door{"c", "red", 0}) {
		t.Errorf("got %+v", got)
	}
}

func TestAllMistakesAreToldInTheOrderOfTheText(t *testing.T) {
	const text = `nam: x
on: yes
count: 1.5
small: 200
size: -1
rate: "1"
wait: 5
level: middle
parts:
  - sizes: [1, a, 3]
    ratio: .inf
  - name: 7
    name: b
main: [x]
labels: {a: x, a: 2, b: 010}
rows: 3
owner:
free: {x: 0x1F}
`
	const want = `f.yaml:1:1: nam: unknown key; did you mean "name"? known here: name, on, count, small, size, rate, wait, level, parts, main, next, labels, rows, free, owner
f.yaml:2:5: on: found the text "yes", want true or false
f.yaml:3:8: count: found the number 1.5, want a whole number; write it in plain decimal digits, like 1500
f.yaml:4:8: small: found the number 200, want a whole number from -128 to 127
f.yaml:5:7: size: found the number -1, want a whole number from 0 to 65535
f.yaml:6:7: rate: found the text "1", want a number; write it without quotes
f.yaml:7:7: wait: found the number 5, want a duration; write a number with a unit, like 500ms, 1s, 5m, 12h or 14d
f.yaml:8:8: level: "middle" is no level; write low or high
f.yaml:10:5: parts[0].name: this key is missing; add it
f.yaml:10:16: parts[0].sizes[1]: found the text "a", want a whole number
f.yaml:11:12: parts[0].ratio: found the number .inf, want a number; write a finite decimal number, like 1500 or 1.5e3
f.yaml:12:11: parts[1].name: found the number 7, want text; put it in quotes
f.yaml:13:5: parts[1].name: the key is given twice, first on line 12; remove one
f.yaml:14:7: main: found a list, want a mapping; write "key: value" lines, indented
f.yaml:15:13: labels.a: found the text "x", want a whole number
f.yaml:15:16: labels.a: the key is given twice, first on line 15; remove one
f.yaml:15:25: labels.b: found the number 010, want a whole number; write it in plain decimal digits, like 1500
f.yaml:16:7: rows: found the number 3, want a list; write "- " before each entry, or [a, b]
f.yaml:17:1: owner: nothing is given; give a value, or remove the key
f.yaml:18:11: free.x: found the number 0x1F, want a number; write a finite decimal number, like 1500 or 1.5e3`
	err := Decode("f.yaml", []byte(text), &sample{})
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
	if fault.KindOf(fmt.Errorf("read: %w", err)) != fault.Invalid {
		t.Errorf("kind is %v", fault.KindOf(err))
	}
	var all *Problems
	if !errors.As(err, &all) || len(all.List) != 20 || all.List[1] != (Problem{"f.yaml", 2, 5, "on", `found the text "yes", want true or false`, ""}) {
		t.Errorf("got %+v", all)
	}
}

func TestUnsupportedGoTypesAreABugOfTheCaller(t *testing.T) {
	for _, into := range []any{
		nil, 3, sample{}, new(int), (*sample)(nil),
		&struct {
			C chan int `yaml:"c"`
		}{},
		&struct {
			M map[int]int `yaml:"c"`
		}{},
	} {
		if err := Decode("f.yaml", []byte("c: {}\n"), into); err == nil || fault.KindOf(err) != fault.Internal {
			t.Errorf("%T: got %v", into, err)
		}
	}
}

func TestMeaningIsCheckedAtTheSamePlaces(t *testing.T) {
	d, err := Parse("f.yaml", []byte("parts:\n  - name: a\n  - {name: 3, sizes: [1]}\nlabels: {\"a.b\": 1}\nmain: {name: x}\n"))
	if err != nil {
		t.Fatal(err)
	}
	places := map[string][2]int{
		"": {1, 1}, "parts": {2, 3}, "parts[0]": {2, 5}, "parts[0].name": {2, 11}, "parts[1]": {3, 5}, "parts[1].sizes[0]": {3, 23},
		`labels["a.b"]`: {4, 17}, "parts[1].none": {3, 5}, "parts[7].name": {2, 3}, "none[0]": {1, 1}, "parts[x]": {2, 3}, "parts[": {2, 3}, "..": {1, 1},
	}
	for path, want := range places {
		if line, column := d.At(path); line != want[0] || column != want[1] {
			t.Errorf("%s: at %d:%d, want %v", path, line, column, want)
		}
	}
	if err := d.Decode(&sample{}); err == nil {
		t.Error("a number was taken for text")
	}
	d.Problem("main.name", "x is taken", "choose another")
	d.Problem("parts[1].name", "told of already", "")
	d.Problem("parts[1].name.first", "inside of what was not read", "")
	want := "f.yaml:3:12: parts[1].name: found the number 3, want text; put it in quotes\nf.yaml:5:14: main.name: x is taken; choose another"
	if err := d.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestDurations(t *testing.T) {
	good := map[string]time.Duration{
		"0": 0, "0s": 0, "1s": time.Second, "1.5h": 90 * time.Minute, "14d": 336 * time.Hour, "0.5d": 12 * time.Hour, "1d12h30m": 36*time.Hour + 30*time.Minute,
		"-1d12h": -36 * time.Hour, "-5ms": -5 * time.Millisecond, "106751d": 106751 * 24 * time.Hour,
	}
	for s, want := range good {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "d", "1", "1 d", "1d-1h", "1d+1h", "1d0", "1h1d", "1dd", "1d1d", "1e3d", "1x", "106752d", "106751d24h", "999999999999d", ".d", "-d"} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

func TestSuggestions(t *testing.T) {
	names := []string{"timeout", "name", "default", "limits"}
	for written, want := range map[string]string{
		"timout": "timeout", "Timeout": "timeout", "tiemout": "timeout", "nam": "name", "dfeault": "default", "limit": "limits", "colour": "",
		"x": "", strings.Repeat("timeout", 100): "",
	} {
		if got := closest(written, names); got != want {
			t.Errorf("%q: got %q, want %q", written, got, want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"ca", "abc", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want || distance(tt.b, tt.a) != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestFloatsAreThoseOfTheirSize(t *testing.T) {
	var got struct {
		F float32 `yaml:"f"`
		D float64 `yaml:"d"`
	}
	// A little below halfway between two float32: rounding by way of float64 would lose the little.
	if err := Decode("", []byte("f: 1.00000017881393432617187499\nd: 4.9e-324\n"), &got); err != nil {
		t.Fatal(err)
	}
	if got.F != math.Float32frombits(0x3f800001) || got.D != math.SmallestNonzeroFloat64 {
		t.Errorf("got %v", got)
	}
	if err := Decode("", []byte("f: 1e39\nd: 1e400\n"), &got); err == nil || !strings.HasPrefix(err.Error(), "1:4: f: found the number 1e39, want a number that fits in 32 bits\n2:4: d:") {
		t.Errorf("got %v", err)
	}
}

func TestAMappingStandsForAListOfOneWhereItMay(t *testing.T) {
	type limit struct {
		N int `yaml:"n,required"`
	}
	type file struct {
		Limits []limit `yaml:"limits,one"`
		Lists  []limit `yaml:"lists"`
	}
	for text, want := range map[string][]limit{
		"limits: {n: 1}": {{1}}, "limits:\n  n: 1": {{1}}, "limits: [{n: 1}, {n: 2}]": {{1}, {2}}, "limits: []": {}, "limits:": nil, "lists: []": nil,
	} {
		var got file
		if err := Decode("", []byte(text), &got); err != nil || !reflect.DeepEqual(got.Limits, want) {
			t.Errorf("%q: got %+v, %v", text, got.Limits, err)
		}
	}
	for text, want := range map[string]string{
		"limits: {m: 1}":   "1:9: limits.n: this key is missing; add it\n1:10: limits.m: unknown key; did you mean \"n\"? known here: n",
		"limits: [{n: x}]": "1:14: limits[0].n: found the text \"x\", want a whole number",
		"n: 1":             "1:1: n: unknown key; entries of limits have it: move it there; known here: limits, lists",
		"limits: 20":       "1:9: limits: found the number 20, want a list; write \"- \" before each entry, or [a, b]",
		"lists: {n: 1}":    "1:8: lists: found a mapping, want a list; write \"- \" before each entry, or [a, b]",
	} {
		if err := Decode("", []byte(text), new(file)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestADocumentTellsWhatItSays(t *testing.T) {
	d, err := Parse("", []byte("a: {b: [1, null], \"c.d\": }\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"": true, "a": true, "a.b": true, "a.b[0]": true, "a.b[1]": true, "a.b[2]": false, `a["c.d"]`: true, "a.c": false, "a.b.c": false, "b": false, "a[0]": false, "a.b[0].x": false,
	} {
		if got := d.Has(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
