package trees

import (
	"bytes"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// lightgbmJSON reads what LightGBM's dump_model gives, written as JSON. The library does not read it itself. It holds what the text
// holds, but that versions before 2.2.3 leave the objective out: then the prediction is the margin. Trees deeper than about 120 splits are
// nested too deep for jsonscan.
type lightgbmJSON struct {
	*jsonscan.Scanner
	l       *lightgbm
	planter lightgbmPlanter
}

// lightgbmNode is a node while its fields are read; they may come in any order.
type lightgbmNode struct {
	branch    branch[float64]
	threshold float64
	equal     bool // the split is by categories
	left      bool // what is missing goes left
	missing   int32
	hasLeaf   bool
	hasSplit  bool
	hasLinear bool
	constant  float64
	features  []int32
	factors   []float64
}

// readLightGBMJSON reads a file: what it says, and its trees laid flat. It goes over the file twice, as the trees may come first.
func readLightGBMJSON(data []byte) (*lightgbm, *forest[float64], error) {
	r := lightgbmJSON{Scanner: jsonscan.New(data).AllowNonFinite(), l: &lightgbm{features: notGiven, classes: notGiven}}
	trees := false
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "version":
			r.l.version = r.String()
		case "num_class":
			r.l.classes = r.Int64()
		case "num_tree_per_iteration":
			r.l.perRound = r.Int64()
		case "max_feature_idx":
			r.l.features = r.Int64() + 1
		case "objective":
			r.l.objective = r.String()
		case "average_output":
			r.l.average = r.Bool()
		case "feature_names":
			for r.Array(); r.Next(); {
				r.l.featureNames = append(r.l.featureNames, r.String())
			}
		case "tree_info":
			if trees {
				r.Failf("tree_info is there twice")
			}
			trees = true
			r.Skip()
		default:
			r.Skip()
		}
	}
	if r.End(); r.Err() != nil {
		return nil, nil, r.Err()
	}
	switch {
	case r.l.classes == notGiven:
		return nil, nil, fault.Invalidf("the file has no num_class")
	case r.l.features == notGiven:
		return nil, nil, fault.Invalidf("the file has no max_feature_idx")
	case !trees:
		return nil, nil, fault.Invalidf("the file has no tree_info")
	}
	if int64(len(r.l.featureNames)) != r.l.features { // only in what was edited by hand; the names say nothing then
		r.l.featureNames = nil
	}
	if err := r.l.check(len(data)); err != nil {
		return nil, nil, err
	}
	r.planter = lightgbmPlanter{f: r.l.forest(), perRound: int(r.l.perRound)}
	r.Reset(data)
	for r.Object(); r.Next(); {
		if string(r.Key()) != "tree_info" {
			r.Skip()
			continue
		}
		for r.Array(); r.Next(); {
			r.tree()
		}
	}
	return r.l, r.planter.f, r.Err()
}

// tree reads an element of tree_info and plants it.
func (r *lightgbmJSON) tree() {
	p := &r.planter
	p.branches = p.branches[:0]
	for r.Object(); r.Next(); {
		if string(r.Key()) == "tree_structure" && len(p.branches) == 0 {
			r.node()
		} else {
			r.Skip()
		}
	}
	if r.Err() != nil {
		return
	}
	if len(p.branches) == 0 {
		r.Failf("tree %d has no tree_structure", p.f.trees())
		return
	}
	if err := p.plant(); err != nil {
		r.Failf("%w", err)
	}
}

// node reads a node and those below it, and returns its place among the branches.
func (r *lightgbmJSON) node() int32 {
	p := &r.planter
	place := int32(len(p.branches))
	p.branches = append(p.branches, branch[float64]{})
	n := lightgbmNode{branch: branch[float64]{left: none, right: none}}
	for r.Object(); r.Next(); {
		switch key := r.Key(); string(key) {
		case "leaf_index":
			n.branch.id = r.int32()
		case "leaf_value":
			n.branch.value, n.hasLeaf = r.Float64(), true
		case "leaf_count", "internal_count":
			n.branch.cover = float64(r.Int64())
		case "split_feature":
			n.branch.feature, n.hasSplit = r.int32(), true
		case "threshold":
			if r.Peek() == jsonscan.String {
				n.branch.set = r.categories(r.Bytes())
			} else {
				n.threshold = r.threshold()
			}
		case "decision_type":
			n.equal = r.oneOf("==", "<=") == 0
		case "default_left":
			n.left = r.Bool()
		case "missing_type":
			n.missing = r.oneOf("None", "Zero", "NaN")
		case "left_child":
			n.branch.left = r.node()
		case "right_child":
			n.branch.right = r.node()
		case "leaf_const":
			n.constant, n.hasLinear = r.Float64(), true
		case "leaf_features":
			for r.Array(); r.Next(); {
				n.features = append(n.features, r.int32())
			}
		case "leaf_coeff":
			for r.Array(); r.Next(); {
				n.factors = append(n.factors, r.Float64())
			}
		default:
			r.Skip()
		}
	}
	if r.Err() == nil {
		if err := p.finish(&n); err != nil {
			r.Failf("tree %d: %w", p.f.trees(), err)
		}
	}
	p.branches[place] = n.branch
	return place
}

// finish makes a branch of the fields that were read.
func (p *lightgbmPlanter) finish(n *lightgbmNode) (err error) {
	b := &n.branch
	split := b.left != none && b.right != none
	switch {
	case n.hasLeaf == split || n.hasSplit != split || !split && (b.left != none || b.right != none):
		return fault.Invalidf("a node is neither a leaf with a leaf_value nor a split with split_feature, left_child and right_child")
	case split && n.equal != (b.set != 0):
		return fault.Invalidf("a split's threshold does not go with its decision_type")
	case !split && len(n.features) != len(n.factors):
		return fault.Invalidf("a leaf has %d leaf_features and %d leaf_coeff", len(n.features), len(n.factors))
	case !split && n.hasLinear:
		return p.function(b, n.constant, n.features, n.factors)
	case !split:
		return nil
	}
	if _, err := p.column(b.feature); err != nil {
		return err
	}
	if b.set == 0 {
		b.split = above(n.threshold)
		b.missing, err = lightgbmMissing(n.missing, n.left)
	}
	return err
}

// threshold reads a threshold. Infinity is written as 1e300.
func (r *lightgbmJSON) threshold() float64 {
	v := r.Float64()
	if v == 1e300 {
		return math.Inf(1)
	}
	return v
}

// categories keeps a set that is written as 1||10||100, and returns its number and one.
func (r *lightgbmJSON) categories(text []byte) int32 {
	p := &r.planter
	p.chosen = p.chosen[:0]
	for len(text) > 0 {
		var number []byte
		number, text, _ = bytes.Cut(text, []byte("||"))
		category, err := strconv.ParseInt(string(number), 10, 32)
		if err != nil || category < 0 {
			r.Failf("%.40q is no category", number)
			return 0
		}
		p.chosen = append(p.chosen, int32(category))
	}
	return int32(p.f.sets.add(p.chosen, setOptions{chosenLeft: true})) + 1
}

// oneOf reads one of a few words and returns its number.
func (r *lightgbmJSON) oneOf(words ...string) int32 {
	text := r.Bytes()
	for i, word := range words {
		if string(text) == word {
			return int32(i)
		}
	}
	r.Failf("%.40q where one of %q should be", text, words)
	return 0
}

func (r *lightgbmJSON) int32() int32 {
	v := r.Int64()
	if v != int64(int32(v)) {
		r.Failf("%d is not a whole number of 32 bits", v)
	}
	return int32(v)
}
