package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// times are the first n times of all threads, in order.
func times(o Options, n int) []time.Duration {
	var all []time.Duration
	for thread := range o.Threads {
		a := newArrivals(&o, thread)
		for range n / o.Threads {
			all = append(all, a.next())
		}
	}
	slices.Sort(all)
	return all
}

func TestConstantArrivalsAreAtEqualIntervals(t *testing.T) {
	for i, at := range times(Options{Rate: 5000, Threads: 1}, 1_000_000) {
		if want := time.Duration(i) * 200 * time.Microsecond; at != want {
			t.Fatalf("request %d is due at %v, not %v", i, at, want)
		}
	}
	for i, at := range times(Options{Rate: 3, Threads: 1}, 10) {
		if want := float64(i) / 3; math.Abs(at.Seconds()-want) > 1e-9 {
			t.Fatalf("request %d is due at %v, not %v s", i, at, want)
		}
	}
}

func TestThreadsShareTheArrivals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Rate: rapid.Float64Range(0.1, 1e6).Draw(t, "rate"), Threads: 1, Ramp: time.Duration(rapid.Int64Range(0, 1e11).Draw(t, "ramp"))}
		one := times(o, 600)
		o.Threads = rapid.SampledFrom([]int{2, 3, 5}).Draw(t, "threads")
		if several := times(o, 600); !slices.Equal(one, several) {
			t.Fatalf("%d threads send at %v, one at %v", o.Threads, several[:10], one[:10])
		}
	})
}

func TestARampRisesInAStraightLine(t *testing.T) {
	// After t of a ramp of 10 s up to 1000/s, 50·t² are due; after it 5000, and 1000 more a second.
	due := times(Options{Rate: 1000, Threads: 1, Ramp: 10 * time.Second}, 8000)
	for seconds, want := range map[float64]int{1: 50, 2: 200, 5: 1250, 10: 5000, 11: 6000, 12.5: 7500} {
		until := time.Duration(seconds * 1e9)
		n, _ := slices.BinarySearch(due, until)
		if n != want {
			t.Errorf("%d requests are due before %v, not %d", n, until, want)
		}
	}
	if !slices.IsSorted(due) {
		t.Error("time runs backwards")
	}
}

func TestPoissonArrivalsComeLikeIndependentUsers(t *testing.T) {
	const n, rate = 200_000, 1000.0
	for _, threads := range []int{1, 4} {
		due := times(Options{Rate: rate, Arrivals: Poisson, Threads: threads, Seed: 7}, n)
		due = due[:n/2] // where threads differ in how far they have come
		sum, squares, below := 0.0, 0.0, 0
		for i := 1; i < len(due); i++ {
			gap := (due[i] - due[i-1]).Seconds() * rate
			sum += gap
			squares += gap * gap
			if gap < math.Ln2 {
				below++
			}
		}
		count := float64(len(due) - 1)
		mean, median := sum/count, float64(below)/count
		variance := squares/count - mean*mean
		// An exponential distribution has mean and deviation 1 and half of it below ln 2. The bounds are five standard errors.
		if math.Abs(mean-1) > 5/math.Sqrt(count) || math.Abs(variance-1) > 5*math.Sqrt(8/count) || math.Abs(median-0.5) > 5*0.5/math.Sqrt(count) {
			t.Errorf("%d threads: intervals have mean %v, variance %v and %v below the median", threads, mean, variance, median)
		}
	}
	one := times(Options{Rate: rate, Arrivals: Poisson, Threads: 1, Seed: 7}, 100)
	if !slices.Equal(one, times(Options{Rate: rate, Arrivals: Poisson, Threads: 1, Seed: 7}, 100)) {
		t.Error("the same seed gives other times")
	}
	if slices.Equal(one, times(Options{Rate: rate, Arrivals: Poisson, Threads: 1, Seed: 8}, 100)) {
		t.Error("another seed gives the same times")
	}
}
