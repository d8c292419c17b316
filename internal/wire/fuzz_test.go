package wire

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

// decodes holds a dialect to what it promises for any body: a request whose tensors are sound, in memory in proportion to the body, that
// reads the same twice; or an Invalid error, whose own form is JSON.
func decodes(t *testing.T, d dialect, body []byte) {
	decodesAs(t, d, body, func() (Exchange, error) { return d.Decode(body, score, Limits{}) })
}

func decodesAs(t *testing.T, d dialect, body []byte, decode func() (Exchange, error)) {
	x, err := decode()
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
	again, err := decode()
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
	if err != nil {
		return
	}
	text := answer
	if f, ok := x.(Framer); ok && f.Frame().HeaderBytes > 0 {
		text = answer[:f.Frame().HeaderBytes]
	}
	if !json.Valid(text) {
		t.Fatalf("%q: the answer is no JSON: %s", body, text)
	}
}

func FuzzSeldonDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { decodes(t, Seldon{}, body) })
}

func FuzzOpenInferenceDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { decodes(t, OpenInference{}, body) })
}

// FuzzOpenInferenceBinary reads bodies whose first header bytes are JSON; a negative header stands for a body of binary data that no
// header explains.
func FuzzOpenInferenceBinary(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		call := headers{HeaderLength: strconv.Itoa(header)}
		if header < 0 {
			call = headers{"Content-Type": octetStream}
		}
		d := OpenInference{}
		decodesAs(t, d, body, func() (Exchange, error) { return d.DecodeCall(body, call, score, Limits{}) })
	})
}

// FuzzOpenInferenceProto holds what we read of any bytes against what the protobuf library reads.
func FuzzOpenInferenceProto(f *testing.F) {
	files := protos(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		agrees(t, files, body)
		_, _ = ReadModelCallProto(body)
		_, _ = ReadRepositoryQueryProto(body)
		_, _ = ReadRepositoryCallProto(body)
	})
}
