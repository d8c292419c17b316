package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// headers are those of a request; each is there once.
type headers map[string]string

func (h headers) Lookup(from Origin, name string) (string, int) {
	if value, ok := h[name]; ok && from == Header {
		return value, 1
	}
	return "", 0
}

// split decodes a body whose JSON is text.
func split(text, raw string, s tensor.Signature) (Exchange, error) {
	return OpenInference{}.DecodeCall([]byte(text+raw), headers{HeaderLength: strconv.Itoa(len(text))}, s, Limits{})
}

// binaryInput describes an input whose data is binary.
func binaryInput(name, shape, datatype string, size int) string {
	return fmt.Sprintf(`{"name":%q,"shape":%s,"datatype":%q,"parameters":{"binary_data_size":%d}}`, name, shape, datatype, size)
}

func TestBinaryInputsOfEveryDatatype(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, tt := range []struct {
		datatype, shape, raw string
		want                 tensor.Tensor
	}{
		{"BOOL", "[2]", "\x01\x00", tensor.New("a", []int{2}, []bool{true, false})},
		{"UINT8", "[2]", "\x01\xff", tensor.New("a", []int{2}, []uint8{1, 255})},
		{"UINT16", "[2]", "\x01\x00\xff\xff", tensor.New("a", []int{2}, []uint16{1, 65535})},
		{"UINT32", "[1,1]", "\x01\x02\x03\xff", tensor.New("a", []int{1, 1}, []uint32{0xff030201})},
		{"UINT64", "[1]", "\x01\x02\x03\x04\x05\x06\x07\xff", tensor.New("a", []int{1}, []uint64{0xff07060504030201})},
		{"INT8", "[2]", "\x01\xff", tensor.New("a", []int{2}, []int8{1, -1})},
		{"INT16", "[2]", "\x01\x00\xfe\xff", tensor.New("a", []int{2}, []int16{1, -2})},
		{"INT32", "[1]", "\xfe\xff\xff\xff", tensor.New("a", []int{1}, []int32{-2})},
		{"INT64", "[1]", "\xfe\xff\xff\xff\xff\xff\xff\xff", tensor.New("a", []int{1}, []int64{-2})},
		{"FP16", "[7]", "\x00\x3c\x00\xc0\x00\x7c\x00\x80\x01\x00\xff\x03\xff\x7b", tensor.New("a", []int{7}, []float32{1, -2, inf, float32(math.Copysign(0, -1)), 0x1p-24, 0x3ffp-24, 65504})},
		{"BF16", "[3]", "\x80\x3f\x80\xff\x49\x40", tensor.New("a", []int{3}, []float32{1, -inf, 3.140625})},
		{"FP32", "[2]", "\x00\x00\xc0\x3f\x00\x00\xc0\x7f", tensor.New("a", []int{2}, []float32{1.5, float32(math.NaN())})},
		{"FP64", "[1]", "\x00\x00\x00\x00\x00\x00\xf8\x3f", tensor.New("a", []int{1}, []float64{1.5})},
		{"BYTES", "[3]", "\x02\x00\x00\x00\xff\x00\x00\x00\x00\x00\x01\x00\x00\x00x", tensor.New("a", []int{3}, []string{"\xff\x00", "", "x"})},
		{"BYTES", "[0]", "", tensor.New("a", []int{0}, []string{})},
		{"FP32", "[0,3]", "", tensor.New("a", []int{0, 3}, []float32{})},
	} {
		x, err := split(`{"inputs":[`+binaryInput("a", tt.shape, tt.datatype, len(tt.raw))+`]}`, tt.raw, tensor.Signature{})
		if err != nil {
			t.Errorf("%s: %v", tt.datatype, err)
		} else if got := x.Request().Inputs[0]; !same(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.datatype, got, tt.want)
		}
	}
}

// TestHalvesAreReadAsTheirValue works out the value of each of the 65536 numbers anew.
func TestHalvesAreReadAsTheirValue(t *testing.T) {
	for bits := range 1 << 16 {
		h := uint16(bits)
		fraction, exponent := float64(h&1023)/1024, int(h>>10&31)
		want := math.Ldexp(1+fraction, exponent-15)
		switch {
		case exponent == 0:
			want = math.Ldexp(fraction, -14)
		case exponent == 31 && fraction == 0:
			want = math.Inf(1)
		case exponent == 31:
			want = math.NaN()
		}
		if h>>15 == 1 {
			want = -want
		}
		got := float64(halfToFloat(h))
		if got != want && (got == got || want == want) || math.Signbit(got) != (h>>15 == 1) {
			t.Fatalf("%04x is %v, want %v", h, got, want)
		}
	}
}

func TestBinaryBodiesAreRefusedAndSayWhere(t *testing.T) {
	one := `{"inputs":[` + binaryInput("a", "[1,2]", "FP32", 8) + `]}`
	for _, tt := range []struct{ text, raw, want string }{
		{one, "1234567", `input "a": binary_data_size is 8, but 7 bytes are left of the body`},
		{one, "", `input "a": binary_data_size is 8, but all of the body is JSON`},
		{one, "123456789", "1 bytes of binary data belong to no input"},
		{infer("[1]", "FP32", "[1]"), "1234", "4 bytes of binary data belong to no input"},
		{strings.Replace(one, "FP32", "FP64", 1), "12345678", `input "a": 8 bytes of binary data, but 2 values of FP64 take 16`},
		{strings.Replace(one, "FP32", "FP16", 1), "12345678", `input "a": 8 bytes of binary data, but 2 values of FP16 take 4`},
		{strings.Replace(one, "FP32", "BYTES", 1), "\x00\x00\x00\x001234", "element 1: its length is 875770417, but 0 bytes of binary data are left"},
		{strings.Replace(one, "FP32", "FP8", 1), "12345678", `unknown datatype "FP8"`},
		{strings.Replace(one, "[1,2]", "[100001,2]", 1), "12345678", "it has 100001 rows; a request may have 100000"},
		{strings.Replace(one, "[1,2]", "[70000,70000]", 1), "12345678", "too large"},
		{strings.Replace(one, "[1,2]", "[9999999,1,9]", 1), "12345678", "it has 9999999 rows"},
		{strings.Replace(one, ":8}", ":-8}", 1), "12345678", "-8 cannot be the size of binary data"},
		{strings.Replace(one, ":8}", `:"8"}`, 1), "12345678", "where a number should be"},
		{strings.Replace(one, ":8}", ":8,\"binary_data_size\":8}", 1), "12345678", `the key "binary_data_size" is given twice`},
		{strings.Replace(one, `"shape"`, `"data":[1,2],"shape"`, 1), "12345678", `input "a" has both data and the parameter binary_data_size`},
		{strings.Replace(one, "}}]", `},"data":[1,2]}]`, 1), "12345678", `input "a" has both data and the parameter binary_data_size`},
		{strings.Replace(one, `"shape":[1,2],`, "", 1), "12345678", `input "a" has no shape`},
		{strings.Replace(one, `"name":"a",`, "", 1), "12345678", `input 0 has no name`},
		{one[:len(one)-1], "}12345678", "the text ends"},
		{`{}`, "1", "the request has no inputs"},
	} {
		_, err := split(tt.text, tt.raw, score)
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.want)
		}
	}
	for header, want := range map[string]string{
		"":                     `is "", not the number of the bytes that are JSON`,
		"x":                    `is "x", not the number`,
		"-1":                   `is "-1", not the number`,
		"1e2":                  "not the number",
		"99999999999999999999": "not the number",
		"200":                  "says that 200 bytes are JSON, but the body has " + strconv.Itoa(len(one)),
	} {
		_, err := OpenInference{}.DecodeCall([]byte(one), headers{HeaderLength: header}, score, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("header %q: got %v, want %q", header, err, want)
		}
	}
	if _, err := (OpenInference{}).DecodeCall([]byte(one), twiceHeader{}, score, Limits{}); err == nil || !strings.Contains(err.Error(), "given 2 times") {
		t.Errorf("two headers: %v", err)
	}
	if err := func() error { _, err := split(one, "", score); return err }(); !strings.Contains(fault.HintOf(err), HeaderLength) {
		t.Errorf("the hint is %q", fault.HintOf(err))
	}
}

func TestClaimedBinarySizesAllocateNothing(t *testing.T) {
	files := protos(t)
	for _, shape := range []string{"[2147483647]", "[16000000]", "[90000, 100]", "[100000, 0, 1000000000]"} {
		for _, datatype := range []string{"FP32", "BYTES", "BOOL", "INT64", "FP16"} {
			text := `{"inputs":[` + binaryInput("input", shape, datatype, 4) + `]}`
			typed := protoRequest(t, files, `inputs {name: "input" datatype: "`+datatype+`" shape: `+shape+` contents {bool_contents: true}}`)
			raw := protoRequest(t, files, `inputs {name: "input" datatype: "`+datatype+`" shape: `+shape+`} raw_input_contents: "1234"`)
			for form, decode := range map[string]func() error{
				"REST":  func() error { _, err := split(text, "1234", score); return err },
				"typed": func() error { _, err := OpenInferenceProto{}.Decode(typed, score, Limits{}); return err },
				"raw":   func() error { _, err := OpenInferenceProto{}.Decode(raw, score, Limits{}); return err },
			} {
				var err error
				n := allocated(func() { err = decode() })
				if err == nil || fault.KindOf(err) != fault.Invalid || n > 64<<10 {
					t.Errorf("%s, %s of %s: %d bytes allocated, %v", form, shape, datatype, n, err)
				}
			}
		}
	}
	x, err := OpenInferenceProto{}.Decode(protoRequest(t, files, `inputs {name: "a" datatype: "FP32" shape: [100000, 0, 9]}`), score, Limits{})
	if err != nil || x.Request().Inputs[0].Len() != 0 {
		t.Errorf("an empty tensor: %v", err)
	}
}

type twiceHeader struct{}

func (twiceHeader) Lookup(_ Origin, name string) (string, int) {
	if name == HeaderLength {
		return "10", 2
	}
	return "", 0
}

// TestBinaryAndJSONInputsMix draws requests with inputs of both kinds, and cuts them off at every byte.
func TestBinaryAndJSONInputsMix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := []tensor.Tensor{anyTensor(t, "a"), anyTensor(t, `b"é`), anyTensor(t, "c")}
		var inputs []string
		var raw []byte
		for i := range want {
			fields := map[string]string{"datatype": strconv.Quote(want[i].DType().String()), "shape": string(appendShape(nil, want[i].Shape))}
			fields["name"] = string(appendText(nil, want[i].Name))
			if rapid.Bool().Draw(t, "binary") {
				data := rawContents(want[i])
				fields["parameters"] = fmt.Sprintf(`{"x":[],"binary_data_size":%d}`, len(data))
				raw = append(raw, data...)
			} else {
				data, err := appendFlat(nil, &want[i], singles)
				if err != nil {
					t.Fatal(err)
				}
				fields["data"] = string(data)
			}
			var keys []string
			for key := range fields {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			var list []string
			for _, key := range rapid.Permutation(keys).Draw(t, "keys") {
				list = append(list, fmt.Sprintf("%q:%s", key, fields[key]))
			}
			inputs = append(inputs, "{"+strings.Join(list, ",")+"}")
		}
		text := `{"inputs":[` + strings.Join(inputs, ",") + `]}`
		x, err := split(text, string(raw), tensor.Signature{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		sameTensors(t, x.Request().Inputs, want)
		body := text + string(raw)
		cut := rapid.IntRange(0, len(body)-1).Draw(t, "cut")
		call := headers{HeaderLength: strconv.Itoa(min(len(text), cut))}
		if _, err := (OpenInference{}).DecodeCall([]byte(body[:cut]), call, tensor.Signature{}, Limits{}); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Fatalf("%q: %v", body[:cut], err)
		}
	})
}

// readAnswer reads an answer of our own as a client would: JSON, and the binary data that it tells of.
func readAnswer(t testing.TB, x Exchange, body []byte) (outputs []tensor.Tensor, kinds string) {
	t.Helper()
	frame := x.(Framer).Frame()
	text, raw := body, []byte(nil)
	if frame.HeaderBytes > 0 {
		text, raw = body[:frame.HeaderBytes], body[frame.HeaderBytes:]
	}
	if (frame.HeaderBytes > 0) != (frame.ContentType == octetStream) {
		t.Fatalf("the frame is %+v", frame)
	}
	var answer struct {
		Outputs []struct {
			Name, Datatype string
			Shape          []int
			Data           json.RawMessage
			Parameters     struct {
				Size *int `json:"binary_data_size"`
			}
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, o := range answer.Outputs {
		d, err := tensor.ParseDType(o.Datatype)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := tensor.Elements(o.Shape)
		got := tensor.Tensor{Name: o.Name, Shape: o.Shape}
		if size := o.Parameters.Size; size != nil {
			got.Data = fromRaw(raw[:*size], d, n)
			raw = raw[*size:]
			kinds += "b"
		} else {
			x, err := OpenInference{}.Decode([]byte(infer(string(appendShape(nil, o.Shape)), o.Datatype, string(o.Data))), tensor.Signature{}, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got.Data = x.Request().Inputs[0].Data
			kinds += "j"
		}
		outputs = append(outputs, got)
	}
	if len(raw) > 0 {
		t.Fatalf("%d bytes are left behind the answer", len(raw))
	}
	return outputs, kinds
}

func TestOutputsAreBinaryWhereThatIsWanted(t *testing.T) {
	for request, want := range map[string]string{
		`"outputs":[]`: "jj",
		`"parameters":{"binary_data_output":true}`:                                                                                    "bb",
		`"parameters":{"binary_data_output":false}`:                                                                                   "jj",
		`"outputs":[{"name":"a","parameters":{"binary_data":true}},{"name":"b"}]`:                                                     "bj",
		`"outputs":[{"name":"a"},{"name":"b","parameters":{"binary_data":true}}]`:                                                     "jb",
		`"outputs":[{"name":"a","parameters":{"binary_data":false}},{"name":"b"}],"parameters":{"binary_data_output":true}`:           "jb",
		`"parameters":{"sequence_id":7,"sequence_start":true,"priority":1,"timeout":5,"binary_data_output":true,"headers":{"x":[1]}}`: "bb",
	} {
		rapid.Check(t, func(rt *rapid.T) {
			outputs := []tensor.Tensor{anyTensor(rt, "a"), anyTensor(rt, "b")}
			x, err := OpenInference{}.Decode([]byte(`{"inputs":[{"name":"input","shape":[1],"datatype":"INT8","data":[1]}],`+request+`}`), score, Limits{})
			if err != nil {
				t.Fatalf("%s: %v", request, err)
			}
			body, err := x.Answer([]byte("before"), meta, &tensor.Response{Outputs: outputs})
			if err != nil {
				t.Fatal(err)
			}
			got, kinds := readAnswer(t, x, bytes.TrimPrefix(body, []byte("before")))
			sameTensors(rt, got, outputs)
			if kinds != want {
				t.Fatalf("%s is answered %s, want %s", request, kinds, want)
			}
		})
	}
	x, err := OpenInference{}.Decode([]byte(infer("[1]", "FP32", "[1]")), score, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	x.(*openInferenceCall).binary = true
	notFinite := tensor.New("o", []int{2}, []float32{float32(math.NaN()), float32(math.Inf(1))})
	body, err := x.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{notFinite}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := readAnswer(t, x, body); !same(got[0], notFinite) {
		t.Errorf("got %v", got)
	}
	x.(*openInferenceCall).binary = false
	if _, err := x.Answer(nil, meta, &tensor.Response{}); err != nil || x.(Framer).Frame() != (Frame{}) {
		t.Errorf("the frame of the answer before is left: %+v, %v", x.(Framer).Frame(), err)
	}
}

func TestBodiesOfBinaryDataAlone(t *testing.T) {
	spec := func(d tensor.DType, shape ...int) tensor.Signature {
		return tensor.Signature{Inputs: []tensor.Spec{{Name: "in", DType: d, Shape: shape}}}
	}
	text := "{not JSON"
	for _, tt := range []struct {
		name string
		body string
		call headers
		s    tensor.Signature
		want tensor.Tensor
		err  string
	}{
		{"a row", "\x01\x02", headers{HeaderLength: "0"}, spec(tensor.Uint8, -1, 2), tensor.New("in", []int{1, 2}, []uint8{1, 2}), ""},
		{"a row of fixed shape", "\x01\x02", headers{HeaderLength: "0"}, spec(tensor.Int8, 2), tensor.New("in", []int{2}, []int8{1, 2}), ""},
		{"any width", "\x01\x00\x02\x00", headers{HeaderLength: "0"}, spec(tensor.Int16, -1, -1), tensor.New("in", []int{1, 2}, []int16{1, 2}), ""},
		{"any height", "\x01\x00\x02\x00", headers{HeaderLength: "0"}, spec(tensor.Int16, -1, -1, 2), tensor.New("in", []int{1, 1, 2}, []int16{1, 2}), ""},
		{"a value", "\x01", headers{HeaderLength: "0"}, spec(tensor.Bool, -1), tensor.New("in", []int{1}, []bool{true}), ""},
		{"a text", text, headers{HeaderLength: "0"}, spec(tensor.Bytes, -1, 1), tensor.New("in", []int{1, 1}, []string{text}), ""},
		{"a text that is JSON", "{}", headers{HeaderLength: "0"}, spec(tensor.Bytes, -1), tensor.New("in", []int{1}, []string{"{}"}), ""},
		{"by its content type", "{\x02", headers{"Content-Type": "Application/Octet-Stream; x=y"}, spec(tensor.Uint8, -1, 2), tensor.New("in", []int{1, 2}, []uint8{'{', 2}), ""},
		{"JSON of that content type", `{"inputs":[{"name":"in","shape":[1],"datatype":"INT8","data":[3]}]}`, headers{"Content-Type": octetStream}, spec(tensor.Int8, 1), tensor.New("in", []int{1}, []int8{3}), ""},
		{"other content types are JSON", "{\x02", headers{"Content-Type": "text/plain"}, spec(tensor.Uint8, -1, 2), tensor.Tensor{}, "JSON at byte 1"},
		{"too short", "\x01", headers{HeaderLength: "0"}, spec(tensor.Uint8, -1, 2), tensor.Tensor{}, `input "in": 1 bytes of binary data, but 2 values of UINT8 take 2`},
		{"not a whole number of rows", "\x01\x02\x03", headers{HeaderLength: "0"}, spec(tensor.Uint8, -1, -1, 2), tensor.Tensor{}, "3 bytes of binary data, but 2 values"},
		{"nothing", "", headers{HeaderLength: "0"}, spec(tensor.Uint8, -1, 2), tensor.Tensor{}, "0 bytes of binary data"},
		{"two open dimensions", "\x01", headers{HeaderLength: "0"}, spec(tensor.Uint8, -1, -1, -1), tensor.Tensor{}, "the bytes alone do not tell"},
		{"several texts", "\x01", headers{HeaderLength: "0"}, spec(tensor.Bytes, -1, 2), tensor.Tensor{}, "is one text"},
		{"several inputs", "\x01", headers{HeaderLength: "0"}, tensor.Signature{Inputs: make([]tensor.Spec, 2)}, tensor.Tensor{}, "for a model of one input"},
	} {
		x, err := OpenInference{}.DecodeCall([]byte(tt.body), tt.call, tt.s, Limits{})
		if tt.err != "" {
			if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if got := x.Request().Inputs[0]; !same(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		} else if err := tt.s.Check(x.Request()); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if c := x.(*openInferenceCall); c.binary != !strings.HasPrefix(tt.body, `{"inputs`) {
			t.Errorf("%s: binary outputs: %v", tt.name, c.binary)
		}
	}
}

func TestOutputsAsClasses(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		output tensor.Tensor
		labels []string
		n      int
		want   tensor.Tensor
	}{
		{tensor.New("o", []int{1, 4}, []float32{1.1, 3.3, 0.5, 2.4}), nil, 2, tensor.New("o", []int{1, 2}, []string{"3.3:1", "2.4:3"})},
		{tensor.New("o", []int{2, 2}, []float64{0.25, 0.75, 1, 0}), []string{"no", "yes"}, 1, tensor.New("o", []int{2, 1}, []string{"0.75:1:yes", "1.0:0:no"})},
		{tensor.New("o", []int{1, 3}, []int64{7, 7, 9}), []string{"a", ""}, 9, tensor.New("o", []int{1, 3}, []string{"9:2", "7:0:a", "7:1"})},
		{tensor.New("o", []int{1, 3}, []float32{nan, -1, float32(math.Inf(1))}), nil, 3, tensor.New("o", []int{1, 3}, []string{"+Inf:2", "-1.0:1", "NaN:0"})},
		{tensor.New("o", []int{3}, []uint8{3, 4, 5}), nil, 2, tensor.New("o", []int{3, 1}, []string{"3:0", "4:0", "5:0"})},
		{tensor.New("o", []int{1, 2, 2}, []uint64{1, 2, math.MaxUint64, 4}), nil, 2, tensor.New("o", []int{1, 2}, []string{"18446744073709551615:2", "4:3"})},
		{tensor.New("o", []int{1, 3}, []bool{false, true, true}), nil, 2, tensor.New("o", []int{1, 2}, []string{"1:1", "1:2"})},
		{tensor.New("o", []int{0, 3}, []int32{}), nil, 2, tensor.New("o", []int{0, 2}, []string{})},
		{tensor.New("o", []int{}, []int8{-3}), nil, 2, tensor.New("o", []int{1, 1}, []string{"-3:0"})},
		{tensor.New("o", []int{1, 2}, []int16{-3, 4}), nil, 1, tensor.New("o", []int{1, 1}, []string{"4:1"})},
		{tensor.New("o", []int{1, 2}, []uint16{3, 4}), nil, 1, tensor.New("o", []int{1, 1}, []string{"4:1"})},
		{tensor.New("o", []int{1, 2}, []uint32{3, 4}), nil, 1, tensor.New("o", []int{1, 1}, []string{"4:1"})},
	} {
		if got := topClasses(&tt.output, tt.labels, tt.n); !same(*got, tt.want) || got.Check() != nil {
			t.Errorf("%d of %v: got %v, want %v", tt.n, tt.output, got, tt.want)
		}
	}
}

func TestClassesOverTheWire(t *testing.T) {
	ask := `"outputs":[{"name":"probabilities","parameters":{"classification":1}},{"name":"label"}]`
	body := []byte(`{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,3]}],` + ask + `}`)
	want := `{"model_name":"installs","model_version":"3","outputs":[{"name":"probabilities","shape":[1,1],"datatype":"BYTES","data":["0.983:0:no"]},` +
		`{"name":"label","shape":[1],"datatype":"BYTES","data":["row \"0\"\n"]}]}`
	if got := exchange(OpenInference{}, classes, body); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, err := OpenInference{}.Decode([]byte(`{"inputs":[],"outputs":[{"name":"label","parameters":{"classification":1}}]}`), classes, Limits{})
	if err == nil || !strings.Contains(err.Error(), `output "label" holds BYTES, which has no classes`) {
		t.Errorf("classes of texts: %v", err)
	}
	files := protos(t)
	x, err := OpenInferenceProto{}.Decode(protoRequest(t, files, `inputs {name: "input" datatype: "FP32" shape: [1, 3] contents {fp32_contents: [1, 2, 3]}}
		outputs {name: "probabilities" parameters {key: "classification" value {int64_param: 2}}}`), classes, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := x.Answer(nil, Meta{}, predict(t.Context(), classes, x.Request()))
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := newMessage(files, "inference.ModelInferResponse"), newMessage(files, "inference.ModelInferResponse")
	if err := proto.Unmarshal(answer, got); err != nil {
		t.Fatal(err)
	}
	text := `outputs {name: "probabilities" datatype: "BYTES" shape: [1, 2] contents {bytes_contents: ["0.983:0:no", "0.017:1:\"yes\""]}}
		raw_output_contents: "\x0a\x00\x00\x000.983:0:no\x0d\x00\x00\x000.017:1:\"yes\""`
	if err := prototext.Unmarshal([]byte(text), wanted); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, wanted) {
		t.Errorf("got %v, want %v", got, wanted)
	}
}
