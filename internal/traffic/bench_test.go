package traffic

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// scene is a request for a benchmark, with the policy that picks.
type scene struct {
	name   string
	policy *Policy
	facts  Facts
}

func scenes(tb testing.TB) []scene {
	const shares = "stable=70 canary=20 next=10"
	request := func(change func(*http.Request)) Facts {
		r := httptest.NewRequest(http.MethodPost, "/v1/models/sentiment:predict?user=u-123456", nil)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "bench/1.0")
		change(r)
		return FromRequest(r)
	}
	cookies := func(p *Policy) Facts {
		h := http.Header{}
		p.SetCookies(h, p.Pick(request(func(*http.Request) {}), random(1)), false)
		return request(func(r *http.Request) {
			r.Header.Set("Cookie", "_ga=GA1.1.1234567890.1234567890; theme=dark")
			for _, c := range (&http.Response{Header: h}).Cookies() {
				r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
			}
		})
	}
	unit := func(from string) func(*Spec, *Options) {
		return func(s *Spec, _ *Options) { s.Sticky.Unit = from }
	}
	header := request(func(r *http.Request) { r.Header.Set("X-User-Id", "8d3a0c9e-41f2-4b8b-9a63-1f0e5d7c2b10") })
	signed, plain := policy(tb, shares, signedCookie), policy(tb, shares, plainCookie)
	matched := policy(tb, shares, func(s *Spec, _ *Options) {
		s.Match = []Rule{{Variant: "next", Cookie: "beta", Present: true}, {Variant: "canary", Header: "X-User-Id", Regex: "^8d3a"}}
	})
	return []scene{
		{"header", policy(tb, shares), header},
		{"query", policy(tb, shares, unit("query:user")), header},
		{"client", policy(tb, shares, unit("client")), header},
		{"no unit", policy(tb, shares, func(s *Spec, _ *Options) { s.Sticky = nil }), header},
		{"signed cookie", signed, cookies(signed)},
		{"plain cookie", plain, cookies(plain)},
		{"new visitor", signed, header},
		{"matched", matched, header},
		{"one variant", policy(tb, "stable=1"), header},
	}
}

func TestPickingAllocatesNothing(t *testing.T) {
	r := random(1)
	for _, s := range scenes(t) {
		var written [MaxUnit]byte
		got := testing.AllocsPerRun(100, func() {
			c := s.policy.Pick(s.facts, r)
			second := s.policy.PickAmong(c, SetOf(c.Variant))
			if Bucket(s.policy.AppendUnit(written[:0], c.Unit)) >= Buckets || second.Variant == c.Variant {
				t.Fatal(c)
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", s.name, got)
		}
	}
}

// BenchmarkPickManyUnits asks for another unit each time, so that no branch is foretold.
func BenchmarkPickManyUnits(b *testing.B) {
	s := scenes(b)[0]
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	names := make([][]string, 4096)
	for i := range names {
		names[i] = []string{fmt.Sprintf("8d3a0c9e-41f2-4b8b-9a63-%012x", i)}
	}
	f := FromRequest(r)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		r.Header["X-User-Id"] = names[i%len(names)]
		s.policy.Pick(f, nil)
		i++
	}
}

func BenchmarkPick(b *testing.B) {
	for _, s := range scenes(b) {
		b.Run(s.name, func(b *testing.B) {
			r := random(1)
			b.ReportAllocs()
			for b.Loop() {
				s.policy.Pick(s.facts, r)
			}
		})
	}
}

func BenchmarkPickAmong(b *testing.B) {
	s := scenes(b)[0]
	c := s.policy.Pick(s.facts, nil)
	b.ReportAllocs()
	for b.Loop() {
		s.policy.PickAmong(c, SetOf(c.Variant))
	}
}

func BenchmarkAppendUnit(b *testing.B) {
	s := scenes(b)[0]
	c := s.policy.Pick(s.facts, nil)
	var written [MaxUnit]byte
	b.ReportAllocs()
	for b.Loop() {
		s.policy.AppendUnit(written[:0], c.Unit)
	}
}

func BenchmarkBucket(b *testing.B) {
	written := []byte("ba445b4a62616bc9ed2f526d69383241")
	b.ReportAllocs()
	for b.Loop() {
		Bucket(written)
	}
}
