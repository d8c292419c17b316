package app

import (
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/traffic"
)

// compilePolicy makes what decides who of a service's variants answers whom.
type compilePolicy func(service string, spec traffic.Spec, variants []string) (*traffic.Policy, error)

// newService makes a service of its settings, none of whose variants has a version yet, and what each variant follows.
func newService(s *config.Service, compile compilePolicy) ([]*followed, error) {
	refs := make([]registry.Ref, len(s.Variants))
	variants := make([]gateway.VariantOptions, len(s.Variants))
	for i, v := range s.Variants {
		ref, err := registry.ParseRef(v.Model)
		if err != nil {
			return nil, err
		}
		refs[i], variants[i] = ref, gateway.VariantOptions{Name: v.Name, Ref: ref.String()}
	}
	policy, err := compile(s.Name, s.Traffic, s.VariantNames())
	if err != nil {
		return nil, err
	}
	routes, err := routesOf(s)
	if err != nil {
		return nil, err
	}
	capture, err := captureOf(s.Capture)
	if err != nil {
		return nil, err
	}
	shadows, err := shadowsOf(s)
	if err != nil {
		return nil, err
	}
	limits, err := limitsOf(s)
	if err != nil {
		return nil, err
	}
	service := gateway.NewService(gateway.ServiceOptions{
		Shadows: shadows, Limits: limits,
		Name: s.Name, Default: s.Default, Variants: variants, Policy: policy, Pinned: s.Pinned, Labels: s.Labels.Classes, Threshold: s.Labels.Threshold,
		Timeout: s.Timeout, Body: int64(s.Limits.BodyBytes), Rows: s.Limits.Rows, InFlight: s.Limits.InFlight, Routes: routes, Capture: capture,
		Tensorflow: s.V1 == config.V1Tensorflow,
	})
	all := make([]*followed, len(refs))
	for i, v := range service.Variants() {
		all[i] = &followed{variant: v, ref: refs[i]}
	}
	return all, nil
}

// foundService makes a service of a model that nobody configured one for. It follows the champion.
func foundService(model string, compile compilePolicy) (*followed, error) {
	ref := registry.Ref{Model: model, Alias: registry.Champion}
	policy, err := compile(model, traffic.Spec{}, []string{onlyVariant})
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
