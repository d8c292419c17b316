package app

import (
	"fmt"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/proxy"
)

// services tells the control plane what runs.
func (s *server) services() []api.Service {
	list := []api.Service{}
	settings := s.settings.Load()
	for _, g := range s.gateway.Services() {
		for _, v := range g.Variants() {
			line := api.Service{Name: g.Name(), Variant: v.Name(), Kind: kindModel, Model: v.Ref(), State: v.State()}
			if l := v.Live(); l != nil {
				line.Version, line.Semver, line.Digest = l.Number, l.Semver, l.Digest
			}
			if err := v.Err(); err != nil {
				line.Error = err.Error()
			}
			if c := settingsOf(settings, g.Name(), v.Name()); c != nil && c.Model == "" {
				line.Kind, line.Dialect, line.Static = kindUpstream, c.Dialect, c.Static
				if c.Static != "" {
					line.Kind = kindStatic
				}
			}
			if u := s.upstreams.running(g.Name(), v.Name(), false); u != nil {
				describe(&line, u.hop.Instances())
			}
			if u := s.upstreams.running(g.Name(), v.Name(), true); u != nil {
				line.ShadowInstances = instancesOf(u.hop.Instances())
			}
			list = append(list, line)
		}
	}
	return list
}

// What a variant is, as the control plane tells it.
const (
	kindModel    = "model"
	kindUpstream = "upstream"
	kindStatic   = "static"
)

// settingsOf returns the settings of a variant, nil if the file has none.
func settingsOf(c *config.Config, service, variant string) *config.Variant {
	for i := range c.Services {
		s := &c.Services[i]
		if s.Name != service {
			continue
		}
		for k := range s.Variants {
			if s.Variants[k].Name == variant {
				return &s.Variants[k]
			}
		}
	}
	return nil
}

// describe says how the instances of an upstream are, and in the line's state whether something speaks against them.
func describe(line *api.Service, instances []proxy.InstanceState) {
	var aside []string
	line.Instances = instancesOf(instances)
	for i := range instances {
		if in := &instances[i]; !isWell(in) {
			aside = append(aside, fmt.Sprintf("%s is %s: %s", in.Address, in.State, in.Why))
		}
	}
	if len(aside) > 0 && line.Error == "" {
		if line.State == gateway.Ready {
			line.State = gateway.Degraded
		}
		line.Error = fmt.Sprintf("%d of %d instances: %s", len(aside), len(instances), strings.Join(aside, "; "))
	}
}

// instancesOf says how instances are.
func instancesOf(states []proxy.InstanceState) (list []api.Instance) {
	for i := range states {
		in := &states[i]
		list = append(list, api.Instance{
			Address: in.Address, State: in.State.String(), Why: in.Why, Since: in.Since, InFlight: in.InFlight, Connections: in.Open,
			Requests: uint64(in.Requests), Failures: uint64(in.Failures),
		})
	}
	return list
}

// isWell tells whether nothing speaks against an instance.
func isWell(in *proxy.InstanceState) bool {
	return in.State == proxy.Healthy || in.State == proxy.Unchecked
}
