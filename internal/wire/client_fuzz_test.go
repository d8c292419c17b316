package wire

import (
	"reflect"
	"slices"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// twoRows is a question to score about two rows.
var twoRows = tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6})}}

// several is a model of outputs of several types.
var severalOutputs = tensor.Signature{Outputs: []tensor.Spec{
	spec("p", tensor.Float32, -1, 2), spec("label", tensor.Bytes, -1), spec("rank", tensor.Uint8, -1), spec("good", tensor.Bool, -1, 1),
}}

// readsAnswer holds a client to what it promises for any body: a response that fits the signature, in memory in proportion to the body, that
// reads the same twice; or an error that is nobody's who asked.
func readsAnswer(t *testing.T, c client, body []byte, f Frame) {
	for _, s := range []tensor.Signature{{}, score, severalOutputs} {
		q := Question{Request: &twoRows, Signature: s}
		got, err := c.Read(body, f, &q, Limits{})
		if err != nil {
			if fault.KindOf(err) != fault.Internal {
				t.Fatalf("%q: the error is of kind %v: %v", body, fault.KindOf(err), err)
			}
			continue
		}
		wanted := s.Wanted(&twoRows)
		if len(wanted) > 0 && len(wanted) != len(got.Outputs) || len(got.Outputs) == 0 {
			t.Fatalf("%q: %d outputs, want %d", body, len(got.Outputs), len(wanted))
		}
		again, err := c.Read(body, f, &q, Limits{})
		if err != nil {
			t.Fatalf("%q is refused the second time: %v", body, err)
		}
		for i := range got.Outputs {
			o := &got.Outputs[i]
			if err := o.Check(); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if !same(*o, again.Outputs[i]) {
				t.Fatalf("%q reads as %v and as %v", body, *o, again.Outputs[i])
			}
			if room := reflect.ValueOf(o.Data).Cap(); room > len(body)+64 {
				t.Fatalf("room for %d elements was made for a body of %d bytes", room, len(body))
			}
			if len(wanted) == 0 {
				continue
			}
			p := s.Outputs[indexOfSpec(s.Outputs, wanted[i])]
			if o.Name != p.Name || o.DType() != p.DType || o.Rows() != 2 ||
				!slices.EqualFunc(o.Shape, p.Shape, func(have, want int) bool { return want == anySize || have == want }) {
				t.Fatalf("%q: %v %v of %v where the signature says %v", body, o.DType(), o.Name, o.Shape, p)
			}
		}
	}
}

func FuzzSeldonAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { readsAnswer(t, SeldonClient{}, body, Frame{}) })
}

// FuzzOpenInferenceAnswer reads answers whose first header bytes are JSON; 0: all of them.
func FuzzOpenInferenceAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		readsAnswer(t, OpenInferenceClient{}, body, Frame{HeaderBytes: header})
	})
}

func FuzzV1Answer(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { readsAnswer(t, V1Client{}, body, Frame{}) })
}

func FuzzMLflowAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { readsAnswer(t, MLflowClient{}, body, Frame{}) })
}

// FuzzSignatureDocuments reads any bytes as each document that tells a signature: what is taken is sane, and says the same when it is
// written.
func FuzzSignatureDocuments(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		sane := func(s tensor.Signature) {
			for _, list := range [][]tensor.Spec{s.Inputs, s.Outputs} {
				for _, p := range list {
					if p.DType.String() == "" || len(p.Shape) == 0 || len(p.Shape) > maxRank || slices.Min(p.Shape) < -1 || slices.Contains(p.Shape, 0) || len(list) > len(body) {
						t.Fatalf("%q holds %v", body, p)
					}
				}
			}
		}
		info, err := ReadModelMetadata(body)
		if err == nil {
			sane(info.Signature)
			again, err := ReadModelMetadata(AppendModelMetadata(nil, info))
			if err != nil || !again.Signature.Equal(info.Signature) {
				t.Fatalf("%q: %v, but then %v, %v", body, info, again, err)
			}
		} else if fault.KindOf(err) != fault.Internal {
			t.Fatal(err)
		}
		if s, err := ReadSeldonMetadata(body); err == nil {
			sane(s)
		}
		if s, err := ReadV1Metadata(body); err == nil {
			sane(s)
		}
		_, _ = ReadServerMetadata(body)
	})
}

func FuzzModelMetadataProto(f *testing.F) {
	f.Fuzz(func(t *testing.T, message []byte) {
		info, err := ReadModelMetadataProto(message)
		if err != nil {
			return
		}
		again, err := ReadModelMetadataProto(AppendModelMetadataProto(nil, info))
		if err != nil || !again.Signature.Equal(info.Signature) {
			t.Fatalf("%q: %v, but then %v, %v", message, info, again, err)
		}
	})
}

// FuzzComplaint holds what is said of an error to: one line of text that can be shown, of a bounded length.
func FuzzComplaint(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		said := Complaint(body)
		if len(said) > longestComplaint+len("...") || !utf8.ValidString(said) {
			t.Fatalf("%q says %q", body, said)
		}
		for _, r := range said {
			if unicode.IsControl(r) {
				t.Fatalf("%q says %q", body, said)
			}
		}
	})
}
