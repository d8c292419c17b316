package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Defaulter is a struct that knows its defaults. SetDefaults is called on a zero struct, an entry of a list say, before its keys
// are read.
type Defaulter interface{ SetDefaults() }

// Decode stores the document in the struct that into points to, and returns all problems so far as a *Problems, or nil. Fields
// of keys that the document leaves out, and values with a problem, keep what they held: set defaults before, or see Defaulter.
//
// Fields are named by tags: `yaml:"name"`. A field without a tag, or with "-", takes no part. `yaml:"name,required"` reports a
// key that is left out. `yaml:",inline"` takes the keys of a struct as its parent's own. `yaml:"name,one"` of a slice of structs takes
// a mapping as a list with that one entry; its path has no index then. Other options ("omitempty", "flow")
// are for writing and mean nothing here. Types:
//   - string, bool, integers (checked for overflow), floats (finite), time.Duration (with a unit, also days: see ParseDuration)
//   - types with UnmarshalText: any scalar, as written; what the error and its fault.HintOf say is told
//   - structs, slices, maps with string keys, pointers (nil for null), any (nil, bool, int64, float64, string, []any, map[string]any)
//
// A key without a value (null) is a mistake, except for pointers and any; slices and maps become nil, and a struct takes its
// keys as left out. A type that is not listed is a bug of the caller, and an Internal error.
func (d *Doc) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return unsupported(fmt.Sprintf("%T; want a pointer to a struct", into))
	}
	w := walker{problems: d.problems}
	w.decode(d.root, nil, v.Elem())
	if w.bug != nil {
		return w.bug
	}
	return d.Err()
}

type walker struct {
	*problems
	bug error
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decode stores n, which is at p, in v.
func (w *walker) decode(n *node, p *path, v reflect.Value) {
	t := v.Type()
	switch {
	case n.kind == missing:
	case t.Kind() == reflect.Pointer:
		if n.kind == null {
			v.SetZero()
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		w.decode(n, p, v.Elem())
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		if value := w.anything(n, p); value != nil {
			v.Set(reflect.ValueOf(value))
		} else {
			v.SetZero()
		}
	case n.kind == null && !slices.Contains([]reflect.Kind{reflect.Struct, reflect.Slice, reflect.Map}, t.Kind()),
		n.kind == null && reflect.PointerTo(t).Implements(unmarshalerType):
		w.tell(n.at, p, "nothing is given", "give a value, or remove the key")
	case reflect.PointerTo(t).Implements(unmarshalerType):
		w.text(n, p, v)
	case t == durationType:
		d, m := n.duration()
		w.store(n, p, m, func() { v.SetInt(int64(d)) })
	default:
		w.kinds(n, p, v)
	}
}

// kinds decodes the types that mean what their kind says.
func (w *walker) kinds(n *node, p *path, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		s, m := n.string()
		w.store(n, p, m, func() { v.SetString(s) })
	case reflect.Bool:
		b, m := n.bool()
		w.store(n, p, m, func() { v.SetBool(b) })
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, m := n.int(v.Type().Bits())
		w.store(n, p, m, func() { v.SetInt(i) })
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, m := n.uint(v.Type().Bits())
		w.store(n, p, m, func() { v.SetUint(u) })
	case reflect.Float32, reflect.Float64:
		f, m := n.float(v.Type().Bits())
		w.store(n, p, m, func() { v.SetFloat(f) })
	case reflect.Slice:
		w.list(n, p, v)
	case reflect.Map:
		w.dictionary(n, p, v)
	case reflect.Struct:
		w.object(n, p, v)
	default:
		w.bug = unsupported(v.Type().String() + " at " + quote(p.String()))
	}
}

// store reports the mistake, or stores the value when there is none.
func (w *walker) store(n *node, p *path, m *mistake, set func()) {
	if m != nil {
		w.tell(n.at, p, m.message, m.hint)
		return
	}
	set()
}

// text hands a scalar, as written, to the type's own method.
func (w *walker) text(n *node, p *path, v reflect.Value) {
	if n.kind != scalar {
		w.tell(n.at, p, fmt.Sprintf("found %s, want a single value", n.describe()), "")
		return
	}
	value := reflect.New(v.Type())
	if err := value.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil {
		w.tell(n.at, p, err.Error(), fault.HintOf(err))
		return
	}
	v.Set(value.Elem())
}

func (w *walker) list(n *node, p *path, v reflect.Value) {
	if n.kind == null {
		v.SetZero()
		return
	}
	if n.kind != list {
		w.tell(n.at, p, fmt.Sprintf("found %s, want a list", n.describe()), `write "- " before each entry, or [a, b]`)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		w.decode(item, p.entry(i), out.Index(i))
	}
	v.Set(out)
}

func (w *walker) dictionary(n *node, p *path, v reflect.Value) {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		w.bug = unsupported(t.String() + " at " + quote(p.String()))
		return
	}
	if n.kind == null {
		v.SetZero()
		return
	}
	if n.kind != object {
		w.notObject(n, p)
		return
	}
	out := reflect.MakeMapWithSize(t, len(n.keys))
	for _, k := range n.keys {
		value := reflect.New(t.Elem()).Elem()
		w.decode(k.value, p.key(k.name), value)
		out.SetMapIndex(reflect.ValueOf(k.name).Convert(t.Key()), value)
	}
	v.Set(out)
}

func (w *walker) notObject(n *node, p *path) {
	w.tell(n.at, p, fmt.Sprintf("found %s, want a mapping", n.describe()), `write "key: value" lines, indented`)
}

func (w *walker) object(n *node, p *path, v reflect.Value) {
	if n.kind != object && n.kind != null {
		w.notObject(n, p)
		return
	}
	if d, ok := v.Addr().Interface().(Defaulter); ok && v.IsZero() {
		d.SetDefaults()
	}
	fields := fieldsOf(v.Type(), nil)
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
		value := n.get(f.name)
		switch {
		case value != nil:
			w.field(value, p.key(f.name), v.FieldByIndex(f.index), f.one)
		case f.required:
			w.tell(n.at, p.key(f.name), "this key is missing", "add it")
		}
	}
	for _, k := range n.keys {
		if slices.Contains(names, k.name) {
			continue
		}
		hint := "known here: " + strings.Join(names, ", ")
		if list := listWith(k.name, v.Type(), fields); list != "" {
			hint = fmt.Sprintf("entries of %s have it: move it there; %s", list, hint)
		} else if like := closest(k.name, names); like != "" {
			hint = fmt.Sprintf("did you mean %q? %s", like, hint)
		}
		w.tell(k.at, p.key(k.name), "unknown key", hint)
	}
}

// listWith returns the key, among those of t, of a list whose entries have a key of this name; "" if there is none.
func listWith(name string, t reflect.Type, fields []field) string {
	for _, f := range fields {
		list := t.FieldByIndex(f.index).Type
		if list.Kind() != reflect.Slice || list.Elem().Kind() != reflect.Struct {
			continue
		}
		if slices.ContainsFunc(fieldsOf(list.Elem(), nil), func(of field) bool { return of.name == name }) {
			return f.name
		}
	}
	return ""
}

// field decodes the value of a key. One says that a mapping may stand for a list of one.
func (w *walker) field(n *node, p *path, v reflect.Value, one bool) {
	if !one || n.kind != object || v.Kind() != reflect.Slice {
		w.decode(n, p, v)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	w.decode(n, p, v.Index(0))
}

type field struct {
	name          string
	index         []int
	required, one bool
}

// fieldsOf lists the fields of t that have a key, those of inline structs among them.
func fieldsOf(t reflect.Type, parent []int) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		index := append(slices.Clone(parent), i)
		switch {
		case name == "-" || !f.IsExported():
		case name != "":
			all := strings.Split(options, ",")
			out = append(out, field{name, index, slices.Contains(all, "required"), slices.Contains(all, "one")})
		case options == "inline" && f.Type.Kind() == reflect.Struct:
			out = append(out, fieldsOf(f.Type, index)...)
		}
	}
	return out
}

// anything decodes n into the Go value that it looks like.
func (w *walker) anything(n *node, p *path) any {
	switch n.kind {
	case list:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = w.anything(item, p.entry(i))
		}
		return out
	case object:
		out := make(map[string]any, len(n.keys))
		for _, k := range n.keys {
			out[k.name] = w.anything(k.value, p.key(k.name))
		}
		return out
	case scalar:
		return w.anyScalar(n, p)
	default:
		return nil
	}
}

func (w *walker) anyScalar(n *node, p *path) any {
	if n.quoted {
		return n.text
	}
	switch shape(n.text) {
	case shapeBool:
		b, _ := n.bool()
		return b
	case shapeNumber:
		if i, m := n.int(64); m == nil {
			return i
		}
		f, m := n.float(64)
		if m != nil {
			w.tell(n.at, p, m.message, m.hint)
			return nil
		}
		return f
	default:
		return n.text
	}
}
