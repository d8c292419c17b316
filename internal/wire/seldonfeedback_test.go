package wire

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

const feedbackMessage = "seldon.protos.Feedback"

func TestSeldonFeedbackIsTheRESTCallsJSON(t *testing.T) {
	l := newLibrary(t)
	for _, tt := range []struct{ feedback, want string }{
		{`{}`, `{"reward":0.0}`},
		{`{"reward":0.1}`, `{"reward":0.1}`},
		{`{"reward":"NaN"}`, `{"reward":NaN}`},
		{`{"request":{"data":{"ndarray":[[1,2]]}},"response":{"meta":{"puid":"a\"b","routing":{"x":1}},"data":{"ndarray":[1]}},"reward":-2}`, `{"response":{"meta":{"puid":"a\"b"}},"reward":-2.0}`},
		{`{"response":{"meta":{"puid":"p"}},"truth":{"data":{"names":["n","p"],"ndarray":[[0,1]]}}}`, `{"response":{"meta":{"puid":"p"}},"truth":{"data":{"names":["n","p"],"ndarray":[[0.0,1.0]]}}}`},
		{`{"reward":1,"truth":{"data":{"tensor":{"shape":[1,2],"values":[0,"Infinity"]}}}}`, `{"reward":1.0,"truth":{"data":{"tensor":{"shape":[1,2],"values":[0.0,Infinity]}}}}`},
		{`{"truth":{"data":{"tensor":{}}}}`, `{"truth":{"data":{"tensor":{"shape":[],"values":[]}}}}`},
		{`{"truth":{"data":{"ndarray":["a",null,true,{"b":"c","d":["e"]}]}}}`, `{"truth":{"data":{"ndarray":["a",null,true,{"b":"c","d":["e"]}]}}}`},
		{`{"truth":{"data":{"names":["x"]}}}`, `{"truth":{}}`},
		{`{"truth":{"data":{"tftensor":{"dtype":"DT_FLOAT"}}}}`, `{"truth":{"data":{"tftensor":{}}}}`},
		{`{"truth":{"strData":"pos\n"}}`, `{"truth":{"strData":"pos\n"}}`},
		{`{"truth":{"jsonData":{"a":[1,"b"]}}}`, `{"truth":{"jsonData":{"a":[1.0,"b"]}}}`},
		{`{"truth":{"binData":"AA=="}}`, `{"truth":{"binData":""}}`},
		{`{"truth":{"meta":{"puid":"x"}}}`, `{"truth":{}}`},
	} {
		body, ok := l.proto(feedbackMessage, tt.feedback)
		if !ok {
			t.Fatal(tt.feedback)
		}
		got, err := SeldonFeedbackJSON([]byte("before "), body)
		if err != nil || string(got) != "before "+tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.feedback, got, err, tt.want)
		}
		for n := range body {
			if got, err := SeldonFeedbackJSON(nil, body[:n]); err == nil {
				readable(t, got)
			} else if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%s, cut to %d bytes: %v", tt.feedback, n, err)
			}
		}
	}
}

// readable fails the test where text is not what a reader of JSON takes that allows numbers that are not finite.
func readable(t *testing.T, text []byte) {
	t.Helper()
	s := jsonscan.New(text).AllowNonFinite()
	if s.Skip(); s.Err() == nil {
		s.End()
	}
	if s.Err() != nil {
		t.Fatalf("%s: %v", text, s.Err())
	}
}

func TestSeldonFeedbackRefusesWhatIsNone(t *testing.T) {
	double := func(v float64) []byte { return protowire.AppendFixed64(nil, math.Float64bits(v)) }
	for name, body := range map[string][]byte{
		"cut short":               {2<<3 | 2, 5},
		"a puid that is no text":  delimit(2, delimit(2, delimit(1, []byte{0xff}))),
		"a text that is none":     delimit(4, delimit(5, []byte{0xff})),
		"a name that is none":     delimit(4, delimit(3, delimit(1, []byte{0xff}))),
		"two payloads":            delimit(4, join(delimit(5, []byte("a")), delimit(3, delimit(3, nil)))),
		"two payloads of data":    delimit(4, delimit(3, join(delimit(2, nil), delimit(3, nil)))),
		"half a double":           delimit(4, delimit(3, delimit(2, delimit(2, double(1)[:5])))),
		"half a number":           delimit(4, delimit(3, delimit(2, delimit(1, []byte{0x80})))),
		"a list that is none":     delimit(4, delimit(3, delimit(3, []byte{0xff}))),
		"a value that is none":    delimit(4, delimit(6, []byte{0xff})),
		"a struct that is none":   delimit(4, delimit(6, delimit(5, delimit(1, []byte{0xff})))),
		"a response that is none": delimit(2, []byte{0xff}),
	} {
		if _, err := SeldonFeedbackJSON(nil, body); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSeldonFeedbackAnswersInProtobuf(t *testing.T) {
	l := newLibrary(t)
	for _, answer := range []string{
		`{"meta":{"puid":"p","tags":{"reward":"accepted","label":"duplicate"}}}`, `{"meta":{"tags":{}}}`, `{}`,
		`{"meta":{"tags":{"n":[1.5,null,true,false,{"a":{"b":[]}}],"é\"":""}}}`,
		`{"meta":{"tags":{"long":"` + strings.Repeat("x", 20000) + `"}}}`,
	} {
		got, err := SeldonFeedbackAnswer([]byte(answer))
		if err != nil {
			t.Errorf("%s: %v", answer, err)
			continue
		}
		l.equal(seldonMessage, got, answer)
	}
	for _, answer := range []string{``, `{"meta":`, `{"meta":{"tags":{"a":1`, `{"meta":{"tags":[]}}`, `{} x`, `{"meta":{"puid":1}}`} {
		if _, err := SeldonFeedbackAnswer([]byte(answer)); err == nil || fault.KindOf(err) != fault.Internal {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestSeldonMetadata(t *testing.T) {
	const model = `{"name":"m \"1\"","versions":["3"],"platform":"xgboost","inputs":[{"name":"input","datatype":"FP32","shape":[-1,3]}],` +
		`"outputs":[{"name":"prediction","datatype":"FP32","shape":[-1]}]}`
	const graph = `{"name":"m \"1\"","models":{"m \"1\"":` + model + `},"graphinputs":[{"name":"input","datatype":"FP32","shape":[-1,3]}],` +
		`"graphoutputs":[{"name":"prediction","datatype":"FP32","shape":[-1]}]}`
	if got := string(SeldonModelMetadata(`m "1"`, "3", "xgboost", score)); got != model || !json.Valid([]byte(got)) {
		t.Errorf("got %s, want %s", got, model)
	}
	if got := string(SeldonGraphMetadata(`m "1"`, "3", "xgboost", score)); got != graph || !json.Valid([]byte(got)) {
		t.Errorf("got %s, want %s", got, graph)
	}
	l := newLibrary(t)
	l.equal("seldon.protos.SeldonModelMetadata", SeldonModelMetadataProto(`m "1"`, "3", "xgboost", score), model)
	l.equal("seldon.protos.SeldonGraphMetadata", SeldonGraphMetadataProto(`m "1"`, "3", "xgboost", score), strings.NewReplacer("graphinputs", "inputs", "graphoutputs", "outputs").Replace(graph))
}

// FuzzSeldonProtoDecode holds the protobuf form to what every dialect promises, for models of every kind.
func FuzzSeldonProtoDecode(f *testing.F) {
	l := newLibrary(f)
	names := slices.Sorted(maps.Keys(payloadModels))
	f.Fuzz(func(t *testing.T, body []byte, model uint8) {
		x, err := SeldonProto{}.Decode(body, payloadModels[names[int(model)%len(names)]], Limits{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%x: the error is of kind %v: %v", body, fault.KindOf(err), err)
			}
			return
		}
		wellFormed(t, x, len(body))
		answer, err := x.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{tensor.New("o", []int{1}, []float32{1})}})
		if err != nil {
			t.Fatalf("%x: %v", body, err)
		}
		library{t, l.files}.parsed(seldonMessage, answer)
	})
}

// FuzzSeldonFeedback reads feedback, and turns what it read into JSON that can be read.
func FuzzSeldonFeedback(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := SeldonFeedbackJSON(nil, body)
		if err == nil {
			readable(t, got)
		} else if fault.KindOf(err) != fault.Invalid {
			t.Fatalf("%x: the error is of kind %v: %v", body, fault.KindOf(err), err)
		}
	})
}
