package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"

	"github.com/serin-ml/serin/internal/traffic"
)

const (
	pickUsers  = 2000 // each call is another's
	pickCalls  = 100  // that are timed together
	pickRounds = 301

	userHeader   = "X-User-Id"
	stickyCookie = "who"
)

// shares are those of the three variants, in percent.
var shares = [...]int{70, 20, 10}

var variantNames = []string{"stable", "canary", "next"}

// splitTraffic makes the policy of a service with the three variants. Its units are told by a header or, if cookie, kept in a signed cookie.
func splitTraffic(service string, cookie bool) (*traffic.Policy, error) {
	keys, err := traffic.NewKeys([]byte("a secret of the benchmark's"), []byte("another secret of it"))
	if err != nil {
		return nil, err
	}
	sticky := new(traffic.Sticky)
	sticky.SetDefaults()
	if cookie {
		sticky.Cookie = stickyCookie
	} else {
		sticky.Unit = "header:" + userHeader
	}
	weights := traffic.Weights{}
	for i, name := range variantNames {
		if weights[name], err = traffic.ParseWeight(fmt.Sprint(shares[i])); err != nil {
			return nil, err
		}
	}
	return traffic.Compile(traffic.Spec{Weights: weights, Sticky: sticky},
		traffic.Options{Service: service, Variants: variantNames, Epoch: 1, Version: 1, Keys: keys})
}

// picker is a way to pick a variant for a request that says of which user it is.
type picker struct {
	way  string
	tell func(r *http.Request, user string)
	pick func(*http.Request) (variant int, err error)
}

// picks measures picking one of three variants for a request that tells its user: in a header, and by a signed cookie.
func picks(context.Context) error {
	fmt.Println("### Picking one of three variants\n\n| what | Serin | rival | the rival's way | ratio | to reach |\n|---|---|---|---|---|---|")
	byHeader, err := splitTraffic("bench", false)
	if err != nil {
		return err
	}
	err = pickDuel("sticky by a header", ours(byHeader, tellHeader), picker{"`hash/fnv` of the header, modulo 100", tellHeader, pickByHash})
	if err != nil {
		return err
	}
	byCookie, err := splitTraffic("bench", true)
	if err != nil {
		return err
	}
	s := signer{key: []byte("a secret of the benchmark's")}
	return pickDuel("sticky by a signed cookie", ours(byCookie, func(r *http.Request, _ string) { visit(byCookie, r) }),
		picker{"`Request.Cookie`, `crypto/hmac`, then the same", func(r *http.Request, user string) {
			r.Header.Set("Cookie", stickyCookie+"="+s.sign(user))
		}, s.pick})
}

func tellHeader(r *http.Request, user string) { r.Header.Set(userHeader, user) }

func ours(p *traffic.Policy, tell func(*http.Request, string)) picker {
	random := rand.New(rand.NewPCG(1, 1))
	return picker{tell: tell, pick: func(r *http.Request) (int, error) { return p.Pick(traffic.FromRequest(r), random).Variant, nil }}
}

// visit gives r the cookie that the policy sets on a first visit.
func visit(p *traffic.Policy, r *http.Request) {
	h := http.Header{}
	p.SetCookies(h, p.Pick(traffic.FromRequest(r), rand.New(rand.NewPCG(rand.Uint64(), 0))), false)
	for _, c := range (&http.Response{Header: h}).Cookies() {
		r.Header.Set("Cookie", c.Name+"="+c.Value)
	}
}

// pickDuel measures two ways to pick, once both are seen to share as they should.
func pickDuel(what string, pickers ...picker) error {
	sides, made := make([]side, len(pickers)), make([]uint64, len(pickers))
	for i, p := range pickers {
		requests, err := visitors(p)
		if err != nil {
			return err
		}
		if err := sharesHold(p, requests); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		sides[i].run = func(turn int) error {
			for k := range pickCalls {
				if _, err := p.pick(requests[(turn*pickCalls+k)%pickUsers]); err != nil {
					return err
				}
			}
			return nil
		}
		if made[i], err = allocations(func() error { _, err := p.pick(requests[0]); return err }); err != nil {
			return err
		}
	}
	took, err := duel("pick, "+what, pickRounds, 10, sides...)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("%s, %d allocations", what, made[0]), took[0]/pickCalls, took[1]/pickCalls,
		fmt.Sprintf("%s, %d allocations", pickers[1].way, made[1]), "≤ 200 ns, 0")
	return nil
}

// visitors are requests, each of another user.
func visitors(p picker) ([]*http.Request, error) {
	requests := make([]*http.Request, pickUsers)
	for i := range requests {
		r, err := http.NewRequest(http.MethodPost, "http://localhost/v2/models/bench/infer", http.NoBody) //nolint:noctx // it is never sent
		if err != nil {
			return nil, err
		}
		r.Header.Set("User-Agent", "bench/1.0")
		p.tell(r, fmt.Sprintf("8d3a0c9e-41f2-4b8b-9a63-%012x", i*7919))
		requests[i] = r
	}
	return requests, nil
}

// sharesHold is an error where the variants' shares are not theirs, by far more than chance.
func sharesHold(p picker, requests []*http.Request) error {
	var counts [len(shares)]int
	for _, r := range requests {
		v, err := p.pick(r)
		if err != nil {
			return err
		}
		again, err := p.pick(r)
		if err != nil {
			return err
		}
		if again != v {
			return fmt.Errorf("a user goes to variant %d and then to %d", v, again)
		}
		counts[v]++
	}
	for i, n := range counts {
		share, want := float64(n)/float64(len(requests)), float64(shares[i])/100
		if math.Abs(share-want) > 5*math.Sqrt(want*(1-want)/float64(len(requests))) {
			return fmt.Errorf("variant %d got %.3f of the users, not %.3f", i, share, want)
		}
	}
	return nil
}
