package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/tensor"
)

// Variant is one way to answer: a version of a model, an upstream, or a folder of files. Model, Upstream, Instances and Static exclude each
// other; the keys below them are those of upstreams.
type Variant struct {
	Name      string   `yaml:"name" jsonschema:"default=stable,pattern=^[a-z0-9][a-z0-9-]{0\\,62}$" jsonschema_description:"The name in metrics and logs. Lower-case letters, digits and dashes, at most 63."`
	Model     string   `yaml:"model" jsonschema:"oneof_required=model,example=models:/installs@champion,example=models:/installs/3,example=installs,pattern=^(models:/)?[a-z0-9][a-z0-9._-]{0\\,62}(/[1-9][0-9]{0\\,9}|@[a-z0-9][a-zA-Z0-9.:+_-]*)?$" jsonschema_description:"A version of a model: models:/NAME@ALIAS follows an alias, models:/NAME/3 stays with version 3. models:/ may be left out, and NAME alone is its champion."`
	Upstream  string   `yaml:"upstream" jsonschema:"oneof_required=upstream,example=http://127.0.0.1:8084,pattern=^[a-zA-Z0-9]+://" jsonschema_description:"A server that answers: http://HOST:PORT. With a dialect a path may follow, where predictions are asked for in place of the dialect's own. The scheme is http, https, h2c (HTTP/2 without TLS), h2, grpc (as h2c) or grpcs (as h2)."`
	Instances []string `yaml:"instances" jsonschema:"oneof_required=instances,minItems=1,maxItems=256" jsonschema_description:"Several servers that stand in for each other, as upstream names one. They are asked in turn, and one that fails is left out for a while."`
	Static    string   `yaml:"static" jsonschema:"oneof_required=static,example=./web" jsonschema_description:"A folder whose files are the answers. A relative path begins where the server was started."`

	Version string `yaml:"version" jsonschema:"maxLength=200,pattern=^[!-~]{1\\,200}$,example=1.4.0" jsonschema_description:"Which version the upstream or folder is, in tallies, decisions and tokens. 1 to 200 printable characters, no spaces. Default: the URLs, or the folder."`

	Dialect       string          `yaml:"dialect" jsonschema:"enum=seldon,enum=v2,enum=v1,enum=mlflow" jsonschema_description:"The protocol that the upstream speaks. Clients may then call the service in any protocol. Default: none, requests are passed on as they are."`
	UpstreamModel string          `yaml:"upstreamModel" jsonschema:"pattern=^[!-~]{1\\,200}$" jsonschema_description:"What the upstream calls the model, where its dialect names it (v2, v1). Default: the service's name."`
	Signature     *ModelSignature `yaml:"signature" jsonschema_description:"What the upstream's model takes and gives. Default: what it says of itself (v2, seldon), else anything."`

	HostHeader string            `yaml:"hostHeader" jsonschema:"default=client,example=upstream,example=movies.internal,pattern=^[a-zA-Z0-9.:_-]{1\\,255}$" jsonschema_description:"The Host header of requests to the upstream: client (as the client sent it), upstream (the instance's own), or a name."`
	Headers    map[string]string `yaml:"headers" jsonschema_description:"Headers that requests to the upstream get, in place of the client's of the same name. An empty value takes the client's out."`
	TLS        *TLS              `yaml:"tls" jsonschema_description:"How the upstream proves who it is, for https, h2 and grpcs. Default: by the system's certificate authorities and the name in the URL."`

	ConnectTimeout time.Duration `yaml:"connectTimeout" jsonschema:"default=1s" jsonschema_description:"How long a connection to an instance may take to open. More than 0, at most 1m; the service's timeout bounds it too."`
	IdleTimeout    time.Duration `yaml:"idleTimeout" jsonschema:"default=1m" jsonschema_description:"How long a connection to an instance is kept for another request. More than 0, at most 1h."`
	Resolve        time.Duration `yaml:"resolve" jsonschema:"default=0s" jsonschema_description:"How often names are looked up again; each address is then an instance of its own. 0s: whenever a connection is opened. Otherwise 1s to 1h."`
	MaxFails       int           `yaml:"maxFails" jsonschema:"default=1,minimum=0,maximum=1000000" jsonschema_description:"After how many failures within failTimeout (no connection, no answer in time, an answer that is none) an instance is left out for failTimeout. 0: never."`
	FailTimeout    time.Duration `yaml:"failTimeout" jsonschema:"default=10s" jsonschema_description:"See maxFails. More than 0, at most 1h."`
	Health         *Health       `yaml:"health" jsonschema_description:"Asks each instance, again and again, whether it is well. Default: only requests tell."`
	Outlier        Outlier       `yaml:"outlier" jsonschema_description:"When instances are ejected whose answers are errors, or more often so than those of the others."`
	Breaker        Breaker       `yaml:"breaker" jsonschema_description:"How much an upstream is given at once. More is refused here."`
	Retry          Retry         `yaml:"retry" jsonschema_description:"When another instance is asked."`
}

// SetDefaults is what a variant holds before the file says otherwise.
func (v *Variant) SetDefaults() {
	*v = Variant{
		Name: "stable", HostHeader: HostClient, ConnectTimeout: time.Second, IdleTimeout: time.Minute, MaxFails: 1, FailTimeout: 10 * time.Second,
	}
	v.Outlier.SetDefaults()
	v.Breaker.SetDefaults()
	v.Retry.SetDefaults()
}

// Words of hostHeader.
const (
	HostClient   = "client"
	HostUpstream = "upstream"
)

// URLs are the instances of an upstream variant, as they are written; none for another.
func (v *Variant) URLs() []string {
	if v.Upstream != "" {
		return []string{v.Upstream}
	}
	return v.Instances
}

// Origins are the instances of an upstream variant, without what path their URLs have.
func (v *Variant) Origins() (origins []string) {
	for _, u := range v.URLs() {
		if a, err := readAddress(u); err == nil { // as Read has made sure
			origins = append(origins, a.text)
		}
	}
	return origins
}

// Path is where an upstream variant with a dialect is asked for predictions, as its URLs have it; "": where the dialect says.
func (v *Variant) Path() string {
	for _, u := range v.URLs() {
		if a, err := readAddress(u); err == nil {
			return a.path
		}
	}
	return ""
}

// Tensors tells whether the variant can be asked in any dialect. One that cannot passes requests on, and nothing else.
func (v *Variant) Tensors() bool { return v.Model != "" || v.Dialect != "" }

// Tensors tells whether every variant of the service can be asked in any dialect. One that can is called by its name, and by routes.
func (s *Service) Tensors() bool {
	for i := range s.Variants {
		if !s.Variants[i].Tensors() {
			return false
		}
	}
	return true
}

// maxVersionText bounds what VersionText returns, in bytes.
const maxVersionText = 200

// VersionText is which version an upstream or a folder is, in tallies, tokens and decisions: what version says, else the URLs in order, or the
// folder. It is empty for a model, whose versions have digests.
func (v *Variant) VersionText() string {
	text := v.Version
	switch {
	case text != "":
	case v.Static != "":
		text = "static:" + v.Static
	default:
		var urls []string
		for _, u := range v.URLs() {
			if a, err := readAddress(u); err == nil {
				urls = append(urls, a.text+a.path)
			}
		}
		slices.Sort(urls)
		text = strings.Join(urls, ",")
	}
	if len(text) > maxVersionText {
		sum := sha256.Sum256([]byte(text))
		hash := "~" + hex.EncodeToString(sum[:8])
		text = text[:maxVersionText-len(hash)] + hash
	}
	return text
}

// ModelSignature is what an upstream's model takes and gives.
type ModelSignature struct {
	Inputs  []TensorSpec `yaml:"inputs,required" jsonschema:"required,minItems=1,maxItems=1000" jsonschema_description:"Its inputs."`
	Outputs []TensorSpec `yaml:"outputs" jsonschema:"maxItems=1000" jsonschema_description:"Its outputs. Default: whatever it gives."`
}

// TensorSpec is one input or output.
type TensorSpec struct {
	Name    string       `yaml:"name,required" jsonschema:"required,minLength=1" jsonschema_description:"Its name."`
	DType   tensor.DType `yaml:"datatype,required" jsonschema:"required" jsonschema_description:"Open Inference's name of the type: FP32, FP64, INT64, BYTES, ..."`
	Shape   []int        `yaml:"shape,required" jsonschema:"required,minItems=1" jsonschema_description:"Its sizes, -1 where any goes; the first is that of the batch."`
	Columns []string     `yaml:"columns" jsonschema_description:"Names along the last dimension."`
	Labels  []string     `yaml:"labels" jsonschema_description:"The names of the classes, by their number."`
}

// Tensor returns the signature as the rest of Serin knows it.
func (s *ModelSignature) Tensor() tensor.Signature {
	specs := func(list []TensorSpec) (out []tensor.Spec) {
		for _, t := range list {
			out = append(out, tensor.Spec{Name: t.Name, DType: t.DType, Shape: t.Shape, Columns: t.Columns, Labels: t.Labels})
		}
		return out
	}
	return tensor.Signature{Inputs: specs(s.Inputs), Outputs: specs(s.Outputs)}
}
