package proxy

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// dns answers look-ups in tests.
type dns struct {
	mu   sync.Mutex
	know map[string]string // addresses, parted by spaces; "!" is an error, "?" hangs
}

func (n *dns) set(name, addresses string) {
	n.mu.Lock()
	n.know[name] = addresses
	n.mu.Unlock()
}

func (n *dns) lookup(ctx context.Context, name string) (found []netip.Addr, err error) {
	n.mu.Lock()
	listed := n.know[name]
	n.mu.Unlock()
	switch listed {
	case "!":
		return nil, errors.New("no such host")
	case "?":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, a := range strings.Fields(listed) {
		found = append(found, netip.MustParseAddr(a))
	}
	return found, nil
}

// addresses returns the instances' addresses.
func (g *group) addresses() string {
	var all []string
	for _, in := range g.Instances() {
		all = append(all, strings.TrimPrefix(in.Address, "http://"))
	}
	return strings.Join(all, " ")
}

func TestNamesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := &dns{know: map[string]string{"a.test": "10.0.0.2 10.0.0.1 ::ffff:10.0.0.2"}}
		var lines []string
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Instances = []string{"http://a.test:81", "http://10.9.9.9", "http://b.test"}
			o.Resolve, o.Lookup, o.Log = 5*time.Second, known.lookup, logTo(&lines)
			o.Outlier = nil
		})
		if got := g.addresses(); got != "a.test:81 10.9.9.9:80 b.test:80" {
			t.Fatalf("before anything was looked up: %s", got)
		}
		defer run(t, g.Upstream)()
		step := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := g.addresses(); got != want {
				t.Errorf("they are %s, want %s", got, want)
			}
		}
		step("10.0.0.1:81 10.0.0.2:81 10.9.9.9:80 b.test:80")
		if !g.fakes["a.test:81"].closed.Load() || g.fakes["b.test:80"].closed.Load() {
			t.Error("what is an instance no more is closed, and nothing else")
		}
		stays, goes := g.fakes["10.0.0.2:81"], g.fakes["10.0.0.1:81"]
		stays.behaves(failing(Down, false))
		for range 4 {
			_, _ = g.ask()
		}
		known.set("a.test", "10.0.0.2 2001:db8::3")
		known.set("b.test", "10.0.0.9")
		time.Sleep(5 * time.Second)
		step("10.0.0.2:81 [2001:db8::3]:81 10.9.9.9:80 10.0.0.9:80")
		if g.fakes["10.0.0.2:81"] != stays || stays.closed.Load() || g.Instances()[0].State != Failing {
			t.Errorf("one that stays is another now: %+v", g.Instances()[0])
		}
		if !goes.closed.Load() {
			t.Error("one that goes was not closed")
		}
		for _, answer := range []string{"!", "", "?"} {
			known.set("a.test", answer)
			time.Sleep(10 * time.Second)
			step("10.0.0.2:81 [2001:db8::3]:81 10.9.9.9:80 10.0.0.9:80")
		}
		known.set("a.test", "10.0.0.2")
		time.Sleep(10 * time.Second)
		step("10.0.0.2:81 10.9.9.9:80 10.0.0.9:80")
		if told := strings.Count(strings.Join(lines, "\n"), "a.test"); told != 2 {
			t.Errorf("it was told %d times, want when it was lost and when it was found:\n%s", told, strings.Join(lines, "\n"))
		}
	})
}

func TestTwoNamesOfOneAddressAreOneInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := &dns{know: map[string]string{"a.test": "10.0.0.1", "b.test": "10.0.0.1 10.0.0.2"}}
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Instances, o.Resolve, o.Lookup = []string{"http://a.test", "http://b.test"}, time.Second, known.lookup
		})
		defer run(t, g.Upstream)()
		if got := g.addresses(); got != "10.0.0.1:80 10.0.0.2:80" {
			t.Error(got)
		}
	})
}

func TestOneThatGoesEndsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := &dns{know: map[string]string{"a.test": "10.0.0.1"}}
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Instances, o.Resolve, o.Lookup = []string{"http://a.test"}, time.Second, known.lookup
		})
		defer run(t, g.Upstream)()
		k := hold(g)
		k.ask(t.Context(), 1, time.Time{})
		known.set("a.test", "10.0.0.2")
		time.Sleep(time.Second)
		synctest.Wait()
		if g.addresses() != "10.0.0.2:80" || len(k.over()) != 0 || g.Stats().InFlight != 1 {
			t.Fatalf("%s %v", g.addresses(), k.over())
		}
		close(k.release)
		k.wait.Wait()
		if k.errors()[0] != nil || g.Stats().InFlight != 0 {
			t.Errorf("%v %+v", k.errors(), g.Stats())
		}
		if a, err := g.ask(); err != nil || a.Instance != "http://10.0.0.2:80" {
			t.Error(a.Instance, err)
		}
	})
}

func TestNewInstancesAreCheckedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := &dns{know: map[string]string{"a.test": "10.0.0.1"}}
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Instances, o.Resolve, o.Lookup = []string{"http://a.test"}, 5*time.Second, known.lookup
			o.Check = &Check{Path: "/healthz", Every: time.Second}
		})
		defer run(t, g.Upstream)()
		time.Sleep(2 * time.Second)
		known.set("a.test", "10.0.0.2")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		old, fresh := g.fakes["10.0.0.1:80"].asked.Load(), g.fakes["10.0.0.2:80"].asked.Load()
		if g.states() != "healthy" || fresh < 5 || old > 8 {
			t.Errorf("%s: the new one was checked %d times, the old one %d", g.states(), fresh, old)
		}
		time.Sleep(time.Minute)
		if now := g.fakes["10.0.0.1:80"].asked.Load(); now != old {
			t.Errorf("one that is gone was checked %d times more", now-old)
		}
	})
}

func TestANameHasOnlySoManyAddresses(t *testing.T) {
	var many []netip.Addr
	for i := range 1000 {
		many = append(many, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	if n := len(usable(append(many, netip.Addr{}))); n != maxAddresses {
		t.Errorf("%d are used", n)
	}
}
