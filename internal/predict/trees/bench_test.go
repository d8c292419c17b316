package trees

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/tensor"
)

// timber is a model of the size that people serve: full trees of depth 6 over 56 features. It is the same in each run.
func timber(trees int) handmade {
	const depth, features = 6, 56
	r := rand.New(rand.NewPCG(56, 6))
	var grow func(depth int) *sprout
	grow = func(depth int) *sprout {
		if depth == 0 {
			return leaf(float32(r.NormFloat64() / 50))
		}
		return below(int32(r.IntN(features)), float32(r.NormFloat64()), way(r.IntN(2) == 0), grow(depth-1), grow(depth-1))
	}
	h := handmade{objective: "binary:logistic", base: "5E-1", features: features}
	for range trees {
		h.trees = append(h.trees, grow(depth))
	}
	return h
}

const benchTrees = 500

func benchPredict(b *testing.B, rows int) {
	m := mustOpen(b, timber(benchTrees).ubjson(), nil)
	r := rand.New(rand.NewPCG(1, 1))
	values := make([]float32, rows*56)
	for i := range values {
		if values[i] = float32(r.NormFloat64()); r.IntN(10) == 0 {
			values[i] = nan
		}
	}
	request := &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{rows, 56}, values)}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Predict(context.Background(), request); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}

func BenchmarkOneRow(b *testing.B) { benchPredict(b, 1) }

func BenchmarkThousandRows(b *testing.B) { benchPredict(b, 1000) }

func BenchmarkOpen10MB(b *testing.B) {
	const size = 10 << 20
	for _, syntax := range []struct {
		name  string
		write func(handmade) []byte
	}{{"json", handmade.json}, {"ubjson", handmade.ubjson}} {
		b.Run(syntax.name, func(b *testing.B) {
			ten := len(syntax.write(timber(10)))
			files := predicttest.Files{"model": syntax.write(timber(10*size/ten + 1))}
			b.SetBytes(int64(len(files["model"])))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Runtime{}).Open(context.Background(), files, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkContributions(b *testing.B) {
	m := mustOpen(b, timber(benchTrees).ubjson(), nil)
	const rows = 64
	request := sparseRequest(rand.New(rand.NewPCG(1, 1)), m.Signature(), rows)
	request.Outputs = []string{contributionsName}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Predict(context.Background(), &request); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}
