package traffic

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/strictyaml"
)

func TestASpecIsReadFromTheConfigFile(t *testing.T) {
	var got Spec
	err := strictyaml.Decode("serin.yaml", []byte(`
weights: {stable: 80, canary: 20.5, next: 5%}
sticky: {cookie: model-service-version, unit: "header:X-User-Id"}
match:
  - {variant: canary, header: X-Canary, exact: "true"}
  - {variant: next, query: preview, present: true}
`), &got)
	want := Spec{
		Weights: Weights{"stable": {80e9, false}, "canary": {205e8, false}, "next": {5e7, true}},
		Sticky:  &Sticky{Cookie: "model-service-version", Unit: "header:X-User-Id", Mode: ModeSigned, MaxAge: 30 * 24 * time.Hour, Record: RecordHashed},
		Match:   []Rule{{Variant: "canary", Header: "X-Canary", Exact: "true"}, {Variant: "next", Query: "preview", Present: true}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Weight{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	err = strictyaml.Decode("serin.yaml", []byte("weights: {stable: 1e9, canary: -1}\n"), &got)
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "serin.yaml:1:19: weights.stable:") {
		t.Errorf("%v", err)
	}
}

func TestEveryMistakeIsToldAtOnce(t *testing.T) {
	data, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var spec Spec
	if err := strictyaml.Decode("mistakes.yaml", data, &spec); err != nil {
		t.Fatal(err)
	}
	_, err = Compile(spec, Options{Service: "s", Variants: []string{"stable", "canary"}, Keys: testKeys(t)})
	var problems Problems
	if !errors.As(err, &problems) || fault.KindOf(err) != fault.Invalid {
		t.Fatalf("%v", err)
	}
	want, err := os.ReadFile("testdata/mistakes.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), problems.Error()+"\n"); diff != "" {
		t.Error(diff)
	}
	for _, p := range problems {
		doc, err := strictyaml.Parse("mistakes.yaml", data)
		if err != nil {
			t.Fatal(err)
		}
		doc.Problem(p.Field, p.Message, p.Hint)
		if line, column := doc.At(p.Field); line == 1 && column == 1 {
			t.Errorf("the field %s is not in the document", p.Field)
		}
	}
}

func TestSpecsThatMeanNothingAreRefused(t *testing.T) {
	two := []string{"a", "b"}
	w := Weights{"a": {1, false}}
	sticky := func(change func(*Sticky)) Spec {
		s := new(Sticky)
		s.SetDefaults()
		change(s)
		return Spec{Weights: w, Sticky: s}
	}
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		name     string
		spec     Spec
		variants []string
		want     string // "": it is right
	}{
		{"one variant needs no weights", Spec{}, []string{"a"}, ""},
		{"two do", Spec{}, two, "weights: the service has 2 variants and no weights"},
		{"none", Spec{}, nil, "weights: the service has 0 variants and no weights"},
		{"all zero", Spec{Weights: Weights{"a": {}, "b": {}}}, two, "weights: every weight is 0"},
		{"a percentage and zero", Spec{Weights: Weights{"a": {1, true}, "b": {}}}, two, ""},
		{"sums need not be one", Spec{Weights: Weights{"a": {5e8, true}, "b": {1e8, true}}}, two, ""},
		{"65 variants", Spec{Weights: w}, append(strings.Split(strings.Repeat("v", 64), ""), "a"), "weights: the service has 65 variants"},
		{"nothing sticky", sticky(func(*Sticky) {}), two, "sticky: nothing says who is who"},
		{"plain without a cookie", sticky(func(s *Sticky) { s.Mode, s.Unit = ModePlain, "client" }), two, "sticky.cookie: mode plain keeps"},
		{"a client of a name", sticky(func(s *Sticky) { s.Unit = "client:x" }), two, "sticky.unit"},
		{"no name", sticky(func(s *Sticky) { s.Unit = "header:" }), two, "sticky.unit: the header has no name"},
		{"no kind", sticky(func(s *Sticky) { s.Unit = "X-User-Id" }), two, "sticky.unit"},
		{"a long name", sticky(func(s *Sticky) { s.Unit = "query:" + long }), two, "sticky.unit: the name of the query has 2000 bytes"},
		{"its own cookie", sticky(func(s *Sticky) { s.Cookie, s.Unit = "sid", "cookie:sid" }), two, "sticky.unit: this is the sticky cookie itself"},
		{"its own ticket", sticky(func(s *Sticky) { s.Cookie, s.Unit, s.Mode = "sid", "cookie:sid-sig", ModePlain }), two, "sticky.unit: this is the sticky cookie itself"},
		{"another cookie", sticky(func(s *Sticky) { s.Cookie, s.Unit = "sid", "cookie:uid" }), two, ""},
		{"no time", sticky(func(s *Sticky) { s.Cookie, s.MaxAge = "sid", 0 }), two, "sticky.maxAge"},
		{"a cookie that splits", sticky(func(s *Sticky) { s.Cookie = "a; Domain=b" }), two, "sticky.cookie"},
		{"a line break", sticky(func(s *Sticky) { s.Cookie = "a\r\nb" }), two, "sticky.cookie"},
		{"a long expression", Spec{Weights: w, Match: []Rule{{Variant: "a", Query: "q", Regex: long}}}, two, "match[0].regex: the expression has 2000 bytes"},
		{"101 rules", Spec{Weights: w, Match: make([]Rule, 101)}, two, "match: there are 101 rules"},
		{"a free name in a query", Spec{Weights: w, Match: []Rule{{Variant: "a", Query: "a b[]", Present: true}}}, two, ""},
	} {
		err := tt.spec.Check(tt.variants)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := Compile(Spec{}, Options{Variants: []string{"a"}}); fault.KindOf(err) != fault.Internal {
		t.Errorf("without keys: %v", err)
	}
	if _, err := policy(t, "a=1 b=1").With(Weights{"c": {1, false}}, 1, 1); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "weights.c") {
		t.Errorf("weights of another: %v", err)
	}
}

func TestMatchRulesForceAVariant(t *testing.T) {
	p := policy(t, "stable=1 canary=0 next=0", signedCookie, func(s *Spec, _ *Options) {
		s.Match = []Rule{
			{Variant: "canary", Header: "x-canary", Exact: "true"}, {Variant: "next", Header: "X-Canary", Prefix: "n"},
			{Variant: "canary", Cookie: "beta", Present: true}, {Variant: "next", Query: "v", Regex: "^[23]$"}, {Variant: "stable", Query: "v", Regex: "3"},
		}
	})
	for _, tt := range []struct {
		facts facts
		want  string
	}{
		{facts{"header:X-Canary": "true"}, "canary"}, {facts{"header:X-Canary": "True"}, ""}, {facts{"header:X-Canary": "next"}, "next"},
		{facts{"header:X-Canary": ""}, ""}, {facts{"cookie:beta": "0"}, "canary"}, {facts{"cookie:beta": ""}, ""},
		{facts{"query:v": "2"}, "next"}, {facts{"query:v": "3"}, "next"}, {facts{"query:v": "13"}, "stable"}, {facts{"query:v": "4"}, ""},
		{facts{"header:X-Canary": "true", "query:v": "2"}, "canary"},
	} {
		c := p.Pick(tt.facts, random(1))
		if tt.want == "" {
			if c.Variant != 0 || c.Reason != ByWeights || !c.setsCookie {
				t.Errorf("%v: %+v", tt.facts, c)
			}
			continue
		}
		if p.Variants[c.Variant].Name != tt.want || c.Reason != ByMatch || c.Propensity != 1 || c.setsCookie || c.Unit.Known() {
			t.Errorf("%v: %+v, want %s", tt.facts, c, tt.want)
		}
	}
	jar := facts{}
	first := jar.visit(p, random(1))
	jar["query:v"] = "2"
	if c := p.Pick(jar, random(2)); c.Unit != first.Unit || c.Reason != ByMatch {
		t.Errorf("a rule loses the unit: %+v", c)
	}
}

func TestUnitsComeFromWhereTheSpecSays(t *testing.T) {
	all := facts{"header:X-User-Id": "h", "cookie:uid": "c", "query:user": "q", "client": "192.0.2.1"}
	for from, want := range map[string]string{"header:x-user-id": "h", "cookie:uid": "c", "query:user": "q", "client": "192.0.2.1"} {
		p := policy(t, "a=1 b=1", func(s *Spec, _ *Options) { s.Sticky.Unit, s.Sticky.Record = from, RecordPlain })
		c := p.Pick(all, random(1))
		if got := string(p.AppendUnit(nil, c.Unit)); got != want || !c.Unit.Known() {
			t.Errorf("%s: %q", from, got)
		}
		if c := p.Pick(facts{}, random(1)); c.Unit.Known() || c.setsCookie || len(p.AppendUnit(nil, c.Unit)) != 32 {
			t.Errorf("%s: nothing is told and %+v", from, c)
		}
	}
}

func TestUnitsAreWrittenAsHashesUnlessTheyAreTextAndPlain(t *testing.T) {
	hashed, plain := policy(t, "a=1"), policy(t, "a=1", func(s *Spec, _ *Options) { s.Sticky.Record = RecordPlain })
	long := strings.Repeat("x", MaxUnit+1)
	for _, name := range []string{"u", strings.Repeat("x", MaxUnit), long, long + "x", "\xff\xfe"} {
		h, p := string(hashed.AppendUnit(nil, textUnit(name))), string(plain.AppendUnit(nil, textUnit(name)))
		if len(h) != 32 || strings.Contains(h, name) {
			t.Errorf("%.20q is written as %q", name, h)
		}
		if name == "\xff\xfe" && p != h || name != "\xff\xfe" && len(name) <= MaxUnit && p != name || len(name) > MaxUnit && len(p) != 32 {
			t.Errorf("%.20q is written plainly as %q", name, p)
		}
	}
	if again := strings.Repeat("x", MaxUnit+1); textUnit(long) == textUnit(long+"x") || textUnit(long) != textUnit(again) {
		t.Error("long units are mixed up")
	}
}

func TestKeysAreRefusedThatCannotBeSafe(t *testing.T) {
	good := []byte(strings.Repeat("k", MinSecret))
	for name, tt := range map[string]struct {
		unit []byte
		ring [][]byte
	}{
		"no ring": {good, nil}, "a short unit key": {good[1:], [][]byte{good}}, "a short key": {good, [][]byte{good, good[1:]}}, "too many": {good, make([][]byte, MaxRing+1)},
	} {
		if _, err := NewKeys(tt.unit, tt.ring...); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
