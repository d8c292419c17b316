package config

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// Schema returns the JSON Schema (draft 2020-12) of serin.yaml, for editors. It is made from the types and ends with a newline.
// It says less than Read: names that must differ, ranges of durations and sizes, and addresses are Read's alone.
func Schema() []byte {
	r := jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		ExpandedStruct:             true,
		Anonymous:                  true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: durationPattern, Examples: []any{"500ms", "1s", "5m"}}
			case reflect.TypeFor[traffic.Weight]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
					{Type: "string", Pattern: traffic.WeightPattern}, {Type: "number", Minimum: "0"},
				}, Examples: []any{80, "0.2", "20%"}}
			case reflect.TypeFor[Request]():
				return &jsonschema.Schema{Type: "object", AdditionalProperties: whereSchema()}
			case reflect.TypeFor[Form]():
				return formSchema()
			case reflect.TypeFor[AnyBody]():
				return &jsonschema.Schema{Examples: []any{map[string]any{"movies": []any{}}, "try again later"}}
			case reflect.TypeFor[CIDR]():
				return &jsonschema.Schema{Type: "string", Pattern: cidrPattern, Examples: []any{"10.0.0.0/8"}}
			case reflect.TypeFor[tensor.DType]():
				return datatypeSchema()
			case reflect.TypeFor[StatusRange]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
					{Type: "string", Pattern: statusRangePattern}, {Type: "integer", Minimum: "100", Maximum: "599"},
				}, Examples: []any{"200-399", 200}}
			case reflect.TypeFor[RetryOn]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
					{Type: "string", Pattern: retryOnPattern}, {Type: "integer", Enum: []any{429}}, {Type: "integer", Minimum: "500", Maximum: "599"},
				}}
			case reflect.TypeFor[Percent]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
					{Type: "string", Pattern: percentPattern}, {Type: "number", Minimum: "0", Maximum: "100"},
				}, Examples: []any{"1%", 0.5}}
			case reflect.TypeFor[Amount]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
					{Type: "string", Pattern: amountPattern}, {Type: "string", Pattern: durationPattern}, {Type: "number"},
				}, Examples: []any{"1%", "500ms", 0.01}}
			case reflect.TypeFor[Size]():
				return &jsonschema.Schema{Type: "string", Pattern: sizePattern, Examples: []any{"64KiB", "16MiB", "1MB"}}
			}
			return nil
		},
	}
	s := r.Reflect(&Config{})
	s.Title = "serin.yaml"
	if limits := s.Definitions["RateLimits"]; limits != nil { // a single one needs no list
		list := *limits
		list.MaxItems = ptr(uint64(maxRateLimits))
		*limits = jsonschema.Schema{OneOf: []*jsonschema.Schema{list.Items, &list}}
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // strings and numbers alone: it cannot fail for some inputs and not for others
	}
	return append(out, '\n')
}

func ptr[T any](v T) *T { return &v }

// datatypeSchema lists the names of element types.
func datatypeSchema() *jsonschema.Schema {
	var names []any
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		names = append(names, d.String())
	}
	return &jsonschema.Schema{Type: "string", Enum: names}
}

// durationPattern is what strictyaml.ParseDuration reads, but for negative durations: no key takes one.
const durationPattern = `^\+?(0|` + decimal + `d(` + decimal + unit + `)*|(` + decimal + unit + `)+)$`

const (
	decimal = `([0-9]+\.?[0-9]*|\.[0-9]+)`
	unit    = `(ns|us|µs|μs|ms|s|m|h)`
)
