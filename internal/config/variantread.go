package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// kinds are the keys that say what a variant is.
const kinds = "model, upstream, instances or static"

// spellOut makes the variant that a service's own upstream, instances or static are short for.
func spellOut(doc *strictyaml.Doc, at string, s *Service) {
	given := 0
	for _, k := range []string{"variants", "upstream", "instances", "static"} {
		if doc.Has(at + "." + k) {
			given++
		}
	}
	switch {
	case given == 0:
		doc.Problem(at+".variants", "this key is missing", `give variants, like [{model: "models:/NAME@champion"}], or one of upstream, instances and static`)
		return
	case given > 1:
		doc.Problem(at, "more than one of variants, upstream, instances and static is given", "keep one; several variants stand in variants")
		return
	case doc.Has(at + ".variants"):
		if len(s.Variants) == 0 {
			doc.Problem(at+".variants", "a service needs a variant", `give one, like [{model: "models:/NAME@champion"}]`)
		}
		return
	}
	var v Variant
	v.SetDefaults()
	v.Upstream, v.Instances, v.Static = s.Upstream, s.Instances, s.Static
	s.Variants = []Variant{v}
}

// variantReader checks one variant.
type variantReader struct {
	doc     *strictyaml.Doc
	at      string // of the variant, or of the service that it is short for
	service *Service
	to      Upstreams
}

func (r variantReader) tell(key, message, hint string) { r.doc.Problem(r.at+key, message, hint) }

func checkVariants(doc *strictyaml.Doc, at string, s *Service, to Upstreams) {
	if !doc.Has(at + ".variants") {
		for i := range s.Variants { // one, or none
			variantReader{doc, at, s, to}.check(&s.Variants[i])
		}
		return
	}
	if len(s.Variants) > maxVariants {
		doc.Problem(at+".variants", fmt.Sprintf("there are %d variants", len(s.Variants)), fmt.Sprintf("keep to %d", maxVariants))
		return
	}
	named := map[string]bool{}
	for i := range s.Variants {
		v := &s.Variants[i]
		here := fmt.Sprintf("%s.variants[%d]", at, i)
		checkName(doc, here+".name", v.Name)
		if named[v.Name] || v.Name == "fallback" {
			doc.Problem(here+".name", fmt.Sprintf("the name %q is taken", v.Name), "name each variant differently")
		}
		named[v.Name] = true
		variantReader{doc, here, s, to}.check(v)
	}
}

func (r variantReader) check(v *Variant) {
	var given []string
	for _, k := range []string{"model", "upstream", "instances", "static"} {
		if r.doc.Has(r.at + "." + k) {
			given = append(given, k)
		}
	}
	switch {
	case len(given) == 0:
		r.tell(".model", "this key is missing", "say what answers: "+kinds)
		return
	case len(given) > 1:
		r.tell("."+given[1], fmt.Sprintf("the variant has %s too, and answers one way", given[0]), "keep one of "+kinds)
		return
	}
	if v.Version != "" && !printable.MatchString(v.Version) || r.doc.Has(r.at+".version") && v.Version == "" {
		r.tell(".version", fmt.Sprintf("%.80q is no version", v.Version), "give 1 to 200 printable characters, no spaces")
	}
	switch given[0] {
	case "model":
		r.model(v)
	case "static":
		r.static(v)
	default:
		r.upstream(v, given[0])
	}
}

// upstreamKeys are those that only an upstream variant has.
var upstreamKeys = []string{
	"dialect", "upstreamModel", "signature", "hostHeader", "headers", "tls", "connectTimeout", "idleTimeout", "resolve", "maxFails", "failTimeout",
	"health", "outlier", "breaker", "retry",
}

// without tells that keys are given that the variant has no use for.
func (r variantReader) without(what string, keys ...string) {
	for _, k := range keys {
		if r.doc.Has(r.at + "." + k) {
			r.tell("."+k, what+" has no "+k, "remove it")
		}
	}
}

func (r variantReader) model(v *Variant) {
	r.without("a model", append([]string{"version"}, upstreamKeys...)...)
	if _, err := registry.ParseRef(v.Model); err != nil {
		r.tell(".model", fmt.Sprintf("%.80q names no version of a model", v.Model), "write models:/NAME@ALIAS, models:/NAME/3 or NAME; names are lower case")
	}
	if r.service.Fronts() {
		r.tell(".model", "a service with host or path passes requests on as they are, and a model cannot answer those",
			"remove host and path: clients call the service by its name in any protocol, or by routes; or give the model a service of its own")
	}
}

func (r variantReader) static(v *Variant) {
	r.without("a folder", upstreamKeys...)
	if v.Static == "" || len(v.Static) > maxPath || strings.ContainsRune(v.Static, 0) {
		r.tell(".static", "this is no path of a folder", "write it like ./web")
	}
	r.passed(".static", "folder", "")
}

// passed tells that a variant that only passes requests on is in a service that needs more, or where nobody can reach it. Or is what else
// would help.
func (r variantReader) passed(key, what, or string) {
	if !r.service.Fronts() {
		r.tell(key, "nobody can reach this "+what+": the service has neither host nor path", "give the service path or host"+or)
	}
	if len(r.service.Routes) > 0 {
		r.tell(key, "the service has routes, which ask for predictions, and this "+what+" gives none", "remove routes"+or)
	}
}

// Bounds of variants.
const (
	maxVariants   = 64
	maxInstances  = 256
	maxConnecting = time.Minute
	maxSpan       = time.Hour
	minEvery      = 100 * time.Millisecond
	maxFailing    = 1_000_000
)

var printable = regexp.MustCompile(`^[!-~]{1,200}$`)

func (r variantReader) upstream(v *Variant, kind string) {
	encryption := r.urls(v, kind)
	if !slices.Contains([]string{"", "seldon", "v2", "v1", "mlflow"}, v.Dialect) || v.Dialect == "" && r.doc.Has(r.at+".dialect") {
		r.tell(".dialect", fmt.Sprintf("%.40q is no dialect of an upstream", v.Dialect), "write seldon, v2, v1 or mlflow, or remove it: requests are then passed on as they are")
	} else if v.Dialect == "" {
		r.passed("."+kind, "upstream", ", or say by dialect how the upstream is asked for predictions")
		r.without("an upstream without dialect", "upstreamModel", "signature")
	}
	if v.UpstreamModel != "" && !printable.MatchString(v.UpstreamModel) {
		r.tell(".upstreamModel", fmt.Sprintf("%.80q is no name", v.UpstreamModel), "give 1 to 200 printable characters, no spaces")
	}
	r.signature(v.Signature)
	if !hostHeader.MatchString(v.HostHeader) {
		r.tell(".hostHeader", fmt.Sprintf("%.80q is no host", v.HostHeader), "write client, upstream, or a name like movies.internal")
	}
	checkHeaders(r.doc, r.at+".headers", v.Headers, ofRequests)
	r.tls(v.TLS, encryption)
	r.span(".connectTimeout", v.ConnectTimeout, 1, maxConnecting, "more than 0 and at most 1m")
	r.span(".idleTimeout", v.IdleTimeout, 1, maxSpan, "more than 0 and at most 1h")
	r.span(".failTimeout", v.FailTimeout, 1, maxSpan, "more than 0 and at most 1h")
	if v.Resolve != 0 {
		r.span(".resolve", v.Resolve, time.Second, maxSpan, "1s to 1h, or 0s to look names up whenever a connection is opened")
	}
	inRange(r.doc, r.at+".maxFails", v.MaxFails, 0, maxFailing)
	r.health(v.Health)
	r.outlier(v.Outlier)
	inRange(r.doc, r.at+".breaker.maxConnections", v.Breaker.MaxConnections, 1, maxConnections)
	inRange(r.doc, r.at+".breaker.maxPendingRequests", v.Breaker.MaxPendingRequests, 1, maxConnections)
	inRange(r.doc, r.at+".breaker.maxRequests", v.Breaker.MaxRequests, 1, maxConnections)
	inRange(r.doc, r.at+".retry.attempts", v.Retry.Attempts, 1, 10)
}

var hostHeader = regexp.MustCompile(`^[a-zA-Z0-9.:_-]{1,255}$`)

// urls checks the instances, and tells whether TLS is spoken with one of them.
func (r variantReader) urls(v *Variant, kind string) (encryption bool) {
	urls := v.URLs()
	if n := len(v.Instances); kind == "instances" && (n == 0 || n > maxInstances) {
		r.tell(".instances", fmt.Sprintf("%d instances are given", n), fmt.Sprintf("give 1 to %d", maxInstances))
		return true
	}
	if kind == "upstream" {
		urls = []string{v.Upstream}
	}
	seen, first, path := map[string]int{}, "", ""
	for i, u := range urls {
		key := "." + kind
		if kind == "instances" {
			key = fmt.Sprintf(".instances[%d]", i)
		}
		a, err := readAddress(u)
		if err != nil {
			r.tell(key, err.Error(), fault.HintOf(err))
			continue
		}
		encryption = encryption || encrypted(a.scheme)
		if a.path != "" && v.Dialect == "" {
			r.tell(key, "this URL has a path", "remove it; what stands in place of the service's path is said by rewrite")
			continue
		}
		if first != "" && a.path != path {
			r.tell(key, "this instance has another path than the first one", "instances stand in for each other: give all the same path, or none")
		}
		if first == "" {
			first, path = a.scheme, a.path
		} else if multiplexed(first) != multiplexed(a.scheme) {
			r.tell(key, fmt.Sprintf("this instance speaks %s, and the first one %s", a.scheme, first), "instances stand in for each other: let all speak HTTP/2 (h2c, h2, grpc, grpcs), or none")
		}
		if before, twice := seen[a.key]; twice {
			r.tell(key, fmt.Sprintf("%s is there already, as entry %d", a.text, before+1), "keep one; an instance that is to get more requests is given no more by being there twice")
		} else {
			seen[a.key] = i
		}
		if a.ip.IsValid() {
			if err := proxy.CheckAddress(a.ip, Prefixes(r.to.Allow), Prefixes(r.to.Deny)); err != nil {
				r.tell(key, err.Error(), fault.HintOf(err))
			}
		}
	}
	return encryption || len(seen) < len(urls)
}

func (r variantReader) tls(t *TLS, encryption bool) {
	if t == nil {
		return
	}
	if !encryption {
		r.tell(".tls", "no instance is spoken to over TLS", "write https://, h2:// or grpcs://, or remove tls")
	}
	if t.ServerName != "" && !serverNames.MatchString(t.ServerName) {
		r.tell(".tls.serverName", fmt.Sprintf("%.80q is no name of a server", t.ServerName), "write the name in its certificate, like movies.internal")
	}
	if strings.ContainsRune(t.CA, 0) || len(t.CA) > 4096 {
		r.tell(".tls.ca", "this is no path of a file", "write it like /etc/serin/ca.pem")
	}
}

var serverNames = regexp.MustCompile(`^[a-zA-Z0-9.-]{1,253}$`)

func (r variantReader) signature(s *ModelSignature) {
	if s == nil {
		return
	}
	if len(s.Inputs) == 0 {
		r.tell(".signature.inputs", "there is no input", "name what the model takes, or remove signature")
	}
	for _, side := range []struct {
		key  string
		list []TensorSpec
	}{{".signature.inputs", s.Inputs}, {".signature.outputs", s.Outputs}} {
		named := map[string]bool{}
		for i, t := range side.list {
			here := fmt.Sprintf("%s[%d]", side.key, i)
			if t.Name == "" || named[t.Name] || len(t.Name) > maxPath {
				r.tell(here+".name", fmt.Sprintf("%.80q is empty, too long or there twice", t.Name), "name each differently")
			}
			named[t.Name] = true
			if len(t.Shape) == 0 || len(t.Shape) > 8 || slices.ContainsFunc(t.Shape, func(n int) bool { return n < -1 || n > 1<<30 }) {
				r.tell(here+".shape", fmt.Sprintf("%v is no shape", t.Shape), "give 1 to 8 sizes, -1 where any goes, like [-1, 4]")
			} else if last := t.Shape[len(t.Shape)-1]; len(t.Columns) > 0 && last != len(t.Columns) {
				r.tell(here+".columns", fmt.Sprintf("%d columns are named, and the last size is %d", len(t.Columns), last), "name every column, or none")
			}
		}
	}
}

// span tells of a time that is out of range.
func (r variantReader) span(key string, is, from, to time.Duration, hint string) {
	if is < from || is > to {
		r.tell(key, fmt.Sprintf("%v is out of range", is), "give "+hint)
	}
}

func (r variantReader) health(h *Health) {
	if h == nil {
		return
	}
	if err := checkTarget(h.Path); err != nil {
		r.tell(".health.path", err.Error(), fault.HintOf(err))
	}
	r.span(".health.every", h.Every, minEvery, maxSpan, "100ms to 1h")
	r.span(".health.timeout", h.Timeout, 1, h.Every, "more than 0, and at most what every says")
	inRange(r.doc, r.at+".health.healthy", h.Healthy, 1, 1000)
	inRange(r.doc, r.at+".health.unhealthy", h.Unhealthy, 1, 1000)
}

// checkTarget tells what is wrong with a path, with a query or not, that is asked for as it is.
func checkTarget(target string) error {
	if !strings.HasPrefix(target, "/") || len(target) > maxPath || strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' }) {
		return fault.Invalidf("%.80q is no path", target).WithHint("write it as it is asked for, like /healthz")
	}
	return nil
}

func (r variantReader) outlier(o Outlier) {
	at := r.at + ".outlier"
	r.span(".outlier.interval", o.Interval, minEvery, maxSpan, "100ms to 1h")
	r.span(".outlier.baseEjectionTime", o.BaseEjectionTime, 1, maxPer, "more than 0 and at most 24h")
	r.span(".outlier.maxEjectionTime", o.MaxEjectionTime, o.BaseEjectionTime, maxPer, "at least baseEjectionTime, and at most 24h")
	for _, n := range []struct {
		key          string
		is, from, to int
	}{
		{"consecutive5xx", o.Consecutive5xx, 0, maxFailing}, {"consecutiveGatewayFailure", o.ConsecutiveGatewayFailure, 0, maxFailing},
		{"maxEjectionPercent", o.MaxEjectionPercent, 0, 100}, {"enforcingSuccessRate", o.EnforcingSuccessRate, 0, 100},
		{"successRateMinimumHosts", o.SuccessRateMinimumHosts, 1, maxInstances}, {"successRateRequestVolume", o.SuccessRateRequestVolume, 1, 1e9},
		{"successRateStdevFactor", o.SuccessRateStdevFactor, 1, 1e6}, {"enforcingFailurePercentage", o.EnforcingFailurePercentage, 0, 100},
		{"failurePercentageThreshold", o.FailurePercentageThreshold, 1, 100}, {"failurePercentageMinimumHosts", o.FailurePercentageMinimumHosts, 1, maxInstances},
		{"failurePercentageRequestVolume", o.FailurePercentageRequestVolume, 1, 1e9},
	} {
		inRange(r.doc, at+"."+n.key, n.is, n.from, n.to)
	}
}

// inRange tells of a whole number that is out of range.
func inRange(doc *strictyaml.Doc, at string, is, from, to int) {
	if is < from || is > to {
		doc.Problem(at, fmt.Sprintf("%d is out of range", is), fmt.Sprintf("give %d to %d", from, to))
	}
}
