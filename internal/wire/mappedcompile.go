package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
)

// CompileMapping checks all of a mapping that needs no model, and makes its dialect. The error is a MappingProblems that tells every
// mistake.
func CompileMapping(mapping Mapping) (*Mapped, error) {
	c := compiler{m: &Mapped{mapping: mapping}}
	c.rows()
	targets := map[string]bool{}
	for i := range mapping.Fields {
		f := &mapping.Fields[i]
		at := "request" + member(f.Target)
		switch {
		case f.Target == "" || !utf8.ValidString(f.Target):
			c.tell(at, "this names no column", "give the name of a column of the model")
		case targets[f.Target]:
			c.tell(at, "the column is filled twice", "remove one")
		}
		targets[f.Target] = true
		c.m.fields = append(c.m.fields, c.field(at, f))
	}
	c.nested()
	if mapping.Answer != nil {
		c.template("response", mapping.Answer, false)
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return c.m, nil
}

type compiler struct {
	m        *Mapped
	problems MappingProblems
}

func (c *compiler) tell(path, message, hint string) {
	c.problems = append(c.problems, MappingProblem{path, message, hint})
}

// member writes a key behind the path of a document, as strictyaml.Doc.At reads it.
func member(key string) string {
	for i := range len(key) {
		if b := key[i]; b != '-' && b != '_' && (b < '0' || '9' < b) && (b|0x20 < 'a' || 'z' < b|0x20) {
			return "[" + strconv.Quote(key) + "]"
		}
	}
	if key == "" {
		return `[""]`
	}
	return "." + key
}

func (c *compiler) rows() {
	m := &c.m.mapping
	if m.Rows == "" {
		return
	}
	var err error
	if c.m.rows, err = parsePath(m.Rows); err != nil {
		c.tell("rows", fmt.Sprintf("%.80q is no path of a list in the body: %s", m.Rows, err.Error()), pathHint)
	}
	if m.NoBody {
		c.tell("rows", "a GET has no body", "remove it, or use POST")
	}
}

const pathHint = `write keys with dots between them and positions in brackets, like items[0].price; a key with other characters in quotes: ["a.b"]`

const sourceHint = `write the path of a field, or query:NAME, path:NAME, header:NAME; a field outside the rows is body:PATH; {const: ...} is a constant`

// field checks what fills one column.
func (c *compiler) field(at string, f *MappedField) source {
	c.constant(at+".const", f.Const)
	c.constant(at+".default", f.Default)
	for _, key := range slices.Sorted(maps.Keys(f.Values)) {
		if c.constant(at+".values"+member(key), f.Values[key]); f.Values[key] == nil {
			c.tell(at+".values"+member(key), "nothing is given", "give a number, true, false or text")
		}
	}
	switch {
	case (f.Const == nil) == (f.From == ""):
		c.tell(at, "it needs from or const, and not both", sourceHint)
		return source{}
	case f.Const != nil:
		if f.Default != nil || f.Values != nil || f.Parse || f.Missing != AsMapping {
			c.tell(at, "a constant is never absent, and never text of a client", "keep const alone")
		}
		return source{text: "const", once: true}
	case f.Default != nil && f.Missing == NotANumber:
		c.tell(at+".missing", "there is a default already", "keep one of them")
	case f.Values != nil && len(f.Values) == 0:
		c.tell(at+".values", "no value is listed", "list them, like {DE: 0, FR: 1}, or remove it")
	case f.Values != nil && f.Parse:
		c.tell(at+".parse", "values say already what each text stands for", "keep one of them")
	}
	src, err := parseSource(f.From)
	if err != nil {
		c.tell(at, fmt.Sprintf("%.80q says no place in a request: %s", f.From, err.Error()), sourceHint)
		return source{}
	}
	m := &c.m.mapping
	switch {
	case src.body && m.NoBody:
		c.tell(at, "a GET has no body", fmt.Sprintf("write query:%s, or use POST", src.text))
	case src.body && src.once && m.Rows == "":
		c.tell(at, "without rows, body: says nothing", "leave it out")
	case src.origin == Path && !slices.Contains(m.Parameters, src.name):
		c.tell(at, fmt.Sprintf("the path has no parameter {%.60s}", src.name), "known here: "+orNone(m.Parameters))
	}
	return src
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// constant refuses what is neither a constant nor left out.
func (c *compiler) constant(at string, v any) {
	switch v := v.(type) {
	case nil, bool, int64:
		return
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return
		}
	case string:
		if utf8.ValidString(v) {
			return
		}
	}
	c.tell(at, "this is no constant", "give a number, true, false or text")
}

// nested finds fields that contradict each other: what is read as an object here cannot be read as a list there.
func (c *compiler) nested() {
	if len(c.problems) > 0 {
		return
	}
	t := newTrie(c.m.rows, c.m.mapping.Rows != "")
	for i := range c.m.fields {
		if src := &c.m.fields[i]; src.body {
			if _, err := t.add(src); err != nil {
				c.tell("request"+member(c.m.mapping.Fields[i].Target), err.Error(), fault.HintOf(err))
			}
		}
	}
}

// words are what a leaf of an answer may say, with those that a prefix begins left out.
var words = map[string]word{
	"prediction": tellsPrediction, "margin": tellsOutput, "label": tellsLabel, "score": tellsScore, "decision": tellsDecision,
	"decisionId": tellsDecisionID, "model": tellsModel, "version": tellsVersion, "variant": tellsVariant,
}

// wordHint lists them.
const wordHint = "write prediction, margin, output:NAME, label, score, decision, decisionId, model, version or variant; const:TEXT is text"

// template checks an answer's form.
func (c *compiler) template(at string, t *Template, inRow bool) {
	switch {
	case t.Object != nil:
		seen := map[string]bool{}
		for i := range t.Object {
			one := &t.Object[i]
			here := at + member(one.Key)
			if seen[one.Key] || !utf8.ValidString(one.Key) {
				c.tell(here, "the key is given twice, or is no text", "remove it")
			}
			seen[one.Key] = true
			c.template(here, &one.Value, inRow)
		}
	case t.Each != nil && inRow:
		c.tell(at, "a list inside a list", "a list has one entry for each row; leave the inner one out")
	case t.Each != nil:
		c.template(at+"[0]", t.Each, true)
	case t.Const != nil:
		c.constant(at, t.Const)
	default:
		if w, _ := parseWord(t.Word); w == 0 {
			c.tell(at, fmt.Sprintf("%.80q is nothing that an answer can tell", t.Word), wordHint)
		}
	}
}

// parseWord reads a leaf; the text is that behind output: or const:. Its word is 0 if it means nothing.
func parseWord(leaf string) (w word, text string) {
	if name, ok := strings.CutPrefix(leaf, "output:"); ok && name != "" {
		return tellsOutput, name
	}
	if text, ok := strings.CutPrefix(leaf, "const:"); ok && utf8.ValidString(text) {
		return tellsText, text
	}
	return words[leaf], leaf
}
