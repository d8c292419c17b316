package gateway

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object whose members keep their order: people read the document, too.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// get returns a member's value, nil if there is none.
func (o object) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// schemaOf is a schema of one type.
func schemaOf(kind string, more ...member) object {
	return append(object{{"type", kind}}, more...)
}

// objectOf is the schema of an object that needs some of its members.
func objectOf(required []string, properties ...member) object {
	o := schemaOf("object")
	if len(required) > 0 {
		o = append(o, member{"required", required})
	}
	return append(o, member{"properties", object(properties)})
}

func listOf(items any, more ...member) object {
	return append(object{{"type", "array"}, {"items", items}}, more...)
}

// exactly is the schema of a list of so many items.
func exactly(n int, items any) object {
	return listOf(items, member{"minItems", n}, member{"maxItems", n})
}

func described(s object, text string) object {
	return append(s[:len(s):len(s)], member{"description", text})
}

// oneOf is the schema of one of several forms, or that of the only one.
func oneOf(forms ...any) any {
	if len(forms) == 1 {
		return forms[0]
	}
	return object{{"oneOf", forms}}
}
