package gateway

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// Service is what clients call by name. It has variants, and a policy that says which of them answers whom; both change while it serves.
type Service struct {
	options  ServiceOptions
	hash     uint64 // of the name, as tokens tell it
	speaks   bool   // dialects: every variant has a model
	variants []*Variant
	shadows  []*shadowed
	policy   atomic.Pointer[traffic.Policy]
	inFlight atomic.Int64 // requests being answered
	troubles troubles
}

// ServiceOptions are a service's settings; they never change while it lives.
type ServiceOptions struct {
	Name      string
	Default   bool // path-less dialect calls go to it
	Found     bool // found in the registry rather than configured: the server can be ready without it
	Variants  []VariantOptions
	Policy    *traffic.Policy // for the same variants in the same order; nil: the first answers everything
	Pinned    bool            // a call may name a version, and so go around the policy; of one variant it always may
	Labels    []string        // names of the classes of a prediction; of two, the second is the positive one
	Threshold float64         // from which number on a prediction of one number is the second of two classes; 0 means DefaultThreshold
	Timeout   time.Duration   // for everything from the request's last byte to the answer; 0 means DefaultTimeout
	Body      int64           // bytes of a request's body at most; 0 means DefaultBody
	Rows      int             // rows of a request at most; 0 means DefaultRows
	Routes    []Route         // methods and paths of its own; they come before Serin's own paths
	Capture   *Capture        // which bodies are kept; nil: none
	Shadows   []ShadowOptions // who gets copies of requests

	Tensorflow bool // /v1/models speaks TensorFlow Serving's protocol rather than KServe's
	InFlight   int  // requests answered at once at most; 0: no bound

	Hosts    []string  // whose requests are its own, without ports; exact, the case left aside
	Prefixes []Prefix  // paths below which requests are its own: under Hosts, where there are any
	Hold     int       // bytes of a passed answer that are waited for before the first goes to the client; 0 means DefaultHold
	Failover bool      // where a variant fails, another one is asked
	Fallback *Fallback // what is answered where no variant does; nil: an error
	Limits   []*Limit  // to which its clients are held, all of them
}

// VariantOptions are a variant's settings. It is a model, unless Upstream or Files says otherwise.
type VariantOptions struct {
	Name string
	Ref  string // the version it follows, as a reference; shown, never resolved here

	Upstream      Upstream      // what is asked; its Live has a model where it is spoken to in a dialect
	Files         http.Handler  // a folder, as NewFiles has it
	Passed        bool          // it speaks no dialect: requests come at the service's hosts and prefixes alone
	Host          string        // the Host field that Upstream gets: "" the client's, HostOfUpstream its own, else this
	Header        []proxy.Field // fields that Upstream gets, above the client's and the gateway's; names are canonical
	NonIdempotent bool          // a request may be asked again whatever its method is
}

// Defaults of ServiceOptions.
const (
	DefaultTimeout   = time.Second
	DefaultBody      = 16 << 20
	DefaultRows      = 100_000
	DefaultThreshold = 0.5
	DefaultHold      = 256 << 10

	DefaultWriteTimeout = 30 * time.Second // of Options
)

// Variant is one way in which a service answers. Its model is swapped while it serves, as its alias moves.
type Variant struct {
	options VariantOptions
	service *Service
	hash    uint64 // of the name, as tokens tell it
	state   atomic.Pointer[state]
	series  sync.Map // of *spot to *series: the metrics there
	index   int      // in the service's variants
}

// HostOfUpstream is the VariantOptions.Host of those that get the name of the instance that is asked.
const HostOfUpstream = "upstream"

// RuntimeUpstream is the Live.Runtime of what is answered elsewhere.
const RuntimeUpstream = "upstream"

// Live is a model version that has been loaded, checked against its golden rows and warmed up. That of an upstream or a folder stands for
// what is there: it has no Number, its Digest is any text that tells versions apart, and without a dialect it has no Model.
type Live struct {
	Model   predict.Model
	Name    string // of the model
	Number  int    // of the version, in the registry's sequence; 0: it is in no registry
	Semver  string
	Digest  string
	Runtime string
	Example []tensor.Tensor // one row that the model was asked already, as its documentation shows; nil: none is known

	statistics statistics
}

// state is what a variant can say of itself: live with a version, or failed, or (both nil) still loading. A failure to load a newer
// version leaves the old one live, so both can be set.
type state struct {
	live     *Live
	err      error
	unloaded bool // it is to answer nothing
}

// NewService makes a service whose variants are loading. One without variants gets one named stable.
func NewService(o ServiceOptions) *Service {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Body <= 0 {
		o.Body = DefaultBody
	}
	if o.Rows <= 0 {
		o.Rows = DefaultRows
	}
	if o.Threshold <= 0 {
		o.Threshold = DefaultThreshold
	}
	if o.Hold <= 0 {
		o.Hold = DefaultHold
	}
	if len(o.Variants) == 0 {
		o.Variants = []VariantOptions{{Name: "stable"}}
	}
	s := &Service{options: o, hash: event.Hash(o.Name), speaks: true}
	for i, v := range o.Variants {
		s.speaks = s.speaks && !v.Passed && v.Files == nil
		variant := &Variant{options: v, service: s, hash: event.Hash(v.Name), index: i}
		variant.state.Store(&state{})
		s.variants = append(s.variants, variant)
	}
	s.addShadows(o.Shadows)
	s.policy.Store(o.Policy)
	return s
}

// Name returns the service's name.
func (s *Service) Name() string { return s.options.Name }

// Variants returns the variants, in their order.
func (s *Service) Variants() []*Variant { return s.variants }

// Labels returns the names of the classes, nil where the configuration gives none.
func (s *Service) Labels() []string { return s.options.Labels }

// Policy returns what decides who answers whom now; nil: the first variant answers everything.
func (s *Service) Policy() *traffic.Policy { return s.policy.Load() }

// SetPolicy makes p, which is for the service's variants in their order, decide from now on.
func (s *Service) SetPolicy(p *traffic.Policy) { s.policy.Store(p) }

// Live returns the version that speaks for the service, as in its metadata: of the first variant that has one; nil if none does.
func (s *Service) Live() *Live {
	for _, v := range s.variants {
		if live := v.Live(); live != nil {
			return live
		}
	}
	return nil
}

// Name returns the variant's name.
func (v *Variant) Name() string { return v.options.Name }

// Ref returns the reference that the variant follows.
func (v *Variant) Ref() string { return v.options.Ref }

// Service returns the service that the variant is of.
func (v *Variant) Service() *Service { return v.service }

// Swap makes l the version that answers from now on. Requests already being answered finish with the one they began with.
func (v *Variant) Swap(l *Live) { v.state.Store(&state{live: l}) }

// Fail records why the newest version could not be loaded. The version that was live before, if any, goes on answering.
func (v *Variant) Fail(err error) { v.state.Store(&state{live: v.state.Load().live, err: err}) }

// Unload lets the variant answer nothing until a version is swapped in. Requests already being answered finish.
func (v *Variant) Unload() { v.state.Store(&state{unloaded: true}) }

// Live returns the version that answers now, nil if there is none yet.
func (v *Variant) Live() *Live { return v.state.Load().live }

// Available tells whether any variant may be asked, as far as is known.
func (s *Service) Available() bool {
	for _, v := range s.variants {
		if v.available() {
			return true
		}
	}
	return false
}

// available tells whether the variant may be asked, as far as is known.
func (v *Variant) available() bool {
	return v.Live() != nil && (v.options.Upstream == nil || v.options.Upstream.Available())
}

// Err returns why the newest version could not be loaded, nil if it could or is still loading.
func (v *Variant) Err() error { return v.state.Load().err }
