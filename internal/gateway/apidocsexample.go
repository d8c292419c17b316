package gateway

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// example writes one row, which the model was asked already, in every dialect.
type example struct {
	inputs    []tensor.Tensor
	signature tensor.Signature
}

// value is a value of a tensor as JSON has it: null for what is not finite.
func value(t *tensor.Tensor, i int) any {
	switch data := t.Data.(type) {
	case []string:
		return data[i]
	case []bool:
		return data[i]
	case []int64:
		return data[i]
	case []uint64:
		return data[i]
	case []float32:
		if f := float64(data[i]); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return json.Number(strconv.FormatFloat(f, 'g', -1, 32))
		}
		return nil
	}
	values, err := t.Float64s()
	if err != nil || math.IsNaN(values[i]) || math.IsInf(values[i], 0) {
		return nil
	}
	return values[i]
}

// firstRow is the only row of an input: a value, or lists.
func firstRow(t *tensor.Tensor) any {
	v, _ := lists(t, t.Shape[min(1, len(t.Shape)):], 0)
	return v
}

// lists is what is at a place, in lists of a shape, and the place behind it.
func lists(t *tensor.Tensor, shape []int, at int) (any, int) {
	if len(shape) == 0 {
		return value(t, at), at + 1
	}
	list := make([]any, shape[0])
	for i := range list {
		list[i], at = lists(t, shape[1:], at)
	}
	return list, at
}

func flat(t *tensor.Tensor) []any {
	list := make([]any, t.Len())
	for i := range list {
		list[i] = value(t, i)
	}
	return list
}

// named is the row as an object of columns, and of inputs without columns.
func (e *example) named() object {
	var o object
	for i := range e.inputs {
		t, p := &e.inputs[i], &e.signature.Inputs[i]
		if len(p.Shape) != 2 || len(p.Columns) != t.Len() {
			o = append(o, member{p.Name, firstRow(t)})
			continue
		}
		for k, column := range p.Columns {
			o = append(o, member{column, value(t, k)})
		}
	}
	return o
}

// openInference is the row as Open Inference v2 has it.
func (e *example) openInference() any {
	inputs := make([]object, len(e.inputs))
	for i := range e.inputs {
		t := &e.inputs[i]
		inputs[i] = object{{"name", t.Name}, {"shape", t.Shape}, {"datatype", t.DType().String()}, {"data", flat(t)}}
	}
	return object{{"inputs", inputs}}
}

// seldon are the forms of the row that Seldon's protocol may have, the plainest first.
func (e *example) seldon() (forms []any) {
	if len(e.inputs) == 1 {
		t, p := &e.inputs[0], &e.signature.Inputs[0]
		data := object{}
		if len(p.Columns) > 0 && len(p.Shape) == 2 {
			data = append(data, member{"names", p.Columns})
		}
		forms = append(forms, object{{"data", append(data, member{"ndarray", []any{firstRow(t)}})}})
	}
	return append(forms, object{{"jsonData", []any{e.named()}}}, object{{"jsonData", e.named()}})
}

// list is the row as a list for v1 and MLflow, or a bare value for a model that takes one.
func (e *example) list() any {
	if len(e.inputs) == 1 {
		return firstRow(&e.inputs[0])
	}
	return e.named()
}

// split is the row as MLflow's data frame; nil for a model whose values are no columns.
func (e *example) split() any {
	var names []string
	var values []any
	for _, m := range e.named() {
		if _, list := m.value.([]any); list {
			return object{{"dataframe_split", object{{"data", []any{m.value}}}}}
		}
		names, values = append(names, m.key), append(values, m.value)
	}
	return object{{"dataframe_split", object{{"columns", names}, {"data", []any{values}}}}}
}

// csv is the row as CSV with a header.
func (e *example) csv() string {
	var names, fields []string
	add := func(name string, v any) {
		text := ""
		switch v := v.(type) {
		case nil:
		case string:
			text = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		case json.Number:
			text = v.String()
		default:
			b, err := json.Marshal(v)
			if err == nil {
				text = string(b)
			}
		}
		if strings.ContainsAny(name, "\",\r\n") || strings.TrimSpace(name) != name {
			name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
		names, fields = append(names, name), append(fields, text)
	}
	for _, m := range e.named() {
		list, ok := m.value.([]any)
		if !ok {
			add(m.key, m.value)
			continue
		}
		for i, v := range list {
			add("f"+strconv.Itoa(i), v)
		}
	}
	return strings.Join(names, ",") + "\n" + strings.Join(fields, ",") + "\n"
}

// noCall is a request with nothing but a body.
type noCall struct{ contentType string }

// Lookup implements wire.Call.
func (c noCall) Lookup(from wire.Origin, name string) (string, int) {
	if from == wire.Header && name == "Content-Type" && c.contentType != "" {
		return c.contentType, 1
	}
	return "", 0
}

// asks tells whether a dialect reads a body, for the model, as the very row that the example is.
func (e *example) asks(d Dialect, contentType string, body []byte) bool {
	_, ok := e.read(d, noCall{contentType}, body)
	return ok
}

func (e *example) read(d Dialect, call wire.Call, body []byte) (wire.Exchange, bool) {
	x, err := decode(d, body, call, e.signature, wire.Limits{})
	if err != nil || e.signature.Check(x.Request()) != nil || len(x.Request().Inputs) != len(e.inputs) {
		return nil, false
	}
	for i := range x.Request().Inputs {
		got := &x.Request().Inputs[i]
		for k := range e.inputs {
			if e.inputs[k].Name == got.Name && !sameValues(got, &e.inputs[k]) {
				return nil, false
			}
		}
	}
	return x, true
}

// sameValues tells whether tensors hold the same, whatever their types of numbers. An infinity, which is shown as null, is a NaN.
func sameValues(a, b *tensor.Tensor) bool {
	if a.Len() != b.Len() {
		return false
	}
	if a.DType().Numeric() && b.DType().Numeric() {
		x, err := a.Float64s()
		y, err2 := b.Float64s()
		if err != nil || err2 != nil {
			return false
		}
		return slices.EqualFunc(x, y, func(v, w float64) bool {
			return float32(v) == float32(w) || math.IsNaN(v) && (math.IsNaN(w) || math.IsInf(w, 0))
		})
	}
	x, isText := a.Data.([]string)
	y, isText2 := b.Data.([]string)
	return isText && isText2 && slices.Equal(x, y)
}
