package app

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// seldonServer answers as a Seldon v1 model with two columns does, always with the same number. It counts requests that are marked as copies.
type seldonServer struct {
	value  float64
	copies atomic.Int64
}

func (s *seldonServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/api/v1.0/predictions":
		if r.Header.Get("Serin-Shadow") == "true" && r.Header.Get("X-Shadow") == "true" {
			s.copies.Add(1)
		}
		fmt.Fprintf(w, `{"data":{"names":["y"],"ndarray":[[%v]]}}`, s.value)
	default:
		http.NotFound(w, r)
	}
}

const signature = "signature: {inputs: [{name: input, datatype: FP32, shape: [-1, 2]}], outputs: [{name: y, datatype: FP64, shape: [-1, 1]}]}"

// TestAModelAndAnUpstreamShareAService asks a service over three protocols, of which one variant is a model in-process and the other a Seldon
// server.
func TestAModelAndAnUpstreamShareAService(t *testing.T) {
	upstream := proxytest.Serve(t, &seldonServer{value: 40})
	f := startFile(t, fmt.Sprintf(`
services:
  - name: m
    variants:
      - {model: m/2}
      - {name: canary, upstream: %q, dialect: seldon, version: next, %s}
    traffic: {weights: {stable: 1, canary: 1}, sticky: {unit: "header:X-User"}}
    failover: true
`, upstream.URL(), signature))
	counts := map[string]uint64{}
	for i := range 60 {
		for path, body := range map[string]string{
			"/v2/models/m/infer":             question,
			"/seldon/m/api/v1.0/predictions": `{"data":{"ndarray":[[1,2]]}}`,
			"/v1/models/m:predict":           `{"instances":[[1,2]]}`,
		} {
			code, text := f.send(t, http.MethodPost, "http://"+f.HTTP+path, body, "X-User", fmt.Sprint(i))
			if code != 200 {
				t.Fatalf("%s: %d %s", path, code, text)
			}
			switch {
			case strings.Contains(text, "40.0"):
				counts["canary"]++
			case strings.Contains(text, "[2.0]"):
				counts["stable"]++
			}
		}
	}
	if counts["stable"]+counts["canary"] != 180 || counts["canary"] < 30 || counts["stable"] < 30 {
		t.Errorf("got %v", counts)
	}
	list, err := f.client.Services(t.Context())
	must(t, err)
	if c := list.Services[1]; c.Kind != "upstream" || c.Dialect != "seldon" || c.Digest != "next" || c.State != "ready" || len(c.Instances) != 1 || c.Version != 0 {
		t.Errorf("got %+v", c)
	}
	f.tallied(t, "m", map[string]uint64{"next": counts["canary"]})

	// A dead upstream is stood in for by the model.
	upstream.Stop()
	for i := range 20 {
		if code, text := f.send(t, http.MethodPost, "http://"+f.HTTP+"/v2/models/m/infer", question, "X-User", fmt.Sprint(i)); code != 200 || !strings.Contains(text, "[2.0]") {
			t.Errorf("%d %s", code, text)
		}
	}
}

// tallied waits until the summary has so many requests of versions.
func (r *running) tallied(t *testing.T, service string, want map[string]uint64) {
	t.Helper()
	r.eventually(t, fmt.Sprint("tallies of ", want), func() bool {
		sum, err := r.client.Summary(t.Context(), service, time.Time{}, time.Time{})
		if fault.KindOf(err) == fault.NotFound {
			return false // nothing is written yet
		}
		must(t, err)
		found := 0
		for _, v := range sum.Variants {
			if n, asked := want[v.Version]; asked && v.Requests == n {
				found++
			}
		}
		return found == len(want)
	})
}

// TestAShadowIsAskedOverConnectionsOfItsOwn has an upstream that is asked in a dialect as a shadow: what it gets is marked, and neither in
// its figures as an upstream that answers nor on its connections.
func TestAShadowIsAskedOverConnectionsOfItsOwn(t *testing.T) {
	next := &seldonServer{value: 40}
	upstream := proxytest.Serve(t, next)
	f := startFile(t, fmt.Sprintf(`
services:
  - name: m
    variants: [{model: m/2}, {name: next, upstream: %q, dialect: seldon, %s}]
    traffic: {weights: {stable: 1}}
    shadow: [{variant: next}]
`, upstream.URL(), signature))
	for range 5 {
		if code, text := f.send(t, http.MethodPost, "http://"+f.HTTP+"/v2/models/m/infer", question); code != 200 || !strings.Contains(text, "[2.0]") {
			t.Fatalf("%d %s", code, text)
		}
	}
	f.eventually(t, "the copies come", func() bool { return next.copies.Load() == 5 })
	if in := f.instances(t, "next")[upstream.URL()]; in.Requests != 0 || in.Connections != 0 {
		t.Errorf("copies are with the upstream that answers: %+v", in)
	}
	f.eventually(t, "the list of services tells of the copies", func() bool {
		list, err := f.client.Services(t.Context())
		must(t, err)
		shadow := list.Services[1].ShadowInstances
		return len(shadow) == 1 && shadow[0].Address == upstream.URL() && shadow[0].Requests >= 5 && shadow[0].State == "healthy" && list.Services[0].ShadowInstances == nil
	})
	want := fmt.Sprintf(`serin_upstream_requests_total{code="2xx",instance=%q,service="m",variant="next (shadow)"} 5`, upstream.URL())
	f.eventually(t, "metrics have "+want, func() bool { return strings.Contains(f.metrics(t), want+"\n") })
}

// TestAnUpstreamThatIsDownIsAskedAgainWhatItTakes starts a server before the upstream that has to describe itself.
func TestAnUpstreamThatIsDownIsAskedAgainWhatItTakes(t *testing.T) {
	upstream := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2":
			_, _ = io.WriteString(w, `{"name":"other","extensions":[]}`)
		case "/v2/models/named":
			_, _ = io.WriteString(w, `{"name":"named","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP64","shape":[-1]}]}`)
		case "/v2/models/named/infer":
			_, _ = io.WriteString(w, `{"model_name":"named","outputs":[{"name":"y","datatype":"FP64","shape":[1],"data":[7]}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	upstream.Stop()
	file := func(model, more string) string {
		return fmt.Sprintf("services:\n  - {name: ready, variants: [{model: m/1}]}\n  - {name: m, variants: [{upstream: %q, dialect: v2, upstreamModel: %s}]}\n%s", upstream.URL(), model, more)
	}
	f := startFile(t, "services: [{name: ready, variants: [{model: m/1}]}]")
	f.write(t, file("named", ""))
	if _, err := f.client.Reload(t.Context()); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "service m, variant stable: the upstream cannot be asked what its model takes and gives") {
		t.Errorf("a reload with an upstream that is down: %v", err)
	}
	must(t, f.stop())

	c, err := config.Read("", []byte(file("named", "")))
	must(t, err)
	onAnyPort(c)
	o := options(f.dir)
	o.Reread = func() (*config.Config, string, error) {
		text, err := os.ReadFile(f.path)
		must(t, err)
		again, err := config.Read("", text)
		if err == nil {
			onAnyPort(again)
		}
		return again, "serin.yaml", err
	}
	f.running = startWith(t, o, c)
	state := func(want string) func([]api.Service) bool {
		return func(all []api.Service) bool { return len(all) == 2 && all[0].State == "ready" && all[1].State == want }
	}
	f.until(t, "the upstream is waited for", state("failed"))
	if code, text := f.get(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", code, text)
	}
	upstream.Start()
	f.importStump(t, 9) // which makes the server look at once
	f.until(t, "the upstream has said what it takes", state("ready"))
	ask := func() {
		t.Helper()
		code, text := f.send(t, http.MethodPost, "http://"+f.HTTP+"/v2/models/m/infer", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`)
		if code != 200 || !strings.Contains(text, "[7.0]") {
			t.Errorf("%d %s", code, text)
		}
	}
	ask()

	// What it does not know is told at a reload, which changes nothing. What stays the same is not asked again.
	f.write(t, file("unknown", ""))
	if _, err := f.client.Reload(t.Context()); fault.KindOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), "upstreamModel") {
		t.Errorf("got %v, %s", err, fault.HintOf(err))
	}
	ask()
	before := upstream.Requests()
	f.write(t, strings.Replace(file("named", ""), "{name: m, ", "{name: m, timeout: 2s, ", 1))
	_, err = f.client.Reload(t.Context())
	must(t, err)
	if n := upstream.Requests() - before; n != 0 {
		t.Errorf("it was asked %d times", n)
	}
	ask()
}

func TestAnUpstreamIsUnloadedAndLoadedAsAModelIs(t *testing.T) {
	one := proxytest.Serve(t, &seldonServer{value: 40})
	f := startFile(t, fmt.Sprintf("services: [{name: s, variants: [{upstream: %q, dialect: seldon, %s}]}, {name: m, variants: [{model: m/1}]}]\nserver: {repositoryControl: true}\n", one.URL(), signature))
	for _, call := range []string{"load", "unload", "load", "unload"} {
		if got, body := f.send(t, http.MethodPost, "http://"+f.HTTP+"/v2/repository/models/s/"+call, "{}"); got != 200 {
			t.Fatalf("%s: %d %s", call, got, body)
		}
		got, body := f.send(t, http.MethodPost, "http://"+f.HTTP+"/v2/models/s/infer", question)
		if (call == "load") != (got == 200) {
			t.Errorf("after %s: %d %s", call, got, body)
		}
	}
}
