package gateway

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// describer is a Dialect that can tell what it asks for.
type describer interface {
	Describe(s tensor.Signature) (wire.MappedDescription, error)
}

// routes adds the service's own routes.
func (v *serviceDocs) routes(d *openapi) {
	for _, r := range v.service.options.Routes {
		o := operation{
			tag: v.service.Name(), method: strings.ToLower(r.Method), path: r.Path.text, dialect: docsOwn, summary: "Predict", token: true,
			errors: errorRoute, statuses: failures,
		}
		told, ok := r.Dialect.(describer)
		if !ok {
			d.add(o)
			continue
		}
		m, err := told.Describe(v.signature)
		if err != nil {
			continue // it does not fit, which the service tells
		}
		w := routeDocs{v: v, told: m, call: routeCall{}}
		w.read(r.Path)
		o.parameters, o.answers = w.parameters, w.answer()
		if !m.NoBody {
			body := media{"application/json", w.schema.schema(), nil}
			if v.example != nil {
				body.examples = []member{{"row", w.body}}
			}
			o.body = []media{body}
		}
		if v.example != nil {
			if text, err := json.Marshal(w.body); err == nil {
				if x, ok := v.example.read(r.Dialect, w.call, text); ok {
					o.answer = v.answer(x, false)
				} else if o.body != nil {
					o.body[0].examples = nil
				}
			}
		}
		d.add(o)
	}
}

// routeCall is the part of an example that is not its body.
type routeCall map[string]string

// Lookup implements wire.Call.
func (c routeCall) Lookup(from wire.Origin, name string) (string, int) {
	text, ok := c[origins[from]+name]
	if !ok {
		return "", 0
	}
	return text, 1
}

// origins are where OpenAPI says that parameters are.
var origins = map[wire.Origin]string{wire.Path: "path", wire.Query: "query", wire.Header: "header"}

// routeDocs works out the description of one route.
type routeDocs struct {
	v          *serviceDocs
	told       wire.MappedDescription
	parameters []object
	schema     tree
	body       any // of the example
	call       routeCall
}

// tree is the schema of a body, while it is put together: an object, a list of places, or a value.
type tree struct {
	fields   map[string]*tree
	order    []string
	items    []*tree
	rows     *tree // of a list of rows
	value    any
	required bool
}

// read takes all places.
func (w *routeDocs) read(path RoutePath) {
	taken := map[string]bool{}
	for _, p := range w.told.Places {
		if p.From != 0 {
			taken[origins[p.From]+p.Name] = true
			w.parameter(p)
			continue
		}
		at := &w.schema
		if w.told.Listed && !p.Outside {
			at = at.descend(w.told.Rows, true)
			if at.rows == nil {
				at.rows = new(tree)
			}
			at = at.rows
		}
		at = at.descend(p.Path, p.Required)
		at.value = w.valueSchema(p)
		if w.v.example != nil {
			w.place(p)
		}
	}
	for _, name := range path.Parameters() { // those that nothing reads
		if !taken["path"+name] {
			w.parameters = append(w.parameters, object{{"name", name}, {"in", "path"}, {"required", true}, {"schema", schemaOf("string")}, {"example", "1"}})
			w.call["path"+name] = "1"
		}
	}
}

// parameter takes a place in the path, the query or a header.
func (w *routeDocs) parameter(p wire.MappedPlace) {
	o := object{{"name", p.Name}, {"in", origins[p.From]}, {"required", p.Required || p.From == wire.Path}, {"schema", w.valueSchema(p)}}
	if w.v.example != nil {
		v := w.exampleOf(p)
		text, ok := v.(string)
		if !ok {
			b, err := json.Marshal(v)
			if text = string(b); err != nil || v == nil {
				text = "NaN"
			}
		}
		if text != "" || p.From != wire.Path {
			w.call[origins[p.From]+p.Name] = text
			o = append(o, member{"example", v})
		}
	}
	w.parameters = append(w.parameters, o)
}

// descend is the tree at a path.
func (t *tree) descend(path []wire.PathStep, required bool) *tree {
	for _, s := range path {
		t.required = t.required || required
		if s.IsIndex {
			for len(t.items) <= s.Index {
				t.items = append(t.items, new(tree))
			}
			t = t.items[s.Index]
			continue
		}
		if t.fields == nil {
			t.fields = map[string]*tree{}
		}
		if t.fields[s.Key] == nil {
			t.fields[s.Key] = new(tree)
			t.order = append(t.order, s.Key)
		}
		t = t.fields[s.Key]
	}
	t.required = t.required || required
	return t
}

// schema is what the tree says.
func (t *tree) schema() any {
	switch {
	case t.value != nil:
		return t.value
	case t.rows != nil:
		return listOf(t.rows.schema(), member{"minItems", 1})
	case t.items != nil:
		var list []any
		for _, item := range t.items {
			list = append(list, item.schema())
		}
		return object{{"type", "array"}, {"prefixItems", list}, {"minItems", len(list)}}
	case t.fields == nil:
		return object{} // nothing is read there
	}
	var required []string
	var fields []member
	for _, key := range t.order {
		if t.fields[key].required {
			required = append(required, key)
		}
		fields = append(fields, member{key, t.fields[key].schema()})
	}
	return objectOf(required, fields...)
}

// valueSchema is the schema of what stands at a place.
func (w *routeDocs) valueSchema(p wire.MappedPlace) any {
	if p.Values != nil {
		return described(object{{"enum", slices.Sorted(maps.Keys(p.Values))}}, "stands for column "+p.Target)
	}
	spec := &w.v.signature.Inputs[p.Input]
	if p.Width > 1 {
		return rowSchema(spec, false)
	}
	return described(cellSchema(p.DType, false), "column "+p.Target)
}

// exampleOf is what the example has at a place.
func (w *routeDocs) exampleOf(p wire.MappedPlace) any {
	t := &w.v.example.inputs[p.Input]
	if p.Width > 1 {
		return firstRow(t)
	}
	v := value(t, p.At)
	if p.Values == nil {
		return v
	}
	for _, text := range slices.Sorted(maps.Keys(p.Values)) {
		if same(p.Values[text], v) {
			return text
		}
	}
	return nil
}

// same tells whether what stands for a text is a value of the example.
func same(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	if err != nil || err2 != nil {
		return false
	}
	if a, ok := a.(bool); ok {
		x = strconv.AppendInt(nil, int64(map[bool]int{true: 1}[a]), 10)
	}
	v, bad := strconv.ParseFloat(string(x), 64)
	u, bad2 := strconv.ParseFloat(string(y), 64)
	return string(x) == string(y) || bad == nil && bad2 == nil && math.Abs(v-u) <= 1e-6*math.Abs(v)
}

// place puts what the example has into its body.
func (w *routeDocs) place(p wire.MappedPlace) {
	path := p.Path
	if w.told.Listed && !p.Outside {
		path = slices.Concat(w.told.Rows, []wire.PathStep{{IsIndex: true}}, p.Path)
	}
	w.body = put(w.body, path, w.exampleOf(p))
}

// put puts a value into another at a path.
func put(into any, path []wire.PathStep, v any) any {
	if len(path) == 0 {
		return v
	}
	if s := path[0]; s.IsIndex {
		list, _ := into.([]any)
		for len(list) <= s.Index {
			list = append(list, nil)
		}
		list[s.Index] = put(list[s.Index], path[1:], v)
		return list
	}
	o, _ := into.(object)
	for i := range o {
		if o[i].key == path[0].Key {
			o[i].value = put(o[i].value, path[1:], v)
			return o
		}
	}
	return append(o, member{path[0].Key, put(nil, path[1:], v)})
}

// answer is the schema of what the route answers with.
func (w *routeDocs) answer() any {
	if w.told.Answer == nil {
		var fields []member
		for _, p := range defaults(w.v.signature) {
			fields = append(fields, member{p.Name, w.each(rowSchema(p, true), !w.told.Listed)})
		}
		return objectOf(nil, fields...)
	}
	return w.template(w.told.Answer, !w.told.Listed)
}

// each is the schema of what is told of every row, unless it stands in one.
func (w *routeDocs) each(schema any, inRow bool) any {
	if inRow {
		return schema
	}
	return listOf(schema)
}

func (w *routeDocs) template(from *wire.Template, inRow bool) any {
	switch {
	case from.Object != nil:
		var names []string
		var fields []member
		for i := range from.Object {
			names = append(names, from.Object[i].Key)
			fields = append(fields, member{from.Object[i].Key, w.template(&from.Object[i].Value, inRow)})
		}
		return objectOf(names, fields...)
	case from.Each != nil:
		return listOf(w.template(from.Each, true))
	case from.Const != nil:
		return object{{"const", from.Const}}
	}
	kind, name, _ := strings.Cut(from.Word, ":")
	outputs := w.v.signature.Outputs
	at := slices.IndexFunc(outputs, func(o tensor.Spec) bool {
		return kind == "output" && o.Name == name || kind == wire.Margin && o.Name == kind
	})
	switch {
	case kind == "const":
		return object{{"const", name}}
	case kind == "label":
		return w.each(described(schemaOf("string"), "the class that the prediction means"), inRow)
	case kind == "score":
		return w.each(described(schemaOf("number"), "how sure the model is of that class"), inRow)
	case kind == "prediction":
		return w.each(rowSchema(defaults(w.v.signature)[0], true), inRow)
	case at >= 0:
		return w.each(rowSchema(&outputs[at], true), inRow)
	}
	return object{{"type", []string{"string", "null"}}} // decision, decisionId, model, version, variant
}
