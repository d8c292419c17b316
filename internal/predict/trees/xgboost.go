package trees

import (
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// xgboost is what a file says besides its trees. XGBoost writes most numbers of it as text.
type xgboost struct {
	version      []int32 // of the library that wrote the file
	booster      string
	objective    string
	baseScore    string // in the space of the prediction, not of the margin
	baseIsGuess  string // "1" where the base score was not given by the user
	features     int64
	featureNames []string
	classes      int64 // 0 or 1: not a classification among several
	targets      int64
	attributes   map[string]string

	parallel   int64     // trees of each output in a round
	trees      *int64    // as the file claims; nil where it does not
	treeInfo   []int32   // of each tree, the output it adds to
	roundEnds  []int32   // of each round, the tree it begins with, and the end; since 2.0
	weightDrop []float32 // dart: of each tree, its weight
}

// Bounds of a model. They are far beyond real ones, and keep a few bytes from claiming gigabytes.
const (
	maxColumns = 1 << 20
	maxOutputs = 1 << 16
)

// readXGBoost reads a file: what it says, and its trees laid flat.
func readXGBoost(data []byte) (*xgboost, *forest[float32], error) {
	var fail failure
	d := decoder{
		source: newSource(data, &fail), fail: &fail,
		x: &xgboost{targets: 1, parallel: 1, attributes: map[string]string{}},
	}
	d.b = builder{fail: &fail}
	d.document()
	if fail.err != nil {
		return nil, nil, fail.err
	}
	forest := d.b.done()
	if err := d.x.check(d, forest); err != nil {
		return nil, nil, err
	}
	return d.x, forest, nil
}

// decoder reads the schema of XGBoost's files from either syntax. Keys it does not know are dropped: every version adds some.
type decoder struct {
	source
	fail *failure
	x    *xgboost
	b    builder
	tree xgboostTree // read into again and again
	seen section
}

// section says which parts of a file have been met; each may come once.
type section uint8

const (
	learner section = 1 << iota
	params
	booster
	objectiveSection
	treeSection
)

func (d *decoder) once(s section, name string) {
	if d.seen&s != 0 {
		d.fail.set(fault.Invalidf("the file has %s twice", name))
	}
	d.seen |= s
}

// fields reads an object by a table of what to do with its keys.
func (d *decoder) fields(table map[string]func()) {
	d.object(func(key []byte) bool {
		read, known := table[string(key)]
		if known {
			read()
		}
		return known
	})
}

func (d *decoder) document() {
	d.fields(map[string]func(){
		"version": func() { d.value(&d.x.version) },
		"learner": func() {
			d.once(learner, "a learner")
			d.fields(map[string]func(){
				"attributes":          d.attributes,
				"feature_names":       func() { d.value(&d.x.featureNames) },
				"gradient_booster":    d.booster,
				"learner_model_param": d.params,
				"objective": func() {
					d.once(objectiveSection, "an objective")
					d.fields(map[string]func(){"name": func() { d.value(&d.x.objective) }})
				},
			})
		},
	})
}

func (d *decoder) attributes() {
	d.object(func(key []byte) bool {
		name, text := string(key), ""
		d.value(&text)
		d.x.attributes[name] = text
		return true
	})
}

func (d *decoder) params() {
	d.once(params, "learner_model_param")
	d.fields(map[string]func(){
		"base_score":         func() { d.value(&d.x.baseScore) },
		"boost_from_average": func() { d.value(&d.x.baseIsGuess) },
		"num_class":          d.number("num_class", &d.x.classes),
		"num_feature":        d.number("num_feature", &d.x.features),
		"num_target":         d.number("num_target", &d.x.targets),
	})
}

// booster reads a gbtree, or a dart around one.
func (d *decoder) booster() {
	d.once(booster, "a gradient_booster")
	d.fields(map[string]func(){
		"name":        func() { d.value(&d.x.booster) },
		"model":       d.model,
		"gbtree":      func() { d.fields(map[string]func(){"model": d.model}) },
		"weight_drop": func() { d.value(&d.x.weightDrop) },
	})
}

func (d *decoder) model() {
	d.fields(map[string]func(){
		"gbtree_model_param": func() {
			d.fields(map[string]func(){
				"num_parallel_tree": d.number("num_parallel_tree", &d.x.parallel),
				"num_trees": func() {
					d.x.trees = new(int64)
					d.number("num_trees", d.x.trees)()
				},
			})
		},
		"tree_info":        func() { d.value(&d.x.treeInfo) },
		"iteration_indptr": func() { d.value(&d.x.roundEnds) },
		"trees": func() {
			d.once(treeSection, "trees")
			table := d.treeTable()
			d.array(func() {
				d.tree.reset()
				d.fields(table)
				d.b.add(&d.tree)
			})
		},
	})
}

// treeTable says where the fields of a tree go. The statistics of training (gain, hessian, base weights) are dropped.
func (d *decoder) treeTable() map[string]func() {
	t := &d.tree
	return map[string]func(){
		"left_children":       func() { d.value(&t.left) },
		"right_children":      func() { d.value(&t.right) },
		"split_indices":       func() { d.value(&t.feature) },
		"split_conditions":    func() { d.value(&t.split) },
		"default_left":        func() { d.value(&t.defaultLeft) },
		"split_type":          func() { d.value(&t.kind) },
		"categories":          func() { d.value(&t.categories) },
		"categories_nodes":    func() { d.value(&t.categoryNodes) },
		"categories_segments": func() { d.value(&t.categoryStarts) },
		"categories_sizes":    func() { d.value(&t.categorySizes) },
		"tree_param": func() {
			d.fields(map[string]func(){
				"num_nodes":        d.number("num_nodes", &t.nodes),
				"size_leaf_vector": d.number("size_leaf_vector", &t.leafSize),
			})
		},
	}
}

// number returns what reads a number that is written as text.
func (d *decoder) number(name string, dst *int64) func() {
	return func() {
		var text string
		d.value(&text)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil && d.fail.err == nil {
			d.fail.set(fault.Invalidf("%s is %.40q, not a whole number", name, text))
		}
		*dst = n
	}
}

// outputs returns how many numbers a row's margin has.
func (x *xgboost) outputs() int { return int(max(x.classes, 1) * max(x.targets, 1)) }

// check holds what the file says against its trees, and gives the trees their outputs and weights.
func (x *xgboost) check(d decoder, f *forest[float32]) error {
	for _, part := range []struct {
		have section
		name string
	}{{learner, "learner"}, {params, "learner_model_param"}, {booster, "gradient_booster"}, {objectiveSection, "objective"}} {
		if d.seen&part.have == 0 {
			return fault.Invalidf("the file has no %s", part.name)
		}
	}
	switch x.booster {
	case "gbtree", "dart":
	case "gblinear":
		return fault.Invalidf("booster gblinear is linear, not trees, and is not supported").WithHint("train with booster=gbtree, or serve it as an upstream")
	default:
		return fault.Invalidf("unknown booster %q", x.booster)
	}
	switch trees := len(f.roots); {
	case d.seen&treeSection == 0:
		return fault.Invalidf("the file has no trees")
	case x.features < 1 || x.features > maxColumns:
		return fault.Invalidf("num_feature is %d; 1 to %d are supported", x.features, maxColumns)
	case x.classes < 0 || x.classes > maxOutputs || x.targets < 0 || x.targets > maxOutputs || x.outputs() > maxOutputs:
		return fault.Invalidf("num_class is %d and num_target %d; at most %d outputs are supported", x.classes, x.targets, maxOutputs)
	case int64(d.b.columns) > x.features:
		return fault.Invalidf("tree %d splits on feature %d, but num_feature is %d", d.b.widest, d.b.columns-1, x.features)
	case len(x.featureNames) != 0 && int64(len(x.featureNames)) != x.features:
		return fault.Invalidf("%d feature_names, but num_feature is %d", len(x.featureNames), x.features)
	case repeats(x.featureNames) != "":
		return fault.Invalidf("feature_names has %q twice", repeats(x.featureNames))
	case x.trees != nil && *x.trees != int64(trees):
		return fault.Invalidf("num_trees is %d, but there are %d trees", *x.trees, trees)
	case len(x.treeInfo) != trees:
		return fault.Invalidf("tree_info has %d entries for %d trees", len(x.treeInfo), trees)
	case x.booster == "dart" && len(x.weightDrop) != trees:
		return fault.Invalidf("weight_drop has %d entries for %d trees", len(x.weightDrop), trees)
	}
	f.features = int(x.features)
	for t, output := range x.treeInfo {
		if output < 0 || int(output) >= x.outputs() {
			return fault.Invalidf("tree %d adds to output %d, but there are %d", t, output, x.outputs())
		}
		f.groups = append(f.groups, uint32(output))
	}
	if x.booster == "dart" {
		return f.weigh(x.weightDrop)
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
	// A value that is no category, or none that the split can know, went where missing values go; since, it goes left.
	if x.writtenBefore(1, 7) {
		f.sets.outsideByDefault()
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
	untrained := len(x.treeInfo) == 0 && x.baseIsGuess == "1" && !x.writtenBefore(3, 1)
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
		if base[i] = score; untrained {
			continue
		}
		if base[i] = o.margin(score); base[i]-base[i] != 0 {
			return nil, fault.Invalidf("base_score is %v, which %s cannot have", score, x.objective)
		}
	}
	return base, nil
}

// rounds returns how many trees, from the first on, answer under the option iterations.
func (x *xgboost) rounds(iterations string) (trees int, err error) {
	best, hasBest := x.attributes["best_iteration"]
	if iterations == "" || iterations == "auto" {
		iterations = "all"
		if _, wrapper := x.attributes["scikit_learn"]; wrapper && hasBest {
			iterations = "best"
		}
	}
	ends, err := x.ends()
	if err != nil {
		return 0, err
	}
	rounds := len(ends)
	switch iterations {
	case "all":
		return len(x.treeInfo), nil
	case "best":
		n, err := strconv.Atoi(best)
		if !hasBest || err != nil {
			return 0, fault.Invalidf("the file has no best iteration (best_iteration is %.40q)", best).
				WithHint("it has one after training with early stopping; else leave the option iterations out")
		}
		if n < 0 || n >= rounds {
			return 0, fault.Invalidf("best_iteration is %d, but the file has %d rounds", n, rounds)
		}
		return ends[n], nil
	}
	n, err := strconv.Atoi(iterations)
	if err != nil || n < 1 || n > rounds {
		return 0, fault.Invalidf("the option iterations is %.40q; the file has %d rounds", iterations, rounds).
			WithHint("give auto, all, best, or how many of the first rounds shall answer")
	}
	return ends[n-1], nil
}

// ends returns for each round the number of trees up to its end. Until 2.0 files did not say, and every round had as many.
func (x *xgboost) ends() (ends []int, err error) {
	trees := len(x.treeInfo)
	if trees == 0 {
		return nil, nil
	}
	if len(x.roundEnds) == 0 {
		perRound := x.parallel * int64(x.outputs())
		if x.parallel < 1 || x.parallel > int64(max(trees, 1)) {
			return nil, fault.Invalidf("num_parallel_tree is %d with %d trees", x.parallel, trees)
		}
		for end := perRound; end <= int64(trees); end += perRound {
			ends = append(ends, int(end))
		}
		return ends, nil
	}
	for i, end := range x.roundEnds {
		if i == 0 && end != 0 || i > 0 && end < x.roundEnds[i-1] || int(end) > trees {
			return nil, fault.Invalidf("iteration_indptr goes from %v to %d at %d, with %d trees", x.roundEnds[max(i-1, 0)], end, i, trees)
		}
		if i > 0 {
			ends = append(ends, int(end))
		}
	}
	return ends, nil
}
