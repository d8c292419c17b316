package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/load"
)

const (
	proxyRounds  = 9
	proxyTurn    = 2 * time.Second
	proxyUsers   = 10_000
	stickyHeader = "X-User"

	constantRate   = 1000
	constantTurn   = 3 * time.Second
	constantRounds = 11
)

// proxyPart is one thing to measure of proxies. direct is the address of an upstream.
type proxyPart struct {
	name string
	run  func(p proxies, ctx context.Context, direct string) error
}

var proxyParts = []proxyPart{{"saturated", proxies.saturated}, {"constant", proxies.constant}, {"idle", proxies.idle}}

// proxying measures Serin as a proxy, against NGINX with the same split over the same upstreams, and against what Go has.
func proxying(ctx context.Context) error { return overUpstreams(ctx, proxyParts...) }

// overUpstreams measures proxies over two stable instances, a and b, and a canary, c.
func overUpstreams(ctx context.Context, parts ...proxyPart) (err error) {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	named := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		if named[name], err = freeAddress(); err != nil {
			return err
		}
	}
	upstreams, err := nginxUpstreams(named).launch(ctx, filepath.Join(dir, "upstreams"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upstreams.stop()) }()
	rivals, err := launchProxies(ctx, dir, named)
	defer func() { err = errors.Join(err, rivals.stop()) }()
	if err != nil {
		return err
	}
	fmt.Printf("\n## Proxy (two stable instances and a canary 4:1, sticky by a header)\n")
	for _, part := range parts {
		if err := part.run(rivals, ctx, named["a"]); err != nil {
			return err
		}
	}
	return nil
}

// proxies are the rivals. Serin is the first, NGINX the second.
type proxies []contender

// contender is a running proxy.
type contender struct {
	*remote
	name string
}

// launchProxies starts all rivals over the same upstreams. Those that run are returned with an error too.
func launchProxies(ctx context.Context, dir string, named map[string]string) (all proxies, err error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		name   string
		launch func() (*remote, error)
	}{
		{"Serin", func() (*remote, error) {
			return launchConfigured(ctx, filepath.Join(dir, "serin"), fmt.Sprintf(proxySerin, named["a"], named["b"], named["c"]))
		}},
		{"NGINX", func() (*remote, error) { return nginxProxy(address, named).launch(ctx, filepath.Join(dir, "nginx")) }},
		{"`httputil.ReverseProxy`", func() (*remote, error) {
			command, err := itself(ctx, reverseCommand, named["a"]+","+named["b"]+","+named["c"])
			if err != nil {
				return nil, err
			}
			return launch(command)
		}},
	} {
		s, err := c.launch()
		if err != nil {
			return all, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, contender{s, c.name})
		if err := splits(ctx, s); err != nil {
			return all, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return all, nil
}

func (p proxies) stop() (err error) {
	for _, c := range p {
		err = errors.Join(err, c.stop())
	}
	return err
}

// method is how proxies are asked.
type method struct {
	name    string
	payload load.Payload
}

// methods are a prediction with 500 bytes of JSON, and a question without a body.
func methods() []method {
	const around = `{"inputs":[{"name":"user","shape":[1],"datatype":"BYTES","data":[""]}]}`
	text := around[:len(around)-5] + strings.Repeat("u", 500-len(around)) + around[len(around)-5:]
	return []method{
		{"POST", load.Payload{Body: []byte(text), Header: []load.Field{{Name: "Content-Type", Value: "application/json"}}}},
		{"GET", load.Payload{}},
	}
}

// options are those of a closed loop.
func (m method) options(address string) load.Options {
	return load.Options{
		URL: "http://" + address + "/recommend/17", Payloads: []load.Payload{m.payload}, InFlight: inFlight, Duration: proxyTurn,
		Unit: load.Unit{Header: stickyHeader, Users: proxyUsers},
	}
}

// splits fails unless a proxy gives a fifth of the users to the canary, uses both stable instances, and keeps each user where it was.
func splits(ctx context.Context, s *remote) error {
	const users = 2000
	counts := map[string]int{}
	first := make([]bool, users)
	for round := range 2 {
		o := load.Options{URL: "http://" + s.http + "/recommend/17", InFlight: 1, Count: users}
		for user := range users {
			o.Payloads = append(o.Payloads, load.Payload{Header: []load.Field{{Name: stickyHeader, Value: "user-" + strconv.Itoa(user)}}})
		}
		o.Verify = func(user, _ int, body []byte) error {
			_, rest, _ := bytes.Cut(body, []byte(`"instance":"`))
			instance, _, found := bytes.Cut(rest, []byte(`"`))
			canary := string(instance) == "c"
			switch {
			case !found:
				return fmt.Errorf("no instance of ours answers: %.200s", body)
			case round == 0:
				first[user] = canary
			case first[user] != canary:
				return fmt.Errorf("user %d is not kept where it was", user)
			}
			counts[string(instance)]++
			return nil
		}
		t, err := s.ask(ctx, o)
		if err == nil && (t.failed > 0 || t.requests != users) {
			err = fmt.Errorf("of %d requests %d were asked and %d failed: %s", users, t.requests, t.failed, t.problems)
		}
		if err != nil {
			return err
		}
	}
	share := float64(counts["c"]) / (2 * users)
	if share < 0.16 || share > 0.24 || counts["a"] < users/2 || counts["b"] < users/2 { // 0.2, give or take four standard deviations
		return fmt.Errorf("of %d answers by instance there are %v", 2*users, counts)
	}
	return nil
}
