package gateway

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/tensor"
)

// maxShown is how many columns of an input are told one by one; a document must not grow with the width of a model.
const maxShown = 300

// cellSchema is the schema of one value of a type, in a request or an answer.
func cellSchema(d tensor.DType, answer bool) object {
	whole := func(lo, hi any) object { return object{{"type", "integer"}, {"minimum", lo}, {"maximum", hi}} }
	switch d {
	case tensor.Float32, tensor.Float64:
		if answer {
			return schemaOf("number")
		}
		return object{{"type", []string{"number", "null"}}}
	case tensor.Bytes:
		return schemaOf("string")
	case tensor.Bool:
		return schemaOf("boolean")
	case tensor.Int8:
		return whole(math.MinInt8, math.MaxInt8)
	case tensor.Int16:
		return whole(math.MinInt16, math.MaxInt16)
	case tensor.Int32:
		return whole(math.MinInt32, math.MaxInt32)
	case tensor.Uint8:
		return whole(0, math.MaxUint8)
	case tensor.Uint16:
		return whole(0, math.MaxUint16)
	case tensor.Uint32:
		return whole(0, math.MaxUint32)
	case tensor.Uint64:
		return object{{"type", "integer"}, {"minimum", 0}}
	}
	return schemaOf("integer")
}

// nested is the schema of lists within lists of a shape; -1 is any size.
func nested(shape []int, cell any) any {
	for _, d := range slices.Backward(shape) {
		if d < 0 {
			cell = listOf(cell)
		} else {
			cell = exactly(d, cell)
		}
	}
	return cell
}

// rowSchema is the schema of one row of an input or output: a value, or lists.
func rowSchema(p *tensor.Spec, answer bool) any {
	s := nested(p.Shape[min(1, len(p.Shape)):], cellSchema(p.DType, answer))
	if o, ok := s.(object); ok && columnsOf(p) != "" {
		return described(o, "in this order: "+columnsOf(p))
	}
	return s
}

// columnsOf lists the names of columns, or of the classes that columns are for.
func columnsOf(p *tensor.Spec) string {
	names := p.Columns
	if len(names) == 0 && len(p.Shape) == 2 && p.Shape[1] == len(p.Labels) {
		names = p.Labels
	}
	text := strings.Join(names[:min(len(names), maxShown)], ", ")
	if more := len(names) - maxShown; more > 0 {
		text += ", and " + strconv.Itoa(more) + " more"
	}
	return text
}

// namedRow is the schema of a row as an object of columns, and of inputs without columns; nil where they are too many to tell.
func namedRow(s tensor.Signature) any {
	var names []string
	var fields []member
	add := func(name string, schema any) {
		names = append(names, name)
		fields = append(fields, member{name, schema})
	}
	for i := range s.Inputs {
		p := &s.Inputs[i]
		if len(p.Shape) == 2 && len(p.Columns) == p.Shape[1] {
			for _, column := range p.Columns {
				add(column, cellSchema(p.DType, false))
			}
			continue
		}
		add(p.Name, rowSchema(p, false))
	}
	unique := slices.Clone(names)
	slices.Sort(unique)
	if len(names) > maxShown || len(slices.Compact(unique)) < len(names) {
		return nil
	}
	return append(objectOf(names, fields...), member{"additionalProperties", false})
}

// defaults are the outputs that a model gives unasked.
func defaults(s tensor.Signature) (list []*tensor.Spec) {
	for i := range s.Outputs {
		if !s.Outputs[i].OnDemand {
			list = append(list, &s.Outputs[i])
		}
	}
	return list
}

// predictions is the schema of what v1 and MLflow say of each row.
func predictions(s tensor.Signature) any {
	outputs := defaults(s)
	switch len(outputs) {
	case 0: // nobody knows them
		return object{}
	case 1:
		return listOf(rowSchema(outputs[0], true))
	}
	var names []string
	var fields []member
	for _, p := range outputs {
		names = append(names, p.Name)
		fields = append(fields, member{p.Name, rowSchema(p, true)})
	}
	return listOf(objectOf(names, fields...))
}

// tensorSchema is the schema of an input or output of Open Inference v2.
func tensorSchema(p *tensor.Spec, answer bool) object {
	sizes := make([]any, len(p.Shape))
	for i, d := range p.Shape {
		if d < 0 {
			sizes[i] = schemaOf("integer", member{"minimum", 0})
		} else {
			sizes[i] = object{{"const", d}}
		}
	}
	shape := object{{"type", "array"}}
	if len(sizes) > 0 {
		shape = append(shape, member{"prefixItems", sizes})
	}
	shape = described(append(shape, member{"minItems", len(sizes)}, member{"maxItems", len(sizes)}), shapeText(p.Shape))
	datatype := any(object{{"const", p.DType.String()}})
	data := listOf(cellSchema(p.DType, answer))
	if !answer {
		if p.DType.Numeric() {
			datatype = described(schemaOf("string"), p.DType.String()+", or another type of numbers, which is converted")
		}
		data = listOf(object{}, member{"description", "all values, row by row, flat or as lists within lists"})
	}
	if columns := columnsOf(p); columns != "" && answer {
		data = described(data, "a row is, in this order: "+columns)
	} else if columns != "" {
		data = listOf(object{}, member{"description", "all values, row by row, flat or as lists within lists; a row is, in this order: " + columns})
	}
	return objectOf([]string{"name", "shape", "datatype", "data"},
		member{"name", object{{"const", p.Name}}}, member{"shape", shape}, member{"datatype", datatype}, member{"data", data})
}

func shapeText(shape []int) string {
	text := strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), "-1", "any")
	return "[" + strings.ReplaceAll(text, " ", ", ") + "]"
}
