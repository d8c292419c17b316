package trees

import "math"

// objective says how a margin becomes a prediction, and a base score a margin. XGBoost adds up margins; what it predicts is their
// transform, and base_score is given as a prediction.
type objective struct {
	margin  func(score float32) float32 // NaN for a score that cannot be
	margins func(base []float32)        // where they hang together, of all outputs at once and in place, instead of margin
	inverse func(row []float32)         // of one row's margins, in place
	vote    bool                        // the prediction is the number of the largest margin
}

func (o objective) link() link[float32] { return link[float32]{inverse: o.inverse, vote: o.vote} }

// objectives are XGBoost's, up to 3.4, by the name in the file.
//
// Three are not what one would think: binary:logitraw takes its base score as it is, since 1.3, although binary:logistic takes the
// logit of it;
// binary:hinge takes 0.5, the default, as a margin, so that an untrained model says 1; and survival:aft and survival:cox predict on the
// scale of time and risk, so theirs is a logarithm.
var objectives = map[string]objective{
	"reg:squarederror":     {margin: identity, inverse: keep},
	"reg:linear":           {margin: identity, inverse: keep}, // its name up to 0.9
	"reg:squaredlogerror":  {margin: identity, inverse: keep},
	"reg:pseudohubererror": {margin: identity, inverse: keep},
	"reg:absoluteerror":    {margin: identity, inverse: keep},
	"reg:expectileerror":   {margins: toGaps, inverse: fromGaps}, // since 3.3
	"reg:quantileerror":    {margin: identity, inverse: keep},
	"reg:logistic":         {margin: logit, inverse: each(sigmoid)},
	"reg:gamma":            {margin: logarithm, inverse: each(exponential)},
	"reg:tweedie":          {margin: logarithm, inverse: each(exponential)},
	"binary:logistic":      {margin: logit, inverse: each(sigmoid)},
	"binary:logitraw":      {margin: identity, inverse: keep},
	"binary:hinge":         {margin: identity, inverse: each(step)},
	"multi:softmax":        {margin: identity, inverse: keep, vote: true},
	"multi:softprob":       {margin: identity, inverse: softmax},
	"rank:pairwise":        {margin: identity, inverse: keep},
	"rank:ndcg":            {margin: identity, inverse: keep},
	"rank:map":             {margin: identity, inverse: keep},
	"count:poisson":        {margin: logarithm, inverse: each(exponential)},
	"survival:cox":         {margin: logarithm, inverse: each(exponential)},
	"survival:aft":         {margin: logarithm, inverse: each(exponential)},
}

func identity(v float32) float32 { return v }

func keep([]float32) {}

func each[F number](f func(F) F) func([]F) {
	return func(row []F) {
		for i, v := range row {
			row[i] = f(v)
		}
	}
}

// The library computes in float32, where exp and log of the C library are right to about half a unit in the last place. Computed in
// float64 and rounded, ours differ from them in that last place at most.

func exponential(v float32) float32 { return float32(math.Exp(float64(v))) }

func logarithm(v float32) float32 { return float32(math.Log(float64(v))) }

// sigmoid is the library's: it cuts off what would overflow, and adds what would keep a zero from being divided by.
func sigmoid(v float32) float32 { return 1 / (exponential(min(-v, 88.7)) + 1 + 1e-16) }

// logit knows no certainty.
func logit(p float32) float32 {
	if p <= 0 || p >= 1 {
		return float32(math.NaN())
	}
	return -logarithm(1/p - 1)
}

// epsilon is the library's least difference.
const epsilon float32 = 1e-6

// boundedLogit is the logit since 3.2, which moves certainty a little to where it has one: labels that are all the same lead there.
func boundedLogit(p float32) float32 {
	if p < 0 || p > 1 {
		return float32(math.NaN())
	}
	return logit(min(max(p, epsilon), 1-epsilon))
}

// fromGaps makes rising expectiles of the first and of the gaps between them, whose margins are before a softplus.
func fromGaps(row []float32) {
	for i := 1; i < len(row); i++ {
		v := row[i]
		softplus := log1p(exponential(-max(v, -v))) // exp of what is not positive cannot overflow
		if v > 0 {
			softplus = v + softplus
		}
		row[i] = row[i-1] + (epsilon + softplus)
	}
}

// toGaps is the inverse of fromGaps.
func toGaps(base []float32) {
	for i := len(base) - 1; i > 0; i-- {
		gap := max(base[i]-base[i-1]-epsilon, epsilon)
		base[i] = gap + logarithm(-float32(math.Expm1(float64(-gap))))
	}
}

func log1p(v float32) float32 { return float32(math.Log1p(float64(v))) }

func step(v float32) float32 {
	if v > 0 {
		return 1
	}
	return 0
}

// softmax is the library's: powers in float32, their sum in float64.
func softmax(row []float32) {
	largest := row[0]
	for _, v := range row[1:] {
		largest = max(largest, v)
	}
	var sum float64
	for i, v := range row {
		row[i] = exponential(v - largest)
		sum += float64(row[i])
	}
	for i := range row {
		row[i] /= float32(sum)
	}
}
