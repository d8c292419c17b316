package load

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// exact is the smallest of sorted values that at least p of a hundred do not exceed.
func exact(sorted []time.Duration, p float64) time.Duration {
	for i, v := range sorted {
		if float64(i+1) >= p/100*float64(len(sorted))-1e-9 {
			return v
		}
	}
	return sorted[len(sorted)-1]
}

func TestPercentilesAreThoseOfTheSortedValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 3000).Draw(t, "n")
		scale := rapid.SampledFrom([]time.Duration{10 * time.Microsecond, time.Millisecond, time.Second, time.Minute}).Draw(t, "scale")
		random := rand.New(rand.NewPCG(seed, 0))
		s := newSpread()
		values, sum := make([]time.Duration, n), time.Duration(0)
		for i := range values {
			values[i] = min(time.Duration(random.ExpFloat64()*float64(scale)), longest)
			s.add(values[i])
			sum += values[i]
		}
		slices.Sort(values)
		got := s.spread()
		for p, v := range map[float64]time.Duration{50: got.P50, 90: got.P90, 95: got.P95, 99: got.P99, 99.9: got.P999, 100: got.Percentile(100), 12.5: got.Percentile(12.5)} {
			want := exact(values, p)
			if v < want || v > want+want/1000+time.Microsecond {
				t.Fatalf("of %d values %v is the percentile %v, not %v", n, v, p, want)
			}
		}
		if got.Count != n || got.Max != values[n-1] || got.Mean != sum/time.Duration(n) {
			t.Fatalf("count %d, max %v, mean %v, not %d, %v, %v", got.Count, got.Max, got.Mean, n, values[n-1], sum/time.Duration(n))
		}
		limit := values[n/2]
		over, near := 0, 0
		for _, v := range values {
			if v > limit {
				over++
				if v < limit+limit/500+2*time.Microsecond {
					near++
				}
			}
		}
		if counted := got.Over(limit); counted > over || counted < over-near {
			t.Fatalf("%d of %d are over %v, not %d", counted, n, limit, over)
		}
	})
}

func TestTimesOutOfRangeAreKeptAtItsEnds(t *testing.T) {
	s := newSpread()
	s.add(-time.Second)
	s.add(100 * time.Hour)
	if got := s.spread(); got.Count != 2 || got.Max != time.Hour || got.Percentile(50) > time.Microsecond {
		t.Errorf("%+v", got)
	}
}

func TestTheHistogramIsWrittenAsItsToolsReadIt(t *testing.T) {
	s := newSpread()
	for i := range 1000 {
		s.add(time.Duration(i+1) * time.Millisecond)
	}
	var text bytes.Buffer
	got := s.spread()
	if err := got.WriteHDR(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	if fields := strings.Fields(lines[0]); !slices.Equal(fields, []string{"Value", "Percentile", "TotalCount", "1/(1-Percentile)"}) {
		t.Errorf("the first line is %q", lines[0])
	}
	for _, part := range []string{" 0.500000 ", "#[Mean ", "#[Max ", "Total count    =         1000"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("there is no %q in\n%s", part, text.String())
		}
	}
	var empty Spread
	if err := empty.WriteHDR(&text); err != nil {
		t.Error(err)
	}
}
