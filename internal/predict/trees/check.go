package trees

import (
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Bounds of a model. They are far beyond real ones, and keep a few bytes from claiming gigabytes.
const (
	maxColumns = 1 << 20
	maxOutputs = 1 << 16
)

// outputs returns how many numbers a row's margin has.
func (x *xgboost) outputs() int { return int(max(x.classes, 1) * max(x.targets, 1)) }

// check holds what the file says against its trees or weights.
func (x *xgboost) check(d *decoder, f *forest[float32]) error {
	for _, part := range []struct {
		have section
		name string
	}{{learner, "learner"}, {params, "learner_model_param"}, {boosterSection, "gradient_booster"}, {objectiveSection, "objective"}} {
		if d.seen&part.have == 0 {
			return fault.Invalidf("the file has no %s", part.name)
		}
	}
	if !isBooster(x.booster) {
		return fault.Invalidf("unknown booster %q", x.booster)
	}
	if err := x.checkShape(d.size); err != nil {
		return err
	}
	if x.booster == "gblinear" {
		return x.checkWeights(d)
	}
	if d.seen&treeSection == 0 {
		return fault.Invalidf("the file has no trees")
	}
	return x.checkTrees(d, f)
}

// checkTrees holds what the file says of the trees against them, and gives them their outputs and weights.
func (x *xgboost) checkTrees(d *decoder, f *forest[float32]) error {
	switch trees := f.trees(); {
	case int64(f.columns) > x.features:
		return fault.Invalidf("tree %d splits on feature %d, but num_feature is %d", f.widest, f.columns-1, x.features)
	case len(f.vectors) > 0 && d.b.leafSize != int64(x.outputs()):
		return fault.Invalidf("the leaves have %d values, but there are %d outputs", d.b.leafSize, x.outputs())
	case x.trees != nil && *x.trees != int64(trees):
		return fault.Invalidf("num_trees is %d, but there are %d trees", *x.trees, trees)
	case len(x.treeInfo) != trees:
		return fault.Invalidf("tree_info has %d entries for %d trees", len(x.treeInfo), trees)
	case (x.booster == "dart" || len(x.weightDrop) > 0) && len(x.weightDrop) != trees:
		return fault.Invalidf("weight_drop has %d entries for %d trees", len(x.weightDrop), trees)
	}
	f.features, f.base = int(x.features), make([]float32, x.outputs())
	for t, output := range x.treeInfo {
		if output < 0 || int(output) >= x.outputs() {
			return fault.Invalidf("tree %d adds to output %d, but there are %d", t, output, x.outputs())
		}
		f.groups[t] = uint32(output)
	}
	if len(x.weightDrop) > 0 {
		return f.weigh(x.weightDrop)
	}
	return nil
}

// checkShape checks what the file says of its features and outputs. size is the file's, in bytes.
func (x *xgboost) checkShape(size int) error {
	switch {
	case x.features < 1 || x.features > maxColumns:
		return fault.Invalidf("num_feature is %d; 1 to %d are supported", x.features, maxColumns)
	case x.classes < 0 || x.classes > maxOutputs || x.targets < 0 || x.targets > maxOutputs || x.outputs() > maxOutputs:
		return fault.Invalidf("num_class is %d and num_target %d; at most %d outputs are supported", x.classes, x.targets, maxOutputs)
	case x.outputs() > size:
		return fault.Invalidf("%d outputs cannot be true of a file of %d bytes", x.outputs(), size)
	case len(x.featureNames) != 0 && int64(len(x.featureNames)) != x.features:
		return fault.Invalidf("%d feature_names, but num_feature is %d", len(x.featureNames), x.features)
	case repeats(x.featureNames) != "":
		return fault.Invalidf("feature_names has %q twice", repeats(x.featureNames))
	}
	return nil
}

// writtenBefore tells whether an older library than major.minor wrote the file. One without a version is old.
func (x *xgboost) writtenBefore(major, minor int32) bool {
	return len(x.version) < 2 || x.version[0] < major || x.version[0] == major && x.version[1] < minor
}

// repeats returns a name that is there twice, "" if all differ.
func repeats(names []string) string {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return name
		}
		seen[name] = true
	}
	return ""
}

// asWritten makes the forest and the objective those of the library that wrote the file, where it computed otherwise than today's. Its
// owner saw those numbers.
func (x *xgboost) asWritten(f *forest[float32], o *objective) {
	// The base score was added to the sum of the trees; since, the trees are added to it.
	f.baseLast = x.writtenBefore(1, 3) || x.booster == "dart" && x.writtenBefore(1, 4)
	if x.objective == "binary:logitraw" && x.writtenBefore(1, 3) {
		o.margin = logit
	}
	// A value that is no category, or none that the split can know, goes left; in 1.6 alone it went where missing values go.
	if x.writtenBefore(1, 7) && !x.writtenBefore(1, 6) {
		f.sets.outsideByDefault()
	}
	if (x.objective == "binary:logistic" || x.objective == "reg:logistic") && !x.writtenBefore(3, 2) {
		o.margin = boundedLogit
	}
	if x.baseIsMargin {
		o.margin, o.margins = nil, nil
	}
	// Quantiles could cross; since, a row's are sorted.
	if x.objective == "reg:quantileerror" && !x.writtenBefore(3, 4) {
		o.inverse = slices.Sort[[]float32]
	}
}

// base returns what each output starts from, in the space of the margin. The file holds it in the space of the prediction: as one
// number, since 3.1 as one for each output ("[5E-1,5E-1]").
func (x *xgboost) base(o objective) ([]float32, error) {
	inner, vector := strings.CutPrefix(x.baseScore, "[")
	if vector {
		if inner, vector = strings.CutSuffix(inner, "]"); !vector {
			return nil, fault.Invalidf("base_score is %.40q, a list without its end", x.baseScore)
		}
	}
	texts := strings.Split(inner, ",")
	outputs := x.outputs()
	if len(texts) != 1 && len(texts) != outputs {
		return nil, fault.Invalidf("base_score has %d numbers for %d outputs", len(texts), outputs)
	}
	// A model that was never trained has no base score of its own; since 3.1 the library then takes the default as a margin.
	untrained := len(x.treeInfo) == 0 && x.linearRounds == 0 && x.baseIsGuess == "1" && !x.writtenBefore(3, 1)
	base := make([]float32, outputs)
	for i := range base {
		if i >= len(texts) {
			base[i] = base[0]
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(texts[i]), 32)
		score := float32(v)
		if err != nil || score-score != 0 {
			return nil, fault.Invalidf("base_score is %.40q, not a number", texts[i])
		}
		if base[i] = score; untrained || o.margin == nil {
			continue
		}
		// The logarithm of 0 is no mistake: counts that are all 0 lead there, and exp leads back.
		if base[i] = o.margin(score); base[i] != base[i] {
			return nil, fault.Invalidf("base_score is %v, which %s cannot have", score, x.objective)
		}
	}
	if o.margins != nil && !untrained {
		o.margins(base)
	}
	return base, nil
}
