package trees

import (
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// lightgbmObjective is an objective and its parameters, as a file has them in one line: name, flags, and name:value.
type lightgbmObjective struct {
	name    string
	root    bool    // sqrt: the trees learnt the root of the label
	sigmoid float64 // the factor of the margin
	classes int64
}

// inverse returns what turns a row of margins, each the sum of so many rounds, into predictions.
func (l *lightgbm) inverse(rounds int) (func(row []float64), error) {
	o, err := parseLightGBMObjective(l.objective)
	if err != nil {
		return nil, err
	}
	transform, err := o.transform(l.classes)
	switch {
	case err != nil:
		return nil, err
	case !l.average:
		return transform, nil
	case rounds == 0:
		return nil, fault.Invalidf("a random forest without trees has no mean to predict")
	case l.predicts:
		transform = asIs
	}
	return func(row []float64) {
		for i := range row {
			row[i] /= float64(rounds)
		}
		transform(row)
	}, nil
}

func parseLightGBMObjective(text string) (o lightgbmObjective, err error) {
	for i, word := range strings.Fields(text) {
		key, value, _ := strings.Cut(word, ":")
		switch {
		case i == 0:
			o.name = word
		case word == "sqrt":
			o.root = true
		case key == "sigmoid":
			o.sigmoid, err = strconv.ParseFloat(value, 64)
		case key == "num_class":
			o.classes, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return o, fault.Invalidf("objective=%.80q: %.40q is not a number", text, value)
		}
	}
	return o, nil
}

// transform returns the objective's transform, which works in place. The names are those of every version since 2.0, and their other
// names, some of which old files hold. An objective that the library leaves to the user has none.
func (o lightgbmObjective) transform(classes int64) (func(row []float64), error) {
	one := classes == 1
	switch o.name {
	case "", "custom", "none", "null", "na":
		return asIs, nil
	case "regression", "regression_l2", "l2", "mean_squared_error", "mse", "l2_root", "root_mean_squared_error", "rmse",
		"regression_l1", "l1", "mean_absolute_error", "mae", "fair", "quantile", "mape", "mean_absolute_percentage_error":
		if o.root {
			return each(signedSquare), o.only(one)
		}
		return asIs, o.only(one)
	case "huber", "lambdarank", "rank_xendcg", "xendcg", "xe_ndcg", "xe_ndcg_mart", "xendcg_mart":
		return asIs, o.only(one)
	case "poisson", "gamma", "tweedie":
		return each(math.Exp), o.only(one)
	case "binary":
		return each(o.logistic), o.positive(o.only(one))
	case "cross_entropy", "xentropy":
		o.sigmoid = 1
		return each(o.logistic), o.only(one)
	case "cross_entropy_lambda", "xentlambda":
		return each(softplus), o.only(one)
	case "multiclass", "softmax":
		return softmaxes, o.only(o.classes == classes)
	case "multiclassova", "multiclass_ova", "ova", "ovr":
		return each(o.logistic), o.positive(o.only(o.classes == classes))
	}
	return nil, fault.Invalidf("unknown objective %.80q", o.name).WithHint("LightGBM itself does not load a model with an objective it does not know")
}

// only refuses an objective whose number of outputs is not that of the file.
func (o lightgbmObjective) only(fits bool) error {
	if !fits {
		return fault.Invalidf("objective=%s does not go with num_class", o.name)
	}
	return nil
}

// positive refuses a sigmoid that is not, as the library does.
func (o lightgbmObjective) positive(err error) error {
	if err == nil && !(o.sigmoid > 0 && o.sigmoid <= maxFinite) {
		return fault.Invalidf("objective=%s: its sigmoid is %v, which must be above 0", o.name, o.sigmoid)
	}
	return err
}

func asIs([]float64) {}

func (o lightgbmObjective) logistic(v float64) float64 { return 1 / (1 + math.Exp(-o.sigmoid*v)) }

// softplus is the library's: what overflows does.
func softplus(v float64) float64 { return math.Log1p(math.Exp(v)) }

// signedSquare undoes the root that was taken of a label, which has the label's sign.
func signedSquare(v float64) float64 {
	switch {
	case v > 0:
		return v * v
	case v < 0:
		return -v * v
	}
	return 0 * v * v // NaN stays
}

// softmaxes is softmax in float64.
func softmaxes(row []float64) {
	largest := row[0]
	for _, v := range row[1:] {
		if largest < v {
			largest = v
		}
	}
	sum := 0.0
	for i, v := range row {
		row[i] = math.Exp(v - largest)
		sum += row[i]
	}
	for i := range row {
		row[i] /= sum
	}
}
