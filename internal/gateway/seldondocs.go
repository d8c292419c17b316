package gateway

import (
	"net/http"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// seldonModelOf finds the model that a call names: a service has one, under its own name or the service's.
func seldonModelOf(s *Service, model string) (*Live, error) {
	live := s.Live()
	switch {
	case live == nil:
		return nil, notReady(s)
	case model != "" && model != s.Name() && model != live.Name:
		return nil, fault.NotFoundf("service %q has no model %.80q; its model is %q", s.Name(), model, live.Name)
	}
	return live, nil
}

// seldonDocument writes what Seldon's metadata says of a model. To its clients a service is a graph of one model, which has its name.
type seldonDocument func(name, version, platform string, signature tensor.Signature) []byte

// of writes the document of the service's model, which the call may name.
func (d seldonDocument) of(s *Service, model string) ([]byte, error) {
	live, err := seldonModelOf(s, model)
	if err != nil {
		return nil, err
	}
	return d(s.Name(), live.number(), "serin_"+live.Runtime, live.Model.Signature()), nil
}

func (g *Gateway) seldonGraph(s *Service, _ *http.Request) ([]byte, error) {
	return seldonDocument(wire.SeldonGraphMetadata).of(s, "")
}

func (g *Gateway) seldonModel(s *Service, r *http.Request) ([]byte, error) {
	return seldonDocument(wire.SeldonModelMetadata).of(s, r.PathValue("model"))
}

// seldonStatus answers with a SeldonMessage of nothing but its status.
func (g *Gateway) seldonStatus(s *Service, r *http.Request) ([]byte, error) {
	if err := g.whetherServiceReady(s, ""); err != nil {
		return nil, err
	}
	if _, err := seldonModelOf(s, r.PathValue("model")); err != nil {
		return nil, err
	}
	return []byte(`{"meta":{},"status":{"code":200,"status":"SUCCESS"}}`), nil
}
