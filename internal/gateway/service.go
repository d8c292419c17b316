package gateway

import (
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/predict"
)

// Service is what clients call by name. Its variant's model is swapped while it serves, as its alias moves.
type Service struct {
	options ServiceOptions
	state   atomic.Pointer[state]
}

// ServiceOptions are a service's settings; they never change while it lives.
type ServiceOptions struct {
	Name    string
	Default bool          // path-less dialect calls go to it
	Found   bool          // found in the registry rather than configured: the server can be ready without it
	Variant string        // the name of its one variant
	Ref     string        // the version it follows, as a reference; shown, never resolved here
	Timeout time.Duration // for everything from the request's last byte to the answer; 0 means DefaultTimeout
	Body    int64         // bytes of a request's body at most; 0 means DefaultBody
	Rows    int           // rows of a request at most; 0 means DefaultRows
}

// Defaults of ServiceOptions.
const (
	DefaultTimeout = time.Second
	DefaultBody    = 16 << 20
	DefaultRows    = 100_000
)

// Live is a model version that has been loaded, checked against its golden rows and warmed up.
type Live struct {
	Model   predict.Model
	Name    string // of the model
	Number  int    // of the version, in the registry's sequence
	Semver  string
	Digest  string
	Runtime string
}

// state is what a service can say of itself: live with a version, or failed, or (both nil) still loading. A failure to load a newer
// version leaves the old one live, so both can be set.
type state struct {
	live *Live
	err  error
}

// NewService makes a service that is loading.
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
	s := &Service{options: o}
	s.state.Store(&state{})
	return s
}

// Name returns the service's name.
func (s *Service) Name() string { return s.options.Name }

// Variant returns the name of the service's variant.
func (s *Service) Variant() string { return s.options.Variant }

// Ref returns the reference that the service follows.
func (s *Service) Ref() string { return s.options.Ref }

// Swap makes l the version that answers from now on. Requests already being answered finish with the one they began with.
func (s *Service) Swap(l *Live) { s.state.Store(&state{live: l}) }

// Fail records why the newest version could not be loaded. The version that was live before, if any, goes on answering.
func (s *Service) Fail(err error) { s.state.Store(&state{live: s.state.Load().live, err: err}) }

// Live returns the version that answers now, nil if there is none yet.
func (s *Service) Live() *Live { return s.state.Load().live }

// Err returns why the newest version could not be loaded, nil if it could or is still loading.
func (s *Service) Err() error { return s.state.Load().err }
