package app

import (
	"maps"
	"net/http"
	"os"
	"slices"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/traffic"
)

// compilePolicy makes what decides who of a service's variants answers whom.
type compilePolicy func(service string, spec traffic.Spec, variants []string) (*traffic.Policy, error)

// makers make the parts of services.
type makers struct {
	compile   compilePolicy
	upstreams *upstreams
}

// made is a service, none of whose models has a version yet.
type made struct {
	variants  []*followed
	upstreams []*upstream
	fresh     []*upstream // of those, the ones that no running service has
}

// drop closes what nobody will use.
func (m *made) drop() {
	for _, u := range m.fresh {
		u.hop.Close()
	}
}

// service makes a service of its settings. Upstreams that run with the same settings are taken over.
func (k makers) service(s *config.Service, to config.Upstreams) (m *made, err error) {
	m = &made{}
	defer func() {
		if err != nil {
			m.drop()
		}
	}()
	variants := make([]gateway.VariantOptions, len(s.Variants))
	for i := range s.Variants {
		var f *followed
		if variants[i], f, err = k.variant(m, s, &s.Variants[i], to); err != nil {
			return m, err
		}
		m.variants = append(m.variants, f)
	}
	policy, err := k.compile(s.Name, s.Traffic, s.VariantNames())
	if err != nil {
		return m, err
	}
	routes, err := routesOf(s)
	if err != nil {
		return m, err
	}
	capture, err := captureOf(s.Capture)
	if err != nil {
		return m, err
	}
	shadows, err := k.shadows(m, s, to)
	if err != nil {
		return m, err
	}
	limits, err := limitsOf(s)
	if err != nil {
		return m, err
	}
	service := gateway.NewService(gateway.ServiceOptions{
		Name: s.Name, Default: s.Default, Variants: variants, Policy: policy, Pinned: s.Pinned, Labels: s.Labels.Classes, Threshold: s.Labels.Threshold,
		Timeout: s.Timeout, Body: int64(s.Limits.BodyBytes), Rows: s.Limits.Rows, InFlight: s.Limits.InFlight, Routes: routes, Capture: capture,
		Tensorflow: s.V1 == config.V1Tensorflow, Hosts: s.AllHosts(), Prefixes: prefixesOf(s), Hold: int(s.Limits.AnswerBytes),
		Failover: s.Failover, Fallback: fallbackOf(s.Fallback), Shadows: shadows, Limits: limits,
	})
	for i, v := range service.Variants() {
		m.variants[i].variant = v
	}
	return m, nil
}

// variant makes the settings of a variant, and what it follows or always is.
func (k makers) variant(m *made, s *config.Service, v *config.Variant, to config.Upstreams) (o gateway.VariantOptions, f *followed, err error) {
	o, f = gateway.VariantOptions{Name: v.Name}, &followed{}
	switch {
	case v.Model != "":
		f.ref, err = registry.ParseRef(v.Model)
		o.Ref = f.ref.String()
	case v.Static != "":
		f.fixed = &fixed{kind: kindStatic, version: v.VersionText()}
		o.Files, err = folder(s, v)
	default:
		if f.upstream, err = k.upstream(m, s, v, false, to); err != nil {
			return o, f, err
		}
		f.fixed = &fixed{kind: kindUpstream, version: v.VersionText()}
		if s.Tensors() {
			f.fixed.dialect = dialectOf(s, v, f.upstream.hop)
		}
		o.Upstream, o.Passed, o.NonIdempotent = f.upstream.hop, !s.Tensors(), v.Retry.NonIdempotent
		o.Host, o.Header = hostOf(v), headersOf(v.Headers)
	}
	return o, f, err
}

// upstream takes an upstream into what is made.
func (k makers) upstream(m *made, s *config.Service, v *config.Variant, shadow bool, to config.Upstreams) (*upstream, error) {
	u, fresh, err := k.upstreams.of(s, v, shadow, to)
	if err != nil {
		return nil, err
	}
	m.upstreams = append(m.upstreams, u)
	if fresh {
		m.fresh = append(m.fresh, u)
	}
	return u, nil
}

// folder opens the folder of a variant. It is closed when nobody has it any more, the last request that reads in it included.
func folder(s *config.Service, v *config.Variant) (http.Handler, error) {
	err := checkFolder(v.Static)
	if err != nil {
		return nil, ofVariant(s.Name, v.Name, err)
	}
	root, err := os.OpenRoot(v.Static)
	if err != nil {
		return nil, ofVariant(s.Name, v.Name, fault.Invalidf("static: %w", err))
	}
	return gateway.NewFiles(root), nil
}

// hostOf is the Host field that a variant's upstream gets, as the gateway knows it.
func hostOf(v *config.Variant) string {
	switch v.HostHeader {
	case config.HostClient:
		return ""
	case config.HostUpstream:
		return gateway.HostOfUpstream
	}
	return v.HostHeader
}

// headersOf are the further fields that an upstream gets, in order.
func headersOf(headers map[string]string) (fields []proxy.Field) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fields = append(fields, proxy.Field{Name: http.CanonicalHeaderKey(name), Value: headers[name]})
	}
	return fields
}

func prefixesOf(s *config.Service) (prefixes []gateway.Prefix) {
	for _, path := range s.AllPaths() {
		p := gateway.Prefix{Path: path}
		if s.Rewrite != nil {
			p.Rewrite, p.HasRewrite = *s.Rewrite, true
		}
		prefixes = append(prefixes, p)
	}
	return prefixes
}

func fallbackOf(f *config.Fallback) *gateway.Fallback {
	if f == nil {
		return nil
	}
	return &gateway.Fallback{Status: f.Status, Header: f.Header, Body: f.Bytes}
}

// found makes a service of a model that nobody configured one for. It follows the champion.
func (k makers) found(model string) (*followed, error) {
	ref := registry.Ref{Model: model, Alias: registry.Champion}
	policy, err := k.compile(model, traffic.Spec{}, []string{onlyVariant})
	if err != nil {
		return nil, err
	}
	defaults := config.Service{}
	defaults.SetDefaults()
	service := gateway.NewService(gateway.ServiceOptions{
		Name: model, Variants: []gateway.VariantOptions{{Name: onlyVariant, Ref: ref.String()}}, Policy: policy, Found: true,
		InFlight: defaults.Limits.InFlight,
	})
	return &followed{variant: service.Variants()[0], ref: ref}, nil
}

// onlyVariant is the name of the variant of a service that nobody configured.
const onlyVariant = "stable"
