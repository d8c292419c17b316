// Package gateway is the data plane: it takes a request in any dialect, finds the service it is for, asks that service's model within
// the deadline, and answers in the dialect and the form the request came in.
//
//	request -> route -> decide (traffic) -> decode (wire) -> check against the signature -> Predict -> encode (wire) -> answer
//	                         └───────────────── record (tally, decision) ◄──────────────────────────────────────────┘
//
// A request that comes at a service's own host or path, and not in a dialect, is passed on:
//
//	request -> prefix -> decide -> Upstream (proxy) -> another variant, if it failed -> the fallback, if all did -> answer
//
// It loads nothing: app hands it services and swaps their models.
package gateway

import (
	cryptorand "crypto/rand"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// Dialect turns bodies into requests and errors into bodies. wire has one for each protocol.
type Dialect interface {
	// Decode reads a request's body for a model of the given signature.
	Decode(body []byte, s tensor.Signature, l wire.Limits) (wire.Exchange, error)
	// Error appends the body that tells err, under the given HTTP status, to dst.
	Error(dst []byte, status int, err error) []byte
}

// Options are what a Gateway needs. Log and Now are required.
type Options struct {
	Name     string // of the server, in its metadata; "" means serin
	Version  string // of Serin, for the server metadata
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: counted, but shown nowhere
	Now      func() time.Time
	Random   func() uint64 // draws for requests that tell nothing of whom they come from; nil: of math/rand/v2
	Entropy  io.Reader     // of which ids are made; nil: crypto/rand
	Keys     *event.Keys   // signs tokens; nil: answers bear none
	Recorder *Recorder     // writes decisions and tallies; nil: nobody does
	Ingest   *Ingest       // takes in what comes back; nil: there is no feedback
	Shadows  Shadows       // takes copies of requests; nil: nobody does

	WriteTimeout      time.Duration  // that a client has to read its answer; 0 means DefaultWriteTimeout
	MetricAliases     []string       // AliasSeldon, AliasKServe: metrics once more under other servers' names
	AccessLog         string         // which requests are logged: AccessOff, AccessErrors, AccessAll; "" means AccessOff
	AllowOrigin       string         // Access-Control-Allow-Origin of the paths that browsers may call; "": no other origin's pages may
	TrustedProxies    []netip.Prefix // whose X-Forwarded-For is believed; nil: nobody's
	RepositoryControl bool           // clients may load and unload services over the v2 repository calls
	Repository        Repository     // does what they ask for; nil: nobody does
}

// Gateway serves the data plane over HTTP, and over gRPC with NewGRPC. It is safe for concurrent use.
type Gateway struct {
	options  Options
	ids      *event.Generator
	metrics  metrics
	mux      *http.ServeMux
	services atomic.Pointer[table]
	draining atomic.Bool
	wasReady atomic.Bool
	parting  chan struct{} // closed once streams are to end
	part     func()
	feedback *feedback // nil: there is none
	nosniff  []string  // X-Content-Type-Options of every answer
	proxies  proxies
	began    time.Time // from which on limits count time

	spotsMu sync.Mutex
	spots   map[spot]*spot
}

// New makes a gateway without services.
func New(o Options) *Gateway {
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	if o.Entropy == nil {
		o.Entropy = cryptorand.Reader
	}
	if o.Name == "" {
		o.Name = "serin"
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	g := &Gateway{proxies: o.TrustedProxies, began: o.Now(), options: o, ids: event.NewGenerator(o.Entropy), metrics: newMetrics(&o), mux: http.NewServeMux(), spots: map[spot]*spot{}, parting: make(chan struct{}), nosniff: []string{"nosniff"}}
	g.part = sync.OnceFunc(func() { close(g.parting) })
	g.services.Store(&table{})
	if o.Metrics != nil {
		o.Metrics.MustRegister(newLimitGauges(g))
	}
	g.routeHealth()
	g.routeOpenInference()
	g.routeRepository()
	g.routeSeldon()
	g.routeV1()
	g.routeMLflow()
	g.routeFeedback()
	g.routeDocs()
	return g
}

// SetServices makes list, in that order, the services that are answered for from now on.
func (g *Gateway) SetServices(list []*Service) {
	t := &table{list: list, byName: make(map[string]*Service, len(list))}
	for _, s := range list {
		t.byName[s.Name()] = s
		g.metrics.expect(s)
		g.addOwn(t, s)
		if s.speaks && (s.options.Default || len(list) == 1) {
			t.byDefault = s
		}
	}
	g.relayLanes(g.services.Swap(t).list, list)
}

// addOwn adds the paths of a service's own: under its hosts, or under all.
func (g *Gateway) addOwn(t *table, s *Service) {
	if len(s.options.Prefixes)+len(s.options.Routes)+len(s.options.Hosts) == 0 {
		return
	}
	if len(s.options.Hosts) == 0 {
		if t.own == nil {
			t.own = new(routes)
		}
		g.addRoutes(t.own, s)
		g.addPrefixes(t.own, "", s)
		return
	}
	if t.hosts == nil {
		t.hosts = map[string]*routes{}
	}
	for _, host := range s.options.Hosts {
		host = HostName(host)
		if t.hosts[host] == nil {
			t.hosts[host] = new(routes)
		}
		g.addRoutes(t.hosts[host], s)
		g.addPrefixes(t.hosts[host], host, s)
	}
}

// Services returns the services that are answered for now.
func (g *Gateway) Services() []*Service { return g.services.Load().list }

// Service returns the service of that name, nil if there is none.
func (g *Gateway) Service(name string) *Service { return g.services.Load().byName[name] }

// Drain makes /readyz fail; requests are answered as before.
func (g *Gateway) Drain() { g.draining.Store(true) }

// Part ends streams over gRPC behind the answer that each is at, so that a server that waits for them can stop. Their clients are told
// that it is not available. Single calls are answered as before.
func (g *Gateway) Part() { g.part() }

// ServeHTTP answers one request. A panic below it costs that request alone.
//
// What it is for is told by, in this order: the exact host and the longest prefix or route under it; the longest prefix or route under any
// host; Serin's own paths, among them the dialects', which name a service or take the default one. Before all of them comes /.serin/, where
// Serin's own paths are once more.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/"+reserved+"/") {
		w.Header()["X-Content-Type-Options"] = g.nosniff
		http.StripPrefix("/"+reserved, g.mux).ServeHTTP(w, r)
		return
	}
	if err := wellFormed(r); err != nil {
		g.write(w, r, http.StatusBadRequest, wire.OpenInference{}.Error(nil, http.StatusBadRequest, err))
		return
	}
	h := g.routed(g.services.Load(), r)
	if p, ok := h.(*passage); ok { // what is passed on has the header that it had
		p.ServeHTTP(w, r)
		return
	}
	w.Header()["X-Content-Type-Options"] = g.nosniff
	if h == nil {
		h = g.mux
	}
	h.ServeHTTP(w, r)
}

// table is the services of one moment.
type table struct {
	list      []*Service
	byName    map[string]*Service
	byDefault *Service
	hosts     map[string]*routes // by name; nil: there are none
	own       *routes            // under all hosts; nil: there are none
}

// spoken finds a service by name for those who speak a dialect.
func (t *table) spoken(name string) (*Service, error) {
	s, err := t.named(name)
	if err == nil && !s.speaks {
		return nil, notSpoken(s)
	}
	return s, err
}

// notSpoken says that a service cannot be asked in a dialect.
func notSpoken(s *Service) error {
	return fault.NotFoundf("service %q is passed on as it comes, at hosts and paths of its own", s.Name()).
		WithHint("`dialect:` at its variants lets it be asked by name")
}

// named finds a service by name.
func (t *table) named(name string) (*Service, error) {
	if s := t.byName[name]; s != nil {
		return s, nil
	}
	return nil, fault.NotFoundf("no service named %.80q", name)
}

// unnamed finds the service for a path that names none.
func (t *table) unnamed() (*Service, error) {
	switch {
	case t.byDefault != nil:
		return t.byDefault, nil
	case len(t.list) == 0:
		return nil, fault.Unavailablef("no service is configured, and no model is in the registry")
	}
	return nil, fault.NotFoundf("this path names no service, and none of the %d is marked default; use /seldon/NAME/api/v1.0/predictions, "+
		"or mark one with default: true in serin.yaml", len(t.list))
}
