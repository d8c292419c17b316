// Package config reads serin.yaml: what a person reads once to know what runs. It decodes strictly, fills in defaults, and tells
// every mistake at once with its line and what to do. It does nothing else; only keys that work today are known.
//
// The tags of the types are the one source of names, descriptions, patterns and what is required; Schema is made of them.
package config

import (
	"time"

	"github.com/serin-ml/serin/internal/traffic"
)

// Config is one serin.yaml.
type Config struct {
	Services []Service `yaml:"services" jsonschema_description:"What clients call."`
	Server   Server    `yaml:"server" jsonschema_description:"Where the server listens and how it stops. The flags of serin serve win over this."`

	Releases   []Release    `yaml:"releases" jsonschema:"maxItems=1000" jsonschema_description:"How services go from one variant to another: started by serin release start, moved step by step, judged on the way."`
	Notify     []Notify     `yaml:"notify" jsonschema:"maxItems=32" jsonschema_description:"Who is told when a release begins, is held, goes back, fails or ends."`
	Prometheus []Prometheus `yaml:"prometheus" jsonschema:"maxItems=32" jsonschema_description:"Prometheus servers that metrics of releases may ask."`
}

// Service is something that clients call by name.
type Service struct {
	Name     string        `yaml:"name,required" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]{0\\,62}$" jsonschema_description:"The name in URLs, metrics and logs; unique. Lower-case letters, digits and dashes, at most 63."`
	Default  bool          `yaml:"default" jsonschema:"default=false" jsonschema_description:"Whether calls that name no service (a bare /api/v1.0/predictions) come here. At most one service is the default; if there is only one, it is."`
	Variants []Variant     `yaml:"variants" jsonschema:"oneof_required=variants,minItems=1,maxItems=64" jsonschema_description:"The ways to answer. Several share the traffic by their weights."`
	Traffic  traffic.Spec  `yaml:"traffic" jsonschema_description:"Which variant answers whom. May be left out when there is one variant."`
	Pinned   bool          `yaml:"pinned" jsonschema:"default=false" jsonschema_description:"Whether a call may name a version (/versions/3), and so go around the weights. Of one variant the version that is live may always be named."`
	Labels   Labels        `yaml:"labels" jsonschema_description:"What the classes of the prediction are called, for telemetry."`
	Routes   []Route       `yaml:"routes" jsonschema_description:"Methods and paths of the service's own, with JSON contracts of their own."`
	Timeout  time.Duration `yaml:"timeout" jsonschema:"default=1s" jsonschema_description:"How long an answer may take, from the request's last byte on; then the client gets 503. More than 0, at most 10m."`
	Limits   Limits        `yaml:"limits" jsonschema_description:"What is refused for being too large, or too much at once."`
	V1       string        `yaml:"v1" jsonschema:"default=kserve,enum=kserve,enum=tensorflow" jsonschema_description:"Whose protocol the service speaks under /v1/models, where KServe and TensorFlow Serving differ: in status and error documents, and in how several outputs look."`
	Capture  *Capture      `yaml:"capture" jsonschema_description:"Keeps bodies of requests and answers, a sample of them. Default: none."`

	// For a service with one variant, named stable.
	Upstream  string   `yaml:"upstream" jsonschema:"oneof_required=upstream,example=http://127.0.0.1:8082,pattern=^[a-zA-Z0-9]+://" jsonschema_description:"Short for one variant, named stable, with this upstream."`
	Instances []string `yaml:"instances" jsonschema:"oneof_required=instances,minItems=1,maxItems=256" jsonschema_description:"Short for one variant, named stable, with these instances."`
	Static    string   `yaml:"static" jsonschema:"oneof_required=static,example=./web" jsonschema_description:"Short for one variant, named stable, with this folder."`

	// Where requests come in that are passed on as they are.
	Host    string   `yaml:"host" jsonschema:"example=movies.example.com" jsonschema_description:"The name in the Host header whose requests come here: exact, no port. They are passed on whatever their path, or only those under path."`
	Hosts   []string `yaml:"hosts" jsonschema:"uniqueItems=true,maxItems=64" jsonschema_description:"Several of host."`
	Path    string   `yaml:"path" jsonschema:"pattern=^/,example=/recommend/" jsonschema_description:"How the path of requests begins that come here; the longest one that fits wins. It stands for whole segments: /a is /a and /a/b, /a/ only what is below. Under it Serin keeps nothing but /.serin/ to itself."`
	Paths   []string `yaml:"paths" jsonschema:"uniqueItems=true,maxItems=64" jsonschema_description:"Several of path."`
	Rewrite *string  `yaml:"rewrite" jsonschema:"pattern=^/,example=/api/" jsonschema_description:"What the upstream gets in place of path. Left out: the path as it came; a folder gets what is below path."`

	Fallback  *Fallback  `yaml:"fallback" jsonschema_description:"What clients get in place of an error: when no variant has answered by the timeout, or none can. Default: the error."`
	Failover  bool       `yaml:"failover" jsonschema:"default=false" jsonschema_description:"Whether another variant that gets traffic is asked when the one that was picked gives no answer."`
	RateLimit RateLimits `yaml:"rateLimit,one" jsonschema_description:"How many requests a client may send. More get 429. A list gives several; all hold."`
	Shadows   []Shadow   `yaml:"shadow" jsonschema:"maxItems=16" jsonschema_description:"Variants that get copies of requests. Their answers are compared, and never given to clients."`
}

// Labels name the classes of a prediction, so that predictions are counted by class and held against the truth.
type Labels struct {
	Classes   []string `yaml:"classes" jsonschema_description:"The labels by class number; of two, the second is the positive one. Default: those of the model's own prediction, else the class numbers."`
	Threshold float64  `yaml:"threshold" jsonschema:"default=0.5,minimum=0,maximum=1" jsonschema_description:"Of a model that predicts one number for two classes: from which number on it is the second class."`
}

// SetDefaults is what labels hold before the file says otherwise.
func (l *Labels) SetDefaults() { l.Threshold = 0.5 }

// Limits bound one request to a service.
type Limits struct {
	BodyBytes Size `yaml:"bodyBytes" jsonschema:"default=16MiB" jsonschema_description:"The largest body. At least 1KiB, at most 1GiB."`
	Rows      int  `yaml:"rows" jsonschema:"default=100000,minimum=1,maximum=10000000" jsonschema_description:"The most rows in one request."`
	InFlight  int  `yaml:"inFlight" jsonschema:"default=1024,minimum=0,maximum=1000000" jsonschema_description:"The most requests that are answered at once; one more gets 503 with Retry-After. 0: no bound."`

	AnswerBytes Size `yaml:"answerBytes" jsonschema:"default=256KiB" jsonschema_description:"How much of an upstream's answer is waited for before its first byte goes to the client: until then the fallback can stand in for it. 1KiB to 16MiB."`
}

// Server says where the server listens, what it takes, and how it stops.
type Server struct {
	HTTP    string `yaml:"http" jsonschema:"default=:8080" jsonschema_description:"The address of the data plane: HOST:PORT, or :PORT for every interface. Port 0 picks a free one."`
	GRPC    string `yaml:"grpc" jsonschema:"default=:8081" jsonschema_description:"The address of the data plane over gRPC."`
	Control string `yaml:"control" jsonschema:"default=127.0.0.1:8090" jsonschema_description:"The address of the control plane: API and metrics. Beyond loopback it asks for the token in control.token of the data directory."`
	Metrics string `yaml:"metrics" jsonschema:"example=:9090" jsonschema_description:"One more address for GET /metrics and nothing else, so that a scraper needs no way to the control plane. It asks for no token. Default: none."`

	DrainDelay time.Duration `yaml:"drainDelay" jsonschema:"default=5s" jsonschema_description:"How long SIGTERM leaves everything as it is but for /readyz, which is 503 at once, so that balancers send traffic elsewhere before connections are refused. Ctrl-C does not wait. 0s to 10m."`
	Drain      time.Duration `yaml:"drain" jsonschema:"default=30s" jsonschema_description:"How long to wait then for the requests in flight. 0s does not wait; at most 1h."`

	Limits            ServerLimits `yaml:"limits" jsonschema_description:"What slow, greedy or broken clients run into, on every address."`
	MetricAliases     []string     `yaml:"metricAliases" jsonschema:"uniqueItems=true,enum=seldon,enum=kserve" jsonschema_description:"Metrics that are told under the names of others too, for dashboards that exist. Default: none."`
	AccessLog         string       `yaml:"accessLog" jsonschema:"default=off,enum=off,enum=errors,enum=all" jsonschema_description:"Which requests get a line in the log: none, those answered with 400 and more, or all."`
	Name              string       `yaml:"name" jsonschema:"default=serin,pattern=^[!-~]{1\\,64}$" jsonschema_description:"What the server calls itself in Open Inference's metadata, for clients that look for a name. 1 to 64 printable characters, no spaces."`
	AllowOrigin       string       `yaml:"allowOrigin" jsonschema:"pattern=^(\\*|https?://[^/]+)$,example=https://shop.example.com" jsonschema_description:"The one origin whose web pages may call Seldon's paths, or * for every page of the web. Default: none."`
	TrustedProxies    []CIDR       `yaml:"trustedProxies" jsonschema:"maxItems=256" jsonschema_description:"Addresses whose X-Forwarded-For is believed: those of the balancers before this server. Default: none."`
	Upstreams         Upstreams    `yaml:"upstreams" jsonschema_description:"To which addresses requests may be passed on."`
	RepositoryControl bool         `yaml:"repositoryControl" jsonschema:"default=false" jsonschema_description:"Whether clients of the data plane may load and unload services, over the repository calls of Open Inference v2. Nobody is asked for a token there."`
}

// ServerLimits bound what one client, or all of them, can take of the server.
type ServerLimits struct {
	HeaderBytes Size          `yaml:"headerBytes" jsonschema:"default=64KiB" jsonschema_description:"The largest headers of a request. 1KiB to 1MiB."`
	ReadHeader  time.Duration `yaml:"readHeader" jsonschema:"default=5s" jsonschema_description:"How long the headers of a request may take to come. More than 0, at most 1h, as the ones below."`
	Read        time.Duration `yaml:"read" jsonschema:"default=1m" jsonschema_description:"How long a whole request may take to come. The control plane, which takes models, does not bound it."`
	Write       time.Duration `yaml:"write" jsonschema:"default=30s" jsonschema_description:"How long a client may take to read its answer."`
	Idle        time.Duration `yaml:"idle" jsonschema:"default=2m" jsonschema_description:"How long a connection is kept open for another request."`

	Connections          int `yaml:"connections" jsonschema:"default=10000,minimum=0,maximum=1000000" jsonschema_description:"The most connections open at once, for each address; one more is closed at once, and counted. 0: no bound."`
	ConnectionsPerClient int `yaml:"connectionsPerClient" jsonschema:"default=0,minimum=0,maximum=1000000" jsonschema_description:"The same for one client's IP address. 0: no bound."`
}

// Words that keys take.
const (
	V1KServe     = "kserve"
	V1Tensorflow = "tensorflow"

	AccessLogOff    = "off"
	AccessLogErrors = "errors"
	AccessLogAll    = "all"
)

// Bounds that no tag can say.
const (
	maxTimeout     = 10 * time.Minute
	maxDrain       = time.Hour
	maxDrainDelay  = 10 * time.Minute
	maxClientTime  = time.Hour
	minHeaderBytes = 1 * KiB
	maxHeaderBytes = 1 * MiB
	maxConnections = 1_000_000
	minBodyBytes   = 1 * KiB
	maxBodyBytes   = 1 * GiB
	minAnswerBytes = 1 * KiB
	maxAnswerBytes = 16 * MiB
	maxRows        = 10_000_000
	maxInFlight    = 1_000_000
	maxClasses     = 1000
	maxLabel       = 128
)

// Default returns what holds where there is no file: no services, and the server's defaults.
func Default() *Config {
	c := new(Config)
	c.Server.SetDefaults()
	return c
}

// SetDefaults is what a server holds before the file says otherwise.
func (s *Server) SetDefaults() {
	*s = Server{
		HTTP: ":8080", GRPC: ":8081", Control: "127.0.0.1:8090", DrainDelay: 5 * time.Second, Drain: 30 * time.Second, AccessLog: AccessLogOff,
		Name: "serin",
		Limits: ServerLimits{
			HeaderBytes: 64 * KiB, ReadHeader: 5 * time.Second, Read: time.Minute, Write: 30 * time.Second, Idle: 2 * time.Minute, Connections: 10_000,
		},
	}
}

// SetDefaults is what a service holds before the file says otherwise.
func (s *Service) SetDefaults() {
	s.Timeout = time.Second
	s.Labels.SetDefaults()
	s.Limits = Limits{BodyBytes: 16 * MiB, Rows: 100000, InFlight: 1024, AnswerBytes: 256 * KiB}
	s.V1 = V1KServe
}

// VariantNames returns the names of the variants, in order.
func (s *Service) VariantNames() []string {
	names := make([]string, len(s.Variants))
	for i, v := range s.Variants {
		names[i] = v.Name
	}
	return names
}
