package gateway

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

// States of a service, as /readyz and the control plane show them.
const (
	Loading  = "loading"  // nothing is live yet, nothing has failed
	Ready    = "ready"    // a version is live
	Failed   = "failed"   // nothing is live: what the reference names does not exist or could not be loaded
	Degraded = "degraded" // a version is live, but what the reference names now does not exist or could not be loaded
	Unloaded = "unloaded" // nothing is live, because somebody wants it so

	Unavailable = "unavailable" // of an upstream: none of its instances may be asked, as far as is known
)

// State returns what the service can say of itself: that of the variant that is worst off.
func (s *Service) State() string {
	worst := Ready
	for _, v := range s.variants {
		if state := v.State(); badness[state] > badness[worst] {
			worst = state
		}
	}
	return worst
}

var badness = map[string]int{Ready: 0, Degraded: 1, Loading: 2, Unloaded: 3, Unavailable: 4, Failed: 5}

// isLive tells whether every variant has a version that answers, and one of them at least can be asked now; where none can, a fallback will
// do.
func (s *Service) isLive() bool {
	available := s.options.Fallback != nil
	for _, v := range s.variants {
		if v.Live() == nil {
			return false
		}
		available = available || v.available()
	}
	return available
}

// asksOut tells whether the service is up to others than this server: every variant is an upstream.
func (s *Service) asksOut() bool {
	for _, v := range s.variants {
		if v.options.Upstream == nil {
			return false
		}
	}
	return true
}

// State returns what the variant can say of itself.
func (v *Variant) State() string {
	switch st := v.state.Load(); {
	case st.unloaded:
		return Unloaded
	case st.live != nil && st.err != nil:
		return Degraded
	case st.live != nil && !v.available():
		return Unavailable
	case st.live != nil:
		return Ready
	case st.err != nil:
		return Failed
	}
	return Loading
}

// serviceHealth is a service's line in /readyz. Why one failed is for those who run the server: the log and the control plane tell.
type serviceHealth struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Version int    `json:"version,omitempty"`
}

type health struct {
	Ready    bool            `json:"ready"`
	Draining bool            `json:"draining,omitempty"`
	Services []serviceHealth `json:"services"`
}

// report tells the state of every service. The server is ready when a version of each configured service is live, and of one at least:
// an empty server gets no traffic. A service that was unloaded does not count. Services found in the registry are waited for at the
// start, until each is live or has failed; later a new one, or a bad one, does not turn traffic away from the others.
func (g *Gateway) report() (health, bool) {
	h := health{Draining: g.draining.Load(), Services: []serviceHealth{}}
	live, missing := 0, false
	for _, s := range g.Services() {
		line := serviceHealth{Name: s.Name(), State: s.State()}
		if l := s.Live(); l != nil {
			line.Version = l.Number
		}
		switch {
		case s.isLive():
			live++
		case line.State == Unloaded: // it is missed by nobody
		default:
			missing = missing || !s.options.Found && !s.asksOut() || (line.State == Loading || s.asksOut()) && !g.wasReady.Load()
		}
		h.Services = append(h.Services, line)
	}
	complete := live > 0 && !missing
	if complete {
		g.wasReady.Store(true)
	}
	h.Ready = complete && !h.Draining
	return h, h.Ready
}

// Draining tells whether Drain was called.
func (g *Gateway) Draining() bool { return g.draining.Load() }

// Ready tells whether traffic may be sent: there are services, a version of each is live, and the server is not draining.
func (g *Gateway) Ready() bool {
	_, ready := g.report()
	return ready
}

// whetherReady is nil if traffic may be sent.
func (g *Gateway) whetherReady() error {
	switch {
	case g.draining.Load():
		return errDraining
	case !g.Ready():
		return soon{fault.Unavailablef("not every service is ready")}
	}
	return nil
}

var errDraining = fault.Unavailablef("the server is stopping")

// whetherServiceReady is nil if a request may be sent to the service, or to that version of it.
func (g *Gateway) whetherServiceReady(s *Service, version string) error {
	if g.draining.Load() {
		return errDraining
	}
	_, err := s.liveVersion(version)
	if err == nil && !s.Available() {
		err = notReady(s)
	}
	return err
}

// whetherModelReady is whetherServiceReady for the service of that name.
func (g *Gateway) whetherModelReady(name, version string) error {
	s, err := g.services.Load().model(name)
	if err != nil {
		return err
	}
	return g.whetherServiceReady(s, version)
}

// routeHealth mounts /healthz (the process answers), /readyz (send traffic), and an answer for paths nobody knows.
func (g *Gateway) routeHealth() {
	g.mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		g.write(w, r, http.StatusOK, []byte(`{"ok":true}`))
	})
	g.mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		h, ready := g.report()
		body, err := json.Marshal(h)
		status := http.StatusOK
		switch {
		case err != nil:
			status, body = http.StatusInternalServerError, nil
		case !ready:
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", "1")
		}
		g.write(w, r, status, body)
	})
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		err := fault.NotFoundf("nothing is served at %.200q", r.URL.Path)
		g.write(w, r, http.StatusNotFound, spokenAt(r.URL.Path).Error(nil, http.StatusNotFound, err))
	})
}

// spokenAt guesses the dialect of whoever asks for a path that there is not.
func spokenAt(path string) Dialect {
	for _, prefix := range []string{"/seldon/", "/api/"} {
		if strings.HasPrefix(path, prefix) {
			return wire.Seldon{}
		}
	}
	return wire.OpenInference{} // whose errors are those of most others
}
