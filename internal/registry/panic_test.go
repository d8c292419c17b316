package registry

import (
	"context"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// wild is the linear runtime, but it panics: when it opens a model, or (later) when the model is asked.
type wild struct {
	linear
	later bool
}

type wildModel struct{ predict.Model }

func (w wild) Open(ctx context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	if !w.later {
		panic("index out of range")
	}
	m, err := w.linear.Open(ctx, a, o)
	return wildModel{m}, err
}

func (wildModel) Predict(context.Context, *tensor.Request) (*tensor.Response, error) {
	panic("index out of range")
}

func TestARuntimeThatPanicsCostsItsModelAlone(t *testing.T) {
	h := newHome(t)
	v := h.mustCommit(t, "m", modelOf(3), CommitOptions{})
	for _, later := range []bool{false, true} {
		o := testOptions(h.blobs, h.state)
		o.Runtimes[0].Runtime = wild{later: later}
		r, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Load(context.Background(), v.Ref())
		wantError(t, err, fault.Internal, "load models:/m/1", "panicked on this model: index out of range")
		_, _, err = home{Registry: r}.commit("n", modelOf(4), CommitOptions{})
		wantError(t, err, fault.Internal, "panicked on this model")
		if models, err := r.List(context.Background()); err != nil || len(models) != 1 {
			t.Errorf("after the panic: %v, %v", models, err)
		}
	}
}
