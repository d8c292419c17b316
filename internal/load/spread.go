package load

import (
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest time that is told from longer ones.
const longest = time.Hour

// spread is how times are spread: a histogram of high dynamic range, three significant digits from a microsecond to an hour, and beside
// it what is kept exactly.
type spread struct {
	histogram *hdrhistogram.Histogram
	sum, max  time.Duration
}

func newSpread() *spread {
	return &spread{histogram: hdrhistogram.New(int64(time.Microsecond), int64(longest), 3)}
}

func (s *spread) add(d time.Duration) {
	d = min(max(d, 0), longest)
	_ = s.histogram.RecordValue(int64(d)) // in range
	s.sum += d
	s.max = max(s.max, d)
}

func (s *spread) reset() {
	s.histogram.Reset()
	s.sum, s.max = 0, 0
}

func (s *spread) count() int { return int(s.histogram.TotalCount()) }

// spread returns what was added so far. It goes on sharing the histogram.
func (s *spread) spread() Spread {
	out := Spread{Count: s.count(), Max: s.max, histogram: s.histogram}
	if out.Count > 0 {
		out.Mean = s.sum / time.Duration(out.Count)
		out.P50, out.P90, out.P95 = out.Percentile(50), out.Percentile(90), out.Percentile(95)
		out.P99, out.P999 = out.Percentile(99), out.Percentile(99.9)
	}
	return out
}

// Spread tells how times are spread. Percentiles are at most 0.1 % too large, Mean and Max are exact; all are 0 if Count is.
type Spread struct {
	Count                               int
	Mean, P50, P90, P95, P99, P999, Max time.Duration

	histogram *hdrhistogram.Histogram
}

// Percentile returns the time that at least p of a hundred do not exceed, 0 if nothing was counted.
func (s *Spread) Percentile(p float64) time.Duration {
	return s.ranked(rank(p, s.Count))
}

// rank is the place, from 1, of the smallest of n values that at least p of a hundred do not exceed.
func rank(p float64, n int) int {
	const rounding = 1e-9 // 99.9 of a hundred of 1000 is 999.0000000000001
	return min(max(int(math.Ceil(p/100*float64(n)-rounding)), 1), n)
}

// ranked returns the time at that place.
func (s *Spread) ranked(rank int) time.Duration {
	if s.Count == 0 {
		return 0
	}
	// The histogram rounds to the nearest place; a whole one stays.
	return min(time.Duration(s.histogram.ValueAtQuantile(100*float64(rank)/float64(s.Count))), s.Max)
}

// Over returns how many took longer than d, give or take those within 0.1 % of d.
func (s *Spread) Over(d time.Duration) (n int) {
	if s.histogram == nil {
		return 0
	}
	for _, bar := range s.histogram.Distribution() {
		if bar.From > int64(d) {
			n += int(bar.Count)
		}
	}
	return n
}

// WriteHDR writes the percentile distribution in the text form that HdrHistogram's tools plot, in milliseconds.
func (s *Spread) WriteHDR(w io.Writer) error {
	h := s.histogram
	if h == nil {
		h = newSpread().histogram
	}
	_, err := h.PercentilesPrint(w, 5, float64(time.Millisecond))
	return err
}
