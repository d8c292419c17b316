package stat

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

// stirlingRest returns ln Γ(z) - [(z-½)·ln z - z + ½·ln 2π], for z > 0. Differences of ln Γ of large arguments lose all digits that
// matter; what is left over from Stirling's formula is small and keeps them.
func stirlingRest(z float64) float64 {
	if z < 10 {
		l, _ := math.Lgamma(z)
		return l - (z-0.5)*math.Log(z) + z - halfLog2Pi
	}
	i := 1 / (z * z) // Abramowitz and Stegun 6.1.41; the next term is below 1e-17
	return (1./12 - i*(1./360-i*(1./1260-i*(1./1680-i*(1./1188-i*(691./360360-i/156)))))) / z
}

const halfLog2Pi = 0.91893853320467274178 // ln(2π)/2

// logPhiTimes returns z²/2 + ln Φ(z), where Φ is the normal distribution function; both parts are huge for z far below 0.
func logPhiTimes(z float64) float64 {
	if z > -25 {
		return z*z/2 + math.Log(math.Erfc(-z/math.Sqrt2)/2)
	}
	i := 1 / (z * z) // asymptotic series, A&S 26.2.12
	return -math.Log(-z) - halfLog2Pi + math.Log1p(-i*(1-i*(3-i*(15-i*(105-i*945)))))
}

// chiSquareTail returns the probability that chi-square with df degrees of freedom is above x: the regularised incomplete gamma
// function Q(df/2, x/2), by its series or its continued fraction (A&S 6.5.29 and 6.5.31).
func chiSquareTail(x float64, df int) float64 {
	if !(x > 0) {
		return 1
	}
	if math.IsInf(x, 1) {
		return 0
	}
	a := float64(df) / 2
	x /= 2
	// x^a·e^-x/Γ(a+1), by way of Stirling's rest so that a large df keeps its digits
	front := math.Exp(a*logRatio(x, a) + a - x - halfLog2Pi - stirlingRest(a) - math.Log(a)/2)
	if x < a+1 {
		sum, term := 1.0, 1.0
		for k := 1; term > sum*0x1p-54; k++ {
			term *= x / (a + float64(k))
			sum += term
		}
		return max(0, 1-front*sum)
	}
	b := x + 1 - a
	c, d := math.Inf(1), 1/b
	h := d
	for k := 1.0; k < maxSteps; k++ { // modified Lentz
		n := k * (a - k)
		b += 2
		d = 1 / (n*d + b)
		c = b + n/c
		h *= c * d
		if math.Abs(c*d-1) < 0x1p-52 {
			break
		}
	}
	return min(1, front*a*h)
}

// maxSteps bounds the continued fractions: they need about the square root of their largest argument.
const maxSteps = 1e6

// logRatio returns ln(x/y), exact to the last digits also where x is close to y.
func logRatio(x, y float64) float64 {
	if d := (x - y) / y; math.Abs(d) < 0.5 {
		return math.Log1p(d)
	}
	return math.Log(x) - math.Log(y)
}

// logBetaTail returns ln P(Q > x) for Q distributed Beta(a, b), 0 < x < 1, by the continued fraction of the incomplete beta function
// (A&S 26.5.8).
func logBetaTail(x, a, b float64) float64 {
	// x^a·(1-x)^b / B(a, b)
	n := a + b
	front := a*logRatio(x*n, a) + b*logRatio((1-x)*n, b) + (math.Log(a)+math.Log(b)-math.Log(n))/2 - halfLog2Pi +
		stirlingRest(n) - stirlingRest(a) - stirlingRest(b)
	if x > (a+1)/(n+2) { // the tail is the small part
		return min(0, front-math.Log(b)+math.Log(betaFraction(1-x, b, a)))
	}
	below := math.Exp(front-math.Log(a)) * betaFraction(x, a, b)
	return math.Log1p(-min(below, 1))
}

func betaFraction(x, a, b float64) float64 {
	const tiny = 1e-300
	away := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/away(1-(a+b)*x/(a+1))
	h := d
	for m := 1.0; m < maxSteps; m++ {
		n := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d = 1 / away(1+n*d)
		c = away(1 + n/c)
		h *= c * d
		n = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d = 1 / away(1+n*d)
		c = away(1 + n/c)
		h *= c * d
		if math.Abs(c*d-1) < 0x1p-51 {
			break
		}
	}
	return h
}

// zeta returns Riemann's zeta function for s > 1, by Euler and Maclaurin's formula.
func zeta(s float64) float64 {
	const n = 20.
	sum := 0.0
	for k := 1.; k < n; k++ {
		sum += math.Pow(k, -s)
	}
	end := math.Pow(n, -s)
	return sum + end*(n/(s-1)+0.5+s/(12*n)*(1-(s+1)*(s+2)/(60*n*n)*(1-(s+3)*(s+4)/(42*n*n))))
}

// boundary narrows a..b, where out(a) holds and out(b) does not, to two neighbouring numbers and returns the one that is out: an
// interval that ends there is never too short.
func boundary(a, b float64, out func(float64) bool) float64 {
	for range 1100 { // the halvings from 1 down to the smallest float64
		m := a + (b-a)/2
		if m == a || m == b {
			break
		}
		if out(m) {
			a = m
		} else {
			b = m
		}
	}
	return a
}

// checkLevel refuses what is no probability of error, or no sample size to tune for.
func checkLevel(alpha, tune float64) error {
	if !(alpha > 0 && alpha < 1) {
		return fault.Invalidf("alpha %v is not between 0 and 1", alpha).WithHint("0.05 means: wrong at most once in 20 times")
	}
	if !(tune > 0) || math.IsInf(tune, 1) {
		return fault.Invalidf("the sample size %v to tune for is not a positive number", tune).
			WithHint("take the number of observations at which a verdict is expected")
	}
	return nil
}
