package predicttest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func (s *suite) outputs(t *testing.T) {
	m := s.open(t)
	r := s.request(t, m, 10, 5)
	r.Outputs = nil
	ask(t, m, r) // checkResponse holds the answer against the signature's defaults
	all := ask(t, m, everything(m.Signature(), r))
	byName := map[string]*tensor.Tensor{}
	for i, name := range r.Outputs {
		byName[name] = &all.Outputs[i]
	}
	names := slices.Clone(r.Outputs)
	slices.Reverse(names)
	orders := [][]string{names}
	for _, name := range names {
		orders = append(orders, []string{name})
	}
	for _, wanted := range orders {
		r.Outputs = wanted
		got := ask(t, m, r)
		for i := range got.Outputs {
			if want := byName[got.Outputs[i].Name]; !same(&got.Outputs[i], want) {
				t.Errorf("asked for %q, output %q is %v; asked for everything, %v", wanted, want.Name, got.Outputs[i].Data, want.Data)
			}
		}
	}
}

// everything asks for every output of the signature.
func everything(sig tensor.Signature, r *tensor.Request) *tensor.Request {
	r.Outputs = nil
	for _, p := range sig.Outputs {
		r.Outputs = append(r.Outputs, p.Name)
	}
	return r
}

func (s *suite) batches(t *testing.T) {
	m := s.open(t)
	for _, rows := range []int{1, 2, 3, 4, 5, 7, 8, 9, 67, 1025} {
		r := everything(m.Signature(), s.request(t, m, uint64(rows), rows))
		batch := ask(t, m, r)
		for i := range rows {
			one := ask(t, m, rowsOf(r, i, i+1))
			for k := range one.Outputs {
				if want := slice(&batch.Outputs[k], i, i+1); !same(&one.Outputs[k], &want) {
					t.Fatalf("row %d of %d: output %q alone is %v, in the batch %v", i, rows, want.Name, one.Outputs[k].Data, want.Data)
				}
			}
		}
	}
}

func (s *suite) numberTypes(t *testing.T) {
	m := s.open(t)
	sig := m.Signature()
	if !slices.ContainsFunc(sig.Inputs, func(p tensor.Spec) bool { return p.DType.Numeric() }) {
		t.Skip("the model takes no numbers")
	}
	for _, top := range []float64{1, 100} { // a bool holds no more than 1, an int8 and an uint8 no more than 100 both
		drawn := s.request(t, m, 20, 50)
		as := func(d tensor.DType) *tensor.Request {
			r := clone(drawn)
			for i := range r.Inputs {
				in := &r.Inputs[i]
				values, err := in.Float64s()
				if err != nil {
					continue // text stays text
				}
				whole := make([]float64, len(values))
				for j, v := range values {
					if v-v == 0 {
						whole[j] = math.Mod(math.Abs(math.Trunc(v)), top+1)
					}
				}
				*in = typed(d, in.Name, in.Shape, whole)
			}
			return everything(sig, r)
		}
		answer := func(d tensor.DType) (*tensor.Response, error) {
			got, err := m.Predict(context.Background(), as(d))
			if err == nil {
				err = checkResponse(sig, as(d), got)
			} else if fault.KindOf(err) == fault.Invalid {
				return nil, nil // refused, as rows of whole numbers may be; then it is so for every type
			}
			if err != nil {
				t.Fatalf("%v: %v", d, err)
			}
			return got, nil
		}
		want, _ := answer(tensor.Float32)
		for d := tensor.Bool; d < tensor.Bytes; d++ {
			if d == tensor.Bool && top > 1 {
				continue
			}
			if got, _ := answer(d); !equal(got, want) {
				t.Errorf("%v up to %v gives %v, FP32 %v", d, top, got, want)
			}
		}
	}
}

func (s *suite) ownership(t *testing.T) {
	m := s.open(t)
	r := everything(m.Signature(), s.request(t, m, 30, 67))
	before := clone(r)
	first := ask(t, m, r)
	if !slices.Equal(r.Outputs, before.Outputs) || !slices.EqualFunc(r.Inputs, before.Inputs, func(a, b tensor.Tensor) bool { return same(&a, &b) }) {
		t.Error("Predict changed its request")
	}
	kept := cloneResponse(first)
	other := ask(t, m, everything(m.Signature(), s.request(t, m, 31, 67)))
	if !equal(first, kept) {
		t.Error("a later question changed an answer given before")
	}
	for i := range r.Inputs {
		scribble(&r.Inputs[i])
	}
	for i := range other.Outputs {
		scribble(&other.Outputs[i])
	}
	if !equal(first, kept) {
		t.Error("an answer shares memory with its request or with another answer")
	}
	if again := ask(t, m, before); !equal(again, kept) {
		t.Error("the same question is answered otherwise after answers were overwritten")
	}
	signature := m.Signature()
	for i := range kept.Outputs {
		kept.Outputs[i].Shape[0] = -7
		first.Outputs[i].Shape[0] = -7
	}
	if !m.Signature().Equal(signature) || checkResponse(signature, before, ask(t, m, before)) != nil {
		t.Error("an answer's shape is shared with the model")
	}
}

func (s *suite) concurrency(t *testing.T) {
	m := s.open(t)
	const askers, questions = 8, 25
	var wg sync.WaitGroup
	for a := range askers {
		requests, want := make([]*tensor.Request, questions), make([]*tensor.Response, questions)
		for q := range questions {
			requests[q] = everything(m.Signature(), s.request(t, m, uint64(100*a+q), 1+(a*q)%70))
			want[q] = ask(t, m, requests[q])
		}
		wg.Go(func() {
			for q, r := range requests {
				got, err := m.Predict(context.Background(), r)
				if err != nil || !equal(got, want[q]) {
					t.Errorf("asker %d, question %d: %v, %v; alone it was %v", a, q, got, err, want[q])
				}
			}
		})
	}
	wg.Wait()
}

// fuse is a context that is alive when it is looked at first, and cancelled from then on.
type fuse struct {
	context.Context
	cancel context.CancelFunc
	looks  atomic.Int64
}

// Err implements context.Context.
func (f *fuse) Err() error {
	if f.looks.Add(1) > 1 {
		f.cancel()
	}
	return f.Context.Err()
}

// Done implements context.Context. Nobody can see how often its channel is looked at, so it is closed at once.
func (f *fuse) Done() <-chan struct{} {
	f.cancel()
	return f.Context.Done()
}

func (s *suite) cancellation(t *testing.T) {
	m := s.open(t)
	width := 1
	for _, p := range m.Signature().Inputs {
		for _, d := range p.Shape[1:] {
			width *= max(d, 1)
		}
	}
	r := s.request(t, m, 40, min(max(1<<22/width, 1000), 100_000))
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := m.Predict(gone, r); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%d rows under a cancelled context: answer %v, error %v; want context.Canceled", r.Inputs[0].Rows(), got != nil, err)
	}
	lit, cancel := context.WithCancel(context.Background())
	defer cancel()
	if got, err := m.Predict(&fuse{Context: lit, cancel: cancel}, r); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%d rows, cancelled when begun: answer %v, error %v; want context.Canceled", r.Inputs[0].Rows(), got != nil, err)
	}
	ask(t, m, s.request(t, m, 41, 3)) // and the model is as good as before
}

func (s *suite) oddNumbers(t *testing.T) {
	m := s.open(t)
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, math.MaxFloat32, math.SmallestNonzeroFloat64,
		math.Copysign(0, -1), -1, 1 << 24, 1 << 31, 1 << 63}
	for k, p := range m.Signature().Inputs {
		if !p.DType.Numeric() {
			continue
		}
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			for _, v := range odd {
				r := everything(m.Signature(), s.request(t, m, 50, 9))
				in := &r.Inputs[k]
				values, err := in.Float64s()
				if err != nil {
					t.Fatal(err)
				}
				values = slices.Clone(values)
				for i := range values {
					if i%3 == 1 || len(values) < 3 {
						values[i] = v
					}
				}
				*in = typed(d, in.Name, in.Shape, values)
				err = calmly(func() error {
					got, err := m.Predict(context.Background(), r)
					switch {
					case err == nil:
						return checkResponse(m.Signature(), r, got)
					case fault.KindOf(err) != fault.Invalid:
						return fmt.Errorf("the error is %v, want Invalid: %w", fault.KindOf(err), err)
					}
					return nil
				})
				if err != nil {
					t.Errorf("%v as %v: %v", v, d, err)
				}
			}
		}
	}
}
