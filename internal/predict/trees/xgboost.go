package trees

import (
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

type xgbTree struct {
	left, right, feature, splitType, cats, catNodes []int32
	catSegments, catSizes                           []int32
	split                                           []float32
	defaultLeft                                     []bool
	leafVector                                      int64
	nodes                                           int64
}

type xgbFile struct {
	booster      string
	objective    string
	baseScore    string
	numFeature   int64
	numClass     int64
	numTarget    int64
	parallel     int64
	featureNames []string
	attributes   map[string]string
	treeInfo     []int32
	indptr       []int32
	weightDrop   []float32
	hasTrees     bool
	b            *builder
}

func decodeXGBoost(data []byte) (*xgbFile, error) {
	var fail failure
	s := newSource(data, &fail)
	f := &xgbFile{numTarget: 1, parallel: 1, attributes: map[string]string{}, b: &builder{fail: &fail}}
	str := func(dst *string) bool { s.value(dst); return true }
	num := func(dst *int64) bool {
		var t string
		s.value(&t)
		n, err := strconv.ParseInt(t, 10, 64)
		if err != nil {
			fail.set(fault.Invalidf("%.40q is no whole number", t))
		}
		*dst = n
		return true
	}
	var learner bool
	model := func(key []byte) bool {
		switch string(key) {
		case "gbtree_model_param":
			s.object(func(key []byte) bool {
				if string(key) == "num_parallel_tree" {
					return num(&f.parallel)
				}
				return false
			})
			return true
		case "tree_info":
			s.value(&f.treeInfo)
			return true
		case "iteration_indptr":
			s.value(&f.indptr)
			return true
		case "trees":
			f.hasTrees = true
			var t xgbTree
			s.array(func() { f.tree(s, &t, num); f.b.tree(&t) })
			return true
		}
		return false
	}
	gbtree := func(key []byte) bool {
		if string(key) == "model" {
			s.object(model)
			return true
		}
		return false
	}
	booster := func(key []byte) bool {
		switch string(key) {
		case "name":
			return str(&f.booster)
		case "model":
			s.object(model)
			return true
		case "gbtree":
			s.object(gbtree)
			return true
		case "weight_drop":
			s.value(&f.weightDrop)
			return true
		}
		return false
	}
	s.object(func(key []byte) bool {
		if string(key) != "learner" {
			return false
		}
		learner = true
		s.object(func(key []byte) bool {
			switch string(key) {
			case "attributes":
				s.object(func(key []byte) bool {
					k := string(key)
					var v string
					s.value(&v)
					f.attributes[k] = v
					return true
				})
			case "feature_names":
				s.value(&f.featureNames)
			case "gradient_booster":
				s.object(booster)
			case "learner_model_param":
				s.object(func(key []byte) bool {
					switch string(key) {
					case "base_score":
						return str(&f.baseScore)
					case "num_class":
						return num(&f.numClass)
					case "num_feature":
						return num(&f.numFeature)
					case "num_target":
						return num(&f.numTarget)
					}
					return false
				})
			case "objective":
				s.object(func(key []byte) bool {
					if string(key) == "name" {
						return str(&f.objective)
					}
					return false
				})
			default:
				return false
			}
			return true
		})
		return true
	})
	if fail.err != nil {
		return nil, fail.err
	}
	if !learner {
		return nil, fault.Invalidf("no learner")
	}
	return f, nil
}

func (f *xgbFile) tree(s source, t *xgbTree, num func(*int64) bool) {
	*t = xgbTree{left: t.left[:0], right: t.right[:0], feature: t.feature[:0], splitType: t.splitType[:0], cats: t.cats[:0], catNodes: t.catNodes[:0], catSegments: t.catSegments[:0], catSizes: t.catSizes[:0], split: t.split[:0], defaultLeft: t.defaultLeft[:0]}
	s.object(func(key []byte) bool {
		switch string(key) {
		case "left_children":
			s.value(&t.left)
		case "right_children":
			s.value(&t.right)
		case "split_indices":
			s.value(&t.feature)
		case "split_type":
			s.value(&t.splitType)
		case "categories":
			s.value(&t.cats)
		case "categories_nodes":
			s.value(&t.catNodes)
		case "categories_segments":
			s.value(&t.catSegments)
		case "categories_sizes":
			s.value(&t.catSizes)
		case "split_conditions":
			s.value(&t.split)
		case "default_left":
			s.value(&t.defaultLeft)
		case "tree_param":
			s.object(func(key []byte) bool {
				switch string(key) {
				case "size_leaf_vector":
					return num(&t.leafVector)
				case "num_nodes":
					return num(&t.nodes)
				}
				return false
			})
		default:
			return false
		}
		return true
	})
}

func parseBase(text string, outputs int) ([]float32, error) {
	inner, vector := strings.CutPrefix(text, "[")
	if vector {
		inner = strings.TrimSuffix(inner, "]")
	}
	var out []float32
	for _, p := range strings.Split(inner, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(p), 32)
		if err != nil {
			return nil, fault.Invalidf("base_score %.40q", text)
		}
		out = append(out, float32(v))
	}
	for len(out) == 1 && len(out) < outputs {
		for len(out) < outputs {
			out = append(out, out[0])
		}
	}
	if len(out) != outputs {
		return nil, fault.Invalidf("base_score has %d values for %d outputs", len(out), outputs)
	}
	return out, nil
}
