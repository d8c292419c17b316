// Package upstream is a predict.Model whose answers another server gives: it asks an upstream in the dialect that it speaks, so that clients
// reach it in any.
//
// What the model takes and gives is what the configuration says, else what the upstream says of itself when the model is opened. Where
// neither does, the signature is open:
//
//   - Open inputs are one input of any columns, called "input", of FP64 and the shape [-1,-1]: rows of numbers. They are sent on as they
//     come, of the type that they have. Names of columns are not: who sends them in another order than the upstream's, or texts, needs a
//     signature in the configuration.
//   - Open outputs are none: tensor.Signature.Outputs is empty, and an answer holds whatever the upstream gives, under the names and of the
//     types that its dialect has for it (see the clients of package wire), the prediction first. An output that is asked for by name must
//     be among them.
//
// The signature never changes. An upstream that takes or gives something else one day gets or gives errors, which say so, until the model
// is opened again.
//
// The rows of a request stay one request. Its id is passed on: as Open Inference's id, as Seldon's meta.puid and Seldon-Puid, and to all as
// X-Request-Id. Calls for explanations and feedback are not passed on. An upstream explains where it gives wire.Contributions as an output
// that is asked for by name, as another Serin does over Open Inference.
package upstream

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// Asker is a group of instances, any of which answers; proxy.Upstream is one.
type Asker interface {
	// Ask asks one of them, by r.Deadline. The error is a *proxy.Failure.
	Ask(ctx context.Context, r *proxy.Request, a *proxy.Answer) error
}

// Dialect is the protocol that an upstream speaks, over HTTP/1.1 or 2.
type Dialect string

// The dialects.
const (
	Seldon Dialect = "seldon" // Seldon Core v1, data.ndarray
	V2     Dialect = "v2"     // Open Inference: binary tensors if the upstream says that it has them, else JSON
	V1     Dialect = "v1"     // KServe's and TensorFlow Serving's v1, instances
	MLflow Dialect = "mlflow" // MLflow's scoring server, a data frame where columns have names
)

// client is the side of a dialect that asks.
type client interface {
	Ask(dst []byte, q *wire.Question) ([]byte, wire.Frame, error)
	Read(body []byte, f wire.Frame, q *wire.Question, l wire.Limits) (*tensor.Response, error)
}

// Options say how an upstream is asked.
type Options struct {
	Asker   Asker
	Dialect Dialect

	// Path is where predictions are asked for, escaped, with a query if there is one. "" is the dialect's own: /api/v1.0/predictions,
	// /v2/models/MODEL/infer, /v1/models/MODEL:predict or /invocations.
	Path string
	// Model is what the upstream calls the model. It is needed for a path that names it; elsewhere it finds the model's metadata, if it is there.
	Model  string
	Host   string        // the Host field; "": the instance's own
	Header []proxy.Field // fields that every request has besides

	// Signature is what the model takes and gives. Without inputs, or without outputs, those are asked of the upstream.
	Signature tensor.Signature

	AnswerBytes int // the most bytes of an answer; 32 MiB
}

const defaultAnswerBytes = 32 << 20

// Model is an upstream as a model. It is safe for concurrent use.
type Model struct {
	options   Options
	client    client
	path      string
	signature tensor.Signature // as it is told
	known     tensor.Signature // what of it is known: without inputs or outputs that are open
	asks      []string         // outputs that are named to an upstream which would give others by itself; nil: none are
	json      []proxy.Field    // of a request in JSON
	binary    []proxy.Field    // of one in binary, but for the length of its JSON
}

var _ predict.Model = (*Model)(nil)

// Signature implements predict.Model. Without outputs, they are as they come.
func (m *Model) Signature() tensor.Signature { return m.signature }

// Open asks the upstream what its model takes and gives, unless the options say it, and makes a model of it. It asks once, for three
// documents at most, each of which may take until ctx ends. An upstream that cannot be asked now is Unavailable; one that does not know the
// model is NotFound; one whose document cannot be used is Internal. Options that make no sense are Invalid: to try again will not help.
func Open(ctx context.Context, o Options) (*Model, error) {
	m, err := newModel(o)
	if err != nil {
		return nil, err
	}
	if err := m.describe(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// Over returns the same model asked of another group of the same servers, with more fields in every request: for copies of requests, which
// are to take nothing from those that somebody waits for.
func (m *Model) Over(a Asker, fields ...proxy.Field) *Model {
	o := *m
	o.options.Asker = a
	o.json, o.binary = slices.Concat(m.json, fields), slices.Concat(m.binary, fields)
	return &o
}

// newModel makes a model without a signature.
func newModel(o Options) (*Model, error) {
	m := &Model{options: o, path: o.Path}
	if o.AnswerBytes <= 0 {
		m.options.AnswerBytes = defaultAnswerBytes
	}
	name := url.PathEscape(o.Model)
	var own string
	switch o.Dialect {
	case Seldon:
		m.client, own = wire.SeldonClient{}, "/api/v1.0/predictions"
	case V2:
		m.client, own = wire.OpenInferenceClient{}, "/v2/models/"+name+"/infer"
	case V1:
		m.client, own = wire.V1Client{}, "/v1/models/"+name+":predict"
	case MLflow:
		m.client, own = wire.MLflowClient{}, "/invocations"
	default:
		return nil, fault.Invalidf("there is no dialect %q", string(o.Dialect)).WithHint("write seldon, v2, v1 or mlflow")
	}
	switch {
	case o.Asker == nil:
		return nil, fault.Internalf("an upstream without instances")
	case o.Path == "" && name == "" && (o.Dialect == V2 || o.Dialect == V1):
		return nil, fault.Invalidf("the dialect %s needs to know what the upstream calls the model", o.Dialect)
	case o.Path == "":
		m.path = own
	case !strings.HasPrefix(o.Path, "/"):
		return nil, fault.Invalidf("the path %q does not begin with a slash", o.Path)
	}
	m.json = append([]proxy.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Accept", Value: "application/json"}}, o.Header...)
	m.binary = append([]proxy.Field{{Name: "Content-Type", Value: "application/octet-stream"}}, o.Header...)
	return m, nil
}

// settle makes a signature of what is known, and of what is open.
func (m *Model) settle(s tensor.Signature) {
	if m.options.Dialect != V2 { // no other can ask for outputs
		s.Outputs = slices.DeleteFunc(slices.Clone(s.Outputs), func(p tensor.Spec) bool { return p.OnDemand })
	}
	m.known, m.signature = s, s
	if len(s.Inputs) == 0 {
		m.signature.Inputs = []tensor.Spec{{Name: openInput, DType: tensor.Float64, Shape: []int{-1, -1}}}
	}
	if len(m.options.Signature.Outputs) > 0 && m.options.Dialect == V2 {
		m.asks = s.Wanted(&tensor.Request{})
	}
}

// openInput is the name of the only input of a model that nobody has described.
const openInput = "input"
