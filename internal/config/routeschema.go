package config

import "github.com/invopop/jsonschema"

// whereSchema is the schema of a Where.
func whereSchema() *jsonschema.Schema {
	constant := func(description string) *jsonschema.Schema {
		return &jsonschema.Schema{Description: description, AnyOf: constants()}
	}
	properties := jsonschema.NewProperties()
	properties.Set("from", &jsonschema.Schema{Type: "string", Description: "The path of a field (user.age, items[0].price), query:NAME, path:NAME, header:NAME, or body:PATH, which is outside the rows."})
	properties.Set("const", constant("The value itself, instead of from."))
	properties.Set("default", constant("What stands for an absent value, and for one that values does not list."))
	properties.Set("values", &jsonschema.Schema{
		Type: "object", Description: "What each text stands for. Another one is the default, or refused.", AdditionalProperties: &jsonschema.Schema{AnyOf: constants()},
	})
	properties.Set("parse", &jsonschema.Schema{Type: "boolean", Description: "Whether text in the body may hold the number. Text of the query, path and headers always may.", Default: false})
	properties.Set("missing", &jsonschema.Schema{Type: "string", Enum: []any{"refuse", "nan"}, Description: "What an absent number is, for this column."})
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string"}, {Type: "object", Properties: properties, AdditionalProperties: jsonschema.FalseSchema},
	}, Examples: []any{"user.age", "query:lang"}}
}

// formSchema is the schema of a Form. What stands where is Read's alone to check.
func formSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		AnyOf:    append(constants(), &jsonschema.Schema{Type: "object"}, &jsonschema.Schema{Type: "array"}),
		Examples: []any{map[string]any{"install": "prediction", "decision": "decision"}},
	}
}

func constants() []*jsonschema.Schema {
	return []*jsonschema.Schema{{Type: "number"}, {Type: "string"}, {Type: "boolean"}}
}
