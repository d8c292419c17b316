package app

import (
	"cmp"
	"context"
	"reflect"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	speaking "github.com/serin-ml/serin/internal/predict/upstream"
	"github.com/serin-ml/serin/internal/proxy"
)

// fixed is a variant that follows nothing: a folder, or an upstream.
type fixed struct {
	kind    string
	version string            // as tallies and decisions name it
	dialect *speaking.Options // how predictions are asked for; nil: nobody asks for any
}

// open makes what stands for the variant where a model has its version. The error is that of predict/upstream.
func (x *fixed) open(ctx context.Context) (*gateway.Live, error) {
	live := &gateway.Live{Name: x.kind, Runtime: x.kind, Digest: x.version}
	if x.dialect == nil {
		return live, nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	model, err := speaking.Open(ctx, *x.dialect)
	if err != nil {
		return nil, err
	}
	live.Model = model
	return live, nil
}

// same tells whether what x opened stands for y too.
func (x *fixed) same(y *fixed) bool {
	if x.kind != y.kind || x.version != y.version || (x.dialect == nil) != (y.dialect == nil) {
		return false
	}
	if x.dialect == nil {
		return true
	}
	a, b := *x.dialect, *y.dialect
	if a.Asker != b.Asker {
		return false
	}
	a.Asker, b.Asker = nil, nil // which are looked at, and not into
	return reflect.DeepEqual(a, b)
}

// dialectOf says how a variant is asked for predictions.
func dialectOf(s *config.Service, v *config.Variant, hop *proxy.Upstream) *speaking.Options {
	o := &speaking.Options{Asker: hop, Dialect: speaking.Dialect(v.Dialect), Path: v.Path(), Model: cmp.Or(v.UpstreamModel, s.Name), Header: headersOf(v.Headers)}
	if v.HostHeader != config.HostClient && v.HostHeader != config.HostUpstream { // a client's names the service, and is none of the upstream's
		o.Host = v.HostHeader
	}
	if v.Signature != nil {
		o.Signature = v.Signature.Tensor()
	}
	return o
}
