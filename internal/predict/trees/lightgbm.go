package trees

import (
	"bytes"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/predict"
)

// lightgbm is what a LightGBM file says besides its trees.
type lightgbm struct {
	version      string // of the format: v2, v3, v4; the oldest files have none
	objective    string // its name and its parameters, as in "binary sigmoid:1"; "" where the loss was the user's own
	classes      int64
	perRound     int64 // trees in a round, one for each output
	features     int64
	featureNames []string
	average      bool // a random forest: the prediction is of the mean of the rounds, not of their sum
	// predicts says that the leaves of a random forest are in the space of the prediction already: until 2.1.2 every tree was
	// transformed, since 2.2 their mean is. The formats are the same; 2.2 is the first to write the parameter refit_decay_rate.
	predicts bool
}

// notGiven stands for a number that the file does not hold.
const notGiven = math.MinInt64

// isLightGBM tells whether data is a model in LightGBM's text, or the JSON of dump_model.
func isLightGBM(data []byte) bool {
	if rest, ok := bytes.CutPrefix(data, []byte("tree")); ok {
		rest, ok = bytes.CutPrefix(bytes.TrimPrefix(rest, []byte("\r")), []byte("\n"))
		return ok && (bytes.HasPrefix(rest, []byte("version=")) || bytes.HasPrefix(rest, []byte("num_class=")))
	}
	return isLightGBMJSON(data)
}

// openLightGBM reads a model as LightGBM's save_model or dump_model wrote it, of any version since 2.0.5.
//
// The option iterations is auto or all (every round), or a number of the first rounds, or best, which no file has: where training
// stopped early, save_model writes the rounds up to the best one only. LightGBM itself takes too large a number for all; here it is
// Invalid.
//
// A row is what the library makes of a dense one. A number within 1e-35 (as float32) of 0 is 0; in the library's sparse rows one that is
// stored stays what it is. An entry absent from a sparse row is 0. Infinities are values like others. Each split says which values are
// missing there: NaN, or NaN and 0, or none, and then NaN counts as 0. A category is cut to a whole number as a C cast does, so that -0.5
// is category 0; what is NaN or negative, or unknown to the split, goes right.
//
// The margin is the sum of the trees, in a random forest too, where the prediction is of their mean over the rounds that answer.
//
// A linear tree's leaf is a function of the row, or a constant where one of the function's features is NaN. LightGBM refuses to explain
// such models (where the file has lost its section of parameters it explains the constants, which do not add up to the margin), so
// they have no output contributions here, unless all functions are of no feature.
//
// pandas_categorical, which says how pandas' categories were numbered, is not applied: rows hold the numbers.
func openLightGBM(data []byte, iterations string) (predict.Model, error) {
	read := readLightGBMText
	if !bytes.HasPrefix(data, []byte("tree")) {
		read = readLightGBMJSON
	}
	l, f, err := read(data)
	if err != nil {
		return nil, err
	}
	rounds, err := l.rounds(iterations, f.trees())
	if err != nil {
		return nil, err
	}
	inverse, err := l.inverse(rounds)
	if err != nil {
		return nil, err
	}
	f.keep(rounds * int(l.perRound))
	return newModel(f, link[float64]{inverse: inverse}, modelOptions{columns: l.columns(), absentZero: true, unexplained: !f.covered()}), nil
}

// check holds what the file says against itself, before its trees are read.
func (l *lightgbm) check(size int) error {
	if l.perRound == 0 {
		l.perRound = l.classes // the oldest files do not say
	}
	switch {
	case l.classes < 1 || l.classes > maxOutputs || l.classes > int64(size):
		return fault.Invalidf("num_class is %d; 1 to %d are supported", l.classes, maxOutputs)
	case l.perRound != l.classes:
		return fault.Invalidf("num_tree_per_iteration is %d, but num_class is %d", l.perRound, l.classes)
	case l.features < 1 || l.features > maxColumns:
		return fault.Invalidf("max_feature_idx is %d; 0 to %d are supported", l.features-1, maxColumns-1)
	case len(l.featureNames) != 0 && int64(len(l.featureNames)) != l.features:
		return fault.Invalidf("%d feature_names, but max_feature_idx is %d", len(l.featureNames), l.features-1)
	case repeats(l.featureNames) != "":
		return fault.Invalidf("feature_names has %q twice", repeats(l.featureNames)).WithHint("name the columns differently in the line feature_names")
	}
	return nil
}

// columns returns the names of the columns, nil where they are those that LightGBM makes up.
func (l *lightgbm) columns() []string {
	for i, name := range l.featureNames {
		if name != "Column_"+strconv.Itoa(i) {
			return l.featureNames
		}
	}
	return nil
}

// rounds returns how many rounds, from the first on, answer under the option iterations.
func (l *lightgbm) rounds(iterations string, trees int) (int, error) {
	if trees%int(l.perRound) != 0 {
		return 0, fault.Invalidf("%d trees are no whole number of rounds of %d", trees, l.perRound).WithHint("the file may be cut off")
	}
	rounds := trees / int(l.perRound)
	switch iterations {
	case "", "auto", "all":
		return rounds, nil
	case "best":
		return 0, fault.Invalidf("a LightGBM file has no best iteration").
			WithHint("after early stopping save_model writes the rounds up to the best only; leave the option iterations out")
	}
	n, err := strconv.Atoi(iterations)
	if err != nil || n < 1 || n > rounds {
		return 0, fault.Invalidf("the option iterations is %.40q; the file has %d rounds", iterations, rounds).
			WithHint("give auto, all, or how many of the first rounds shall answer")
	}
	return n, nil
}

// forest makes the forest that the trees of a file are planted in. LightGBM adds up from 0, and takes what is nearly zero in a row for 0.
func (l *lightgbm) forest() *forest[float64] {
	return &forest[float64]{nearZero: true, features: int(l.features), base: make([]float64, l.perRound)}
}

// isLightGBMJSON tells whether data is an object that has a tree_info. It reads no further than there.
func isLightGBMJSON(data []byte) bool {
	s := jsonscan.New(data).AllowNonFinite()
	if s.Peek() != jsonscan.Object {
		return false
	}
	for s.Object(); s.Next(); {
		if string(s.Key()) == "tree_info" {
			return s.Err() == nil
		}
		s.Skip()
	}
	return false
}
