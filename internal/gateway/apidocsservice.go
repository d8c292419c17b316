package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// serviceDocs describe one service by the version that speaks for it.
type serviceDocs struct {
	service   *Service
	live      *Live
	signature tensor.Signature
	example   *example         // nil: none that the model answers
	response  *tensor.Response // to the example
	explained *tensor.Response // the outputs that explain it; nil: they cannot be had
	late      bool             // the model was not asked in time
	byDefault bool             // it answers paths that name no service
	feedback  bool
}

// newServiceDocs asks the model for the example that it was given, past the gateway: nothing is recorded of it.
func newServiceDocs(ctx context.Context, g *Gateway, t *table, s *Service, live *Live) *serviceDocs {
	v := &serviceDocs{service: s, live: live, signature: live.Model.Signature(), byDefault: t.byDefault == s, feedback: g.options.Ingest != nil}
	inputs := slices.Clone(live.Example)
	if inputs == nil || v.signature.Check(&tensor.Request{Inputs: inputs}) != nil {
		return v
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if v.response = v.ask(ctx, inputs, nil); v.response == nil {
		return v
	}
	v.example = &example{inputs, v.signature}
	if outputs := v.explanations(); outputs != nil {
		v.explained = v.ask(ctx, inputs, outputs)
	}
	return v
}

// ask asks the model; nil if it does not answer.
func (v *serviceDocs) ask(ctx context.Context, inputs []tensor.Tensor, outputs []string) *tensor.Response {
	defer func() {
		_ = recover() // a bug of a model costs its examples, and not the document
	}()
	request := &tensor.Request{Inputs: slices.Clone(inputs), Outputs: outputs}
	response, err := v.live.Model.Predict(ctx, request)
	if err == nil {
		err = cmp.Or(ctx.Err(), promised(v.live.Model.Signature(), request, response))
	}
	if err != nil {
		v.late = v.late || fault.KindOf(err) == fault.Unavailable || ctx.Err() != nil
		return nil
	}
	return response
}

// explanations are the outputs that explain calls ask for; nil for a model that has none.
func (v *serviceDocs) explanations() (names []string) {
	for _, name := range []string{wire.Contributions, wire.Margin} {
		if slices.ContainsFunc(v.signature.Outputs, func(o tensor.Spec) bool { return o.Name == name }) {
			names = append(names, name)
		} else if names == nil {
			return nil
		}
	}
	return names
}

// tag tells of the service and its model.
func (v *serviceDocs) tag() object {
	specs := func(list []tensor.Spec) []object {
		told := make([]object, len(list))
		for i := range list {
			p := &list[i]
			told[i] = object{{"name", p.Name}, {"datatype", p.DType.String()}, {"shape", p.Shape}}
			if text := columnsOf(p); text != "" {
				told[i] = append(told[i], member{"columns", text})
			}
			if len(p.Labels) > 0 {
				told[i] = append(told[i], member{"labels", p.Labels[:min(len(p.Labels), maxShown)]})
			}
			if p.OnDemand {
				told[i] = append(told[i], member{"onDemand", true})
			}
		}
		return told
	}
	text := "Model " + v.live.Name + ", version " + v.live.number()
	if v.live.Semver != "" {
		text += " (" + v.live.Semver + ")"
	}
	text += ", answered by the " + v.live.Runtime + " runtime."
	if v.live.Runtime == RuntimeUpstream {
		text = "Answered by a server of its own."
	}
	return object{
		{"name", v.service.Name()}, {"description", text},
		{"x-serin-inputs", specs(v.signature.Inputs)}, {"x-serin-outputs", specs(v.signature.Outputs)},
	}
}

// failures are the statuses that a prediction may end with.
var failures = []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusServiceUnavailable}

// add adds a prediction call in a dialect, unless the dialect cannot say what the model takes. Of the bodies that are not read as the example,
// none is shown.
func (v *serviceDocs) add(d *openapi, o operation, dialect Dialect, explain bool) {
	o.tag, o.method, o.statuses, o.token = v.service.Name(), "post", failures, !explain
	if explain {
		o.statuses = append(slices.Clone(failures), http.StatusNotImplemented)
	}
	for i := range o.body {
		m := &o.body[i]
		given := m.examples
		m.examples = nil
		for _, e := range given {
			if v.example == nil {
				break
			}
			body, isText := []byte(nil), false
			if text, ok := e.value.(string); ok {
				body, isText = []byte(text), true
			} else if b, err := json.Marshal(e.value); err == nil {
				body = b
			}
			x, ok := v.example.read(dialect, noCall{m.kind}, body)
			if !ok {
				continue
			}
			if e.value = any(json.RawMessage(body)); isText {
				e.value = string(body)
			}
			m.examples = append(m.examples, e)
			if o.answer == nil {
				o.answer = v.answer(x, explain)
			}
		}
		if len(given) > 0 && len(m.examples) == 0 && v.example != nil && i == 0 {
			return // the dialect cannot carry what this model takes
		}
	}
	d.add(o)
}

// answer is what the example is answered with; nil if that cannot be told.
func (v *serviceDocs) answer(x wire.Exchange, explain bool) any {
	response := v.response
	if explain {
		response = v.explained
	}
	if response == nil {
		return nil
	}
	if asked := x.Request().Outputs; len(asked) > 0 && !explain { // a dialect that carries some outputs only
		response = &tensor.Response{}
		for _, name := range asked {
			for _, o := range v.response.Outputs {
				if o.Name == name {
					response.Outputs = append(response.Outputs, o)
				}
			}
		}
		if len(response.Outputs) != len(asked) {
			return nil
		}
	}
	body, err := x.Answer(nil, wire.Meta{
		Service: v.service.Name(), Model: v.live.Name, Version: v.live.number(), Semver: v.live.Semver, ID: exampleDecision,
		Variant: v.service.variants[0].Name(),
	}, response)
	if err != nil {
		return nil
	}
	return json.RawMessage(body)
}

// operations adds every call of the service.
func (v *serviceDocs) operations(d *openapi) {
	name := url.PathEscape(v.service.Name())
	e := v.example
	if e == nil {
		e = &example{signature: v.signature}
	}
	v.openInference(d, e, name)
	v.seldon(d, e, name)
	v.v1(d, e, name)
	if v.byDefault {
		v.mlflow(d, e)
	}
}

// one is the example of a body, if there is one.
func (v *serviceDocs) one(body func() any) []member {
	if v.example == nil {
		return nil
	}
	return []member{{"row", body()}}
}

func (v *serviceDocs) openInference(d *openapi, e *example, name string) {
	var inputs, outputs, names []any
	for i := range v.signature.Inputs {
		inputs = append(inputs, tensorSchema(&v.signature.Inputs[i], false))
	}
	for i := range v.signature.Outputs {
		outputs = append(outputs, tensorSchema(&v.signature.Outputs[i], true))
		names = append(names, v.signature.Outputs[i].Name)
	}
	given, one := oneOf(outputs...), object{{"enum", names}}
	if len(outputs) == 0 { // nobody knows them
		given, one = schemaOf("object"), schemaOf("string")
	}
	model := "/v2/models/" + name
	v.add(d, operation{
		path: model + "/infer", dialect: docsV2, errors: errorV2,
		summary: "Predict", description: "Tensors may be binary as well, as the protocol's extension for binary data has it.",
		body: []media{{"application/json", objectOf([]string{"inputs"},
			member{"id", described(schemaOf("string"), "comes back with the answer")},
			member{"inputs", exactly(len(inputs), oneOf(inputs...))},
			member{"outputs", described(listOf(objectOf([]string{"name"}, member{"name", one})), "those to answer with, also those on demand")},
		), v.one(e.openInference)}},
		answers: objectOf([]string{"model_name", "outputs"}, member{"model_name", schemaOf("string")}, member{"model_version", schemaOf("string")},
			member{"id", schemaOf("string")}, member{"outputs", listOf(given)}),
	}, wire.OpenInference{}, false)
	v.get(d, model, docsV2, "What the model takes and gives", nil)
	v.get(d, model+"/ready", docsV2, "Whether the model is ready", objectOf([]string{"name", "ready"}, member{"name", schemaOf("string")}, member{"ready", schemaOf("boolean")}))
}

func (v *serviceDocs) get(d *openapi, path, dialect, summary string, answers any) {
	d.add(operation{tag: v.service.Name(), method: "get", path: path, dialect: dialect, summary: summary, answers: answers, errors: errorV2,
		statuses: []int{http.StatusNotFound, http.StatusServiceUnavailable}})
}

func (v *serviceDocs) seldon(d *openapi, e *example, name string) {
	data := objectOf(nil,
		member{"names", described(listOf(schemaOf("string")), "the model's columns, in any order")},
		member{"ndarray", described(listOf(object{}), "rows, as lists within lists")},
		member{"tensor", objectOf([]string{"shape", "values"}, member{"shape", listOf(schemaOf("integer"))}, member{"values", listOf(cellSchema(tensor.Float64, false))})})
	text := schemaOf("string")
	message := objectOf(nil, member{"data", data}, member{"strData", text}, member{"jsonData", object{}}, member{"binData", described(text, "in base64")},
		member{"meta", objectOf(nil, member{"puid", text}, member{"tags", schemaOf("object")})})
	form := func() any { return nil }
	if v.example != nil {
		for _, f := range e.seldon() {
			if body, err := json.Marshal(f); err == nil && e.asks(wire.Seldon{}, "application/json", body) {
				form = func() any { return f }
				break
			}
		}
	}
	calls := []string{"/seldon/" + name + "/api/v1.0"}
	if v.byDefault {
		calls = append(calls, "/api/v1.0")
	}
	for _, call := range calls {
		body := func() []media { return []media{{"application/json", message, v.one(form)}} }
		v.add(d, operation{
			path: call + "/predictions", dialect: docsSeldon, errors: errorSeldon, summary: "Predict", body: body(), answers: message,
		}, wire.Seldon{}, false)
		if v.explanations() != nil {
			v.add(d, operation{
				path: call + "/explain", dialect: docsSeldon, errors: errorSeldon, summary: "Explain a prediction", body: body(),
			}, wire.Seldon{Explain: true}, true)
		}
	}
}

func (v *serviceDocs) v1(d *openapi, e *example, name string) {
	model, dialect, label := "/v1/models/"+name, wire.V1{}, docsKServe
	answers := any(objectOf([]string{"predictions"}, member{"predictions", predictions(v.signature)}))
	fields := []member{{"instances", listOf(v.anyRow())}}
	if v.service.options.Tensorflow {
		dialect, label = wire.V1{Tensorflow: true}, docsTF
		fields = append(fields, member{"inputs", described(object{}, "columns instead of rows: the only input alone, or an object with each by its name; answered with outputs")},
			member{"signature_name", object{{"const", "serving_default"}}})
		answers = object{}
	} else {
		fields = append(fields, member{"inputs", described(listOf(v.anyRow()), "the same as instances")})
	}
	body := func() []media {
		m := media{"application/json", objectOf(nil, fields...), nil}
		if v.example != nil {
			m.examples = []member{{"row", object{{"instances", []any{e.list()}}}}, {"named", object{{"instances", []any{e.named()}}}}}
		}
		return []media{m}
	}
	v.add(d, operation{path: model + ":predict", dialect: label, errors: errorV2, summary: "Predict", body: body(), answers: answers}, dialect, false)
	if v.explanations() != nil {
		explain := dialect
		explain.Explain = true
		v.add(d, operation{path: model + ":explain", dialect: label, errors: errorV2, summary: "Explain a prediction", body: body(),
			answers: objectOf([]string{"explanations"}, member{"explanations", listOf(schemaOf("object"))})}, explain, true)
	}
	v.get(d, model, label, "Whether the model is ready, and its versions", nil)
}

// anyRow is the schema of a row in one of its forms.
func (v *serviceDocs) anyRow() any {
	var forms []any
	if len(v.signature.Inputs) == 1 {
		forms = append(forms, rowSchema(&v.signature.Inputs[0], false))
	}
	if o := namedRow(v.signature); o != nil {
		forms = append(forms, o)
	}
	if len(forms) == 0 {
		return object{}
	}
	if len(forms) == 1 {
		return forms[0]
	}
	return object{{"anyOf", forms}}
}

func (v *serviceDocs) mlflow(d *openapi, e *example) {
	record := namedRow(v.signature)
	if record == nil {
		record = schemaOf("object")
	}
	frame := objectOf([]string{"data"}, member{"columns", listOf(object{{"type", []string{"string", "integer"}}})}, member{"index", listOf(object{})},
		member{"data", listOf(schemaOf("array"))})
	asJSON := media{"application/json", object{{"oneOf", []any{
		objectOf([]string{"dataframe_split"}, member{"dataframe_split", frame}),
		objectOf([]string{"dataframe_records"}, member{"dataframe_records", listOf(record)}),
		objectOf([]string{"instances"}, member{"instances", listOf(v.anyRow())}),
		objectOf([]string{"inputs"}, member{"inputs", object{}}),
	}}}, nil}
	asCSV := media{"text/csv", described(schemaOf("string"), "a header with the names of the columns, and a line for each row"), nil}
	if v.example != nil {
		asJSON.examples = []member{
			{"split", e.split()}, {"records", object{{"dataframe_records", []any{e.named()}}}}, {"instances", object{{"instances", []any{e.list()}}}},
		}
		asCSV.examples = []member{{"csv", e.csv()}}
	}
	v.add(d, operation{
		path: "/invocations", dialect: docsMLflow, errors: errorMLflow, summary: "Predict", body: []media{asJSON, asCSV},
		answers: objectOf([]string{"predictions"}, member{"predictions", predictions(v.signature)}),
	}, wire.MLflow{}, false)
	d.add(operation{tag: v.service.Name(), method: "get", path: "/ping", dialect: docsMLflow, summary: "Whether the model is ready", answers: object{}, errors: errorMLflow,
		statuses: []int{http.StatusServiceUnavailable}})
}
