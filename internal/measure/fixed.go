package measure

import "math"

// Fixed is a sum of values that is the same in whatever order they are added, as a sum of floats is not: whole numbers and 2^-40ths of one
// (some 1e-12), to which each value is rounded. The zero value is 0.
type Fixed struct {
	Whole int64
	Part  uint64 // below fixedOne
}

const (
	fixedOne  = 1 << 40
	mostFixed = 1 << 42 // values beyond count as this much, so that two million of them still add up
)

// FixedOf rounds a value; NaN is 0.
func FixedOf(v float64) Fixed {
	if math.IsNaN(v) {
		return Fixed{}
	}
	v = min(max(v, -mostFixed), mostFixed)
	whole := math.Floor(v)
	f := Fixed{Whole: int64(whole)}
	f.add(uint64(math.Round((v - whole) * fixedOne)))
	return f
}

// Add adds another sum.
func (f *Fixed) Add(o Fixed) {
	f.Whole += o.Whole
	f.add(o.Part)
}

func (f *Fixed) add(part uint64) {
	f.Part += part
	f.Whole += int64(f.Part / fixedOne)
	f.Part %= fixedOne
}

// Float returns the sum.
func (f Fixed) Float() float64 { return float64(f.Whole) + float64(f.Part)/fixedOne }
