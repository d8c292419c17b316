package gateway

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const seldonProtoRow = `{"data":{"tensor":{"shape":[1,2],"values":[1,2]}}}`

func TestSeldonOverGRPC(t *testing.T) {
	g, _ := serve(t, ready("a", 3), ready("b", 1), NewService(ServiceOptions{Name: "loading", Default: true}))
	c := dialled(t, g)
	for _, tt := range []struct {
		name, method, request string
		header                []string
		code                  codes.Code
		want                  string
	}{
		{"predict", "Seldon/Predict", seldonProtoRow, []string{selects, "a", "namespace", "prod"}, codes.OK, `"tensor":{"shape":[1],"values":[303]}`},
		{"predict of a model", "Model/Predict", seldonProtoRow, []string{selects, "b"}, codes.OK, `"values":[103]`},
		{"predict with an id", "Seldon/Predict", seldonProtoRow, []string{selects, "a", "seldon-puid", "mine"}, codes.OK, `"puid":"mine"`},
		{"unknown", "Seldon/Predict", seldonProtoRow, []string{selects, "x"}, codes.NotFound, `no service named "x"`},
		{"the default is not ready", "Seldon/Predict", seldonProtoRow, nil, codes.Unavailable, "no model ready"},
		{"broken", "Seldon/Predict", `{"data":{"tensor":{"shape":[3],"values":[1,2]}}}`, []string{selects, "a"}, codes.InvalidArgument, ""},
		{"model metadata", "Seldon/ModelMetadata", `{"name":"m"}`, []string{selects, "a"}, codes.OK, `{"name":"a","versions":["3"],"platform":"serin_sums","inputs":[{"name":"input","datatype":"FP32","shape":["-1","2"]}]`},
		{"metadata of another model", "Seldon/ModelMetadata", `{"name":"x"}`, []string{selects, "a"}, codes.NotFound, `has no model "x"`},
		{"graph metadata", "Seldon/GraphMetadata", `{}`, []string{selects, "a"}, codes.OK, `{"name":"a","models":{"a":{`},
		{"metadata of a model", "Model/Metadata", `{}`, []string{selects, "b"}, codes.OK, `{"name":"b","versions":["1"]`},
		{"nobody takes feedback", "Seldon/SendFeedback", `{}`, nil, codes.Unimplemented, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := c.call(metadata.AppendToOutgoingContext(t.Context(), tt.header...), "seldon.protos."+tt.method, tt.request)
			if err != nil {
				got = status.Convert(err).Message()
			}
			if status.Code(err) != tt.code || !strings.Contains(got, tt.want) {
				t.Errorf("got %v %s\nwant %v %s", status.Code(err), got, tt.code, tt.want)
			}
		})
	}
	_, header, err := c.call(metadata.AppendToOutgoingContext(t.Context(), selects, "a"), "seldon.protos.Seldon/Predict", seldonProtoRow)
	if err != nil || len(header["seldon-puid"]) != 1 || !strings.HasPrefix(header["seldon-puid"][0], "01") {
		t.Errorf("%v, %v", header, err)
	}
}

// Feedback over gRPC is that over REST: the same outcome, durable before it is answered, a repeat told from a contradiction.
func TestSeldonFeedbackOverGRPC(t *testing.T) {
	h := newHub(t)
	c := dialled(t, h.gateway)
	for _, tt := range []struct {
		name, request string
		header        []string
		code          codes.Code
		want          string
	}{
		{"by token", `{"reward":1}`, []string{"serin-decision", h.token()}, codes.OK, `"tags":{"reward":"accepted"}`},
		{"again", `{"reward":1}`, []string{"serin-decision", h.token()}, codes.OK, `"reward":"duplicate"`},
		{"another value", `{"reward":0.5}`, []string{"serin-decision", h.token()}, codes.Aborted, "came before with another value"},
		{"truth", `{"truth":{"data":{"tensor":{"shape":[1],"values":[1]}}}}`, []string{"serin-decision", h.token()}, codes.OK, `"label":"accepted"`},
		{"by the answer's id", `{"reward":1,"response":{"meta":{"puid":"` + testDecision.String() + `"}}}`, nil, codes.OK, `"puid":"` + testDecision.String() + `"`},
		{"by the service alone", `{"reward":1}`, []string{selects, "single"}, codes.OK, `"reward":"accepted"`},
		{"a damaged token", `{"reward":1}`, []string{"serin-decision", tampered(h.token())}, codes.InvalidArgument, ""},
		{"unknown", `{"reward":1}`, []string{selects, "x"}, codes.NotFound, `no service named "x"`},
		{"of another service", `{"reward":1}`, []string{selects, "single", "serin-decision", h.token()}, codes.InvalidArgument, "of another service"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, service := range []string{"Seldon", "Model"} {
				got, _, err := c.call(metadata.AppendToOutgoingContext(t.Context(), tt.header...), "seldon.protos."+service+"/SendFeedback", tt.request)
				if err != nil {
					got = status.Convert(err).Message()
				}
				want := tt.want
				if service == "Model" { // which says the same once more
					want = strings.Replace(want, "accepted", "duplicate", 1)
				}
				if status.Code(err) != tt.code || !strings.Contains(got, want) {
					t.Errorf("%s: got %v %s\nwant %v %s", service, status.Code(err), got, tt.code, want)
				}
			}
		})
	}
	if all := h.log.all(""); len(all) != 3 { // that by the answer's id is that by the token
		t.Errorf("%d outcomes: %+v", len(all), all)
	}
}
