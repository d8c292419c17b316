package traffic

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of a spec.
const (
	maxRules = 100
	maxRegex = 1000 // bytes
	maxName  = 100  // bytes of the name of a header, cookie or parameter
)

// Check tells every mistake in s, as Problems, given the names of the service's variants. Those are checked by who names them.
func (s *Spec) Check(variants []string) error {
	var all Problems
	all.check(len(variants) > maxVariants, "weights", fmt.Sprintf("the service has %d variants", len(variants)),
		fmt.Sprintf("keep to %d", maxVariants))
	all.weights("weights", s.FileWeights(variants), variants)
	if s.Sticky != nil {
		all.sticky(s.Sticky)
	}
	all.check(len(s.Match) > maxRules, "match", fmt.Sprintf("there are %d rules", len(s.Match)), fmt.Sprintf("keep to %d", maxRules))
	for i := range s.Match {
		all.rule(fmt.Sprintf("match[%d]", i), &s.Match[i], variants)
	}
	return all.err()
}

// Check tells every mistake in weights that are meant for the given variants, as Problems with fields like weights.canary.
func (w Weights) Check(variants []string) error {
	var all Problems
	all.weights("weights", w, variants)
	return all.err()
}

// check adds a problem when bad is true.
func (p *Problems) check(bad bool, field, message, hint string) {
	if bad {
		*p = append(*p, Problem{field, message, hint})
	}
}

func (p *Problems) weights(at string, w Weights, variants []string) {
	if len(w) == 0 {
		p.check(true, at, fmt.Sprintf("the service has %d variants and no weights", len(variants)),
			"give the share of each, like {stable: 80, canary: 20}")
		return
	}
	var percent, plain string
	any := false
	for _, name := range slices.Sorted(maps.Keys(w)) {
		weight := w[name]
		p.check(!slices.Contains(variants, name), at+field(name), fmt.Sprintf("there is no variant %.80q", name),
			"known here: "+strings.Join(variants, ", "))
		switch {
		case weight.percent:
			percent = cmp.Or(percent, name)
		case !weight.IsZero():
			plain = cmp.Or(plain, name)
		}
		any = any || !weight.IsZero()
	}
	p.check(!any, at, "every weight is 0: nobody would answer", "give at least one variant a weight above 0")
	p.check(percent != "" && plain != "", at,
		fmt.Sprintf("%v for %s is a percentage and %v for %s is not", w[percent], percent, w[plain], plain),
		"write all weights with % or none: 20% is 0.2")
}

var plainKey = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// field writes a key behind its parent's path.
func field(key string) string {
	if plainKey.MatchString(key) {
		return "." + key
	}
	return fmt.Sprintf("[%.80q]", key)
}

func (p *Problems) sticky(s *Sticky) {
	p.check(s.Cookie == "" && s.Unit == "", "sticky", "nothing says who is who",
		"give a unit like header:X-User-Id, or a cookie for the server to set, or both")
	switch from := parseSource(s.Unit); {
	case s.Unit == "":
	case from.kind == fromClient && s.Unit == fromClient:
	case !slices.Contains([]string{fromHeader, fromCookie, fromQuery}, from.kind):
		p.check(true, "sticky.unit", fmt.Sprintf("%.80q names no unit", s.Unit), "write header:NAME, cookie:NAME, query:NAME or client")
	default:
		p.name("sticky.unit", from)
		p.check(from.kind == fromCookie && (from.name == s.Cookie || from.name == s.Cookie+ticketSuffix), "sticky.unit",
			"this is the sticky cookie itself, which the server sets", "leave unit out, or name the cookie of your own that tells the user")
	}
	if s.Cookie != "" {
		p.name("sticky.cookie", source{fromCookie, s.Cookie})
		p.check(strings.HasPrefix(s.Cookie, "__"), "sticky.cookie", fmt.Sprintf("browsers bind conditions to names like %.80q", s.Cookie),
			"choose a name without __ in front")
	}
	switch s.Mode {
	case ModeSigned:
	case ModePlain:
		p.check(s.Cookie == "", "sticky.cookie", "mode plain keeps the variant in a cookie, and none is named", "name one, or remove the mode")
	default:
		p.check(true, "sticky.mode", fmt.Sprintf("%.80q is no mode", s.Mode), "write signed or plain")
	}
	p.check(s.MaxAge < time.Second || s.MaxAge > maxMaxAge, "sticky.maxAge", fmt.Sprintf("%v is out of range", s.MaxAge), "give 1s to 400d")
	p.check(s.Record != RecordHashed && s.Record != RecordPlain, "sticky.record",
		fmt.Sprintf("%.80q is no way to write down a unit", s.Record), "write hashed or plain")
}

// token is what names of headers and cookies are made of (RFC 9110, section 5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (p *Problems) name(field string, s source) {
	switch {
	case s.name == "":
		p.check(true, field, "the "+s.kind+" has no name", "give one")
	case len(s.name) > maxName:
		p.check(true, field, fmt.Sprintf("the name of the %s has %d bytes", s.kind, len(s.name)), fmt.Sprintf("keep to %d", maxName))
	case s.kind != fromQuery && !token.MatchString(s.name):
		p.check(true, field, fmt.Sprintf("%.80q is no name of a %s", s.name, s.kind), "use letters, digits and dashes")
	}
}

func (p *Problems) rule(at string, r *Rule, variants []string) {
	p.check(!slices.Contains(variants, r.Variant), at+".variant", fmt.Sprintf("there is no variant %.80q", r.Variant),
		"known here: "+strings.Join(variants, ", "))
	from, sources := r.source()
	tests := 0
	for _, given := range []bool{r.Exact != "", r.Prefix != "", r.Regex != "", r.Present} {
		if given {
			tests++
		}
	}
	if sources != 1 || tests != 1 {
		p.check(true, at, fmt.Sprintf("%d of header, cookie and query are given, and %d of exact, prefix, regex and present", sources, tests),
			"give one of each that is not empty, like header: X-Canary, exact: \"1\"; for one or another, write two rules")
	}
	if sources == 1 {
		p.name(at+"."+from.kind, from)
	}
	if len(r.Regex) > maxRegex {
		p.check(true, at+".regex", fmt.Sprintf("the expression has %d bytes", len(r.Regex)), fmt.Sprintf("keep to %d", maxRegex))
	} else if _, err := regexp.Compile(r.Regex); err != nil {
		p.check(true, at+".regex", err.Error(), "write a regular expression of RE2: https://github.com/google/re2/wiki/Syntax")
	}
}

// source returns what the rule looks at, and how many such things it names.
func (r *Rule) source() (from source, given int) {
	for _, s := range []source{{fromHeader, r.Header}, {fromCookie, r.Cookie}, {fromQuery, r.Query}} {
		if s.name != "" {
			from = parseSource(s.kind + ":" + s.name)
			given++
		}
	}
	return from, given
}

// compileRules compiles rules that were checked.
func compileRules(rules []Rule, variants []string) []rule {
	out := make([]rule, len(rules))
	for i, r := range rules {
		out[i].from, _ = r.source()
		out[i].variant = slices.Index(variants, r.Variant)
		switch {
		case r.Exact != "":
			out[i].how, out[i].text = matchExact, r.Exact
		case r.Prefix != "":
			out[i].how, out[i].text = matchPrefix, r.Prefix
		case r.Regex != "":
			out[i].how, out[i].regex = matchRegex, regexp.MustCompile(r.Regex)
		}
	}
	return out
}
