package gateway

import (
	"net/http"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

const openInferenceLabel = "openinference"

// routeOpenInference mounts the Open Inference Protocol v2. A service is the protocol's model; a version in the path is the
// registry's number, and only one that is live answers.
func (g *Gateway) routeOpenInference() {
	const models = "/v2/models/{name}"
	infer := g.predict(place{spot: g.spotAt(spot{label: openInferenceLabel, route: models + "/infer"}), dialect: wire.OpenInference{}}, byModel)
	for _, path := range []string{"/v2", "/v2/{$}"} { // the protocol's text has the one, its OpenAPI document the other
		g.get(path, func(*http.Request) ([]byte, error) { return wire.AppendServerMetadata(nil, g.serverInfo()), nil })
	}
	g.get("/v2/health/live", func(*http.Request) ([]byte, error) { return wire.AppendServerLive(nil, true), nil })
	g.get("/v2/health/ready", func(*http.Request) ([]byte, error) {
		return wire.AppendServerReady(nil, true), g.whetherReady()
	})
	g.get("/v2/models", func(*http.Request) ([]byte, error) { return wire.AppendModelList(nil, g.names()), nil })
	g.get("/v2/models/stats", func(*http.Request) ([]byte, error) {
		return wire.AppendModelStatistics(nil, g.statistics()), nil
	})
	for _, model := range []string{models, models + "/versions/{version}"} {
		g.mux.HandleFunc(model+"/infer", infer)
		g.get(model, func(r *http.Request) ([]byte, error) {
			info, err := g.modelInfo(r.PathValue("name"), r.PathValue("version"))
			return wire.AppendModelMetadata(nil, info), err
		})
		g.get(model+"/config", func(r *http.Request) ([]byte, error) {
			info, err := g.modelInfo(r.PathValue("name"), r.PathValue("version"))
			return wire.AppendModelConfig(nil, info), err
		})
		g.get(model+"/stats", func(r *http.Request) ([]byte, error) {
			list, err := g.modelStatistics(r.PathValue("name"), r.PathValue("version"))
			return wire.AppendModelStatistics(nil, list), err
		})
		g.get(model+"/ready", func(r *http.Request) ([]byte, error) {
			name := r.PathValue("name")
			return wire.AppendModelReady(nil, name, true), g.whetherModelReady(name, r.PathValue("version"))
		})
	}
}

// byModel finds what the path names as a model.
func byModel(t *table, r *http.Request) (*Service, string, error) {
	s, err := t.model(r.PathValue("name"))
	return s, r.PathValue("version"), err
}

// model finds a service by name for those who call it a model. What is said of one that is not there begins as Triton begins it, which its
// clients look for.
func (t *table) model(name string) (*Service, error) {
	if s := t.byName[name]; s != nil {
		if !s.speaks {
			return nil, notSpoken(s)
		}
		return s, nil
	}
	return nil, fault.NotFoundf("Request for unknown model: no service named %.80q", name)
}

// get mounts a document that takes no body, with errors in the Open Inference form.
func (g *Gateway) get(path string, document func(*http.Request) ([]byte, error)) {
	g.mux.HandleFunc(path, g.document(wire.OpenInference{}, http.MethodGet, func(r *http.Request, _ []byte) ([]byte, error) { return document(r) }))
}

// serverInfo is what the server says of itself.
func (g *Gateway) serverInfo() wire.ServerInfo {
	return wire.ServerInfo{Name: g.options.Name, Version: g.options.Version, Extensions: []string{
		wire.ExtensionBinary, wire.ExtensionClassification, wire.ExtensionConfiguration, wire.ExtensionRepository, wire.ExtensionStatistics,
	}}
}

// names are those of the services that can be asked by name.
func (g *Gateway) names() []string {
	names := []string{}
	for _, s := range g.Services() {
		if s.speaks {
			names = append(names, s.Name())
		}
	}
	return names
}

// statistics are those of all services.
func (g *Gateway) statistics() (list []wire.ModelStatistics) {
	for _, s := range g.Services() {
		if s.speaks {
			list = append(list, s.statistics("")...)
		}
	}
	return list
}

// modelStatistics are those of the live versions of a service, or of one of them.
func (g *Gateway) modelStatistics(name, version string) ([]wire.ModelStatistics, error) {
	s, err := g.services.Load().model(name)
	if err != nil {
		return nil, err
	}
	if _, err := s.liveVersion(version); err != nil {
		return nil, err
	}
	return s.statistics(version), nil
}

// modelInfo is what is said of a service's model: of the version named, else of the one that speaks for the service.
func (g *Gateway) modelInfo(name, version string) (wire.ModelInfo, error) {
	s, err := g.services.Load().model(name)
	if err != nil {
		return wire.ModelInfo{}, err
	}
	live, err := s.liveVersion(version)
	if err != nil {
		return wire.ModelInfo{}, err
	}
	return s.info(live, version), nil
}

// info is what is said of a version of the service's model. Where none is named, the versions are all that are live.
func (s *Service) info(live *Live, version string) wire.ModelInfo {
	versions := []string{live.number()}
	for _, v := range s.variants {
		if l := v.Live(); version == "" && l != nil && !slices.Contains(versions, l.number()) {
			versions = append(versions, l.number())
		}
	}
	return wire.ModelInfo{
		Name: s.Name(), Versions: versions, Platform: "serin_" + live.Runtime, Backend: live.Runtime,
		MaxRows: s.options.Rows, Signature: live.Model.Signature(),
	}
}

// liveVersion is the live version of that number, the one that speaks for the service where none is named.
func (s *Service) liveVersion(version string) (*Live, error) {
	first := s.Live()
	if first == nil {
		return nil, notReady(s)
	}
	if version == "" {
		return first, nil
	}
	for _, v := range s.variants {
		if live := v.Live(); live != nil && live.number() == version {
			return live, nil
		}
	}
	return nil, notThisVersion(version, first)
}
