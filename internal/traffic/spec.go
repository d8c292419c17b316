package traffic

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Spec is how a service's traffic is to be shared, as serin.yaml says it.
type Spec struct {
	Weights Weights `yaml:"weights" json:"weights,omitempty" jsonschema_description:"The share of each variant, as decimals like 80, 0.2 or 20%; they need not add up to anything. A variant that is left out gets nobody. May be left out when there is one variant."`
	Sticky  *Sticky `yaml:"sticky" json:"sticky,omitempty" jsonschema_description:"What keeps a user with one variant. Without it each request is drawn on its own."`
	Match   []Rule  `yaml:"match" json:"match,omitempty" jsonschema_description:"Requests that go to a variant whatever the weights say; the first rule that applies wins."`
}

// Sticky says what a unit is and how it stays with its variant: what the request tells, a cookie that the server sets, or the second
// where the first is missing.
type Sticky struct {
	Unit   string        `yaml:"unit" json:"unit,omitempty" jsonschema:"pattern=^(header:.+|cookie:.+|query:.+|client)$,example=header:X-User-Id" jsonschema_description:"Who a request comes from: header:NAME, cookie:NAME, query:NAME or client (the address)."`
	Cookie string        `yaml:"cookie" json:"cookie,omitempty" jsonschema_description:"The cookie that the server sets for who is not told by unit, and for everyone in mode plain."`
	Mode   Mode          `yaml:"mode" json:"mode" jsonschema:"default=signed,enum=signed,enum=plain" jsonschema_description:"What the cookie holds. signed: a random id with a signature. plain: the variant's name, and a second cookie NAME-sig that proves who set it; users may set it by hand and are left out of comparisons."`
	MaxAge time.Duration `yaml:"maxAge" json:"maxAge" jsonschema:"default=30d" jsonschema_description:"How long browsers keep the cookie. 1s to 400d."`
	Record Record        `yaml:"record" json:"record" jsonschema:"default=hashed,enum=hashed,enum=plain" jsonschema_description:"How units are written down. hashed: a keyed hash. plain: as the request tells them."`
}

// Mode is what the sticky cookie holds.
type Mode string

// The modes.
const (
	ModeSigned Mode = "signed" // a random unit id with a signature
	ModePlain  Mode = "plain"  // a variant's name
)

// Record is how units are written down.
type Record string

// The ways to write down units.
const (
	RecordHashed Record = "hashed" // as a keyed hash
	RecordPlain  Record = "plain"  // as the request tells them
)

// DefaultMaxAge is how long browsers keep the cookie unless told otherwise; at most maxMaxAge, which is where browsers stop too.
const (
	DefaultMaxAge = 30 * 24 * time.Hour
	maxMaxAge     = 400 * 24 * time.Hour
)

// SetDefaults is what a Sticky holds before the file says otherwise.
func (s *Sticky) SetDefaults() {
	*s = Sticky{Mode: ModeSigned, MaxAge: DefaultMaxAge, Record: RecordHashed}
}

// Problem is one mistake in a Spec or in weights.
type Problem struct {
	Field   string // weights.canary, sticky.unit, match[2].regex; relative to the Spec
	Message string // what is wrong
	Hint    string // what to do
}

// String returns "field: what is wrong; what to do".
func (p Problem) String() string { return p.Field + ": " + p.Message + "; " + p.Hint }

// Problems is an error that tells all mistakes. Its kind is fault.Invalid.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error its kind.
func (p Problems) Unwrap() error { return &fault.Error{Kind: fault.Invalid, Message: p.Error()} }

// err returns p as an error, nil if there are no problems.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Options are what a policy needs beside its Spec.
type Options struct {
	Service  string   // part of the salt
	Variants []string // the service's, in its order; their index is what a Choice says
	Epoch    uint32   // the assignment epoch, part of the salt
	Version  uint64   // which weights these are, for the record
	Keys     *Keys
}

// Compile makes a policy. The mistakes of the spec come all at once, as Problems.
func Compile(spec Spec, o Options) (*Policy, error) {
	if o.Keys == nil {
		return nil, fault.Internalf("traffic of the service %q is compiled without keys", o.Service)
	}
	if err := spec.Check(o.Variants); err != nil {
		return nil, err
	}
	p := &Policy{
		Service:  o.Service,
		Variants: make([]Variant, len(o.Variants)),
		keys:     o.Keys,
		owner:    sipText(hashKey{}, o.Service),
		rules:    compileRules(spec.Match, o.Variants),
	}
	for i, name := range o.Variants {
		p.Variants[i].Name = name
	}
	if spec.Sticky != nil {
		s := *spec.Sticky
		p.sticky, p.ticketCookie, p.from = &s, s.Cookie+ticketSuffix, parseSource(s.Unit)
	}
	return p.With(spec.FileWeights(o.Variants), o.Epoch, o.Version)
}

// With returns the same policy with other weights, in another epoch or not. Weights that name no variant, or share nothing, are
// Invalid, as Problems.
func (p *Policy) With(w Weights, epoch uint32, version uint64) (*Policy, error) {
	names := make([]string, len(p.Variants))
	for i := range names {
		names[i] = p.Variants[i].Name
	}
	if err := w.Check(names); err != nil {
		return nil, err
	}
	q := *p
	q.Epoch, q.Version, q.Salt = epoch, version, Salt(p.Service, epoch)
	q.Variants, q.shares = slices.Clone(p.Variants), make([]float64, len(names))
	q.unitKey, q.assign, q.failover = keyOf(q.Salt[:]), nil, nil
	for i, name := range names {
		weight := w[name]
		q.Variants[i].Weight, q.shares[i] = weight, w.Share(name)
		if !weight.IsZero() {
			q.assign = append(q.assign, runner{variantKey(purposeAssign, q.Salt, name), weight.billionths, i})
			q.failover = append(q.failover, runner{variantKey(purposeFailover, q.Salt, name), weight.billionths, i})
		}
	}
	for _, r := range []race{q.assign, q.failover} {
		slices.SortStableFunc(r, func(a, b runner) int { return cmp.Compare(b.weight, a.weight) })
	}
	return &q, nil
}

// FileWeights are the weights that hold when nothing above the file does: those of the spec, or all for a service's only variant.
func (s *Spec) FileWeights(variants []string) Weights {
	if len(s.Weights) == 0 && len(variants) == 1 {
		return Weights{variants[0]: {billionths: 1e9}}
	}
	return s.Weights
}
