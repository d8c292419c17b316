package traffic

import (
	"regexp"
	"strings"
)

// Rule sends requests to a variant whatever the weights say, also where its weight is 0: one of Header, Cookie and Query names what
// is looked at, and one of Exact, Prefix, Regex and Present says how. The first rule that applies wins.
type Rule struct {
	Variant string `yaml:"variant,required" json:"variant" jsonschema:"required" jsonschema_description:"The variant that answers, also when its weight is 0."`
	Header  string `yaml:"header" json:"header,omitempty" jsonschema_description:"The header that is looked at; its first value."`
	Cookie  string `yaml:"cookie" json:"cookie,omitempty" jsonschema_description:"The cookie that is looked at."`
	Query   string `yaml:"query" json:"query,omitempty" jsonschema_description:"The parameter of the query that is looked at; its first value."`
	Exact   string `yaml:"exact" json:"exact,omitempty" jsonschema_description:"The value, byte for byte."`
	Prefix  string `yaml:"prefix" json:"prefix,omitempty" jsonschema_description:"What the value begins with."`
	Regex   string `yaml:"regex" json:"regex,omitempty" jsonschema_description:"A regular expression (RE2) that matches somewhere in the value; ^ and $ hold it to the ends."`
	Present bool   `yaml:"present" json:"present,omitempty" jsonschema_description:"Any value that is not empty."`
}

// rule is a Rule that was compiled.
type rule struct {
	from    source
	variant int
	how     matching
	text    string
	regex   *regexp.Regexp
}

type matching uint8

const (
	matchPresent matching = iota
	matchExact
	matchPrefix
	matchRegex
)

// match returns the variant of the first rule that applies, -1 if none does.
func (p *Policy) match(f Facts) int {
	for i := range p.rules {
		if r := &p.rules[i]; r.applies(r.from.find(f)) {
			return r.variant
		}
	}
	return -1
}

// applies tells whether a value matches. What is absent, or empty, never does.
func (r *rule) applies(value string) bool {
	if value == "" {
		return false
	}
	switch r.how {
	case matchExact:
		return value == r.text
	case matchPrefix:
		return strings.HasPrefix(value, r.text)
	case matchRegex:
		return r.regex.MatchString(value)
	default:
		return true
	}
}
