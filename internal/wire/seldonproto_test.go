package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

const seldonMessage = "seldon.protos.SeldonMessage"

// library is the protobuf library with the messages of the proto files: the oracle of what we read and write by hand.
type library struct {
	t     testing.TB
	files *protoregistry.Files
}

func newLibrary(t testing.TB) library { return library{t, protos(t)} }

// proto turns a message from its JSON form into bytes; ok is false where the library refuses it.
func (l library) proto(name protoreflect.FullName, text string) (body []byte, ok bool) {
	l.t.Helper()
	m := newMessage(l.files, name)
	if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), m) != nil {
		return nil, false
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		l.t.Fatal(err)
	}
	return body, true
}

// must is proto for what the library does not refuse.
func (l library) must(name protoreflect.FullName, text string) []byte {
	l.t.Helper()
	body, ok := l.proto(name, text)
	if !ok {
		l.t.Fatalf("the library does not read %s", text)
	}
	return body
}

// parsed reads a message.
func (l library) parsed(name protoreflect.FullName, body []byte) *dynamicpb.Message {
	l.t.Helper()
	m := newMessage(l.files, name)
	if err := proto.Unmarshal(body, m); err != nil {
		l.t.Fatalf("%x: %v", body, err)
	}
	return m
}

// equal fails the test where the library does not read got as the message whose JSON form is want.
func (l library) equal(name protoreflect.FullName, got []byte, want string) {
	l.t.Helper()
	if a, b := l.parsed(name, got), l.parsed(name, l.must(name, want)); !proto.Equal(a, b) {
		l.t.Errorf("got %v\nwant %v", a, b)
	}
}

// TestSeldonProtoReadsEveryPayload asks in protobuf, as the library writes it, what is asked in JSON elsewhere.
func TestSeldonProtoReadsEveryPayload(t *testing.T) {
	l := newLibrary(t)
	for _, tt := range payloads {
		if strings.HasSuffix(tt.name, "(JSON)") {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			body := l.must(seldonMessage, tt.body)
			x, err := SeldonProto{}.Decode(body, payloadModels[tt.model], Limits{})
			switch {
			case tt.refused != "":
				if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want %q", err, tt.refused)
				}
			case err != nil:
				t.Error(err)
			default:
				if err := fits(x, tt.want); err != nil {
					t.Error(err)
				}
				wellFormed(t, x, len(body))
			}
		})
	}
}

func TestSeldonProtoRefusesMessagesCutShort(t *testing.T) {
	l := newLibrary(t)
	for _, tt := range payloads {
		body, ok := l.proto(seldonMessage, strings.Replace(tt.body, "{", `{"meta":{"puid":"p","tags":{"a":[1,{"b":"c"}]},"requestPath":{"x":"y"},"metrics":[{"key":"k"}]},`, 1))
		if !ok || tt.refused != "" {
			continue
		}
		for n := range body { // a field that is whole ends there: what is left out may be the payload, or just the path
			x, err := SeldonProto{}.Decode(body[:n], payloadModels[tt.model], Limits{})
			if err == nil {
				if err = fits(x, tt.want); err != nil {
					t.Fatalf("%s: %d of %d bytes read as another request: %v", tt.name, n, len(body), err)
				}
				continue
			}
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%s: %d of %d bytes: %v", tt.name, n, len(body), err)
			}
		}
	}
}

// TestSeldonProtoAnswersWhatJSONAnswers answers the golden requests in both forms and compares the answers as the library reads them.
func TestSeldonProtoAnswersWhatJSONAnswers(t *testing.T) {
	requests, _ := filepath.Glob(filepath.Join("testdata", "seldon", "*.request.json"))
	compared, l := 0, newLibrary(t)
	for _, path := range requests {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		body, ok := l.proto(seldonMessage, string(text))
		if !ok {
			continue
		}
		model, _, _ := strings.Cut(filepath.Base(path), "-")
		s := models[model]
		x, err := SeldonProto{}.Decode(body, s, Limits{})
		if err == nil {
			err = s.Check(x.Request())
		}
		want := exchange(Seldon{}, s, text)
		if refused := bytes.HasPrefix(want, []byte(`{"status"`)); refused || err != nil {
			if refused != (err != nil) {
				t.Errorf("%s: %v in protobuf, %s in JSON", path, err, want)
			}
			continue
		}
		got, err := x.Answer([]byte("before"), meta, predict(t.Context(), s, x.Request()))
		if err != nil || !bytes.HasPrefix(got, []byte("before")) {
			t.Fatal(err)
		}
		l.equal(seldonMessage, got[len("before"):], string(want))
		compared++
	}
	if compared < 5 {
		t.Errorf("%d answers were compared", compared)
	}
}

// TestSeldonProtoAnswersInEveryForm answers with every type of output in every form, and compares with the answer in JSON.
func TestSeldonProtoAnswersInEveryForm(t *testing.T) {
	outputs := []tensor.Tensor{
		tensor.New("o", []int{2, 1}, []float32{.1, 2}), tensor.New("o", []int{1}, []float32{.1}), tensor.New("o", nil, []float64{-1.5}),
		tensor.New("o", []int{2}, []int64{1 << 60, -1}), tensor.New("o", []int{1}, []int64{-1 << 60}), tensor.New("o", []int{1}, []uint64{1 << 60}),
		tensor.New("o", []int{1, 2, 2}, []int32{1, -2, 3, 4}), tensor.New("o", []int{1}, []int32{-7}), tensor.New("o", []int{1}, []int16{-7}),
		tensor.New("o", []int{1}, []int8{-7}), tensor.New("o", []int{1}, []uint8{200}), tensor.New("o", []int{1}, []uint16{7}),
		tensor.New("o", []int{1}, []uint32{7}), tensor.New("o", []int{3}, []uint8{1, 2, 3}), tensor.New("o", []int{0}, []float32{}),
		tensor.New("o", []int{0, 2}, []float64{}), tensor.New("o", []int{2}, []bool{true, false}), tensor.New("o", []int{2, 1}, []string{"a", "é"}),
		tensor.New("probabilities", []int{1, 2}, []float32{.25, .75}),
	}
	model := tensor.Signature{Inputs: score.Inputs, Outputs: classes.Outputs}
	l := newLibrary(t)
	for _, form := range []string{
		`{"data":{"tensor":{"shape":[3],"values":[1,2,3]}}}`, `{"data":{"ndarray":[1,2,3]}}`, `{"jsonData":[1,2,3]}`,
		`{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"3"}]},"floatVal":[1,2,3]}}}`,
	} {
		asJSON, err := Seldon{}.Decode([]byte(form), model, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		asProto, err := SeldonProto{}.Decode(l.must(seldonMessage, form), model, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range outputs {
			resp := &tensor.Response{Outputs: []tensor.Tensor{o}}
			text, err := asJSON.Answer(nil, meta, resp)
			if err != nil {
				t.Fatal(err)
			}
			got, err := asProto.Answer(nil, meta, resp)
			if err != nil {
				t.Fatal(err)
			}
			l.equal(seldonMessage, got, string(text))
		}
	}
}

// TestSeldonProtoAnswersReadBack writes an output as an answer and reads the answer's data as a request.
func TestSeldonProtoAnswersReadBack(t *testing.T) {
	sig := tensor.Signature{Inputs: []tensor.Spec{{Name: "x", DType: tensor.Float64}}}
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(1, 12), 1, 3).Draw(t, "shape")
		n, _ := tensor.Elements(shape)
		want := tensor.New("", shape, rapid.SliceOfN(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), n, n).Draw(t, "data"))
		for _, form := range []seldonForm{tensorForm, ndarrayForm, tftensorForm} {
			asked := &seldonProtoCall{seldonQuestion: seldonQuestion{model: sig, form: form}}
			answer, err := asked.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{want}})
			if err != nil {
				t.Fatal(err)
			}
			x, err := SeldonProto{}.Decode(answer, sig, Limits{})
			if err != nil {
				t.Fatalf("%x: %v", answer, err)
			}
			if err := fits(x, []tensor.Tensor{want}); err != nil {
				t.Fatalf("%v as %v: %v", want, form, err)
			}
		}
	})
}

func TestSeldonProtoCannotAnswerEverything(t *testing.T) {
	ask := func(form seldonForm) *seldonProtoCall {
		return &seldonProtoCall{seldonQuestion: seldonQuestion{model: classes, form: form}}
	}
	for _, tt := range []struct {
		form   seldonForm
		output tensor.Tensor
		want   string
	}{
		{ndarrayForm, tensor.New("o", []int{1}, []float64{math.NaN()}), "NaN cannot be carried by ndarray"},
		{ndarrayForm, tensor.New("o", []int{1}, []string{"\xff"}), "not valid UTF-8"},
		{tensorForm, tensor.New("o", []int{2}, []float64{1}), "shape [2] needs 2"},
	} {
		_, err := ask(tt.form).Answer(nil, Meta{}, &tensor.Response{Outputs: []tensor.Tensor{tt.output}})
		if err == nil || fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	if _, err := ask(tensorForm).Answer(nil, Meta{}, &tensor.Response{}); err == nil || fault.KindOf(err) != fault.Internal {
		t.Errorf("no output: %v", err)
	}
	for _, form := range []seldonForm{tensorForm, tftensorForm} { // which carry any double
		body, err := ask(form).Answer(nil, Meta{}, &tensor.Response{Outputs: []tensor.Tensor{tensor.New("o", []int{2}, []float64{math.NaN(), math.Inf(-1)})}})
		if err != nil {
			t.Fatal(err)
		}
		x, err := SeldonProto{}.Decode(body, wide, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(x, of([]int{2}, math.NaN(), math.Inf(-1))); err != nil {
			t.Error(err)
		}
	}
}

// delimit makes a delimited field.
func delimit(number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestSeldonProtoReadsOtherEncodings reads what no library writes but all must read.
func TestSeldonProtoReadsOtherEncodings(t *testing.T) {
	l := newLibrary(t)
	double := func(number protowire.Number, v float64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), math.Float64bits(v))
	}
	number := func(n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
	}
	two := protowire.AppendFixed64(protowire.AppendFixed64(nil, math.Float64bits(2)), math.Float64bits(3))
	single := func(v float32) []byte {
		return protowire.AppendFixed32(protowire.AppendTag(nil, 5, protowire.Fixed32Type), math.Float32bits(v))
	}
	shape := delimit(2, join(delimit(2, number(1, 1)), delimit(2, number(1, 3))))
	for name, body := range map[string][]byte{
		"values first":            delimit(3, delimit(2, join(delimit(2, protowire.AppendFixed64(nil, math.Float64bits(1))), delimit(2, two), delimit(1, []byte{1, 3})))),
		"nothing packed":          delimit(3, delimit(2, join(number(1, 1), number(1, 3), double(2, 1), double(2, 2), double(2, 3)))),
		"both":                    delimit(3, delimit(2, join(number(1, 1), delimit(1, []byte{3}), double(2, 1), delimit(2, two)))),
		"data in parts":           join(delimit(3, delimit(1, []byte("a"))), delimit(3, join(delimit(1, []byte("b")), delimit(1, []byte("c")))), delimit(3, delimit(2, join(delimit(1, []byte{1, 3}), double(2, 1), delimit(2, two))))),
		"unknown fields":          join(number(99, 7), delimit(3, join(number(1, 5), delimit(77, nil), delimit(2, join(delimit(1, []byte{1, 3}), double(2, 1), delimit(2, two), number(9, 1))))), delimit(8, []byte("x"))),
		"floats that are loose":   delimit(3, delimit(4, join(number(1, 1), shape, single(1), single(2), single(3)))),
		"doubles that are loose":  delimit(3, delimit(4, join(number(1, 2), shape, double(6, 1), delimit(6, two)))),
		"wholes that are loose":   delimit(3, delimit(4, join(number(1, 3), shape, number(7, 1), delimit(7, []byte{2, 3})))),
		"wholes of 64 bits, too":  delimit(3, delimit(4, join(number(1, 9), shape, number(10, 1), delimit(10, []byte{2, 3})))),
		"a value with a last say": delimit(3, delimit(3, join(delimit(1, join(delimit(3, []byte("x")), double(2, 1))), delimit(1, double(2, 2)), delimit(1, double(2, 3))))),
	} {
		l.parsed(seldonMessage, body)
		x, err := SeldonProto{}.Decode(body, wide, Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		in := &x.Request().Inputs[0]
		if values, err := in.Float64s(); err != nil || fmt.Sprint(values) != "[1 2 3]" {
			t.Errorf("%s: %v, %v", name, in, err)
		}
	}
}

func TestSeldonProtoRefusesAndSaysWhy(t *testing.T) {
	value := func(content ...[]byte) []byte { return delimit(1, join(content...)) }
	var deepList, deepStruct []byte
	for range maxValueDepth + 1 {
		deepList = delimit(6, delimit(1, deepList))
		deepStruct = delimit(5, delimit(1, join(delimit(1, []byte("a")), delimit(2, deepStruct))))
	}
	for want, body := range map[string][]byte{
		"unexpected EOF":                            {3 << 3, 0x80},
		"no SeldonMessage":                          delimit(3, delimit(2, delimit(2, []byte{1, 2, 3}))),
		"a packed list is cut off":                  delimit(3, delimit(2, delimit(2, []byte{1, 2, 3}))),
		"data holds both tensor and ndarray":        delimit(3, join(delimit(2, delimit(1, []byte{0})), delimit(3, nil))),
		"data holds both tensor and tensor":         delimit(3, join(delimit(2, delimit(1, []byte{0})), delimit(2, nil))),
		"the request holds both data.ndarray and":   join(delimit(3, delimit(3, nil)), delimit(6, nil)),
		"customData is not supported":               delimit(7, nil),
		"-1 cannot be the size":                     delimit(3, delimit(2, protowire.AppendVarint([]byte{1 << 3}, math.MaxUint64))),
		"a shape of more than 16 dimensions":        delimit(3, delimit(2, delimit(1, make([]byte, 17)))),
		"shape [2 3] needs 6":                       delimit(3, delimit(2, delimit(1, []byte{2, 3}))),
		"google.protobuf.Value is nested deeper":    delimit(6, deepList),
		"jsonData: a google.protobuf.Value is":      delimit(6, deepStruct),
		"the body is no google.protobuf.Value":      delimit(3, delimit(3, delimit(1, []byte{0xff}))),
		"the body is no google.protobuf.ListValue":  delimit(3, delimit(3, []byte{0xff})),
		"the body is no google.protobuf.Struct":     delimit(6, delimit(5, []byte{0xff})),
		"row 0, value 1: the string \"x\" where a":  delimit(3, delimit(3, value(delimit(6, join(value(), value(delimit(3, []byte("x")))))))),
		"data.tftensor has more than 16 dimensions": delimit(3, delimit(4, delimit(2, bytes.Repeat(delimit(2, nil), 17)))),
		"string of it is not valid":                 delimit(2, delimit(1, []byte{0xff})),
		"the body is no SeldonMessage: it has":      {0, 1},
	} {
		_, err := SeldonProto{}.Decode(body, wide, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%x: got %v, want %q", body, err, want)
		}
	}
	for name, body := range map[string][]byte{
		"a tag":              delimit(2, delimit(2, delimit(2, []byte{0xff}))),
		"the name of a tag":  delimit(2, delimit(2, delimit(1, []byte{0xff}))),
		"a metric":           delimit(2, delimit(5, delimit(1, []byte{0xff}))),
		"a metric's tag":     delimit(2, delimit(5, delimit(4, delimit(2, []byte{0xff})))),
		"an entry of a path": delimit(2, delimit(4, delimit(2, []byte{0xff}))),
		"a metric cut short": delimit(2, delimit(5, []byte{1<<3 | 2, 5})),
	} {
		if _, err := (SeldonProto{}).Decode(join(body, delimit(3, delimit(3, nil))), wide, Limits{}); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s that no client can read back is repeated: %v", name, err)
		}
	}
	if got := (SeldonProto{}).Error([]byte("x"), 400, fault.Invalidf("no")); string(got) != "x" {
		t.Errorf("an error appends %q", got)
	}
}

func TestSeldonProtoKeepsLimits(t *testing.T) {
	l, small := newLibrary(t), Limits{Rows: 4, Elements: 15}
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("[1,2,3],", n), ",") + "]" }
	flat := func(n int) string { return strings.TrimSuffix(strings.Repeat("1,", n), ",") }
	for _, tt := range []struct{ body, want string }{
		{`{"data":{"ndarray":` + list(4) + `}}`, ""},
		{`{"data":{"ndarray":` + list(5) + `}}`, "more than 4 rows"},
		{`{"data":{"ndarray":[` + flat(16) + `]}}`, "more than 15 values"},
		{`{"data":{"tensor":{"shape":[5,3],"values":[` + flat(15) + `]}}}`, "5 rows; a request may have 4"},
		{`{"data":{"tensor":{"shape":[16],"values":[` + flat(16) + `]}}}`, "more than 15 values"},
		{`{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"5"},{"size":"3"}]},"floatVal":[` + flat(15) + `]}}}`, "5 rows; a request may have 4"},
		{`{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"16"}]},"floatVal":[` + flat(16) + `]}}}`, "more than "},
		{`{"data":{"tftensor":{"dtype":"DT_INT32","tensorShape":{"dim":[{"size":"16"}]},"intVal":[` + flat(16) + `]}}}`, "more than "},
		{`{"data":{"tftensor":{"dtype":"DT_INT64","tensorShape":{"dim":[{"size":"16"}]},"tensorContent":"AAAA"}}}`, "more values than a request may hold (15)"},
		{`{"jsonData":` + list(5) + `}`, "more than 4 rows"},
		{`{"jsonData":[` + strings.TrimSuffix(strings.Repeat(`{"a":1,"b":2,"c":3},`, 5), ",") + `]}`, "more than 4 rows"},
		{`{"jsonData":{"a":[` + flat(5) + `],"b":[` + flat(5) + `],"c":[` + flat(5) + `]}}`, "5 rows; a request may have 4"},
		{`{"jsonData":{"a":[` + flat(16) + `]}}`, "more than 15 values"},
		{`{"jsonData":{"user":[` + flat(4) + `],"price":[` + flat(4) + `]}}`, ""},
		{`{"jsonData":{"price":[` + flat(5) + `]}}`, "5 rows; a request may have 4"},
		{`{"jsonData":{"user":[` + flat(16) + `],"price":1}}`, "more than 1"},
		{`{"jsonData":{"user":[` + flat(15) + `],"price":1}}`, "more than 1"},
	} {
		body := l.must(seldonMessage, tt.body)
		model := score
		if strings.Contains(tt.body, "price") {
			model = pair
		}
		_, asProto := SeldonProto{}.Decode(body, model, small)
		_, asJSON := Seldon{}.Decode([]byte(tt.body), model, small)
		for _, err := range []error{asProto, asJSON} {
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s: got %v, want %q", tt.body, err, tt.want)
			}
		}
	}
}

func TestSeldonProtoClaimedSizesAllocateNothing(t *testing.T) {
	l := newLibrary(t)
	for _, text := range []string{
		`{"data":{"tensor":{"shape":[2147483647],"values":[1]}}}`,
		`{"data":{"tensor":{"shape":[50000,3],"values":[1]}}}`,
		`{"data":{"tftensor":{"dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"16000000"}]},"floatVal":[1]}}}`,
		`{"data":{"tftensor":{"dtype":"DT_DOUBLE","tensorShape":{"dim":[{"size":"16000000"}]},"tensorContent":"AAAA"}}}`,
		`{"data":{"tftensor":{"dtype":"DT_STRING","tensorShape":{"dim":[{"size":"2147483647"}]}}}}`,
	} {
		body := l.must(seldonMessage, text)
		for _, decode := range []func() error{
			func() error { _, err := SeldonProto{}.Decode(body, score, Limits{}); return err },
			func() error { _, err := Seldon{}.Decode([]byte(text), score, Limits{}); return err },
		} {
			var err error
			n := allocated(func() { err = decode() })
			if err == nil || fault.KindOf(err) != fault.Invalid || n > 64<<10 {
				t.Errorf("%s: %d bytes allocated, %v", text, n, err)
			}
		}
	}
}

func TestSeldonProtoAllocatesLittle(t *testing.T) {
	values := make([]float64, 56)
	text, _ := json.Marshal(map[string]any{"data": map[string]any{"tensor": map[string]any{"shape": []int{1, 56}, "values": values}}})
	body := newLibrary(t).must(seldonMessage, string(text))
	sig := tensor.Signature{Inputs: []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 56}}}, Outputs: []tensor.Spec{{Name: "prediction"}}}
	resp := &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{1}, []float32{.5})}}
	var dst []byte
	n := testing.AllocsPerRun(100, func() {
		x, err := SeldonProto{}.Decode(body, sig, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if dst, err = x.Answer(dst[:0], meta, resp); err != nil {
			t.Fatal(err)
		}
	})
	if n > 4 { // the call, its numbers, and the name of the model and its version
		t.Errorf("%v allocations for one row there and back", n)
	}
}
