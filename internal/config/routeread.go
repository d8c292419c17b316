package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/wire"
)

// checkRoutes works out the routes of all services, and tells every mistake in them.
func checkRoutes(doc *strictyaml.Doc, services []Service) {
	type place struct{ at, path string }
	taken := map[string]place{} // by method and shape
	for i := range services {
		s := &services[i]
		if at := fmt.Sprintf("services[%d].routes", i); len(s.Routes) > maxRoutes {
			doc.Problem(at, fmt.Sprintf("there are %d routes", len(s.Routes)), fmt.Sprintf("keep to %d", maxRoutes))
			continue
		}
		for k := range s.Routes {
			r := &s.Routes[k]
			at := fmt.Sprintf("services[%d].routes[%d]", i, k)
			reader := routeReader{doc: doc, at: at}
			reader.route(r, s.Labels)
			key := r.Method + " " + r.Pattern.Shape()
			if before, twice := taken[key]; twice && r.Pattern.String() != "" {
				line, _ := doc.At(before.at + ".path")
				doc.Problem(at+".path", fmt.Sprintf("there is a route %s %s already, on line %d", r.Method, before.path, line), "choose another path or method")
			} else {
				taken[key] = place{at, r.Path}
			}
		}
	}
}

// routeReader reads the parts of a route that may have several forms.
type routeReader struct {
	doc *strictyaml.Doc
	at  string
}

func (r routeReader) tell(path, message, hint string) { r.doc.Problem(r.at+path, message, hint) }

func (r routeReader) route(route *Route, labels Labels) {
	if !slices.Contains([]string{"POST", "GET", "PUT"}, route.Method) {
		r.tell(".method", fmt.Sprintf("%.40q is no method of a route", route.Method), "write POST, GET or PUT")
	}
	if route.Missing != "refuse" && route.Missing != "nan" {
		r.tell(".missing", fmt.Sprintf("%.40q says nothing", route.Missing), "write refuse or nan")
	}
	pattern, err := gateway.ParseRoutePath(route.Path)
	if err != nil {
		r.tell(".path", fmt.Sprintf("%.80q is no path of a route: %s", route.Path, err.Error()), "write it like /predict or /recommend/{user}")
	} else {
		route.Pattern = pattern
	}
	route.Mapping = wire.Mapping{
		Parameters: pattern.Parameters(), NoBody: route.Method == http.MethodGet, Rows: route.Rows, Strict: route.Strict, Missing: route.Missing == "nan",
		Labels: wire.Labels{Classes: labels.Classes, Threshold: labels.Threshold},
	}
	if len(route.Request) > maxRequest {
		r.tell(".request", fmt.Sprintf("there are %d columns", len(route.Request)), fmt.Sprintf("keep to %d", maxRequest))
		return
	}
	for _, target := range slices.Sorted(maps.Keys(route.Request)) {
		route.Mapping.Fields = append(route.Mapping.Fields, r.field(target, route.Request[target]))
	}
	if route.Response != nil {
		form := r.form(".response", route.Response, 0)
		route.Mapping.Answer = &form
	}
	var found wire.MappingProblems
	if _, err := wire.CompileMapping(route.Mapping); err != nil && errors.As(err, &found) {
		for _, p := range found {
			r.tell("."+p.Path, p.Message, p.Hint)
		}
	}
}

// field reads where a column comes from.
func (r routeReader) field(target string, where Where) wire.MappedField {
	f := wire.MappedField{Target: target}
	at := ".request" + key(target)
	switch where := where.(type) {
	case string:
		f.From = where
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(where)) {
			r.option(&f, at, name, where[name])
		}
	default:
		r.tell(at, "this says no place in a request", `write the path of a field, like user.age, or {from: user.age, default: 0}; a constant is {const: 1}`)
	}
	return f
}

// option reads one key of a field.
func (r routeReader) option(f *wire.MappedField, at, name string, v any) {
	here := at + key(name)
	if v == nil {
		r.tell(here, "nothing is given", "give a value, or remove the key")
		return
	}
	var ok bool
	switch name {
	case "from":
		if f.From, ok = v.(string); !ok || f.From == "" {
			r.tell(here, "this is no text", "write the path of a field, like user.age, or query:NAME, path:NAME, header:NAME")
		}
	case "const":
		f.Const = v
	case "default":
		f.Default = v
	case "values":
		if f.Values, ok = v.(map[string]any); !ok {
			r.tell(here, "this lists no values", "say what each text stands for, like {DE: 0, FR: 1}")
		}
	case "parse":
		if f.Parse, ok = v.(bool); !ok {
			r.tell(here, "this is not true or false", "write true if text may hold the number")
		}
	case "missing":
		switch v {
		case "nan":
			f.Missing = wire.NotANumber
		case "refuse":
			f.Missing = wire.Refused
		default:
			r.tell(here, "this says nothing", "write refuse or nan")
		}
	default:
		r.tell(here, "unknown key", "known here: from, const, default, values, parse, missing")
	}
}

// form reads an answer's form. The keys of an object stay in the order of the file.
func (r routeReader) form(at string, v any, depth int) wire.Template {
	if depth > maxResponse {
		r.tell(at, fmt.Sprintf("more than %d objects and lists inside each other", maxResponse), "make it flatter")
		return wire.Template{Const: false}
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) > maxMembers {
			r.tell(at, fmt.Sprintf("the object has %d keys", len(v)), fmt.Sprintf("keep to %d", maxMembers))
			return wire.Template{Const: false}
		}
		object := make([]wire.Member, 0, len(v))
		for _, name := range inOrder(r.doc, r.at+at, v) {
			object = append(object, wire.Member{Key: name, Value: r.form(at+key(name), v[name], depth+1)})
		}
		return wire.Template{Object: object}
	case []any:
		if len(v) != 1 {
			r.tell(at, fmt.Sprintf("the list has %d entries", len(v)), "give one, which stands for each row")
			return wire.Template{Const: false}
		}
		each := r.form(at+"[0]", v[0], depth+1)
		return wire.Template{Each: &each}
	case string:
		return wire.Template{Word: v}
	case nil:
		r.tell(at, "nothing is given", "say what stands here, or remove the key")
		return wire.Template{Const: false}
	}
	return wire.Template{Const: v}
}

// inOrder returns the keys of an object, which the document has at a path, as they stand in the file.
func inOrder(doc *strictyaml.Doc, at string, v map[string]any) []string {
	type placed struct {
		name         string
		line, column int
	}
	list := make([]placed, 0, len(v))
	for name := range v {
		line, column := doc.At(at + key(name))
		list = append(list, placed{name, line, column})
	}
	slices.SortFunc(list, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.name, b.name))
	})
	names := make([]string, len(list))
	for i, one := range list {
		names[i] = one.name
	}
	return names
}

// key writes a key behind a path, as strictyaml.Doc.At reads it.
func key(name string) string {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return fmt.Sprintf("[%q]", name)
	}
	return "." + name
}
