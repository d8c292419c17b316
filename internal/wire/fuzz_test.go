package wire

import (
	"encoding/json"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

// decodes holds a dialect to what it promises for any body: a request whose tensors are sound, in memory in proportion to the body, that
// reads the same twice; or an Invalid error, whose own form is JSON.
func decodes(t *testing.T, d dialect, body []byte) {
	x, err := d.Decode(body, score, Limits{})
	if err != nil {
		if fault.KindOf(err) != fault.Invalid {
			t.Fatalf("%q: the error is of kind %v: %v", body, fault.KindOf(err), err)
		}
		if form := d.Error(nil, 400, err); !json.Valid(form) {
			t.Fatalf("%q: the error is no JSON: %s", body, form)
		}
		return
	}
	wellFormed(t, x, len(body))
	again, err := d.Decode(body, score, Limits{})
	if err != nil {
		t.Fatalf("%q is refused the second time: %v", body, err)
	}
	for i, in := range x.Request().Inputs {
		if !same(in, again.Request().Inputs[i]) {
			t.Fatalf("%q reads as %v and as %v", body, in, again.Request().Inputs[i])
		}
	}
	if score.Check(x.Request()) != nil {
		return
	}
	answer, err := x.Answer(nil, meta, predict(t.Context(), score, x.Request()))
	if err == nil && !json.Valid(answer) {
		t.Fatalf("%q: the answer is no JSON: %s", body, answer)
	}
}

func FuzzSeldonDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { decodes(t, Seldon{}, body) })
}

func FuzzOpenInferenceDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { decodes(t, OpenInference{}, body) })
}
