package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// rpcClient asks a gateway over gRPC, with messages that it knows from the descriptors alone.
type rpcClient struct {
	t     testing.TB
	conn  *grpc.ClientConn
	files *protoregistry.Files
}

// dialled serves g in memory and returns a client of it.
func dialled(t testing.TB, g *Gateway) *rpcClient {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := g.NewGRPC()
	healthpb.RegisterHealthServer(s, healthy{})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(wire.Descriptors(), &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatal(err)
	}
	return &rpcClient{t, conn, files}
}

// healthy is a service that is none of ours.
type healthy struct {
	healthpb.UnimplementedHealthServer
}

func (healthy) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

// method finds a method, "package.Service/Method".
func (c *rpcClient) method(name string) protoreflect.MethodDescriptor {
	c.t.Helper()
	d, err := c.files.FindDescriptorByName(protoreflect.FullName(strings.Replace(name, "/", ".", 1)))
	if err != nil {
		c.t.Fatal(name, err)
	}
	return d.(protoreflect.MethodDescriptor)
}

func (c *rpcClient) message(d protoreflect.MessageDescriptor, text string) *dynamicpb.Message {
	c.t.Helper()
	m := dynamicpb.NewMessage(d)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		c.t.Fatal(text, err)
	}
	return m
}

// call asks a method with a message in JSON, and returns the answer in JSON, its header and its error.
func (c *rpcClient) call(ctx context.Context, name, request string, options ...grpc.CallOption) (string, metadata.MD, error) {
	c.t.Helper()
	m := c.method(name)
	answer := dynamicpb.NewMessage(m.Output())
	var header metadata.MD
	err := c.conn.Invoke(ctx, "/"+name, c.message(m.Input(), request), answer, append(options, grpc.Header(&header))...)
	return asJSON(answer), header, err
}

// asJSON is a message in JSON without the blanks that protojson varies.
func asJSON(m proto.Message) string {
	var b bytes.Buffer
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil || json.Compact(&b, text) != nil {
		return fmt.Sprint(err)
	}
	return b.String()
}

const (
	oip     = "inference.GRPCInferenceService/"
	oipRow  = `{"model_name":%q,"id":"q","inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"contents":{"fp32_contents":[%v,2]}}]}`
	selects = "seldon"
)

func row(model string, x any) string { return fmt.Sprintf(oipRow, model, x) }

func TestOpenInferenceOverGRPC(t *testing.T) {
	a := ready("a", 3)
	a.options.Default = true
	g, _ := serve(t, a, ready("b", 1), NewService(ServiceOptions{Name: "loading"}))
	c := dialled(t, g)
	for _, tt := range []struct {
		name, method, request string
		header                []string
		code                  codes.Code
		want                  string // part of the answer, or of the error
	}{
		{"infer", "ModelInfer", row("a", 1), nil, codes.OK, `"fp32_contents":[303]`},
		{"infer tells what answered", "ModelInfer", row("a", 1), nil, codes.OK, `"model_name":"a","model_version":"3","id":"q"`},
		{"infer by version", "ModelInfer", `{"model_version":"3",` + row("a", 1)[1:], nil, codes.OK, `"fp32_contents":[303]`},
		{"infer by another version", "ModelInfer", `{"model_version":"2",` + row("a", 1)[1:], nil, codes.NotFound, `version "2" is not served; version 3 is`},
		{"infer by metadata", "ModelInfer", row("", 1), []string{selects, "b", "namespace", "prod"}, codes.OK, `"fp32_contents":[103]`},
		{"the message comes before metadata", "ModelInfer", row("a", 1), []string{selects, "b"}, codes.OK, `"fp32_contents":[303]`},
		{"infer by default", "ModelInfer", row("", 1), nil, codes.OK, `"fp32_contents":[303]`},
		{"unknown model", "ModelInfer", row("x", 1), nil, codes.NotFound, `no service named "x"`},
		{"unknown in metadata", "ModelInfer", row("", 1), []string{selects, "x"}, codes.NotFound, `no service named "x"`},
		{"wrong shape", "ModelInfer", strings.Replace(row("a", 1), "[1,2]", "[1,3]", 1), nil, codes.InvalidArgument, "shape"},
		{"no inputs", "ModelInfer", `{"model_name":"a"}`, nil, codes.InvalidArgument, ""},
		{"too large", "ModelInfer", strings.Replace(row("a", 1), `"q"`, `"`+strings.Repeat("q", 1000)+`"`, 1), nil, codes.ResourceExhausted, "larger than 1000 bytes"},
		{"too many rows", "ModelInfer", `{"model_name":"a","inputs":[{"name":"input","datatype":"FP32","shape":[11,2],"contents":{"fp32_contents":[` + strings.Repeat("1,", 21) + `1]}}]}`, nil, codes.InvalidArgument, "rows"},
		{"model hangs", "ModelInfer", `{"parameters":{"timeout":{"int64_param":2000}},` + row("a", hangs)[1:], nil, codes.DeadlineExceeded, "no answer within 2ms"},
		{"model panics", "ModelInfer", row("a", panics), nil, codes.Internal, "the model failed on this request"},
		{"model fails", "ModelInfer", row("a", errs), nil, codes.Internal, "the model failed on this request"},
		{"nothing is ready", "ModelInfer", row("loading", 1), nil, codes.Unavailable, "no model ready"},
		{"live", "ServerLive", `{}`, nil, codes.OK, `{"live":true}`},
		{"ready", "ServerReady", `{}`, nil, codes.OK, `{}`}, // one is loading
		{"server", "ServerMetadata", `{}`, nil, codes.OK, `{"name":"serin","version":"1.2.3","extensions":[`},
		{"model ready", "ModelReady", `{"name":"a"}`, nil, codes.OK, `{"ready":true}`},
		{"model by version ready", "ModelReady", `{"name":"a","version":"9"}`, nil, codes.OK, `{}`},
		{"model not ready", "ModelReady", `{"name":"loading"}`, nil, codes.OK, `{}`},
		{"model", "ModelMetadata", `{"name":"a"}`, nil, codes.OK, `{"name":"a","versions":["3"],"platform":"serin_sums","inputs":[{"name":"input","datatype":"FP32","shape":["-1","2"]}]`},
		{"model by metadata", "ModelMetadata", `{}`, []string{selects, "b"}, codes.OK, `{"name":"b"`},
		{"unknown model's metadata", "ModelMetadata", `{"name":"x"}`, nil, codes.NotFound, `no service named "x"`},
		{"config", "ModelConfig", `{"name":"a"}`, nil, codes.OK, `"max_batch_size":10`},
		{"statistics of one", "ModelStatistics", `{"name":"b"}`, nil, codes.OK, `{"model_stats":[{"name":"b","version":"1"`},
		{"statistics of all", "ModelStatistics", `{}`, nil, codes.OK, `{"name":"b","version":"1"`},
		{"index", "RepositoryIndex", `{}`, nil, codes.OK, `{"models":[{"name":"a","version":"3","state":"READY"},{"name":"b","version":"1","state":"READY"},{"name":"loading","state":"LOADING"}]}`},
		{"index of the ready", "RepositoryIndex", `{"ready":true}`, nil, codes.OK, `{"name":"b","version":"1","state":"READY"}]}`},
		{"load is refused", "RepositoryModelLoad", `{"model_name":"a"}`, nil, codes.PermissionDenied, `failed to load 'a', this server lets no client`},
		{"unload is refused", "RepositoryModelUnload", `{"model_name":"a"}`, nil, codes.PermissionDenied, `failed to unload 'a'`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := c.call(metadata.AppendToOutgoingContext(t.Context(), tt.header...), oip+tt.method, tt.request)
			if err != nil {
				got = status.Convert(err).Message()
			}
			if status.Code(err) != tt.code || !strings.Contains(got, tt.want) || tt.want == `{}` && got != tt.want {
				t.Errorf("got %v %s\nwant %v %s", status.Code(err), got, tt.code, tt.want)
			}
		})
	}
	err := c.conn.Invoke(t.Context(), "/inference.GRPCInferenceService/TraceSetting", &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("what there is not: %v", err)
	}
	if answer, err := healthpb.NewHealthClient(c.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("what is not ours: %v, %v", answer, err)
	}
}

func TestGRPCThatIsNoMessageIsRefused(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	c := dialled(t, g)
	for _, body := range []string{"\xff\xff\xff", "\x0a\x7fa", "\x0a\x01a\x2a\x05\x0a\xff"} {
		var out rawBytes
		err := c.conn.Invoke(t.Context(), "/inference.GRPCInferenceService/ModelInfer", rawBytes(body), &out, grpc.ForceCodec(rawCodec{}))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: %v", body, err)
		}
	}
}

type rawBytes []byte

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }
func (rawCodec) Marshal(v any) ([]byte, error) {
	return v.(rawBytes), nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*rawBytes) = bytes.Clone(data)
	return nil
}

// A call over gRPC is a decision as one over HTTP is: assigned by what its metadata says, tallied, told by a token.
func TestACallOverGRPCIsADecision(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "80", "canary", "20"), Sticky: byUser}, 0)
	c := dialled(t, s.Gateway)
	for i := range 50 {
		user := fmt.Sprintf("user-%d", i)
		_, want := s.ask(t, user, oneRow)
		_, header, err := c.call(metadata.AppendToOutgoingContext(t.Context(), "x-user", user), oip+"ModelInfer", row("sums", 1))
		if err != nil || len(header["serin-decision"]) != 1 {
			t.Fatalf("%v, %v", header, err)
		}
		token, err := event.ParseToken(header["serin-decision"][0], s.keys)
		if err != nil || token.Variant != want.Variant || token.Propensity != want.Propensity {
			t.Errorf("%s: %+v over gRPC, %+v over HTTP: %v", user, token, want, err)
		}
	}
	if _, header, err := c.call(t.Context(), oip+"ModelInfer", row("sums", errs)); status.Code(err) != codes.Internal || len(header["serin-decision"]) != 1 {
		t.Errorf("a failure is a decision too: %v, %v", header, err)
	}
	s.write(t)
	decisions, n := s.log.decisions(), uint64(0)
	for _, tally := range s.log.tallied() {
		n += tally.Requests
	}
	if len(decisions) != 101 || n != 101 {
		t.Errorf("%d decisions, %d tallied", len(decisions), n)
	}
}

// The cookie that the metadata of an answer sets keeps its user, over HTTP too.
func TestCookiesAreMetadata(t *testing.T) {
	h := newHub(t)
	c := dialled(t, h.gateway)
	set, _, text := h.predict("reviews")
	want, err := event.ParseToken(text, h.keys)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "cookie", set[0])
		_, header, err := c.call(ctx, oip+"ModelInfer", row("reviews", 1))
		if err != nil {
			t.Fatal(err)
		}
		token, err := event.ParseToken(header["serin-decision"][0], h.keys)
		if err != nil || token.Variant != want.Variant {
			t.Fatalf("another variant answers: %v", err)
		}
	}
	_, header, err := c.call(t.Context(), oip+"ModelInfer", row("reviews", 1))
	if err != nil || len(header["set-cookie"]) != 1 || !strings.HasPrefix(header["set-cookie"][0], "seat=") {
		t.Errorf("who is new gets %v, %v", header, err)
	}
}

func TestTheDeadlineOfACallIsItsOwn(t *testing.T) {
	a := ready("a", 1)
	a.options.Timeout = time.Hour
	g, _ := serve(t, a)
	c := dialled(t, g)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, _, err := c.call(ctx, oip+"ModelInfer", row("a", hangs)); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}

func TestAStreamGoesOnAfterARequestThatFails(t *testing.T) {
	g, _ := serve(t, ready("a", 1), ready("b", 2))
	c := dialled(t, g)
	m := c.method(oip + "ModelStreamInfer")
	stream, err := c.conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+oip+"ModelStreamInfer")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ request, want string }{
		{row("a", 1), `{"infer_response":{"model_name":"a"`},
		{row("x", 1), `{"error_message":"Request for unknown model: no service named \"x\""}`},
		{row("b", errs), `{"error_message":"the model failed on this request"}`},
		{row("b", 1), `"fp32_contents":[203]`},
	} {
		if err := stream.SendMsg(c.message(m.Input(), tt.request)); err != nil {
			t.Fatal(err)
		}
		answer := dynamicpb.NewMessage(m.Output())
		if err := stream.RecvMsg(answer); err != nil {
			t.Fatal(err)
		}
		if got := asJSON(answer); !strings.Contains(got, tt.want) {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(dynamicpb.NewMessage(m.Output())); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}
