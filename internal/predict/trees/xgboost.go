package trees

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
)

// xgboost is what a file says besides its trees. XGBoost writes most numbers of it as text.
type xgboost struct {
	version      []int32 // of the library that wrote the file
	booster      string
	objective    string
	baseScore    string // in the space of the prediction, not of the margin
	baseIsMargin bool   // but in the space of the margin in a binary file before 1.0
	baseIsGuess  string // "1" where the base score was not given by the user
	features     int64
	featureNames []string
	classes      int64 // 0 or 1: not a classification among several
	targets      int64
	attributes   map[string]string

	parallel   int64     // trees of each output in a round; unsaid where the file does not tell, as until 1.5
	trees      *int64    // as the file claims; nil where it does not
	treeInfo   []int32   // of each tree, the output it adds to
	roundEnds  []int32   // of each round, the tree it begins with, and the end; since 2.0
	weightDrop []float32 // with dropout: of each tree, its weight

	weights      []float32 // of a gblinear: of each feature one for each output, then the bias of each output
	linearRounds int64     // of a gblinear: how many it was trained for; since 1.6
}

// unsaid marks a number that the file does not hold.
const unsaid = -1

// readXGBoost reads a file: what it says, and its trees laid flat.
func readXGBoost(data []byte) (*xgboost, *forest[float32], error) {
	var fail failure
	d := decoder{
		source: newSource(data, &fail), fail: &fail, size: len(data),
		x: &xgboost{targets: 1, parallel: unsaid, attributes: map[string]string{}},
	}
	d.b = builder{fail: &fail}
	if start, is := isBinary(data); is {
		d.binary(data, start)
	} else if isBase64(data) {
		fail.set(fault.Invalidf("the base64 format, which XGBoost wrote until 0.4, is not supported").WithHint("train the model again"))
	} else {
		d.document()
	}
	if fail.err != nil {
		return nil, nil, fail.err
	}
	forest := d.b.done()
	if err := d.x.check(&d, forest); err != nil {
		return nil, nil, err
	}
	return d.x, forest, nil
}

// decoder reads the schema of XGBoost's files from either syntax. Keys it does not know are dropped: every version adds some.
type decoder struct {
	source
	fail *failure
	size int // of the file, in bytes
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
	boosterSection
	objectiveSection
	treeSection
	weightSection
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

// booster reads a gbtree, or a dart around one. From 3.4 on there is no dart: a gbtree has the weights, in its model.
func (d *decoder) booster() {
	d.once(boosterSection, "a gradient_booster")
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
		"weight_drop":      func() { d.value(&d.x.weightDrop) },
		"weights": func() {
			d.once(weightSection, "weights")
			d.value(&d.x.weights)
		},
		"boosted_rounds": func() { d.value(&d.x.linearRounds) },
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

// treeTable says where the fields of a tree go. The statistics of training that only training needs (gain, base weights) are dropped.
func (d *decoder) treeTable() map[string]func() {
	t := &d.tree
	return map[string]func(){
		"left_children":    func() { d.value(&t.left) },
		"right_children":   func() { d.value(&t.right) },
		"split_indices":    func() { d.value(&t.feature) },
		"split_conditions": func() { d.value(&t.split) },
		"default_left":     func() { d.value(&t.defaultLeft) },
		"split_type":       func() { d.value(&t.kind) },
		"sum_hessian":      func() { d.value(&t.cover) },
		"leaf_weights":     func() { d.value(&t.leafWeights) },
		"base_weights": func() { // needed only where leaves are vectors, which the first tree tells
			if d.b.f.trees() == 0 || d.b.leafSize > 1 {
				d.value(&t.nodeWeights)
			} else {
				d.value(nil)
			}
		},
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
