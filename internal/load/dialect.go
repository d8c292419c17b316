package load

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// Dialect is how rows are written into requests, and where those go.
type Dialect string

// The dialects.
const (
	V2            Dialect = "v2"             // Open Inference, JSON
	V2Binary      Dialect = "v2-binary"      // Open Inference, binary tensors
	V2GRPC        Dialect = "v2-grpc"        // Open Inference, gRPC with raw contents
	Seldon        Dialect = "seldon"         // Seldon v1, JSON, data.tensor
	SeldonNdarray Dialect = "seldon-ndarray" // Seldon v1, JSON, data.ndarray
	SeldonGRPC    Dialect = "seldon-grpc"    // Seldon v1, gRPC, data.tensor
	V1            Dialect = "v1"             // KServe and TF-Serving v1, JSON instances
	MLflow        Dialect = "mlflow"         // MLflow's scoring server, dataframe_split, or instances where columns have no names
)

// Dialects are all of them.
func Dialects() []Dialect {
	return []Dialect{V2, V2Binary, V2GRPC, Seldon, SeldonNdarray, SeldonGRPC, V1, MLflow}
}

// RPC tells whether the dialect is spoken over gRPC.
func (d Dialect) RPC() bool { return d == V2GRPC || d == SeldonGRPC }

// URL returns where a service is asked, from the URL of its server.
func (d Dialect) URL(server, service string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", fault.Invalidf("the URL cannot be read: %w", err)
	}
	if rpc := u.Scheme == "grpc" || u.Scheme == "grpcs"; rpc != d.RPC() {
		want := "http:// or https://"
		if d.RPC() {
			want = "grpc:// or grpcs://"
		}
		return "", fault.Invalidf("the dialect %s is not spoken at %s", d, server).WithHint("write %sHOST:PORT", want)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", fault.Invalidf("the URL %q of a server has a query or a fragment", server).WithHint("leave the dialect out to send to a URL as it is")
	}
	name := url.PathEscape(service)
	path := map[Dialect]string{
		V2: "/v2/models/" + name + "/infer", V2Binary: "/v2/models/" + name + "/infer", V2GRPC: "/inference.GRPCInferenceService/ModelInfer",
		Seldon: "/seldon/" + name + "/api/v1.0/predictions", SeldonNdarray: "/seldon/" + name + "/api/v1.0/predictions",
		SeldonGRPC: "/seldon.protos.Seldon/Predict", V1: "/v1/models/" + name + ":predict", MLflow: "/invocations",
	}[d]
	if path == "" {
		return "", fault.Invalidf("there is no dialect %q", string(d))
	}
	return strings.TrimSuffix(server, "/") + path, nil
}

// Payload writes rows into a request to a service. Columns are their names, or nil; Open Inference and v1 have no place for names. NaN is
// null in JSON, as a missing value; "NaN" in Seldon's tensor, which is protobuf's.
func (d Dialect) Payload(service string, x *tensor.Tensor, columns []string) (Payload, error) {
	if err := x.Check(); err != nil {
		return Payload{}, err
	}
	if len(x.Shape) == 0 || !x.DType().Numeric() {
		return Payload{}, fault.Invalidf("rows of %s cannot be written: only numbers can", x.DType())
	}
	var in tensor.Spec // what the service takes, as far as a dialect's form depends on it
	in.Name, in.DType, in.Shape, in.Columns = x.Name, x.DType(), x.Shape, columns
	q := wire.Question{Request: &tensor.Request{Inputs: []tensor.Tensor{*x}}, Signature: tensor.Signature{Inputs: []tensor.Spec{in}}}
	if d.RPC() {
		return d.message(service, &q)
	}
	asker := map[Dialect]interface {
		Ask(dst []byte, q *wire.Question) ([]byte, wire.Frame, error)
	}{
		V2: wire.OpenInferenceClient{}, V2Binary: wire.OpenInferenceClient{Binary: true}, Seldon: wire.SeldonClient{Tensor: true},
		SeldonNdarray: wire.SeldonClient{}, V1: wire.V1Client{}, MLflow: wire.MLflowClient{},
	}[d]
	if asker == nil {
		return Payload{}, fault.Invalidf("there is no dialect %q", string(d))
	}
	body, frame, err := asker.Ask(nil, &q)
	if frame.HeaderBytes > 0 {
		return Payload{Body: body, Header: []Field{{"Content-Type", frame.ContentType}, {wire.HeaderLength, strconv.Itoa(frame.HeaderBytes)}}}, err
	}
	return Payload{Body: body, Header: []Field{{"Content-Type", "application/json"}}}, err
}

// message writes rows into a message for gRPC.
func (d Dialect) message(service string, q *wire.Question) (Payload, error) {
	if d == V2GRPC {
		body, err := wire.AskModelInfer(nil, service, q)
		return Payload{Body: body}, err
	}
	body, err := wire.AskSeldonMessage(nil, q)
	return Payload{Body: body, Header: []Field{{"seldon", service}}}, err
}
