package trees

import "math"

// objective says how a margin becomes a prediction, and a base score a margin. XGBoost adds up margins; what it predicts is their
// transform, and base_score is given as a prediction.
type objective struct {
	margin    func(score float32) float32
	transform func(row []float32) // of one row's margins, in place
	vote      bool                // the prediction is the number of the largest margin
}

// objectives are XGBoost's, up to 3.2, by the name in the file.
//
// Three are not what one would think: binary:logitraw takes its base score as it is, since 1.3, although binary:logistic takes the
// logit of it;
// binary:hinge takes 0.5, the default, as a margin, so that an untrained model says 1; and survival:aft and survival:cox predict on the
// scale of time and risk, so theirs is a logarithm.
var objectives = map[string]objective{
	"reg:squarederror":     {identity, keep, false},
	"reg:linear":           {identity, keep, false}, // its name up to 0.9
	"reg:squaredlogerror":  {identity, keep, false},
	"reg:pseudohubererror": {identity, keep, false},
	"reg:absoluteerror":    {identity, keep, false},
	"reg:quantileerror":    {identity, keep, false},
	"reg:logistic":         {logit, each(sigmoid), false},
	"reg:gamma":            {logarithm, each(exponential), false},
	"reg:tweedie":          {logarithm, each(exponential), false},
	"binary:logistic":      {logit, each(sigmoid), false},
	"binary:logitraw":      {identity, keep, false},
	"binary:hinge":         {identity, each(step), false},
	"multi:softmax":        {identity, keep, true},
	"multi:softprob":       {identity, softmax, false},
	"rank:pairwise":        {identity, keep, false},
	"rank:ndcg":            {identity, keep, false},
	"rank:map":             {identity, keep, false},
	"count:poisson":        {logarithm, each(exponential), false},
	"survival:cox":         {logarithm, each(exponential), false},
	"survival:aft":         {logarithm, each(exponential), false},
}

func identity(v float32) float32 { return v }

func keep([]float32) {}

func each(f func(float32) float32) func([]float32) {
	return func(row []float32) {
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

func logit(p float32) float32 { return -logarithm(1/p - 1) }

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

// largest returns the number of the first of the largest margins.
func largest(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
