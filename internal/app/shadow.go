package app

import (
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/shadow"
)

// shadowsOf returns what the configuration says of the shadows of a service.
func shadowsOf(s *config.Service) (all []gateway.ShadowOptions, err error) {
	for _, c := range s.Shadows {
		comparer, err := shadow.NewComparer(shadow.Rule{
			By: shadow.By(c.Compare.By), Tolerance: c.Compare.Tolerance, K: c.Compare.K, At: c.Compare.At, Ignore: c.Compare.Ignore,
		})
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "service %s, shadow %s, compare: %w", s.Name, c.Variant, err)
		}
		all = append(all, gateway.ShadowOptions{
			Lane: shadow.LaneOptions{
				Variant: c.Variant, Comparer: comparer, Share: c.Percent.Share(), Timeout: c.Timeout, InFlight: c.InFlight, Queue: c.Queue,
			},
			Methods: c.Methods,
		})
	}
	return all, nil
}
