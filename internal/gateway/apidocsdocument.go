package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/serin-ml/serin/internal/wire"
)

// Names of dialects as people know them; operations bear them as x-serin-dialect, so that a page can order them.
const (
	docsOwn    = "Own routes"
	docsV2     = "Open Inference v2"
	docsSeldon = "Seldon v1"
	docsKServe = "KServe v1"
	docsTF     = "TensorFlow Serving"
	docsMLflow = "MLflow"
	docsServer = "Server"
)

// serverTag is the tag of what is asked of the server rather than of a service. No service's name has a blank.
const serverTag = "The server"

// openapi is a document on its way.
type openapi struct {
	paths object         // of objects, by method
	at    map[string]int // where in paths a path is
	ids   map[string]int
}

// describe makes the OpenAPI document of the services of a table. It is not whole where a model did not answer its example in time.
func describe(ctx context.Context, g *Gateway, t *table) (body []byte, whole bool, err error) {
	d := &openapi{paths: object{}, at: map[string]int{}, ids: map[string]int{}}
	tags, list := []object{}, []*serviceDocs{}
	whole = true
	for _, s := range t.list {
		live := s.Live()
		if !s.speaks {
			tags = append(tags, object{{"name", s.Name()}, {"description", "Requests are passed on as they come, at " + s.places() + "."}})
			continue
		}
		if live == nil {
			tags = append(tags, object{{"name", s.Name()}, {"description", "No version is ready to answer."}})
			continue
		}
		v := newServiceDocs(ctx, g, t, s, live)
		list, tags = append(list, v), append(tags, v.tag())
		whole = whole && !v.late
	}
	for _, v := range list { // own routes come before Serin's paths
		v.routes(d)
	}
	for _, v := range list {
		v.operations(d)
	}
	serverOperations(d, g)
	tags = append(tags, object{{"name", serverTag}, {"description", "Health, lists, feedback."}})
	body, err = json.Marshal(object{
		{"openapi", "3.1.0"},
		{"info", object{
			{"title", "Serin"}, {"version", g.options.Version},
			{"description", "Every service answers in every dialect below; a client of another server needs a new address and nothing else. " +
				"The dialects that have gRPC are spoken there, too: Open Inference v2 and Seldon v1."},
		}},
		{"servers", []object{{{"url", "/"}}}},
		{"tags", tags},
		{"paths", d.paths},
		{"components", object{{"responses", errorResponses()}}},
	})
	return body, whole, err
}

// operation is one method of one path.
type operation struct {
	tag, method, path    string
	dialect              string
	summary, description string
	parameters           []object
	body                 []media // nil: none
	answers              any     // the schema of the answer; nil: any JSON
	answer               any     // an example of it; nil: none
	token                bool    // the answer bears a token for feedback
	errors               string  // the component that tells failures
	statuses             []int   // of failures
}

// media is a body of one content type.
type media struct {
	kind     string
	schema   any
	examples []member
}

// add adds an operation, unless its path and method are taken.
func (d *openapi) add(o operation) {
	at, known := d.at[o.path]
	if !known {
		at = len(d.paths)
		d.at[o.path] = at
		d.paths = append(d.paths, member{o.path, object{}})
	}
	item, _ := d.paths[at].value.(object)
	if item.get(o.method) != nil {
		return
	}
	id := operationID(o.method + o.path)
	if d.ids[id]++; d.ids[id] > 1 {
		id += "_" + strconv.Itoa(d.ids[id])
	}
	op := object{{"operationId", id}, {"tags", []string{o.tag}}, {"summary", o.summary}, {"x-serin-dialect", o.dialect}}
	if o.description != "" {
		op = append(op, member{"description", o.description})
	}
	if len(o.parameters) > 0 {
		op = append(op, member{"parameters", o.parameters})
	}
	if o.body != nil {
		op = append(op, member{"requestBody", object{{"required", true}, {"content", contents(o.body)}}})
	}
	op = append(op, member{"responses", o.responses()})
	item = append(item, member{o.method, op})
	d.paths[at].value = item
}

func (o *operation) responses() object {
	kind := "application/json"
	if o.answers == nil {
		o.answers = object{}
	}
	answer := object{{"schema", o.answers}}
	if o.answer != nil {
		answer = append(answer, member{"example", o.answer})
	}
	ok := object{{"description", "The answer."}}
	if o.token {
		ok = append(ok, member{"headers", object{{TokenHeader, object{
			{"description", "The token of the decision that this answer is. Send it with feedback."}, {"schema", schemaOf("string")},
		}}}})
	}
	list := object{{"200", append(ok, member{"content", object{{kind, answer}}})}}
	for _, status := range o.statuses {
		list = append(list, member{strconv.Itoa(status), object{{"$ref", "#/components/responses/" + o.errors}}})
	}
	return list
}

func contents(list []media) object {
	var o object
	for _, m := range list {
		content := object{{"schema", m.schema}}
		if len(m.examples) > 0 {
			examples := object{}
			for _, e := range m.examples {
				examples = append(examples, member{e.key, object{{"value", e.value}}})
			}
			content = append(content, member{"examples", examples})
		}
		o = append(o, member{m.kind, content})
	}
	return o
}

// operationID makes an id of a method and a path.
func operationID(text string) string {
	id := make([]byte, 0, len(text))
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z':
			id = append(id, c)
		case len(id) > 0 && id[len(id)-1] != '_' && i < len(text)-1:
			id = append(id, '_')
		}
	}
	return string(id)
}

// The components that tell failures, in each dialect's form.
const (
	errorV2     = "Error"
	errorSeldon = "SeldonError"
	errorMLflow = "MLflowError"
	errorRoute  = "RouteError"
)

// errorResponses are all of them, with what each dialect really says.
func errorResponses() object {
	text := schemaOf("string")
	list := object{}
	for _, e := range []struct {
		name   string
		d      Dialect
		schema object
	}{
		{errorV2, wire.OpenInference{}, objectOf([]string{"error"}, member{"error", text})},
		{errorSeldon, wire.Seldon{}, objectOf([]string{"status"}, member{"status", objectOf([]string{"code", "info", "reason", "status"},
			member{"code", schemaOf("integer")}, member{"info", text}, member{"reason", text}, member{"status", object{{"const", "FAILURE"}}})})},
		{errorMLflow, wire.MLflow{}, objectOf([]string{"error_code", "message"}, member{"error_code", text}, member{"message", text})},
		{errorRoute, (*wire.Mapped)(nil), objectOf([]string{"error"}, member{"error", objectOf([]string{"message"},
			member{"message", text}, member{"field", described(text, "the field that is wrong, where it is one")})})},
	} {
		example := json.RawMessage(e.d.Error(nil, http.StatusBadRequest, errMethod))
		list = append(list, member{e.name, object{
			{"description", "What went wrong, in words."},
			{"content", object{{"application/json", object{{"schema", e.schema}, {"example", example}}}}},
		}})
	}
	return list
}

// serverOperations are those that are about no service.
func serverOperations(d *openapi, g *Gateway) {
	get := func(path, dialect, summary string, answers any) {
		d.add(operation{tag: serverTag, method: "get", path: path, dialect: dialect, summary: summary, answers: answers, errors: errorV2, statuses: []int{http.StatusServiceUnavailable}})
	}
	flag := schemaOf("boolean")
	names := objectOf([]string{"models"}, member{"models", listOf(schemaOf("string"))})
	if g.options.Ingest != nil {
		d.add(feedbackOperation())
	}
	get("/healthz", docsServer, "Whether the process answers", objectOf([]string{"ok"}, member{"ok", flag}))
	get("/readyz", docsServer, "Whether traffic may be sent, and the state of every service", objectOf([]string{"ready", "services"}, member{"ready", flag},
		member{"services", listOf(objectOf([]string{"name", "state"}, member{"name", schemaOf("string")},
			member{"state", object{{"enum", []string{Loading, Ready, Failed, Degraded}}}}, member{"version", schemaOf("integer")}))}))
	get("/v2", docsV2, "What the server is", objectOf([]string{"name", "version", "extensions"}, member{"name", schemaOf("string")},
		member{"version", schemaOf("string")}, member{"extensions", listOf(schemaOf("string"))}))
	get("/v2/health/live", docsV2, "Whether the server is alive", objectOf([]string{"live"}, member{"live", flag}))
	get("/v2/health/ready", docsV2, "Whether all models are ready", objectOf([]string{"ready"}, member{"ready", flag}))
	get("/v2/models", docsV2, "The names of the services", names)
	get("/v1/models", docsKServe, "The names of the services", names)
}

// feedbackOperation takes what became of an answer.
func feedbackOperation() operation {
	item := objectOf(nil,
		member{"token", described(schemaOf("string"), "of the answer that this is about, from its header "+TokenHeader)},
		member{"decision", described(schemaOf("string"), "the id of the decision, instead of the token")},
		member{"service", described(schemaOf("string"), "where neither is known: the cookies tell which variant it was")},
		member{"id", described(schemaOf("string"), "of this item; to send it again changes nothing")},
		member{"at", described(schemaOf("string", member{"format", "date-time"}), "by the client's clock")},
		member{"correct", described(schemaOf("boolean"), "whether the prediction was right")},
		member{"label", described(object{{"type", []string{"string", "number"}}}, "the truth")},
		member{"rating", schemaOf("number")}, member{"reward", schemaOf("number")},
		member{"kind", described(schemaOf("string"), "of a value of another kind")}, member{"value", schemaOf("number")},
		member{"slot", described(schemaOf("integer", member{"minimum", 0}, member{"maximum", 255}), "of a ranking")})
	batch := objectOf([]string{"feedback"}, member{"feedback", listOf(item, member{"maxItems", maxFeedback})})
	return operation{
		tag: serverTag, method: "post", path: "/v1/feedback", dialect: docsServer,
		summary:     "Tell how an answer turned out",
		description: "One item or a list of them, each with exactly one of correct, label, rating, reward, or kind and value. It is durable when it is answered.",
		body: []media{{"application/json", object{{"anyOf", []any{item, batch}}}, []member{
			{"one", object{{"decision", exampleDecision}, {"correct", true}}},
			{"several", object{{"feedback", []object{{{"decision", exampleDecision}, {"rating", 4.5}}, {{"decision", exampleDecision}, {"reward", 1}}}}}},
		}}},
		answers: object{}, errors: errorV2, statuses: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}
}

// exampleDecision stands for the id of a decision: a UUID of version 7, as all of them are.
const exampleDecision = "01890a5d-ac96-774b-bcce-b302099a8057"
