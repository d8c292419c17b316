package traffic

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

// visit makes a request with the jar's cookies and puts those of the answer into it.
func (f facts) visit(p *Policy, r Random) Choice {
	c := p.Pick(f, r)
	h := http.Header{}
	p.SetCookies(h, c, false)
	for _, cookie := range (&http.Response{Header: h}).Cookies() {
		f["cookie:"+cookie.Name] = cookie.Value
	}
	return c
}

func TestCookiesHaveTheRightAttributes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		secure bool
		want   []string
	}{
		{"signed", false, []string{"sid=V; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"}},
		{"signed", true, []string{"sid=V; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"}},
		{"plain", true, []string{"sid=stable; Path=/; Max-Age=90; HttpOnly; SameSite=Lax; Secure", "sid-sig=V; Path=/; Max-Age=90; HttpOnly; SameSite=Lax; Secure"}},
	} {
		p := policy(t, "stable=1", signedCookie, func(s *Spec, _ *Options) {
			if tt.name == "plain" {
				s.Sticky.Mode, s.Sticky.MaxAge = ModePlain, 90*time.Second
			}
		})
		h := http.Header{}
		p.SetCookies(h, p.Pick(facts{}, random(1)), tt.secure)
		got := h["Set-Cookie"]
		for i, line := range got {
			name, value, _ := strings.Cut(line, "=")
			value, rest, _ := strings.Cut(value, ";")
			if len(value) == unitText || len(value) == ticketText {
				value = "V"
			}
			got[i] = name + "=" + value + ";" + rest
		}
		if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

func TestASignedCookieKeepsItsUnitAndNoVariant(t *testing.T) {
	p := policy(t, "stable=50 canary=50", signedCookie)
	r := random(1)
	for range 50 {
		jar := facts{}
		first := jar.visit(p, r)
		if !first.Unit.Known() || first.ByHand || first.Forged || first.Propensity != 0.5 {
			t.Fatalf("%+v", first)
		}
		again := p.Pick(jar, r)
		if again.Variant != first.Variant || again.Unit != first.Unit || again.setsCookie {
			t.Fatalf("%+v after %+v", again, first)
		}
		if u, ok := p.UnitOf(jar); !ok || u != first.Unit {
			t.Fatalf("the unit is %v %t", u, ok)
		}
		zero := reweigh(t, p, "stable=1 canary=0").Pick(jar, r)
		if zero.Variant != 0 || zero.Propensity != 1 || zero.Unit != first.Unit {
			t.Fatalf("%+v at weight 0", zero)
		}
	}
	if u, ok := p.UnitOf(facts{}); ok || u.Known() {
		t.Error("a request without a cookie has a unit")
	}
}

func TestASignedCookieHoldsForEveryServiceOfItsName(t *testing.T) {
	p := policy(t, "a=50 b=50", signedCookie)
	q := policy(t, "a=50 b=50", signedCookie, func(_ *Spec, o *Options) { o.Service = "movies" })
	jar := facts{}
	first := jar.visit(p, random(1))
	if c := q.Pick(jar, random(2)); c.Unit != first.Unit || c.setsCookie {
		t.Errorf("%+v", c)
	}
	other := policy(t, "a=50 b=50", signedCookie, func(s *Spec, _ *Options) { s.Sticky.Cookie = "uid" })
	if c := other.Pick(facts{"cookie:uid": jar["cookie:sid"]}, random(2)); !c.Forged || c.Unit == first.Unit {
		t.Errorf("a cookie of another name counts: %+v", c)
	}
}

func TestAnOldKeyVerifiesAndTheCookieIsSignedAnew(t *testing.T) {
	for _, change := range []func(*Spec, *Options){signedCookie, plainCookie} {
		ring := func(secrets ...string) func(*Spec, *Options) {
			return func(_ *Spec, o *Options) { o.Keys = testKeys(t, secrets...) }
		}
		before := policy(t, "a=50 b=50", change, ring(firstSecret))
		both := policy(t, "a=50 b=50", change, ring(secondSecret, firstSecret))
		after := policy(t, "a=50 b=50", change, ring(secondSecret))
		jar := facts{}
		first := jar.visit(before, random(1))
		if c := after.Pick(jar, random(2)); c.Unit == first.Unit {
			t.Error("a cookie counts whose key is gone")
		}
		if c := jar.visit(both, random(3)); c.Unit != first.Unit || c.Variant != first.Variant || !c.setsCookie {
			t.Errorf("%+v after %+v", c, first)
		}
		if c := after.Pick(jar, random(4)); c.Unit != first.Unit || c.Variant != first.Variant || c.setsCookie || c.Propensity != 0.5 {
			t.Errorf("%+v after %+v", c, first)
		}
	}
}

func TestNoTamperedCookieCounts(t *testing.T) {
	p := policy(t, "a=1 b=1", signedCookie)
	q := policy(t, "a=1 b=1", plainCookie)
	jar := facts{}
	jar.visit(p, random(1))
	jar.visit(q, random(1))
	unit, variant, sig := jar["cookie:sid"], jar["cookie:model-service-version"], jar["cookie:model-service-version-sig"]
	if c := q.Pick(jar, random(1)); c.ByHand || c.setsCookie {
		t.Fatalf("the untouched cookie: %+v", c)
	}
	tampered := 0
	try := func(unit, sig string) {
		tampered++
		if c := p.Pick(facts{"cookie:sid": unit}, random(2)); unit != "" && !c.Forged || !c.setsCookie {
			t.Errorf("%q: %+v", unit, c)
		}
		if c := q.Pick(facts{"cookie:model-service-version": variant, "cookie:model-service-version-sig": sig}, random(2)); !c.ByHand || c.Reason != ByHand {
			t.Errorf("%q: %+v", sig, c)
		}
	}
	change := func(text string, bit int) string { // of the bytes, so that every text is base64url
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		b[bit/8%len(b)] ^= 1 << (bit % 8)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	for bit := range (ticketBody + macSize) * 8 {
		try(change(unit, bit), change(sig, bit))
	}
	for n := range ticketText {
		try(unit[:min(n, len(unit)-1)], sig[:n])
		try(unit+strings.Repeat("A", n+1), sig+strings.Repeat("A", n+1))
	}
	try(sig, unit)
	try(strings.ToUpper(unit), strings.ToUpper(sig))
	padded, _ := base64.RawURLEncoding.DecodeString(unit)
	try(base64.StdEncoding.EncodeToString(padded)+"=", sig[1:]+"=")
	t.Logf("%d tampered cookies", tampered)
}

func TestAMatchedRequestSetsNoCookieNotEvenWithANewKey(t *testing.T) {
	for _, change := range []func(*Spec, *Options){signedCookie, plainCookie} {
		before := policy(t, "a=1 b=0", change)
		after := policy(t, "a=1 b=0", change, func(s *Spec, o *Options) {
			o.Keys = testKeys(t, secondSecret, firstSecret)
			s.Match = []Rule{{Variant: "b", Header: "X-B", Present: true}}
		})
		jar := facts{"header:X-B": "1"}
		first := jar.visit(before, random(1))
		h := http.Header{}
		c := after.Pick(jar, random(2))
		if after.SetCookies(h, c, true); len(h) != 0 || c.Reason != ByMatch || c.Unit != first.Unit {
			t.Errorf("%+v sets %v", c, h)
		}
	}
}

// What follows is mode plain.

func TestATicketWithAFlagOfALaterVersionProvesNothing(t *testing.T) {
	k := testKeys(t)
	body, err := base64.RawURLEncoding.DecodeString(string(k.appendTicket(nil, ticket{propensity: 1}, "sid", "a")))
	if err != nil {
		t.Fatal(err)
	}
	for flags, want := range []bool{true, true, false, false} {
		body[1] = byte(flags)
		signed := k.sign(body[:ticketBody:ticketBody], ticketMessage(nil, body[:ticketBody], "sid", "a"))
		if got, ok, _ := k.parseTicket(base64.RawURLEncoding.EncodeToString(signed), "sid", "a"); ok != want || got.byHand != (flags == 1) {
			t.Errorf("flags %d: %+v %t", flags, got, ok)
		}
	}
}

func TestAPlainCookieHoldsTheVariantAndItsPropensity(t *testing.T) {
	p := policy(t, "stable=80 canary=20", plainCookie)
	r := random(1)
	for range 50 {
		jar := facts{}
		first := jar.visit(p, r)
		name := p.Variants[first.Variant].Name
		if jar["cookie:model-service-version"] != name || first.ByHand || first.Reason != ByWeights || !first.Unit.Known() {
			t.Fatalf("%+v, jar %v", first, jar)
		}
		// The weights change, and the choice stays what it was, made with the probability it was made with.
		c := reweigh(t, p, "stable=50 canary=50").Pick(jar, r)
		if c.Variant != first.Variant || c.Propensity != first.Propensity || c.Unit != first.Unit || c.ByHand || c.setsCookie {
			t.Fatalf("%+v after %+v", c, first)
		}
	}
}

func TestAVariantSetByHandIsHonouredAndLeftOut(t *testing.T) {
	p := policy(t, "stable=80 canary=20 next=0", plainCookie)
	r := random(1)
	jar := facts{"cookie:model-service-version": "canary"}
	first := jar.visit(p, r)
	if first.Variant != 1 || !first.ByHand || first.Reason != ByHand || first.Propensity != 1 {
		t.Fatalf("%+v", first)
	}
	again := jar.visit(p, r)
	if again != (Choice{Variant: 1, Reason: ByHand, Propensity: 1, Unit: first.Unit, ByHand: true}) {
		t.Errorf("the unit's mark is not kept: %+v", again)
	}
	next, err := p.With(p.Weights(), 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c := next.Pick(jar, r); c.Variant != 1 || !c.ByHand {
		t.Errorf("in the next epoch: %+v", c)
	}
	if second := p.PickAmong(again, SetOf(1)); !second.ByHand || second.Reason != ByFailover || second.Variant != 0 || second.Propensity != 1 {
		t.Errorf("failing over: %+v", second)
	}
	for _, value := range []string{"next", "gone", "garbage", "STABLE"} { // no variant with a weight: drawn, and marked all the same
		jar := facts{"cookie:model-service-version": value}
		c := jar.visit(p, r)
		if !c.ByHand || c.Reason != ByHand || c.Propensity != p.shares[c.Variant] || jar["cookie:model-service-version"] != p.Variants[c.Variant].Name {
			t.Errorf("%s: %+v, jar %v", value, c, jar)
		}
		if again := jar.visit(p, r); again.Variant != c.Variant || !again.ByHand || again.Propensity != c.Propensity || again.Unit != c.Unit {
			t.Errorf("%s: %+v after %+v", value, again, c)
		}
	}
}

func TestChangingTheServersValueByHandIsSeen(t *testing.T) {
	p := policy(t, "stable=80 canary=20", plainCookie)
	for seed := range uint64(20) {
		jar := facts{}
		first := jar.visit(p, random(seed))
		jar["cookie:model-service-version"] = p.Variants[1-first.Variant].Name
		if c := jar.visit(p, random(seed+100)); !c.ByHand || c.Variant == first.Variant || c.Unit == first.Unit {
			t.Fatalf("%+v after %+v", c, first)
		}
		jar["cookie:model-service-version"] = p.Variants[first.Variant].Name // back again: too late
		if c := jar.visit(p, random(seed+200)); !c.ByHand {
			t.Fatalf("%+v", c)
		}
	}
}

func TestATicketOfAnotherServiceEpochOrUserIsDrawnAfresh(t *testing.T) {
	p := policy(t, "a=50 b=50", plainCookie, func(s *Spec, _ *Options) { s.Sticky.Unit = "header:X-User-Id" })
	next, err := p.With(p.Weights(), 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	movies := policy(t, "a=50 b=50", plainCookie, func(_ *Spec, o *Options) { o.Service = "movies" })
	var moved [3]int
	for i := range 400 {
		jar := user("first")
		if i%2 == 0 {
			delete(jar, "header:X-User-Id")
		}
		first := jar.visit(p, random(uint64(i)))
		if first.ByHand {
			t.Fatal("by hand")
		}
		name := jar["cookie:model-service-version"]
		for k, other := range []*Policy{next, movies, p} {
			request := facts{"cookie:model-service-version": name, "cookie:model-service-version-sig": jar["cookie:model-service-version-sig"]}
			if i%2 == 1 {
				request["header:X-User-Id"] = "first"
			}
			if other == p {
				request["header:X-User-Id"] = "user-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			}
			c := request.visit(other, random(uint64(i)+1000))
			if c.ByHand || c.Propensity != 0.5 || !c.setsCookie {
				t.Fatalf("%+v", c)
			}
			if c.Variant != first.Variant {
				moved[k]++
			}
		}
	}
	t.Logf("of 400 moved to the next epoch %d, to another service %d, to another user %d", moved[0], moved[1], moved[2])
	for k, n := range moved {
		// Half of 200 to 400 independent draws, five standard deviations. Where the header tells the unit, all odd ones are one unit.
		if n < 50 || n > 350 {
			t.Errorf("%d: %d moved", k, n)
		}
	}
}

func TestPlainUnitsOfAVariantAtZeroAreDrawnByChance(t *testing.T) {
	// b leads to 0; of those that were on b, the others get exactly their new share, though the shares of a and c have changed as well:
	// the hash that sent a unit to b would not give that.
	p := policy(t, "a=10 b=80 c=10", plainCookie)
	q := reweigh(t, p, "a=80 b=0 c=20")
	r := random(5)
	counts := table(1, 3)
	for range 200_000 {
		jar := facts{}
		if first := jar.visit(p, r); first.Variant != 1 {
			continue
		}
		c := q.Pick(jar, r)
		counts[0][c.Variant]++
		if c.ByHand || !c.setsCookie || c.Propensity != q.shares[c.Variant] {
			t.Fatalf("%+v", c)
		}
	}
	independentOf(t, "redrawn", q, counts)
}

func TestCookiesOfTheOtherModeAreNobodysMistake(t *testing.T) {
	signed := policy(t, "a=50 b=50", signedCookie)
	plain := policy(t, "a=50 b=50", signedCookie, func(s *Spec, _ *Options) { s.Sticky.Mode = ModePlain })
	jar := facts{}
	first := jar.visit(signed, random(1))
	second := jar.visit(plain, random(2))
	if second.ByHand || second.Unit != first.Unit || second.Variant != first.Variant {
		t.Errorf("%+v after %+v", second, first)
	}
	if c := jar.visit(signed, random(3)); c.Forged {
		t.Errorf("%+v", c)
	}
	if c := signed.Pick(jar, random(4)); c.setsCookie || c.Forged {
		t.Errorf("%+v", c)
	}
}
