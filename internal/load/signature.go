package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
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
	var said struct {
		Inputs []tensor.Spec `json:"inputs"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fault.Invalidf("GET %s: %w", o.URL, err)
	}
	return said.Inputs, nil
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
	if err := conn.Invoke(withMetadata(ctx, o.Header), to.url.Path, appendField(nil, name, []byte(service)), &answer); err != nil {
		return nil, fault.NotFoundf("ModelMetadata: %w", err).WithHint("name a server that says it over HTTP with --describe http://HOST:PORT")
	}
	return readMetadata(answer)
}

var errProto = errors.New("the answer is not the message that it should be")

// readMetadata reads the inputs of inference.ModelMetadataResponse.
func readMetadata(message []byte) (specs []tensor.Spec, err error) {
	const inputs = 4
	err = eachField(message, func(number protowire.Number, _ uint64, content []byte) error {
		if number != inputs {
			return nil
		}
		spec, err := readTensorMetadata(content)
		specs = append(specs, spec)
		return err
	})
	return specs, err
}

func readTensorMetadata(message []byte) (spec tensor.Spec, err error) {
	const name, datatype, shape = 1, 2, 3
	err = eachField(message, func(number protowire.Number, value uint64, content []byte) (err error) {
		switch number {
		case name:
			if spec.Name = string(content); !utf8.ValidString(spec.Name) {
				return errProto
			}
		case datatype:
			spec.DType, err = tensor.ParseDType(string(content))
		case shape:
			if content == nil { // not packed, which is allowed too
				spec.Shape = append(spec.Shape, int(int64(value)))
			}
			for len(content) > 0 {
				d, n := protowire.ConsumeVarint(content)
				if n < 0 {
					return errProto
				}
				spec.Shape = append(spec.Shape, int(int64(d)))
				content = content[n:]
			}
		}
		return err
	})
	return spec, err
}

// eachField calls found for each field of a message, with the content of those that have a length, which is never nil.
func eachField(message []byte, found func(number protowire.Number, value uint64, content []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", errProto, protowire.ParseError(n))
		}
		message = message[n:]
		var value uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(message)
			content = content[:len(content):len(content)]
			if content == nil && n >= 0 {
				content = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errProto, protowire.ParseError(n))
		}
		message = message[n:]
		if err := found(number, value, content); err != nil {
			return err
		}
	}
	return nil
}
