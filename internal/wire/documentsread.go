package wire

import (
	"bytes"
	"strings"

	"github.com/serin-ml/serin/internal/jsonscan"
)

// ModelCall is a call about a model: of its readiness, metadata, configuration or statistics.
type ModelCall struct {
	Name    string
	Version string // "": none is named
}

// ReadModelCallProto reads inference.ModelReadyRequest, ModelMetadataRequest, ModelConfigRequest or ModelStatisticsRequest: all four
// have one form.
func ReadModelCallProto(body []byte) (ModelCall, error) {
	var c ModelCall
	f := protoFields{message: "request about a model", left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			c.Name = f.text()
		case 2<<3 | delimited:
			c.Version = f.text()
		}
	}
	return c, f.err
}

// RepositoryQuery asks for the index of a repository.
type RepositoryQuery struct {
	Repository string // "": all of them
	Ready      bool   // only models that are ready
}

// ReadRepositoryQuery reads the JSON body of a call for the index. An empty one asks for everything.
func ReadRepositoryQuery(body []byte) (RepositoryQuery, error) {
	const ready = 0
	var q RepositoryQuery
	var seen keys
	s := jsonscan.New(body)
	if len(bytes.TrimSpace(body)) == 0 {
		return q, nil
	}
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "ready":
			if seen.once(s, ready, "ready") {
				q.Ready = s.Bool()
			}
		default:
			s.Skip()
		}
	}
	s.End()
	return q, s.Err()
}

// ReadRepositoryQueryProto reads inference.RepositoryIndexRequest.
func ReadRepositoryQueryProto(body []byte) (RepositoryQuery, error) {
	var q RepositoryQuery
	f := protoFields{message: "RepositoryIndexRequest", left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			q.Repository = f.text()
		case 2<<3 | varint:
			q.Ready = f.number != 0
		}
	}
	return q, f.err
}

// RepositoryCall asks for a model to be loaded or unloaded.
type RepositoryCall struct {
	Repository, Model string   // empty where the body is JSON: the path names them
	Config            string   // a configuration, as JSON, to load it with instead of its own; "" for none
	Files             []string // the paths of the files to load it from instead of its own; their content is not kept
	UnloadDependents  bool     // unload the models that it alone uses, too
}

// ReadRepositoryCall reads the JSON body of a load or unload. An empty one asks for nothing special. Parameters that it does not know
// are passed over.
func ReadRepositoryCall(body []byte) (RepositoryCall, error) {
	const parameters, config, dependents = 0, 1, 2
	var c RepositoryCall
	var seen keys
	s := jsonscan.New(body)
	if len(bytes.TrimSpace(body)) == 0 {
		return c, nil
	}
	s.Object()
	for s.Next() {
		if string(s.Key()) != "parameters" {
			s.Skip()
			continue
		}
		if !seen.once(s, parameters, "parameters") {
			continue
		}
		s.Object()
		for s.Next() {
			key := string(s.Key())
			switch path, isFile := strings.CutPrefix(key, "file:"); {
			case isFile:
				s.Bytes()
				c.Files = append(c.Files, path)
			case key == "config":
				if seen.once(s, config, key) {
					c.Config = s.String()
				}
			case key == "unload_dependents":
				if seen.once(s, dependents, key) {
					c.UnloadDependents = s.Bool()
				}
			default:
				s.Skip()
			}
		}
	}
	s.End()
	return c, s.Err()
}

// ReadRepositoryCallProto reads inference.RepositoryModelLoadRequest or RepositoryModelUnloadRequest: both have one form.
func ReadRepositoryCallProto(body []byte) (RepositoryCall, error) {
	var c RepositoryCall
	f := protoFields{message: "request to load or unload a model", left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			c.Repository = f.text()
		case 2<<3 | delimited:
			c.Model = f.text()
		case 3<<3 | delimited:
			c.parameter(&f)
		}
	}
	return c, f.err
}

// parameter reads one entry of the map of parameters.
func (c *RepositoryCall) parameter(of *protoFields) {
	p := readProtoParameter(of)
	switch path, isFile := strings.CutPrefix(p.key, "file:"); {
	case isFile:
		c.Files = append(c.Files, path)
	case p.key == "config":
		c.Config = p.text
	case p.key == "unload_dependents":
		c.UnloadDependents = p.number != 0
	}
}
