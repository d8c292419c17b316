package load

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

const mostMetadata = 4 << 20

// Inputs asks a server what a service takes: GET /v2/models/NAME, or ModelMetadata of Open Inference where the URL is grpc://. Of the
// options URL, Header, Insecure and Timeout count.
func Inputs(ctx context.Context, o Options, service string) ([]tensor.Spec, error) {
	setDefault(&o.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	ask := inputsOverHTTP
	if strings.HasPrefix(o.URL, "grpc") {
		ask = inputsOverRPC
	}
	inputs, err := ask(ctx, &o, service)
	if err == nil && len(inputs) == 0 {
		err = fault.Invalidf("the server names no inputs")
	}
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "what the service %.60q takes: %w", service, err)
	}
	return inputs, nil
}

func inputsOverHTTP(ctx context.Context, o *Options, service string) ([]tensor.Spec, error) {
	o.URL = strings.TrimSuffix(o.URL, "/") + "/v2/models/" + url.PathEscape(service)
	if err := o.complete(); err != nil {
		return nil, err
	}
	to, err := resolve(ctx, o)
	if err != nil {
		return nil, err
	}
	client := to.http1(o)
	defer client.CloseIdleConnections()
	request, err := newRequest(ctx, http.MethodGet, o.URL, nil, o.Header)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fault.Unavailablef("%w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostMetadata))
	if err != nil {
		return nil, fault.Unavailablef("%w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fault.NotFoundf("GET %s answers %s: %s", o.URL, response.Status, printable(string(body))).
			WithHint("GET /v2/models lists the services")
	}
	said, err := wire.ReadModelMetadata(body)
	if err != nil {
		return nil, fault.Invalidf("GET %s: %w", o.URL, err)
	}
	return said.Signature.Inputs, nil
}

func inputsOverRPC(ctx context.Context, o *Options, service string) ([]tensor.Spec, error) {
	const name = 1 // of ModelMetadataRequest
	o.URL = strings.TrimSuffix(o.URL, "/") + "/inference.GRPCInferenceService/ModelMetadata"
	if err := o.complete(); err != nil {
		return nil, err
	}
	to, err := resolve(ctx, o)
	if err != nil {
		return nil, err
	}
	conn, err := to.dialRPC(o)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var answer []byte
	if err := conn.Invoke(withMetadata(ctx, o.Header), to.url.Path, protowire.AppendString(protowire.AppendTag(nil, name, protowire.BytesType), service), &answer); err != nil {
		return nil, fault.NotFoundf("ModelMetadata: %w", err).WithHint("name a server that says it over HTTP with --describe http://HOST:PORT")
	}
	said, err := wire.ReadModelMetadataProto(answer)
	if err != nil {
		return nil, fault.Invalidf("ModelMetadata: %w", err)
	}
	return said.Signature.Inputs, nil
}
