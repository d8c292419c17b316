package load

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// rpcServer answers every method with what handle says.
func rpcServer(t *testing.T, handle func(ctx context.Context, method string, request []byte) ([]byte, error)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		answer, err := handle(stream.Context(), method, request)
		if err != nil {
			return err
		}
		return stream.SendMsg(answer)
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return "grpc://" + listener.Addr().String()
}

func TestCallsOfGRPCCarryBytes(t *testing.T) {
	var mu sync.Mutex
	requests, users := map[string]int{}, map[string]bool{}
	url := rpcServer(t, func(ctx context.Context, method string, request []byte) ([]byte, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		requests[string(request)]++
		users[md.Get("x-user")[0]] = true
		mu.Unlock()
		switch {
		case method != "/a.B/C" || md.Get("seldon")[0] != "name" || md.Get("x-one")[0] != "1":
			return nil, status.Errorf(codes.Internal, "%s, %v", method, md)
		case string(request) == "bad":
			return nil, status.Error(codes.InvalidArgument, "no such thing")
		case string(request) == "late":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return []byte("answer"), nil
	})
	r := mustRun(t, Options{
		URL: url + "/a.B/C", Rate: 1000, Count: 100, InFlight: 30, Connections: 3, Timeout: time.Second, Header: []Field{{"X-One", "1"}}, Unit: Unit{Header: "X-User"},
		Payloads: []Payload{{Body: []byte("good"), Header: []Field{{"seldon", "name"}}}, {Header: []Field{{"seldon", "name"}}}, {Body: []byte("bad"), Header: []Field{{"seldon", "name"}}},
			{Body: []byte("late"), Header: []Field{{"seldon", "name"}}}},
		Verify: func(payload, code int, body []byte) error {
			if code == 0 && string(body) != "answer" {
				return errors.New("another answer")
			}
			return nil
		},
	})
	mu.Lock() // a call that is late may come to the server when nobody waits for it any more
	defer mu.Unlock()
	if r.Requests != 100 || r.Failed != 50 || r.Statuses["OK"] != 50 || r.Statuses["InvalidArgument"] != 25 || r.BytesIn != 50*6 || len(users) < 75 {
		t.Errorf("%+v", r)
	}
	want := []Problem{{"status InvalidArgument", 25, "no such thing"}, {"timeout", 25, "no answer in time"}}
	if diff := cmp.Diff(want, r.Problems); diff != "" {
		t.Error(diff)
	}
	if requests["good"] != 25 || requests[""] != 25 || requests["bad"] != 25 {
		t.Errorf("%v", requests)
	}
}

var described = []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 56}}, {Name: "other", DType: tensor.Bytes, Shape: []int{-1}}}

func TestWhatAServiceTakesIsAskedOverGRPC(t *testing.T) {
	info := wire.ModelInfo{Name: "m", Versions: []string{"1"}, Platform: "p", Signature: tensor.Signature{Inputs: described, Outputs: described}}
	url := rpcServer(t, func(ctx context.Context, method string, request []byte) ([]byte, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		call, err := wire.ReadModelCallProto(request)
		name := call.Name
		if err != nil || method != "/inference.GRPCInferenceService/ModelMetadata" || name != "m" || len(md.Get("authorization")) == 0 {
			return nil, status.Error(codes.NotFound, "there is no "+name)
		}
		return wire.AppendModelMetadataProto(nil, info), nil
	})
	o := Options{URL: url, Header: []Field{{"Authorization", "Bearer x"}}}
	inputs, err := Inputs(t.Context(), o, "m")
	if diff := cmp.Diff(described, inputs); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := Inputs(t.Context(), o, "n"); err == nil || !strings.Contains(err.Error(), "there is no n") {
		t.Error(err)
	}
}

func TestWhatAServiceTakesIsAskedOverHTTP(t *testing.T) {
	info := wire.ModelInfo{Name: "a/b", Signature: tensor.Signature{Inputs: described, Outputs: described}}
	both(t, func(t *testing.T, scheme string) {
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.EscapedPath() {
			case "/v2/models/a%2Fb":
				w.Write(wire.AppendModelMetadata(nil, info))
			case "/v2/models/no%20inputs":
				w.Write([]byte(`{"name":"x"}`))
			case "/v2/models/no%20JSON":
				w.Write([]byte(`<html>`))
			default:
				w.WriteHeader(http.StatusNotFound)
				w.Write([]byte(`{"error":"no such model"}`))
			}
		})
		o := Options{URL: url + "/", Insecure: true}
		inputs, err := Inputs(t.Context(), o, "a/b")
		if diff := cmp.Diff(described, inputs); err != nil || diff != "" {
			t.Error(err, diff)
		}
		for name, want := range map[string]fault.Kind{"no inputs": fault.Invalid, "no JSON": fault.Invalid, "other": fault.NotFound} {
			if _, err := Inputs(t.Context(), o, name); fault.KindOf(err) != want || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
