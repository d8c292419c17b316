package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/tensor"
)

// Live is a version brought to life: it has given its golden answers and is warm.
type Live struct {
	Version  Version
	Manifest Manifest
	Model    predict.Model // with the manifest's signature, and what its runtime has learned since to give on demand
}

// Resolve finds the version that ref names.
func (r *Registry) Resolve(ctx context.Context, ref Ref) (v Version, err error) {
	err = r.state.View(ctx, func(s store.Reader) error {
		doc, err := resolve(s, ref)
		v = doc.Version
		return err
	})
	return v, err
}

// Load brings to life the version that ref names at this moment.
func (r *Registry) Load(ctx context.Context, ref Ref) (Live, error) {
	v, err := r.Resolve(ctx, ref)
	if err != nil {
		return Live{}, err
	}
	return r.LoadVersion(ctx, v)
}

// LoadVersion brings v to life: every file is checked against its digest, the runtime opens them, and the golden rows are computed
// and compared; without golden rows the model is asked one row, to warm up. Files that are damaged or lost, and answers that
// are not the known ones, are Internal.
func (r *Registry) LoadVersion(ctx context.Context, v Version) (Live, error) {
	live, err := r.load(ctx, v)
	if err != nil {
		return Live{}, fault.New(fault.KindOf(err), "load %s: %w", v.Ref(), err)
	}
	return live, nil
}

func (r *Registry) load(ctx context.Context, v Version) (live Live, err error) {
	defer survive(&err)
	m, err := r.Manifest(ctx, v)
	if err != nil {
		return live, err
	}
	a := r.artefact(ctx, m.Files)
	rt, err := r.runtime(m.Runtime, a)
	if err != nil {
		return live, err
	}
	model, err := rt.Runtime.Open(ctx, a, m.Options)
	if err != nil {
		return live, err
	}
	if err := a.verifyRest(); err != nil {
		return live, err
	}
	sig, ok := withNewOutputs(m.Signature, model.Signature())
	if !ok {
		return live, fault.Internalf("the %s runtime sees another signature than at the import", rt.Name).
			WithHint("this Serin reads the model otherwise than the one that imported it: import it again")
	}
	if err := ready(ctx, model, m.Signature, m.Golden); err != nil {
		if fault.KindOf(err) == fault.Invalid { // it was right at the import, so nobody's input is wrong
			return live, fault.Internalf("the model does not give its known answers: %w", err).
				WithHint("this Serin or machine computes otherwise than the one that imported the model: import it again to see the difference")
		}
		return live, err
	}
	return Live{Version: v, Manifest: m, Model: withSignature(model, sig)}, nil
}

// withNewOutputs returns the manifest's signature with the outputs that the runtime gives on demand and did not give at the import: a new
// Serin may know more of an old model. In all else the two must agree.
func withNewOutputs(old, now tensor.Signature) (sig tensor.Signature, ok bool) {
	sig = old
	same := now
	same.Outputs = nil
	for _, p := range now.Outputs {
		if p.OnDemand && !slices.ContainsFunc(old.Outputs, func(o tensor.Spec) bool { return o.Name == p.Name }) {
			sig.Outputs = append(slices.Clip(sig.Outputs), p)
		} else {
			same.Outputs = append(same.Outputs, p)
		}
	}
	return sig, sameButNames(same, old)
}

// sameButNames tells whether a and b agree in all that names, types and shapes say; columns and labels may differ.
func sameButNames(a, b tensor.Signature) bool {
	same := func(a, b tensor.Spec) bool {
		return a.Name == b.Name && a.DType == b.DType && a.OnDemand == b.OnDemand && a.AbsentZero == b.AbsentZero && slices.Equal(a.Shape, b.Shape)
	}
	return slices.EqualFunc(a.Inputs, b.Inputs, same) && slices.EqualFunc(a.Outputs, b.Outputs, same)
}

// Manifest reads the manifest of v, checked against its digest.
func (r *Registry) Manifest(ctx context.Context, v Version) (m Manifest, err error) {
	text, err := store.ReadVerified(ctx, r.blobs, v.Digest)
	if err != nil {
		return m, fileError(ManifestFile, err)
	}
	if m, err = decodeManifest(text); err != nil {
		return m, fmt.Errorf("%s: %w", v.Ref(), err)
	}
	return m, nil
}
