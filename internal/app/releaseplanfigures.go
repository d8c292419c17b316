package app

import (
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/stat"
)

// usual adds up the totals of variants.
func usual(totals []measure.Totals, variants ...string) *figures {
	f := &figures{}
	for i := range totals {
		if slices.Contains(variants, totals[i].Variant.Variant) {
			f.Merge(&totals[i])
		}
	}
	return f
}

// figures are the totals of some variants.
type figures struct{ measure.Totals }

// asked are the requests but for those that were refused under overload.
func (f *figures) asked() uint64 { return f.Requests - min(f.Shed, f.Requests) }

// failed are those that failed by a fault of the service.
func (f *figures) failed() uint64 { return f.Errors[event.Server] + f.Errors[event.Timeout] }

// labelled counts labelled predictions, and those that were right.
func (f *figures) labelled() (s stat.Share) {
	for key, sums := range f.Outcomes {
		if key.Class == measure.Verified && !key.Late {
			s.Count += sums.Correct
			s.N += sums.Labelled
		}
	}
	return s
}

// values are the outcomes of a kind.
func (f *figures) values(kind string) stat.Moments {
	s := f.Outcomes[measure.OutcomeKey{Class: measure.Verified, Kind: kind}]
	return stat.MomentsOf(s.N, s.Sum, s.Squares)
}

// of returns what the figures say of a metric, and by how many observations. What nothing is known of is NaN.
func (f *figures) of(m *release.Metric) (b release.Before, n uint64) {
	share := func(count, n uint64) (release.Before, uint64) {
		s := stat.Share{Count: count, N: n}
		return release.Before{Value: s.Value()}, n
	}
	switch m.Measure {
	case release.Errors:
		return share(f.failed(), f.asked())
	case release.Fallbacks:
		return share(f.Fallbacks, f.asked())
	case release.Accuracy:
		l := f.labelled()
		return share(l.Count, l.N)
	case release.Value:
		v := f.values(m.Kind)
		if v.N == 0 {
			break
		}
		return release.Before{Value: v.Mean, Variance: v.Variance()}, v.N
	case release.Latency:
		if n = f.Latency.Count(); n == 0 {
			break
		}
		b = release.Before{Value: float64(f.Micros) / float64(n) / 1e6, Latency: &f.Latency}
		if m.Quantile > 0 {
			b.Value = f.Latency.Quantile(m.Quantile) / 1e6
		}
		b.Variance = variance(&f.Latency)
		return b, n
	case release.Agreement, release.Expression, release.Query: // are not known before
	}
	return release.Before{Value: math.NaN()}, 0
}

// variance is about that of a sketch's values, in seconds.
func variance(s *stat.Sketch) float64 {
	const parts = 1000
	var sum, squares float64
	for i := range parts {
		v := s.Quantile((float64(i)+0.5)/parts) / 1e6
		sum += v
		squares += v * v
	}
	mean := sum / parts
	return max(squares/parts-mean*mean, 0)
}
