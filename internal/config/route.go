package config

import (
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/wire"
)

// Route is a method and a path of a service's own, with a JSON contract of its own:
//
//	routes:
//	  - path: /predict                      # POST unless method says otherwise
//	    request:                            # column of the model: where it comes from
//	      age: user.age                     # a field of the body
//	      price: items[0].price
//	      lang: {from: "header:Accept-Language", values: {de: 0, fr: 1}, default: 2}
//	      hour: {from: "query:hour", default: 12}
//	      income: {from: user.income, missing: nan}
//	      source: {const: 1}
//	    response:                           # the answer, as it is to look
//	      install: prediction
//	      decision: decision
//	      model: {version: version, served: true}
//
// A column that request does not name is found by its own name: a parameter of the path, else a field of the body (of the query for GET).
type Route struct {
	Method   string  `yaml:"method" jsonschema:"default=POST,enum=POST,enum=GET,enum=PUT" jsonschema_description:"The HTTP method. A GET has no body: its columns come from the query, the path and headers."`
	Path     string  `yaml:"path,required" jsonschema:"required,pattern=^/,example=/predict,example=/recommend/{user}" jsonschema_description:"The path; {name} stands for any one segment. It comes before Serin's own paths; /.serin is reserved. No other route may have the same method and path."`
	Rows     string  `yaml:"rows" jsonschema:"example=items,example=." jsonschema_description:"The list in the body whose entries are the rows; request then names fields of an entry, and body:FIELD is outside of it. A dot is a body that is the list itself. Left out: the body is one row."`
	Missing  string  `yaml:"missing" jsonschema:"default=refuse,enum=refuse,enum=nan" jsonschema_description:"What a number is that is absent and has no default. refuse: 400, naming the field. nan: a missing value, for models that take such. A null is a missing value either way."`
	Strict   bool    `yaml:"strict" jsonschema:"default=false" jsonschema_description:"Whether fields of the body that nothing reads are refused. Otherwise they are ignored."`
	Request  Request `yaml:"request" jsonschema_description:"Where columns (or whole inputs) of the model come from. A column that is not here is found by its own name: a parameter of the path, else a field of the body, or of the query for GET."`
	Response Form    `yaml:"response" jsonschema_description:"The answer as it is to look: objects, and lists with one entry, which stands for each row. What stands for a value: prediction, margin, output:NAME, label, score, decision (the token), decisionId, model, version, variant, const:TEXT, or a number, true or false as it is. With rows, a value outside of a list is the list of all rows' values. Left out: an object with every output by its name."`

	Mapping wire.Mapping      `yaml:"-" json:"-"` // what the above says, worked out by Read
	Pattern gateway.RoutePath `yaml:"-" json:"-"` // Path, worked out by Read
}

// Request says by the name of a column, or of a whole input, where it comes from.
type Request map[string]Where

// Where is where a column's value comes from: text (the path of a field, query:NAME, path:NAME, header:NAME, body:PATH), or an object with
// from or const, and default, values, missing and parse.
type Where any

// Form is an answer as it is to look.
type Form any

// SetDefaults is what a route holds before the file says otherwise.
func (r *Route) SetDefaults() { r.Method, r.Missing = "POST", "refuse" }

// Bounds of routes.
const (
	maxRoutes   = 100  // of a service
	maxRequest  = 5000 // columns of a request
	maxMembers  = 500  // of an object in a response
	maxResponse = 16   // objects and lists inside each other
)
