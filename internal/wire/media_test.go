package wire

import (
	"errors"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

// Open Inference and v1 are JSON whatever a careless client calls it, but not what says that it is something else.
func TestAContentTypeThatIsNotJSONIsRefused(t *testing.T) {
	for name, d := range map[string]struct {
		decode func(body []byte, call Call) (Exchange, error)
		body   string
	}{
		"openinference": {
			func(body []byte, call Call) (Exchange, error) {
				return OpenInference{}.DecodeCall(body, call, score, Limits{})
			},
			`{"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}`,
		},
		"v1": {
			func(body []byte, call Call) (Exchange, error) { return V1{}.DecodeCall(body, call, score, Limits{}) },
			`{"instances": [[1, 2]]}`,
		},
	} {
		for _, kind := range []string{
			"", "application/json", "Application/JSON; charset=UTF-8", "application/vnd.kserve+json", "text/plain",
			"application/x-www-form-urlencoded", "application/octet-stream", ";",
		} {
			if _, err := d.decode([]byte(d.body), headers{"Content-Type": kind}); err != nil {
				t.Errorf("%s, %q: %v", name, kind, err)
			}
		}
		for _, kind := range []string{"application/xml", "image/png; q=1", "multipart/form-data; boundary=x", "application/x-protobuf"} {
			_, err := d.decode([]byte(d.body), headers{"Content-Type": kind})
			if !errors.Is(err, ErrUnsupportedMedia) || fault.KindOf(err) != fault.Invalid || fault.HintOf(err) != "send application/json" {
				t.Errorf("%s, %q: got %v", name, kind, err)
			}
		}
	}
}
