package app

import (
	"context"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/serin-ml/serin/internal/wire"
)

// protoFiles are the protocols' own descriptions, as reflection tells them.
func protoFiles(t *testing.T) *protoregistry.Files {
	t.Helper()
	var set descriptorpb.FileDescriptorSet
	must(t, proto.Unmarshal(wire.Descriptors(), &set))
	files, err := protodesc.NewFiles(&set)
	must(t, err)
	return files
}

// encode returns the message of that type, which is written in JSON, as bytes.
func encode(t *testing.T, files *protoregistry.Files, name protoreflect.FullName, text string) string {
	t.Helper()
	d, err := files.FindDescriptorByName(name)
	must(t, err)
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b, err := proto.Marshal(m)
	must(t, err)
	return string(b)
}

func TestBadInputOverGRPCIsToldByItsCode(t *testing.T) {
	r := startStrict(t)
	conn, err := grpc.NewClient(r.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	files := protoFiles(t)

	const (
		inferMethod   = "/inference.GRPCInferenceService/ModelInfer"
		predictMethod = "/seldon.protos.Seldon/Predict"
	)
	infer := func(fields, input string) string {
		if fields == "" {
			fields = `"model_name":"m"`
		}
		return encode(t, files, "inference.ModelInferRequest", `{`+fields+`,"inputs":[`+input+`]}`)
	}
	typed := func(datatype, shape, values string) string {
		return `{"name":"input","datatype":"` + datatype + `","shape":[` + shape + `],"contents":{"fp32_contents":[` + values + `]}}`
	}
	const bare = `{"name":"input","datatype":"FP32","shape":[1,2]}`
	one := typed("FP32", "1,2", "1,2")
	fine := infer("", one)
	seldon := func(text string) string { return encode(t, files, "seldon.protos.SeldonMessage", text) }
	good := seldon(`{"data":{"ndarray":[[1,2]]}}`)
	many := strings.Repeat("1,", 201) + "1"

	for _, c := range []struct {
		name, method, body string
		code               codes.Code
		says               string
		options            []grpc.CallOption
		header             []string
	}{
		{name: "good", method: inferMethod, body: fine},
		{name: "NaN is a missing value", method: inferMethod, body: infer("", typed("FP32", "1,2", `"NaN",2`))},
		{name: "empty", method: inferMethod, body: "", code: codes.InvalidArgument, says: `no input`},
		{name: "no protobuf", method: inferMethod, body: "\xff\xff\xff", code: codes.InvalidArgument, says: `is no ModelInferRequest`},
		{name: "cut off", method: inferMethod, body: fine[:len(fine)-1], code: codes.InvalidArgument, says: `is no `},
		{name: "no inputs", method: inferMethod, body: infer("", ""), code: codes.InvalidArgument, says: `no input`},
		{name: "an unknown datatype", method: inferMethod, body: infer("", typed("FP99", "1,2", "1,2")), code: codes.InvalidArgument, says: `"FP99" \(use one of`},
		{name: "another datatype", method: inferMethod, body: infer("", typed("INT64", "1,2", "1,2")), code: codes.InvalidArgument, says: `INT64`},
		{name: "a column is missing", method: inferMethod, body: infer("", typed("FP32", "1,1", "1")), code: codes.InvalidArgument, says: `\[1 1\]; the model takes \[-1 2\]`},
		{name: "a shape that does not fit", method: inferMethod, body: infer("", typed("FP32", "2,2", "1,2")), code: codes.InvalidArgument, says: `2 values.*\[2 2\]`},
		{name: "a shape that overflows", method: inferMethod, body: infer("", typed("FP32", "4611686018427387904,4", "1,2")), code: codes.InvalidArgument, says: `size of a dimension|shape`},
		{name: "a negative shape", method: inferMethod, body: infer("", typed("FP32", "-1,2", "1,2")), code: codes.InvalidArgument, says: `-1`},
		{name: "no rows", method: inferMethod, body: infer("", typed("FP32", "0,2", "")), code: codes.InvalidArgument, says: `send at least one`},
		{name: "too many rows", method: inferMethod, body: infer("", typed("FP32", "101,2", many)), code: codes.InvalidArgument, says: `101 rows; a request may have 100`},
		{name: "infinity", method: inferMethod, body: infer("", typed("FP32", "1,2", `"Infinity",2`)), code: codes.InvalidArgument, says: `column 0.* is infinite`},
		{name: "an unknown input", method: inferMethod, body: infer("", strings.Replace(one, `"input"`, `"other"`, 1)), code: codes.InvalidArgument, says: `unknown input "other"; the model takes "input"`},
		{name: "an input twice", method: inferMethod, body: infer("", one+","+one), code: codes.InvalidArgument, says: `"input" is given twice`},
		{name: "an input too many", method: inferMethod, body: infer("", one+","+strings.Replace(one, `"input"`, `"other"`, 1)), code: codes.InvalidArgument, says: `unknown input "other"`},
		{name: "an unknown output", method: inferMethod, body: infer(`"model_name":"m","outputs":[{"name":"x"}]`, one), code: codes.InvalidArgument, says: `unknown output "x"; the model gives`},
		{name: "raw", method: inferMethod, body: infer(`"model_name":"m","raw_input_contents":["AAAAAAAAAAA="]`, bare)},
		{name: "raw that is cut off", method: inferMethod, body: infer(`"model_name":"m","raw_input_contents":["AAAAAAAA"]`, bare), code: codes.InvalidArgument, says: `6 bytes`},
		{name: "raw too many", method: inferMethod, body: infer(`"model_name":"m","raw_input_contents":["AAAAAAAAAAA=","AA=="]`, bare), code: codes.InvalidArgument, says: `2 raw_input_contents for 1 inputs`},
		{name: "raw and typed", method: inferMethod, body: infer(`"model_name":"m","raw_input_contents":["AAAAAAAAAAA="]`, one), code: codes.InvalidArgument, says: `raw_input_contents for 'input' for model 'm'`},
		{name: "too large", method: inferMethod, body: fine + strings.Repeat("\x1a\x00", 33<<10), code: codes.ResourceExhausted, says: `larger than`},
		{name: "a bomb", method: inferMethod, body: strings.Repeat("\x1a\x00", 4<<20), options: []grpc.CallOption{grpc.UseCompressor(gzip.Name)}, code: codes.ResourceExhausted, says: `larger than`},
		{name: "an unknown model", method: inferMethod, body: infer(`"model_name":"x"`, one), code: codes.NotFound, says: `no service named "x"`},
		{name: "an unknown version", method: inferMethod, body: infer(`"model_name":"m","model_version":"9"`, one), code: codes.NotFound, says: `version "9" is not served; version 1 is`},
		{name: "no model is ready", method: inferMethod, body: infer(`"model_name":"empty"`, one), code: codes.Unavailable, says: `no model ready`},
		{name: "an unknown method", method: "/inference.GRPCInferenceService/Guess", body: fine, code: codes.Unimplemented, says: `Guess`},
		{name: "headers that are too large", method: inferMethod, body: fine, header: []string{"x-long", strings.Repeat("x", 16<<10)}, code: codes.Internal, says: `header`},

		{name: "good", method: predictMethod, body: good},
		{name: "empty", method: predictMethod, body: "", code: codes.InvalidArgument, says: `no data`},
		{name: "no protobuf", method: predictMethod, body: "\xff\xff\xff", code: codes.InvalidArgument, says: `is no `},
		{name: "cut off", method: predictMethod, body: good[:len(good)-1], code: codes.InvalidArgument, says: `is no `},
		{name: "text for a number", method: predictMethod, body: seldon(`{"data":{"ndarray":[["x",2]]}}`), code: codes.InvalidArgument, says: `number`},
		{name: "a column is missing", method: predictMethod, body: seldon(`{"data":{"ndarray":[[1]]}}`), code: codes.InvalidArgument, says: `\[1 1\]; the model takes \[-1 2\]`},
		{name: "rows of several lengths", method: predictMethod, body: seldon(`{"data":{"ndarray":[[1,2],[3]]}}`), code: codes.InvalidArgument, says: `row 1`},
		{name: "no rows", method: predictMethod, body: seldon(`{"data":{"ndarray":[]}}`), code: codes.InvalidArgument, says: `send at least one`},
		{name: "a tensor that does not fit its shape", method: predictMethod, body: seldon(`{"data":{"tensor":{"shape":[2,2],"values":[1,2]}}}`), code: codes.InvalidArgument, says: `2 values, but shape \[2 2\] needs 4`},
		{name: "too many rows", method: predictMethod, body: seldon(`{"data":{"tensor":{"shape":[101,2],"values":[` + many + `]}}}`), code: codes.InvalidArgument, says: `100`},
		{name: "infinity", method: predictMethod, body: seldon(`{"data":{"tensor":{"shape":[1,2],"values":[1,"-Infinity"]}}}`), code: codes.InvalidArgument, says: `column 1.* is infinite`},
		{name: "text", method: predictMethod, body: seldon(`{"strData":"x"}`), code: codes.InvalidArgument, says: `takes numbers, FP32`},
		{name: "too large", method: predictMethod, body: good + strings.Repeat("\x12\x00", 33<<10), code: codes.ResourceExhausted, says: `larger than`},
		{name: "an unknown model", method: predictMethod, body: good, header: []string{"seldon", "x"}, code: codes.NotFound, says: `no service named "x"`},
		{name: "no model is ready", method: predictMethod, body: good, header: []string{"seldon", "empty"}, code: codes.Unavailable, says: `no model ready`},
		{name: "an unknown method", method: "/seldon.protos.Seldon/Guess", body: good, code: codes.Unimplemented, says: `Guess`},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		in, out := message(c.body), message{}
		err := conn.Invoke(metadata.AppendToOutgoingContext(ctx, c.header...), c.method, &in, &out,
			append(c.options, grpc.ForceCodec(&message{}), grpc.MaxCallSendMsgSize(math.MaxInt32))...)
		cancel()
		if said := status.Convert(err).Message(); status.Code(err) != c.code || !regexp.MustCompile(c.says).MatchString(said) {
			t.Errorf("%s, %s: %v %q, want %v %s", c.method, c.name, status.Code(err), said, c.code, c.says)
		}
	}
	if got, version := r.infer(t); got != 1 || version != "1" {
		t.Errorf("after all that m answers %v by version %s", got, version)
	}
}
