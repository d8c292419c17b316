// Package traffic decides which variant of a service answers a request, and with what probability it was chosen.
//
// It is pure: the same request, policy and random numbers give the same choice. A policy knows no health: whoever asks a variant and
// gets no answer takes a second choice with PickAmong.
//
// A choice is made of the first of these that applies:
//
//  1. A match rule on a header, a cookie or the query.
//  2. In sticky mode plain, the name in the cookie, while that variant has a weight above 0.
//  3. The weights, by weighted rendezvous hashing of the request's unit; see race.
//
// The unit is told by the request (a header, say), else kept in the sticky cookie, else made up for this one request. Where a unit
// goes holds for an epoch: a new epoch has another salt and draws everyone afresh.
package traffic

import "math/bits"

// Variant is a way to answer, and its weight.
type Variant struct {
	Name   string
	Weight Weight
}

// Reason says why a choice is what it is. Its text is that of the decision record.
type Reason uint8

// The reasons that this package gives.
const (
	ByWeights  Reason = iota // drawn by the weights, now or when the cookie was set
	ByMatch                  // a match rule names the variant
	ByFailover               // another choice, as the first could not answer
	ByHand                   // the unit follows a cookie that the server did not set: leave it out of comparisons
)

// String returns weights, match, failover or byHand.
func (r Reason) String() string {
	return [...]string{"weights", "match", "failover", "byHand"}[r]
}

// Random gives uniform random bits. *rand.Rand and the sources of math/rand/v2 do; it need not be safe for concurrent use.
type Random interface{ Uint64() uint64 }

// Set is a set of variants, by their index in the policy.
type Set uint64

// maxVariants is how many variants fit in a Set.
const maxVariants = 64

// SetOf returns the set of the given variants; a Choice without a variant, -1, adds nothing.
func SetOf(variants ...int) Set {
	var s Set
	for _, v := range variants {
		s |= s.bit(v)
	}
	return s
}

// Has tells whether variant is in s.
func (s Set) Has(variant int) bool { return s&s.bit(variant) != 0 }

// bit is the set of one variant; as a negative number it is too large to be in any.
func (Set) bit(variant int) Set { return 1 << uint(variant) }

// Len returns how many variants are in s.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Policy is how one service's traffic is shared, as it holds from one change of weights or epoch to the next. Compile makes it; it is
// never changed and safe for concurrent use.
type Policy struct {
	Service  string
	Epoch    uint32
	Version  uint64    // which weights decided, for the record; nothing here depends on it
	Salt     [16]byte  // of the epoch; see Salt
	Variants []Variant // in the service's order

	keys         *Keys
	from         source  // where the unit is told
	sticky       *Sticky // nil: no cookie, and nothing told
	ticketCookie string
	owner        uint64 // the service, as tickets name it
	rules        []rule
	unitKey      hashKey // the salt
	assign       race
	failover     race
	shares       []float64 // by variant
}

// Choice is one variant for one request.
type Choice struct {
	Variant    int // the index in Policy.Variants; -1: there is none left
	Reason     Reason
	Propensity float64 // the probability with which this choice was really made, above 0 and at most 1; 0 without a variant
	Unit       Unit
	ByHand     bool // the unit follows a cookie that the server did not set, whatever the reason: leave it out of comparisons
	Forged     bool // a signed cookie came that does not verify; it was ignored, and is worth counting

	setsCookie bool
}

// Pick chooses a variant for a request; there always is one. It allocates nothing.
func (p *Policy) Pick(f Facts, random Random) (c Choice) {
	var h held
	if p.plain() {
		h = p.visitPlain(&c, f)
	} else {
		p.visitSigned(&c, f)
	}
	forced := p.match(f)
	if !c.Unit.Known() {
		c.Unit.id = newID(random)
		if forced < 0 && p.cookie() {
			c.Unit.origin, c.setsCookie = sticky, true
		}
	}
	switch {
	case forced >= 0:
		c.Variant, c.Reason, c.Propensity, c.setsCookie = forced, ByMatch, 1, false
	case p.plain():
		p.follow(&c, &h, random)
	default:
		c.Variant, c.Propensity = p.draw(&c.Unit)
	}
	return c
}

// draw assigns a unit by the weights.
func (p *Policy) draw(u *Unit) (variant int, propensity float64) {
	v := p.assign[0].variant
	if len(p.assign) > 1 {
		v = p.assign[p.assign.run(u.hash(p.unitKey), 0)].variant
	}
	return v, p.shares[v]
}

// Share is the probability with which a unit that is drawn now comes to a variant.
func (p *Policy) Share(variant int) float64 { return p.shares[variant] }

// PickAmong makes another choice for the unit of first when the variants in exclude cannot answer: by the weights of those that
// remain, always the same for the same unit and epoch. Variants of weight 0 stay out. The propensity is that of the second choice
// alone, given that it came to one: the variant's share among those that remain. It sets no cookie: the unit stays assigned to its
// first variant.
func (p *Policy) PickAmong(first Choice, exclude Set) Choice {
	c := Choice{Variant: -1, Reason: ByFailover, Unit: first.Unit, ByHand: first.ByHand}
	won := p.failover.run(c.Unit.hash(p.unitKey), exclude)
	if won < 0 {
		return c
	}
	var total uint64
	for i := range p.failover {
		if !exclude.Has(p.failover[i].variant) {
			total += p.failover[i].weight
		}
	}
	c.Variant, c.Propensity = p.failover[won].variant, share(p.failover[won].weight, total)
	return c
}

// Live returns the variants with a weight above 0.
func (p *Policy) Live() Set {
	var s Set
	for i := range p.assign {
		s |= 1 << p.assign[i].variant
	}
	return s
}

// Weights returns the weights of the variants.
func (p *Policy) Weights() Weights {
	w := make(Weights, len(p.Variants))
	for _, v := range p.Variants {
		w[v.Name] = v.Weight
	}
	return w
}

// index returns the index of a variant by name, -1 if there is none.
func (p *Policy) index(name string) int {
	for i := range p.Variants {
		if p.Variants[i].Name == name {
			return i
		}
	}
	return -1
}
