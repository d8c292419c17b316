package stat

import "math"

// Ratio estimates sum(y)/sum(z) where the pairs (y, z), not the single observations, are independent: one pair per user (or per
// unit bucket: a bucket is a group of whole users), z its requests and y their total time, or its right answers. A user with a
// thousand requests is then one witness and not a thousand; the standard error of single requests would be far too small.
//
// The variance is the delta method's,
//
//	Var(Y/Z) = (mY/mZ)² [ sY²/(n·mY²) + sZ²/(n·mZ²) - 2·sYZ/(n·mY·mZ) ]
//
// for n pairs, means m, sample variances s² and covariance sYZ, computed as the equal sum of (y - R·z)², which also stands mY = 0.
// It wants some twenty pairs of like weight: look at Effective. The zero value is ready.
type Ratio struct {
	pairs            uint64
	hits, misses     uint64 // pairs with y != 0, and with y != z
	y, z, yy, yz, zz float64
}

// Add counts one pair. z is how many observations the pair stands for and must not be negative; a pair of zeros counts too (a
// bucket nobody fell in).
func (r *Ratio) Add(y, z float64) {
	r.pairs++
	if y != 0 {
		r.hits++
	}
	if y != z {
		r.misses++
	}
	r.y += y
	r.z += z
	r.yy += y * y
	r.yz += y * z
	r.zz += z * z
}

// Merge adds the pairs of o. No user may be in both.
func (r *Ratio) Merge(o Ratio) {
	r.pairs += o.pairs
	r.hits += o.hits
	r.misses += o.misses
	r.y += o.y
	r.z += o.z
	r.yy += o.yy
	r.yz += o.yz
	r.zz += o.zz
}

// Estimate returns sum(y)/sum(z), its clustered standard error, and N = sum(z), rounded: the observations, so that N grows as the
// error shrinks, which MeanSequence needs.
func (r Ratio) Estimate() Estimate {
	if !(r.z > 0) {
		return Estimate{Value: math.NaN(), SE: math.Inf(1)}
	}
	value, n := r.y/r.z, float64(r.pairs)
	squares := r.yy - 2*value*r.yz + value*value*r.zz // of y - value·z, whose mean is 0
	if rounding := 0x1p-48 * r.yy; squares < rounding {
		squares = 0
	}
	return Estimate{Value: value, SE: known(math.Sqrt(squares/(n-1)*n) / r.z), N: uint64(math.Round(r.z))}
}

// ShareEstimate is Estimate where y counts how many of the z observations have a property. Its standard error is never below that of
// independent observations, and is not known while fewer than MinEvents pairs have a hit or fewer have a miss: the errors of one
// user are one event.
func (r Ratio) ShareEstimate() Estimate {
	e := r.Estimate()
	if min(r.hits, r.misses) < MinEvents {
		e.SE = math.Inf(1)
		return e
	}
	if single := shareError(r.y, r.z); math.IsInf(e.SE, 1) || e.SE < single { // +Inf: all pairs have the same share
		e.SE = single
	}
	return e
}

// Effective returns how many pairs of equal weight z would tell as much: (sum z)²/(sum z²), after Kish. With fewer than about 20
// the standard error is itself a guess.
func (r Ratio) Effective() float64 {
	if r.zz == 0 {
		return 0
	}
	return r.z * r.z / r.zz
}
