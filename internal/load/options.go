package load

import (
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Options say what to send where, how often, and what to expect. The zero value of a field means its default.
type Options struct {
	URL      string   // http://host:port/path, https:// alike; for gRPC grpc:// or grpcs://, with /package.Service/Method as the path
	Protocol Protocol // HTTP1 by default, GRPC where the URL says so
	Method   string   // of HTTP: POST by default, GET where no payload has a body
	Header   []Field  // sent with every request; for gRPC its metadata
	Payloads []Payload
	Shuffle  bool // payloads are sent in an order drawn by Seed, over and over, in place of their own
	Unit     Unit // a header that tells users apart
	Insecure bool // the server's certificate is not checked

	Rate     float64       // requests a second, an open loop; 0: a closed loop, in which every connection sends when it has its answer
	Arrivals Arrivals      // of an open loop
	Ramp     time.Duration // how long the rate of an open loop rises before the warm-up, not measured
	WarmUp   time.Duration // sent and not measured, before what is measured
	Duration time.Duration // measured; 10 s if Count is 0 too
	Count    int           // how many requests are measured; with Duration, whatever ends first

	InFlight    int           // the most requests without an answer; 64. Over HTTP/1.1 that is the number of connections
	Connections int           // of HTTP/2 and gRPC, which share one among requests; 4
	Threads     int           // that send plain HTTP/1.1; 1, which is good for some 100,000 requests a second
	Timeout     time.Duration // from when a request is due until it is given up; 10 s

	Expect Statuses // which answers are good; 2xx by default, OK for gRPC
	Verify func(payload int, status int, body []byte) error
	MaxLag time.Duration // beyond which the 99th percentile of the lag makes a run invalid; 1 ms
	Seed   uint64        // of Poisson arrivals, Shuffle and Unit

	Progress func(Progress) // called every second, and not after Run has returned; nil: never
}

// Payload is what one request carries.
type Payload struct {
	Body   []byte
	Header []Field // beside Options.Header, whose fields win
}

// Field is a header field.
type Field struct{ Name, Value string }

// Unit is a header whose value changes from request to request.
type Unit struct {
	Header string // "": none
	Users  int    // how many values there are, drawn at random; 0: every request has its own
}

const (
	defaultDuration    = 10 * time.Second
	defaultInFlight    = 64
	defaultConnections = 4
	defaultTimeout     = 10 * time.Second
	defaultMaxLag      = time.Millisecond
	mostInFlight       = 10_000
	mostRate           = 10_000_000
	mostThreads        = 64
)

// complete sets defaults and refuses what makes no sense.
func (o *Options) complete() error {
	if err := o.readURL(); err != nil {
		return err
	}
	if len(o.Payloads) == 0 {
		o.Payloads = []Payload{{}}
	}
	body := false
	for i := range o.Payloads {
		body = body || len(o.Payloads[i].Body) > 0
	}
	switch {
	case o.Method == "" && body:
		o.Method = http.MethodPost
	case o.Method == "":
		o.Method = http.MethodGet
	}
	if o.Duration == 0 && o.Count == 0 {
		o.Duration = defaultDuration
	}
	setDefault(&o.InFlight, defaultInFlight)
	setDefault(&o.Connections, defaultConnections)
	setDefault(&o.Threads, 1)
	setDefault(&o.Timeout, defaultTimeout)
	setDefault(&o.MaxLag, defaultMaxLag)
	if o.Expect == nil {
		o.Expect = o.Protocol.usual()
	}
	o.Threads = min(o.Threads, o.InFlight)
	if o.Protocol != HTTP1 {
		o.Threads = 1
	}
	o.Connections = min(o.Connections, o.InFlight)
	return o.check()
}

func setDefault[T int | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

func (o *Options) check() error {
	switch {
	case o.Rate < 0 || o.Rate > mostRate || o.Rate != o.Rate:
		return fault.Invalidf("a rate of %v requests a second cannot be sent", o.Rate).WithHint("use 0 for a closed loop, or up to %d", mostRate)
	case o.Duration < 0 || o.WarmUp < 0 || o.Ramp < 0 || o.Timeout < 0 || o.MaxLag < 0 || o.Count < 0:
		return fault.Invalidf("a duration or a count is negative")
	case o.InFlight < 1 || o.InFlight > mostInFlight:
		return fault.Invalidf("%d requests in flight are not possible", o.InFlight).WithHint("use 1 to %d", mostInFlight)
	case o.Connections < 1 || o.Threads < 1 || o.Threads > mostThreads:
		return fault.Invalidf("%d connections and %d threads are not possible", o.Connections, o.Threads).
			WithHint("use at least one connection, and 1 to %d threads", mostThreads)
	case o.Ramp > 0 && o.Rate == 0:
		return fault.Invalidf("a closed loop has no rate that could rise").WithHint("leave the ramp out, or set a rate")
	case o.Unit.Users < 0 || o.Unit.Header == "" && o.Unit.Users > 0:
		return fault.Invalidf("%d users need a header that tells them apart", o.Unit.Users)
	}
	return o.checkFields()
}

// keep is how many bytes of an answer's body are kept.
func (o *Options) keep() int {
	if o.Verify != nil {
		return mostVerified
	}
	return mostExample
}

const (
	mostVerified = 64 << 20
	mostExample  = 256 // is shown
)
