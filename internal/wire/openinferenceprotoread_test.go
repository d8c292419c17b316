package wire

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// TestProtobufRequestsReadAsTheLibraryReadsThem draws requests in every form that the encoding allows, and holds what we read against
// what the protobuf library reads.
func TestProtobufRequestsReadAsTheLibraryReadsThem(t *testing.T) {
	files := protos(t)
	rapid.Check(t, func(t *rapid.T) {
		want := []tensor.Tensor{anyTensor(t, "a"), anyTensor(t, "b")}
		raw := rapid.Bool().Draw(t, "raw")
		body := drawRequest(t, want, raw)
		m := newMessage(files, "inference.ModelInferRequest")
		if err := proto.Unmarshal(body, m); err != nil {
			t.Fatal(err)
		}
		oracle, typed := theirs(m, "inputs", "raw_input_contents")
		sameTensors(t, oracle, want)
		if typed == raw {
			t.Fatalf("typed: %v, raw: %v", typed, raw)
		}
		x, err := OpenInferenceProto{}.Decode(body, tensor.Signature{}, Limits{})
		if err != nil {
			t.Fatalf("%x: %v", body, err)
		}
		sameTensors(t, x.Request().Inputs, want)
		model, version, err := InferenceTarget(body)
		if model != "m" || version != "3" || err != nil || x.Request().ID != field(m, "id").String() {
			t.Fatalf("model %q version %q id %q: %v", model, version, x.Request().ID, err)
		}
		again, err := proto.Marshal(m) // as the library writes it: packed, in order
		if err != nil {
			t.Fatal(err)
		}
		if x, err = (OpenInferenceProto{}).Decode(again, tensor.Signature{}, Limits{}); err != nil {
			t.Fatal(err)
		}
		sameTensors(t, x.Request().Inputs, want)
	})
}

// TestProtobufAnswersReadBack reads our answers with the protobuf library, and again as requests: inputs and outputs have one form.
func TestProtobufAnswersReadBack(t *testing.T) {
	files := protos(t)
	rapid.Check(t, func(t *rapid.T) {
		want := []tensor.Tensor{anyTensor(t, "a"), anyTensor(t, "b")}
		c := &openInferenceProtoCall{}
		c.binary = rapid.Bool().Draw(t, "raw")
		c.id = "7"
		body, err := c.Answer([]byte("before"), meta, &tensor.Response{Outputs: want})
		if err != nil {
			t.Fatal(err)
		}
		m := newMessage(files, "inference.ModelInferResponse")
		if err := proto.Unmarshal(body[len("before"):], m); err != nil {
			t.Fatal(err)
		}
		got, typed := theirs(m, "outputs", "raw_output_contents")
		sameTensors(t, got, want)
		if typed == c.binary || field(m, "raw_output_contents").List().Len() != 2 {
			t.Fatalf("a raw answer: %v, of typed values: %v", c.binary, typed)
		}
		for i, raw := range repeated(m, "raw_output_contents", protoreflect.Value.Bytes) {
			if !bytes.Equal(raw, rawContents(want[i])) {
				t.Fatalf("output %d is %x, want %x", i, raw, rawContents(want[i]))
			}
		}
		if field(m, "model_name").String() != meta.Service || field(m, "model_version").String() != meta.Version || field(m, "id").String() != "7" {
			t.Fatalf("%v", m)
		}
	})
}

// protoRequest makes a request out of its text form.
func protoRequest(t testing.TB, files *protoregistry.Files, text string) []byte {
	t.Helper()
	return messageOf(t, files, "inference.ModelInferRequest", text)
}

func TestProtobufRequestsAreRefusedAndSayWhere(t *testing.T) {
	files := protos(t)
	const in = `name: "input" datatype: "FP32" shape: [1, 3]`
	for text, want := range map[string]string{
		`model_name: "m"`:                                                                                                                 "the request has no inputs",
		`inputs {datatype: "FP32"}`:                                                                                                       "input 0 has no name",
		`inputs {name: "a"}`:                                                                                                              `input "a": unknown datatype ""`,
		`inputs {name: "a" datatype: "fp32"}`:                                                                                             `input "a": unknown datatype "fp32"`,
		`inputs {name: "a" datatype: "FP32" shape: [-1]}`:                                                                                 `input "a": -1 cannot be the size of a dimension`,
		`inputs {name: "a" datatype: "FP32" shape: [3000000000]}`:                                                                         "3000000000 cannot be the size of a dimension",
		`inputs {name: "a" datatype: "FP32" shape: [70000, 70000]}`:                                                                       "too large",
		`inputs {name: "a" datatype: "FP32" shape: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}`:                                                  "more than 16 dimensions",
		`inputs {name: "a" datatype: "FP32" shape: [100001, 1]}`:                                                                          "it has 100001 rows; a request may have 100000",
		`inputs {` + in + `}`:                                                                                                             "fp32_contents has 0 values, but shape [1 3] needs 3",
		`inputs {` + in + ` contents {fp32_contents: [1, 2]}}`:                                                                            "fp32_contents has 2 values, but shape [1 3] needs 3",
		`inputs {` + in + ` contents {fp32_contents: [1, 2, 3, 4]}}`:                                                                      "fp32_contents has more than the 3 values of shape [1 3]",
		`inputs {` + in + ` contents {fp64_contents: [1, 2, 3]}}`:                                                                         "values in fp64_contents, but FP32 has its values in fp32_contents",
		`inputs {` + in + ` contents {fp32_contents: [1, 2, 3] bytes_contents: ""}}`:                                                      "values in bytes_contents, but FP32",
		`inputs {name: "a" datatype: "INT8" shape: [1] contents {int_contents: 128}}`:                                                     `input "a": element 0: 128 does not fit INT8`,
		`inputs {name: "a" datatype: "INT16" shape: [2] contents {int_contents: [1, -32769]}}`:                                            "element 1: -32769 does not fit INT16",
		`inputs {name: "a" datatype: "UINT8" shape: [1] contents {uint_contents: 256}}`:                                                   "element 0: 256 does not fit UINT8",
		`inputs {name: "a" datatype: "INT32" shape: [1] contents {int_contents: [1, 1]}}`:                                                 "int_contents has more than the 1 values",
		`inputs {name: "a" datatype: "BYTES" shape: [1] contents {bytes_contents: ["", ""]}}`:                                             "bytes_contents has more than the 1 values",
		`inputs {name: "a" datatype: "FP16" shape: [1] contents {fp32_contents: [1]}}`:                                                    "FP16 has no typed contents",
		`inputs {` + in + `} raw_input_contents: "abc"`:                                                                                   `input "input": 3 bytes of binary data, but 3 values of FP32 take 12`,
		`inputs {` + in + `} inputs {` + in + `} raw_input_contents: "0123456789ab"`:                                                      "1 raw_input_contents for 2 inputs",
		`inputs {name: "a" datatype: "BYTES" shape: [1]} raw_input_contents: "\x05\x00\x00\x00abc"`:                                       "element 0: its length is 5, but 3 bytes of binary data are left",
		`inputs {name: "a" datatype: "BYTES" shape: [2]} raw_input_contents: "\x04\x00\x00\x00abcd"`:                                      "element 1: the binary data ends where its length should be",
		`inputs {name: "a" datatype: "BYTES" shape: [1]} raw_input_contents: "\x01\x00\x00\x00abc"`:                                       "2 bytes of binary data are left behind the 1 values",
		`inputs {name: "a" datatype: "BYTES" shape: [9]} raw_input_contents: "\x01\x00\x00\x00abc"`:                                       "too few for 9 values of BYTES",
		`inputs {name: "a" datatype: "BOOL" shape: [2]} raw_input_contents: "\x01\x02"`:                                                   "element 1: the byte 2 where 1 for true or 0 for false should be",
		`inputs {` + in + ` parameters {key: "shared_memory_region" value {string_param: "r"}}}`:                                          `input "input": shared memory is not supported`,
		`inputs {` + in + `} outputs {}`:                                                                                                  "output 0 of those asked for has no name",
		`inputs {` + in + `} outputs {name: "o"} outputs {name: "o"}`:                                                                     `output "o" is asked for twice`,
		`outputs {name: "o" parameters {key: "classification" value {int64_param: 0}}}`:                                                   "must be a number of classes",
		`outputs {name: "o" parameters {key: "classification" value {string_param: "3"}}}`:                                                "must be a number of classes",
		`outputs {name: "label" parameters {key: "classification" value {int64_param: 2}}}`:                                               `output "label" holds BYTES, which has no classes`,
		`outputs {name: "o" parameters {key: "shared_memory_region" value {string_param: "r"}}}`:                                          "an output: shared memory is not supported",
		`model_name: "simple" inputs {name: "INPUT0" datatype: "INT32" shape: [1] contents {int_contents: 1}} raw_input_contents: "0123"`: "contents field must not be specified when using raw_input_contents for 'INPUT0' for model 'simple'",
	} {
		_, err := OpenInferenceProto{}.Decode(protoRequest(t, files, text), classes, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	for body, want := range map[string]string{
		"\xff":                 "the body is no ModelInferRequest: unexpected EOF",
		"\x00":                 "it has a field of number 0",
		"\x0a\x02a":            "unexpected EOF",
		"\x0a\x01\xff":         "a string of it is not valid UTF-8",
		"\x1a\x01\xff":         "a string of it is not valid UTF-8",
		"\x0c":                 "mismatching end group marker",
		"\x2a\x02\x0a\x05":     "unexpected EOF",
		"\x2a\x03\x1a\x01\xff": "unexpected EOF",
		"\x22\x04\x12\x02\x08": "unexpected EOF",
		"\x22\x03\x0a\x01\xff": "a string of it is not valid UTF-8",
		"\x2a\x12\x0a\x01a\x12\x04FP32\x1a\x01\x01\x2a\x04\x32\x02ab":        "a packed list is cut off",
		"\x2a\x13\x0a\x01a\x12\x05INT32\x1a\x01\x01\x2a\x04\x12\x02\xff\xff": "unexpected EOF",
	} {
		_, err := OpenInferenceProto{}.Decode([]byte(body), classes, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", body, err, want)
		}
	}
	for _, many := range []string{"\x3a\x00", "\x2a\x0e\x0a\x01a\x12\x04BOOL\x1a\x01\x00\x22\x00"} {
		_, err := OpenInferenceProto{}.Decode(bytes.Repeat([]byte(many), maxInputs+1), classes, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "the request has more than 65536 inputs") {
			t.Errorf("many %q: %v", many, err)
		}
	}
	for _, body := range []string{"\xff", "\x0a\x01\xff", "\x12\x01\xff"} {
		if _, _, err := InferenceTarget([]byte(body)); fault.KindOf(err) != fault.Invalid || err == nil {
			t.Errorf("the target of %q: %v", body, err)
		}
	}
}

func TestTwoByteFloatsComeAsTheirSingles(t *testing.T) {
	files := protos(t)
	text := `inputs {name: "h" datatype: "FP16" shape: [2]} inputs {name: "b" datatype: "BF16" shape: [2]} raw_input_contents: "\x00\x3e\x00\xfc" raw_input_contents: "\xc0\x3f\x80\xff"`
	x, err := OpenInferenceProto{}.Decode(protoRequest(t, files, text), tensor.Signature{}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{1.5, float32(math.Inf(-1))}
	for i, name := range []string{"h", "b"} {
		if got := x.Request().Inputs[i]; !same(got, tensor.New(name, []int{2}, want)) {
			t.Errorf("got %v", got)
		}
	}
}

// TestEveryCutAndFlippedProtobufAgreesWithTheLibrary changes good requests, and checks that what the library cannot read we refuse, and
// that what we do read the library reads as the same.
func TestEveryCutAndFlippedProtobufAgreesWithTheLibrary(t *testing.T) {
	files := protos(t)
	for _, text := range []string{
		`model_name: "m" id: "x" parameters {key: "k" value {double_param: 1}} inputs {name: "a" datatype: "FP32" shape: [1, 3] contents {fp32_contents: [1, 2, 3]}} outputs {name: "o"}`,
		`model_name: "m" inputs {name: "a" datatype: "BYTES" shape: [2]} inputs {name: "b" datatype: "INT16" shape: [2]} raw_input_contents: "\x01\x00\x00\x00a\x00\x00\x00\x00" raw_input_contents: "1234"`,
		`inputs {name: "a" datatype: "INT64" shape: [2] contents {int64_contents: [-1, 1]}} inputs {name: "b" datatype: "BOOL" shape: [2] contents {bool_contents: [true, false]}}`,
	} {
		good := protoRequest(t, files, text)
		if _, err := (OpenInferenceProto{}).Decode(good, tensor.Signature{}, Limits{}); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for i := range good {
			agrees(t, files, good[:i])
			for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
				bad := bytes.Clone(good)
				bad[i] ^= flip
				agrees(t, files, bad)
			}
		}
	}
}

// unmarshal is the library's, which panics (as of 1.36.12) where the key of a map comes again with another wire type; it is then of no
// help.
func unmarshal(body []byte, m proto.Message) (err error, knows bool) {
	defer func() {
		if recover() != nil {
			knows = false
		}
	}()
	return proto.Unmarshal(body, m), true
}

// agrees holds our reading of any bytes against the library's.
func agrees(t *testing.T, files *protoregistry.Files, body []byte) {
	t.Helper()
	m := newMessage(files, "inference.ModelInferRequest")
	refused, knows := unmarshal(body, m)
	x, err := OpenInferenceProto{}.Decode(body, tensor.Signature{}, Limits{})
	switch {
	case err != nil && fault.KindOf(err) != fault.Invalid:
		t.Fatalf("%x: the error is of kind %v: %v", body, fault.KindOf(err), err)
	case err != nil, !knows:
		return
	case refused != nil:
		t.Fatalf("%x is read, but the library says: %v", body, refused)
	}
	for _, in := range repeated(m, "inputs", protoreflect.Value.Message) {
		if name := field(in, "datatype").String(); name == "FP16" || name == "BF16" {
			return // which the oracle does not know
		}
	}
	want, _ := theirs(m, "inputs", "raw_input_contents")
	if len(want) != len(x.Request().Inputs) {
		t.Fatalf("%x: %d inputs, the library has %d", body, len(x.Request().Inputs), len(want))
	}
	for i, got := range x.Request().Inputs {
		if !same(got, want[i]) {
			t.Fatalf("%x: %v, the library has %v", body, got, want[i])
		}
	}
	wellFormed(t, x, len(body))
	if got, want := fmt.Sprintf("%q", x.Request().Outputs), fmt.Sprintf("%q", repeated(m, "outputs", func(v protoreflect.Value) string { return field(v.Message(), "name").String() })); got != want {
		t.Fatalf("%x: outputs %s, the library has %s", body, got, want)
	}
	model, version, err := InferenceTarget(body)
	if err != nil || model != field(m, "model_name").String() || version != field(m, "model_version").String() || x.Request().ID != field(m, "id").String() {
		t.Fatalf("%x: model %q version %q id %q: %v", body, model, version, x.Request().ID, err)
	}
}
