package app

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	speaking "github.com/serin-ml/serin/internal/predict/upstream"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/shadow"
	"github.com/serin-ml/serin/internal/tensor"
)

// shadows returns what the configuration says of the shadows of a service. One that is an upstream is asked over connections of its own.
func (k makers) shadows(m *made, s *config.Service, to config.Upstreams) (all []gateway.ShadowOptions, err error) {
	for i := range s.Shadows {
		c := &s.Shadows[i]
		comparer, err := shadow.NewComparer(c.Compare.Rule())
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "service %s, shadow %s, compare: %w", s.Name, c.Variant, err)
		}
		o := gateway.ShadowOptions{
			Lane: shadow.LaneOptions{
				Variant: c.Variant, Comparer: comparer, Share: c.Percent.Share(), Timeout: c.Timeout, InFlight: c.InFlight, Queue: c.Queue,
			},
			Methods: c.Methods,
		}
		at := slices.Index(s.VariantNames(), c.Variant)
		if v := &s.Variants[at]; len(v.URLs()) > 0 {
			u, err := k.upstream(m, s, v, true, to)
			if err != nil {
				return nil, err
			}
			o.Upstream = u.hop
			if s.Tensors() {
				o.Model = &copies{hop: u.hop, of: m.variants[at]}
			}
		}
		all = append(all, o)
	}
	return all, nil
}

// copies is the model of a variant that is asked in a dialect, for copies of requests: over connections of their own, and marked.
type copies struct {
	hop  *proxy.Upstream
	of   *followed
	made atomic.Pointer[copiesOf]
}

// copiesOf is the model for copies that belongs to the model of a variant.
type copiesOf struct{ live, model *speaking.Model }

// model returns the model, nil where the variant has none yet.
func (c *copies) model() *speaking.Model {
	live := c.of.variant.Live()
	if live == nil {
		return nil
	}
	of, ok := live.Model.(*speaking.Model)
	if !ok {
		return nil
	}
	made := c.made.Load()
	if made == nil || made.live != of {
		fields := make([]proxy.Field, len(gateway.ShadowHeaders))
		for i, name := range gateway.ShadowHeaders {
			fields[i] = proxy.Field{Name: name, Value: "true"}
		}
		made = &copiesOf{of, of.Over(c.hop, fields...)}
		c.made.Store(made)
	}
	return made.model
}

// Signature implements predict.Model.
func (c *copies) Signature() tensor.Signature {
	if m := c.model(); m != nil {
		return m.Signature()
	}
	return tensor.Signature{}
}

// Predict implements predict.Model.
func (c *copies) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	if m := c.model(); m != nil {
		return m.Predict(ctx, r)
	}
	return nil, fault.Unavailablef("the upstream has not said yet what it takes and gives")
}
