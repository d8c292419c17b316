package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/serin-ml/serin/internal/tensor"
)

// seldonTensor is one input or output in Seldon's metadata.
type seldonTensor struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// seldonMetadata is what Seldon's metadata says of a model.
type seldonMetadata struct {
	Name     string         `json:"name"`
	Versions []string       `json:"versions"`
	Platform string         `json:"platform"`
	Inputs   []seldonTensor `json:"inputs"`
	Outputs  []seldonTensor `json:"outputs"`
}

// seldonGraph is what Seldon's metadata says of a deployment. A service is a graph of one model.
type seldonGraph struct {
	Name    string                    `json:"name"`
	Models  map[string]seldonMetadata `json:"models"`
	Inputs  []seldonTensor            `json:"graphinputs"`
	Outputs []seldonTensor            `json:"graphoutputs"`
}

func seldonTensors(specs []tensor.Spec) []seldonTensor {
	list := make([]seldonTensor, len(specs))
	for i, s := range specs {
		list[i] = seldonTensor{s.Name, s.DType.String(), s.Shape}
	}
	return list
}

func metadataOf(live *Live) seldonMetadata {
	signature := live.Model.Signature()
	m := seldonMetadata{
		Name: live.Name, Versions: []string{strconv.Itoa(live.Number)}, Platform: "serin_" + live.Runtime,
		Inputs: seldonTensors(signature.Inputs), Outputs: seldonTensors(signature.Outputs),
	}
	if live.Semver != "" {
		m.Versions = append(m.Versions, live.Semver)
	}
	return m
}

func graphOf(s *Service, live *Live) seldonGraph {
	m := metadataOf(live)
	return seldonGraph{s.Name(), map[string]seldonMetadata{live.Name: m}, m.Inputs, m.Outputs}
}

func (g *Gateway) seldonGraph(s *Service, _ *http.Request) ([]byte, error) {
	live, err := seldonModelOf(s, "")
	if err != nil {
		return nil, err
	}
	return json.Marshal(graphOf(s, live))
}

func (g *Gateway) seldonModel(s *Service, r *http.Request) ([]byte, error) {
	live, err := seldonModelOf(s, r.PathValue("model"))
	if err != nil {
		return nil, err
	}
	return json.Marshal(metadataOf(live))
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
