package app

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/store/disk"
	storesqlite "github.com/serin-ml/serin/internal/store/sqlite"
	"github.com/serin-ml/serin/internal/traffic"
)

// following is a follower without a server around it, and models 1 to 3 for it.
type following struct {
	*follower
	models *running // imports and moves them
}

func follow(t *testing.T, text string) following {
	t.Helper()
	o := options(t.TempDir())
	o.Create = true
	d, _, err := hold(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	f := following{models: &running{dir: o.DataDir, client: inProcess(o, d)}}
	for v := 1; v <= 3; v++ {
		f.models.importStump(t, float64(v))
	}
	_, cookies, err := loadKeys(o.DataDir)
	must(t, err)
	f.follower, err = newFollower(readText(t, text), follower{
		registry: d.registry, log: o.Log, now: time.Now,
		make: makers{upstreams: newUpstreams(time.Now, o.Log), compile: func(service string, spec traffic.Spec, variants []string) (*traffic.Policy, error) {
			return traffic.Compile(spec, traffic.Options{Service: service, Variants: variants, Epoch: 1, Version: 1, Keys: cookies})
		}},
	})
	must(t, err)
	f.serve(gateway.New(gateway.Options{Log: o.Log, Now: time.Now}))
	f.look(t.Context(), false)
	return f
}

func readText(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Read("serin.yaml", []byte(text))
	must(t, err)
	return c
}

// state is a service's.
func (f following) state(service string) string { return f.gateway.Service(service).State() }

// live is the version of a service's first variant.
func (f following) live(service string) *gateway.Live {
	return f.gateway.Service(service).Variants()[0].Live()
}

// planned is a plan that is loaded.
func (f following) planned(t *testing.T, text string) *plan {
	t.Helper()
	p, mistakes := f.plan(t.Context(), readText(t, text))
	must(t, together(append(mistakes, p.load(t.Context(), f.follower)...)))
	return p
}

func TestAPlanKeepsWhatItDoesNotChange(t *testing.T) {
	f := follow(t, `services: [{name: a, variants: [{model: m/1}], traffic: {sticky: {unit: client}}}, {name: b, variants: [{model: m}]}]`)
	damaged := &filed{running: f.models}
	f.models.move(t, "2")
	f.look(t.Context(), false)
	number := damaged.damage(t)
	f.models.move(t, "4")
	f.look(t.Context(), false)
	if number != 4 || f.state("b") != gateway.Degraded {
		t.Fatalf("b is %s", f.state("b"))
	}
	a, b, live := f.gateway.Service("a"), f.gateway.Service("b"), f.live("b")

	p := f.planned(t, `services: [{name: c, variants: [{model: m/1}, {name: next, model: m/2}], traffic: {weights: {stable: 1}}}, {name: b, timeout: 9s, variants: [{model: m}]},
  {name: a, variants: [{model: m/1}], traffic: {sticky: {unit: client}}}]`)
	if f.gateway.Service("c") != nil || f.gateway.Service("b") != b || len(f.gateway.Services()) != 2 {
		t.Error("the plan is seen before it is adopted")
	}
	f.adopt(p)
	switch {
	case f.gateway.Service("a") != a:
		t.Error("a service whose settings are the same is another one")
	case f.gateway.Service("b") == b:
		t.Error("a service whose settings are others is the same")
	case f.live("b") != live || f.state("b") != gateway.Degraded:
		t.Errorf("a version that answers has been loaded again, or is %s", f.state("b"))
	case f.live("c").Model != f.live("a").Model || len(p.told.Loaded) != 0:
		t.Errorf("a version that another service has is loaded again: %+v", p.told.Loaded)
	}
	// The follower goes on with what there is now.
	f.models.move(t, "3")
	f.look(t.Context(), true)
	if f.live("b").Number != 3 || f.state("b") != gateway.Ready || b.Variants()[0].Live().Number != 2 {
		t.Errorf("b answers with %d, and is %s", f.live("b").Number, f.state("b"))
	}
}

func TestAnUnloadedServiceStaysSo(t *testing.T) {
	f := follow(t, `services: [{name: a, variants: [{model: m}]}, {name: b, variants: [{model: m/2}, {name: canary, model: m/3}], traffic: {weights: {stable: 1}}}]`)
	must(t, f.Unload(t.Context(), "b"))
	unloaded := func(when string) {
		t.Helper()
		for _, v := range f.gateway.Service("b").Variants() {
			if v.Live() != nil || v.State() != gateway.Unloaded {
				t.Errorf("%s: %s is %s", when, v.Name(), v.State())
			}
		}
		if f.state("a") != gateway.Ready || f.gateway.Service("a") == nil || !f.gateway.Ready() {
			t.Errorf("%s: a is %s, the server ready: %v", when, f.state("a"), f.gateway.Ready())
		}
	}
	unloaded("at once")
	f.look(t.Context(), true)
	f.look(t.Context(), false)
	unloaded("after looks")
	p := f.planned(t, `services: [{name: a, variants: [{model: m}]}, {name: b, timeout: 2s, variants: [{model: m/1}]}]`)
	f.adopt(p)
	unloaded("after a reload")
	must(t, f.Load(t.Context(), "b"))
	if f.state("b") != gateway.Ready || f.live("b").Number != 1 {
		t.Errorf("loaded, it is %s", f.state("b"))
	}
	must(t, f.Load(t.Context(), "b")) // again

	for what, err := range map[string]error{"load": f.Load(t.Context(), "nobody"), "unload": f.Unload(t.Context(), "nobody")} {
		if fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("%s of a service that is not there: %v", what, err)
		}
	}
	// What a reload takes away and brings back is not unloaded any more.
	must(t, f.Unload(t.Context(), "b"))
	f.adopt(f.planned(t, `services: [{name: a, variants: [{model: m}]}]`))
	f.adopt(f.planned(t, `services: [{name: a, variants: [{model: m}]}, {name: b, variants: [{model: m/1}]}]`))
	if f.state("b") != gateway.Ready {
		t.Errorf("brought back, it is %s", f.state("b"))
	}
}

func TestALoadTellsWhyItFails(t *testing.T) {
	f := follow(t, `services: [{name: a, variants: [{model: m/1}, {name: canary, model: m@nobody}, {name: third, model: n}], traffic: {weights: {stable: 1}}}]`)
	must(t, f.Unload(t.Context(), "a"))
	err := f.Load(t.Context(), "a")
	if fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), "nobody") || !strings.Contains(err.Error(), `"n"`) {
		t.Errorf("%v", err)
	}
	if f.state("a") != gateway.Failed || f.live("a") == nil {
		t.Errorf("what could be loaded is %s", f.state("a"))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, f.take(t.Context())) // somebody else's turn
	defer f.give()
	for what, err := range map[string]error{"load": f.Load(gone, "a"), "unload": f.Unload(gone, "a")} {
		if err == nil {
			t.Errorf("%s does not wait for its turn", what)
		}
	}
}

func TestAModelThatNobodyConfiguredIsLoadedAsSoonAsItIsAskedFor(t *testing.T) {
	f := follow(t, "")
	must(t, f.Unload(t.Context(), "m"))
	if f.gateway.Ready() {
		t.Error("ready with nothing loaded")
	}
	must(t, f.Load(t.Context(), "m"))
	if f.live("m").Number != 1 || !f.gateway.Ready() {
		t.Errorf("m is %s", f.state("m"))
	}
}

// TestAnAliasMovedByAnotherProcessIsFollowed moves it in the data directory's files, past the server, as another machine would.
func TestAnAliasMovedByAnotherProcessIsFollowed(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	r.importStump(t, 1)
	r.importStump(t, 2)
	r.until(t, "version 1 is live", live(1))
	state, err := storesqlite.Open(t.Context(), filepath.Join(r.dir, databaseName))
	must(t, err)
	defer state.Close()
	blobs, err := disk.Open(r.dir, disk.Options{})
	must(t, err)
	defer blobs.Close()
	other, err := registry.New(registry.Options{Blobs: blobs, State: state, Runtimes: runtimes(nil), Now: time.Now})
	must(t, err)
	moved := time.Now()
	_, err = other.MoveAlias(t.Context(), registry.AliasMove{Model: "m", Alias: "champion", To: 2, By: "another process"})
	must(t, err)
	r.until(t, "version 2 is live", live(2))
	t.Logf("followed after %v", time.Since(moved))
	if value, version := r.infer(t); value != 2 || version != "2" {
		t.Errorf("version %s answers %v", version, value)
	}
}
