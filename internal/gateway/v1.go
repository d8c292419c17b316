package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

const v1Label = "v1"

// v1 is the two protocols under /v1/models: KServe's v1 and, for services of ServiceOptions.Tensorflow, that of TensorFlow Serving. A verb
// stands behind a colon at the end of a path (/v1/models/NAME:predict), where no pattern of net/http can find it: so paths are taken to
// their last segment, and cut here.
type v1 struct {
	gateway *Gateway
	predict http.HandlerFunc
	explain http.HandlerFunc
}

func (g *Gateway) routeV1() {
	at := func(verb string, explain bool) http.HandlerFunc {
		return g.predict(place{
			spot:       g.spotAt(spot{label: v1Label, route: "/v1/models/{name}:" + verb, explain: explain}),
			dialect:    wire.V1{Explain: explain},
			tensorflow: wire.V1{Explain: explain, Tensorflow: true},
		}, byV1Path)
	}
	v := &v1{gateway: g, predict: at("predict", false), explain: at("explain", true)}
	g.mux.HandleFunc("/v1/models", g.document(wire.V1{}, http.MethodGet, func(*http.Request, []byte) ([]byte, error) {
		return wire.V1ModelList(g.names()), nil
	}))
	g.mux.HandleFunc("/{$}", g.text("application/json", `{"status":"alive"}`, nil)) // how KServe's v1 tells that a server is live
	g.mux.HandleFunc("/v1/models:predict", v.predict)                               // of one model, as Seldon's executor takes it
	for _, model := range []string{"/v1/models/{name}", "/v1/models/{name}/versions/{version}", "/v1/models/{name}/labels/{label}"} {
		g.mux.Handle(model, v)
		g.mux.HandleFunc(model+"/metadata", g.document(wire.V1{}, http.MethodGet, v.metadata))
	}
}

// ServeHTTP answers a path that may end with a verb.
func (v *v1) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	last := "name"
	for _, part := range []string{"version", "label"} {
		if r.PathValue(part) != "" {
			last = part
		}
	}
	value := r.PathValue(last)
	end := strings.LastIndexByte(value, ':')
	if end < 0 {
		v.gateway.document(wire.V1{}, http.MethodGet, v.status)(w, r)
		return
	}
	r.SetPathValue(last, value[:end])
	switch verb := value[end+1:]; verb {
	case "predict":
		v.predict(w, r)
	case "explain":
		v.explain(w, r)
	default:
		v.gateway.document(wire.V1{}, r.Method, func(*http.Request, []byte) ([]byte, error) {
			return nil, fault.NotFoundf("a model is asked to :predict or to :explain; %.40q is neither", verb)
		})(w, r)
	}
}

// byV1Path finds what a path names: a service, none for the default one, and a version, or a label that stands for one.
func byV1Path(t *table, r *http.Request) (*Service, string, error) {
	name, version := r.PathValue("name"), r.PathValue("version")
	if name == "" {
		return byDefault(t, r)
	}
	s, err := t.spoken(name)
	if err != nil {
		return nil, "", err
	}
	if label := r.PathValue("label"); label != "" {
		version, err = s.labelled(label)
	}
	return s, version, err
}

// labelled returns the version that a label stands for: that of the variant of that name, or of the one that follows that alias.
func (s *Service) labelled(label string) (string, error) {
	for _, v := range s.variants {
		_, alias, _ := strings.Cut(v.Ref(), "@")
		if label != v.Name() && label != alias {
			continue
		}
		if live := v.Live(); live != nil {
			return live.number(), nil
		}
		return "", notReady(s)
	}
	return "", fault.NotFoundf("service %q has no variant and follows no alias %.80q", s.Name(), label)
}

// status tells whether a service is ready, in the keys of both protocols.
func (v *v1) status(r *http.Request, _ []byte) ([]byte, error) {
	s, version, err := byV1Path(v.gateway.services.Load(), r)
	if err != nil {
		return nil, err
	}
	if err := v.gateway.whetherServiceReady(s, version); err != nil {
		return nil, err
	}
	var versions []wire.V1Version
	for _, variant := range s.variants {
		live := variant.Live()
		if live == nil || version != "" && version != live.number() {
			continue
		}
		number := live.number()
		if !slices.ContainsFunc(versions, func(v wire.V1Version) bool { return v.Version == number }) {
			versions = append(versions, wire.V1Version{Version: number, State: "AVAILABLE"})
		}
	}
	return wire.V1ModelStatus(s.Name(), true, versions), nil
}

// metadata tells what a model takes and gives, as TensorFlow Serving does.
func (v *v1) metadata(r *http.Request, _ []byte) ([]byte, error) {
	s, version, err := byV1Path(v.gateway.services.Load(), r)
	if err != nil {
		return nil, err
	}
	live, err := s.liveVersion(version)
	if err != nil {
		return nil, err
	}
	return wire.V1Metadata(s.Name(), live.number(), live.Model.Signature()), nil
}
