package stat

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

// anyValue draws over the whole range that a sketch tells apart, with zeros and repeats among them.
func anyValue() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Just(0.0),
		rapid.Float64Range(MinSketchValue, MaxSketchValue),
		rapid.Map(rapid.Float64Range(-22, 33), math.Exp),
		rapid.Map(rapid.Uint64Range(0, 1<<40), func(n uint64) float64 { return float64(n) }),
	)
}

// wholeValue draws whole numbers whose sums are exact.
func wholeValue() *rapid.Generator[float64] {
	return rapid.Map(rapid.Uint64Range(0, 1<<44), func(n uint64) float64 { return float64(n) })
}

func sketchOf(values []float64) *Sketch {
	s := new(Sketch)
	for _, v := range values {
		s.Add(v)
	}
	return s
}

func TestSketchQuantileIsWithinOnePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(anyValue(), 1, 300).Draw(t, "values")
		s := sketchOf(values)
		slices.Sort(values)
		for _, permille := range []int{0, 1, 70, 250, 500, 900, 950, 990, 999, 1000, rapid.IntRange(0, 1000).Draw(t, "q")} {
			rank := max((permille*len(values)+999)/1000, 1) // ceil in whole numbers: an oracle without rounding
			q, exact := float64(permille)/1000, values[rank-1]
			if got := s.Quantile(q); math.Abs(got-exact) > 0.01*exact+MinSketchValue {
				t.Fatalf("quantile %v of %d values: got %v, want %v", q, len(values), got, exact)
			}
			if low, high := s.QuantileBounds(q); exact < low || exact > high {
				t.Fatalf("quantile %v of %d values: %v is outside the bounds %v and %v", q, len(values), exact, low, high)
			}
			atMost := uint64(0)
			for _, v := range values {
				if v <= exact {
					atMost++
				}
			}
			if low, high := s.CountAtMost(exact); atMost < low || atMost > high {
				t.Fatalf("%d values are at most %v: outside %d and %d", atMost, exact, low, high)
			}
		}
	})
}

func TestSketchKeepsCountSumMinAndMaxExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(wholeValue(), 1, 100).Draw(t, "values")
		s, sum := sketchOf(values), 0.0
		for _, v := range values {
			sum += v
		}
		if s.Count() != uint64(len(values)) || s.Sum() != sum || s.Min() != slices.Min(values) || s.Max() != slices.Max(values) {
			t.Fatalf("got %d values, sum %v, %v to %v", s.Count(), s.Sum(), s.Min(), s.Max())
		}
		if s.Mean() != sum/float64(len(values)) {
			t.Fatalf("mean %v", s.Mean())
		}
	})
}

func TestSketchOfTheWholeIsTheMergeOfItsPartsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SliceOf(wholeValue())
		a, b, c := part.Draw(t, "a"), part.Draw(t, "b"), part.Draw(t, "c")
		whole := sketchOf(slices.Concat(a, b, c))
		left, right, turned := sketchOf(a), sketchOf(b), sketchOf(c)
		left.Merge(sketchOf(b)) // (a+b)+c
		left.Merge(sketchOf(c))
		right.Merge(sketchOf(c)) // a+(b+c)
		outer := sketchOf(a)
		outer.Merge(right)
		turned.Merge(sketchOf(b)) // (c+b)+a
		turned.Merge(sketchOf(a))
		for name, got := range map[string]*Sketch{"(a+b)+c": left, "a+(b+c)": outer, "(c+b)+a": turned} {
			if !got.Equal(*whole) {
				t.Fatalf("%s differs from the whole", name)
			}
		}
	})
}

func TestRanksAreNotShiftedByRounding(t *testing.T) {
	for n := uint64(1); n <= 200; n++ {
		for percent := uint64(0); percent <= 100; percent++ {
			want := max((percent*n+99)/100, 1) // 0.07·100 is 7.000000000000001 in float64
			if got := rankOf(float64(percent)/100, n); got != want {
				t.Errorf("quantile %d%% of %d values has rank %d, want %d", percent, n, got, want)
			}
		}
	}
}

func TestSketchMergesWithItself(t *testing.T) {
	s := sketchOf([]float64{0, 3, 900})
	s.Merge(s)
	if want := sketchOf([]float64{0, 0, 3, 3, 900, 900}); !s.Equal(*want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

func TestSketchOfNothingSaysSo(t *testing.T) {
	s := new(Sketch)
	for _, v := range []float64{s.Min(), s.Max(), s.Mean(), s.Quantile(0.5)} {
		if !math.IsNaN(v) {
			t.Errorf("got %v, want NaN", v)
		}
	}
	if low, high := s.CountAtMost(1); low != 0 || high != 0 {
		t.Errorf("got %d to %d values at most 1", low, high)
	}
	s.Add(1)
	for _, q := range []float64{-0.1, 1.1, math.NaN()} {
		if got := s.Quantile(q); !math.IsNaN(got) {
			t.Errorf("quantile %v is %v, want NaN", q, got)
		}
	}
}

func TestSketchTakesWhatNoLatencyIs(t *testing.T) {
	s := new(Sketch)
	for _, v := range []float64{-5, math.Copysign(0, -1), 1e-300, math.Inf(1), math.MaxFloat64, math.Inf(-1)} {
		s.Add(v)
	}
	s.Add(math.NaN())
	s.AddN(7, 0)
	if s.Count() != 6 || s.Min() != 0 || s.Max() != MaxSketchValue || s.Sum() != 2*MaxSketchValue+1e-300 || math.Signbit(s.Min()) {
		t.Errorf("got %d values, sum %v, %v to %v", s.Count(), s.Sum(), s.Min(), s.Max())
	}
	if got := s.Quantile(0.5); got > MinSketchValue {
		t.Errorf("median %v", got)
	}
	again := new(Sketch)
	if data, err := s.MarshalBinary(); err != nil || again.UnmarshalBinary(data) != nil || !again.Equal(*s) {
		t.Errorf("%x (%v) reads as %+v", data, err, again)
	}
}

func TestSketchSharesNothingWithItsCloneAndReusesItsMemory(t *testing.T) {
	s := sketchOf([]float64{1, 50, 7e6})
	c := s.Clone()
	c.Add(50)
	if s.Count() != 3 || !s.Equal(*sketchOf([]float64{1, 50, 7e6})) {
		t.Error("the clone's value is in the original")
	}
	data, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		s.Reset()
		s.Add(50)
		s.AddN(6e6, 3)
		s.Merge(c)
		s.Add(1)
		if err := s.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	s.Reset()
	if !s.Equal(Sketch{}) {
		t.Error("values are left after Reset")
	}
}

func TestSketchBinaryFormComesBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := sketchOf(rapid.SliceOf(anyValue()).Draw(t, "values"))
		s.AddN(anyValue().Draw(t, "v"), rapid.Uint64Range(0, 1<<40).Draw(t, "n"))
		data, err := s.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		again := sketchOf([]float64{1, 1e9}) // what was there before must not shine through
		if err := again.UnmarshalBinary(data[len("before"):]); err != nil {
			t.Fatal(err)
		}
		if !again.Equal(*s) {
			t.Fatalf("%x reads as another sketch", data)
		}
	})
}

// The golden file is what version 1 wrote; later versions must still read it.
func TestSketchReadsAndWritesTheGoldenForm(t *testing.T) {
	text, err := os.ReadFile("testdata/sketch.v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	want := sketchOf([]float64{0, 0, 250, 251, 1234, 1234, 0.75, 30e6})
	want.AddN(4096, 1000)
	got := new(Sketch)
	if err := got.UnmarshalBinary(golden); err != nil || !got.Equal(*want) {
		t.Errorf("the golden form reads as %+v (%v), want %+v", got, err, want)
	}
	if data, err := want.MarshalBinary(); err != nil || !bytes.Equal(data, golden) {
		t.Errorf("written as\n%x (%v), want\n%x", data, err, golden)
	}
}

func TestSketchRefusesWhatItDidNotWrite(t *testing.T) {
	good, err := sketchOf([]float64{0, 100, 900}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	full := string(binary.AppendUvarint(nil, 1<<53))
	float := func(v float64) string { return string(appendNumber(nil, v)) }
	for name, c := range map[string]struct{ data, says string }{
		"empty":             {"", "byte 0: ends too early"},
		"another version":   {"\x02" + string(good[1:]), "version 2"},
		"cut":               {string(good[:len(good)-1]), "byte"},
		"more behind":       {string(good) + "\x00", "1 more bytes"},
		"long zero":         {"\x01\x80\x00\x00", "byte 1: not a number in its shortest form"},
		"eleven byte count": {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "byte 1"},
		"too many zeros":    {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "more than a sketch holds"},
		"claims buckets":    {"\x01\x00\xff\xff\xff\xff\x0f\x05\x01", "byte"},
		"no step":           {"\x01\x00\x02\x05\x01\x00\x01" + float(1) + float(1) + float(1), "no bucket 0 steps behind 4"},
		"beyond the last":   {"\x01\x00\x01\x82\x28\x01" + float(1) + float(1) + float(1), "no bucket 5122 steps behind -1"},
		"counts nothing":    {"\x01\x00\x01\x05\x00" + float(1) + float(1) + float(1), "a bucket that counts 0"},
		"too many in all":   {"\x01\x00\x02\x81\x10" + full + "\x01" + full, "byte 22: 18014398509481984 values are more"},
		"min elsewhere":     {"\x01\x00\x01\x81\x10\x01" + float(2) + float(2) + float(2), "outermost bucket"},
		"sum impossible":    {"\x01\x00\x01\x81\x10\x01" + float(9) + float(1) + float(1), "sum 9 is not that of 1 values"},
		"sum infinite":      {"\x01\x00\x01\x81\x10\x01\x01\x00\x00\x00\x00\x00\x00\xf0\x7f" + float(1) + float(1), "+Inf"},
		"sum negative":      {"\x01\x01\x00\x01\x00\x00\x00\x00\x00\x00\xf0\xbf" + float(0) + float(0), "-1 is not"},
		"whole as float":    {"\x01\x00\x01\x81\x10\x01\x01\x00\x00\x00\x00\x00\x00\xf0\x3f" + float(1) + float(1), "1 is not a finite number that is not whole"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sketchOf([]float64{5})
			err := s.UnmarshalBinary([]byte(c.data))
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Invalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want Invalid with %q", err, c.says)
			}
			if !s.Equal(*sketchOf([]float64{5})) {
				t.Error("the sketch was changed")
			}
		})
	}
}

func TestSketchOfMoreThanItsFormHoldsIsNotWritten(t *testing.T) {
	var s Sketch
	s.AddN(1, 1<<54)
	if data, err := s.AppendBinary([]byte("x")); err == nil || string(data) != "x" {
		t.Errorf("got %x, %v", data, err)
	}
}

func FuzzSketchUnmarshal(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Sketch
		if s.UnmarshalBinary(data) != nil {
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x (%v) was read from %x", again, err, data)
		}
		if len(s.buckets) > bucketCount+octave {
			t.Fatalf("%d buckets", len(s.buckets))
		}
		if median := s.Quantile(0.5); s.Count() > 0 && !(median >= s.Min() && median <= s.Max()) {
			t.Fatalf("median %v of values between %v and %v", median, s.Min(), s.Max())
		}
		var twice Sketch
		twice.Merge(&s)
		twice.Merge(&s)
		if twice.Count() != 2*s.Count() {
			t.Fatalf("twice %d is %d", s.Count(), twice.Count())
		}
	})
}

func BenchmarkSketchAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = math.Exp(7 + r.NormFloat64())
	}
	var s Sketch
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Add(values[i&4095])
	}
}

func BenchmarkSketchUnmarshalAndMerge(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var s, part, into Sketch
	for range 20 {
		s.Add(math.Exp(7 + r.NormFloat64()))
	}
	data, err := s.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := part.UnmarshalBinary(data); err != nil {
			b.Fatal(err)
		}
		into.Merge(&part)
	}
	b.ReportMetric(float64(len(data)), "bytes")
}
