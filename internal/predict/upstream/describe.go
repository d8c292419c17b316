package upstream

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// maxDocument is how many bytes a document may have.
const maxDocument = 4 << 20

// document is where an upstream may say what its model takes and gives.
type document struct {
	path string
	read func(body []byte) (tensor.Signature, error)
	must bool // who speaks the dialect has it
}

// describe finds out the signature.
func (m *Model) describe(ctx context.Context) error {
	s := m.options.Signature
	if len(s.Inputs) == 0 || len(s.Outputs) == 0 {
		told, err := m.told(ctx)
		if err != nil {
			return err
		}
		if len(s.Inputs) == 0 {
			s.Inputs = told.Inputs
		}
		if len(s.Outputs) == 0 {
			s.Outputs = told.Outputs
		}
	}
	m.settle(s)
	return m.negotiate(ctx)
}

// told asks the upstream for its documents, one after the other, until one says something.
func (m *Model) told(ctx context.Context) (tensor.Signature, error) {
	for _, d := range m.documents() {
		status, body, err := m.get(ctx, d.path)
		switch {
		case err != nil:
			return tensor.Signature{}, err
		case status == http.StatusOK:
			s, err := d.read(body)
			if err != nil && d.must {
				return s, fault.Internalf("%s: %w", d.path, err).WithHint("write the model's signature into the configuration")
			}
			if err == nil && len(s.Inputs)+len(s.Outputs) > 0 {
				return s, nil
			}
		case d.must:
			return tensor.Signature{}, m.unknown(d, status, body)
		}
	}
	return tensor.Signature{}, nil
}

// unknown is the error about an upstream that does not say what it should.
func (m *Model) unknown(d document, status int, body []byte) error {
	said := wire.Complaint(body)
	if said != "" {
		said = ": " + said
	}
	if status == http.StatusNotFound || status == http.StatusBadRequest { // as Triton has it
		return fault.NotFoundf("the upstream does not know the model: %s answers %d%s", d.path, status, said).
			WithHint("set upstreamModel to what the upstream calls it; or write its signature into the configuration")
	}
	return fault.Internalf("%s answers %d%s", d.path, status, said).WithHint("write the model's signature into the configuration")
}

// documents lists where to look. Where the path of predictions is one's own, no more than what stands beside it is the same model's.
func (m *Model) documents() (list []document) {
	path, _, _ := strings.Cut(m.path, "?")
	open := func(body []byte) (tensor.Signature, error) {
		info, err := wire.ReadModelMetadata(body)
		return info.Signature, err
	}
	beside := func(end, instead string, read func([]byte) (tensor.Signature, error)) {
		if before, ok := strings.CutSuffix(path, end); ok {
			list = append(list, document{path: before + instead, read: read})
		}
	}
	if m.options.Dialect != V2 && m.options.Path == "" && m.options.Model != "" {
		list = append(list, document{path: "/v2/models/" + url.PathEscape(m.options.Model), read: m.elsewhere(open)})
	}
	switch m.options.Dialect {
	case V2:
		beside("/infer", "", open)
		for i := range list {
			list[i].must = true
		}
	case Seldon:
		beside("/predictions", "/metadata", m.elsewhere(wire.ReadSeldonMetadata))
		beside("/predict", "/metadata", m.elsewhere(wire.ReadSeldonMetadata))
	case V1:
		beside(":predict", "/metadata", wire.ReadV1Metadata)
	case MLflow: // has none of its own
	}
	return list
}

// elsewhere reads a document that is not quite the dialect's: of the outputs that it names, the dialect may give fewer.
func (m *Model) elsewhere(read func([]byte) (tensor.Signature, error)) func([]byte) (tensor.Signature, error) {
	return func(body []byte) (tensor.Signature, error) {
		s, err := read(body)
		s.Outputs = slices.DeleteFunc(s.Outputs, func(p tensor.Spec) bool { return p.OnDemand })
		if m.options.Dialect == Seldon && len(s.Outputs) > 1 { // an answer holds one
			s.Outputs = s.Outputs[:1]
		}
		return s, err
	}
}

// negotiate finds out whether tensors can go as binary data, and must not stop a model that can be asked in JSON.
func (m *Model) negotiate(ctx context.Context) error {
	server, _, found := strings.Cut(m.path, "/models/")
	if m.options.Dialect != V2 || !found {
		return nil
	}
	status, body, err := m.get(ctx, server)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return nil
	}
	if info, err := wire.ReadServerMetadata(body); err == nil && slices.Contains(info.Extensions, wire.ExtensionBinary) {
		m.client = wire.OpenInferenceClient{Binary: true}
	}
	return nil
}

// get asks for a document. A status that says that the upstream cannot answer now is Unavailable.
func (m *Model) get(ctx context.Context, path string) (status int, body []byte, err error) {
	r := proxy.Request{
		Method: http.MethodGet, Target: path, Host: m.options.Host, Set: m.json[1:], // nothing that is in JSON itself
		Safe: true, Hold: maxDocument,
	}
	if at, ok := ctx.Deadline(); ok {
		r.Deadline = at
	}
	var a proxy.Answer
	if err := m.options.Asker.Ask(ctx, &r, &a); err != nil {
		return 0, nil, fault.Unavailablef("the upstream cannot be asked what its model takes and gives (GET %s): %w", path, err)
	}
	defer a.Close()
	switch {
	case a.Status == http.StatusTooManyRequests, a.Status >= http.StatusBadGateway && a.Status <= http.StatusGatewayTimeout:
		return 0, nil, fault.Unavailablef("the upstream cannot say what its model takes and gives: GET %s answers %d", path, a.Status)
	case a.Rest != nil:
		return 0, nil, fault.Internalf("GET %s answers with more than %d bytes", path, maxDocument)
	}
	return a.Status, slices.Clone(a.Body), nil
}
