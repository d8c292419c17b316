package trees

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
)

// binLE writes little endian numbers one after the other, and zeros up to size bytes.
func binLE(size int, numbers ...uint32) (b []byte) {
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, make([]byte, size-len(b))...)
}

func binText(text string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
}

func binFloats(values []float32) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(values)))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// binary lays the model out in the old binary format. Without a version it is one of 0.90, whose base score is a margin.
func (h handmade) binary() []byte {
	base, _ := strconv.ParseFloat(or(h.base, "0"), 32)
	version := append(slices.Clone(h.version), 0, 0)
	b := binLE(binaryLearner, math.Float32bits(float32(base)), uint32(h.width()), uint32(h.classes), 1, 0, uint32(version[0]), uint32(version[1]))
	b = append(b, binText(or(h.objective, "reg:squarederror"))...)
	if h.weights == nil {
		b = append(b, binText("gbtree")...)
	} else {
		b = append(b, binText("dart")...)
	}
	b = append(b, binLE(binaryForest, uint32(len(h.trees)), 1)...)
	for i, root := range h.trees {
		b = append(b, binTree(treeDoc(i, root, h.width()))...)
	}
	groups := h.groups
	if groups == nil {
		groups = make([]int32, len(h.trees))
	}
	for _, g := range groups {
		b = binary.LittleEndian.AppendUint32(b, uint32(g))
	}
	if h.weights != nil {
		b = append(b, binFloats(h.weights)...)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(h.attributes)))
	for name, text := range h.attributes {
		b = append(append(b, binText(name)...), binText(text.(string))...)
	}
	return b
}

func binTree(t doc) []byte {
	left := t["left_children"].([]int32)
	b := binLE(binaryTree, 1, uint32(len(left)))
	for i := range left {
		feature := uint32(t["split_indices"].([]int32)[i]) | uint32(t["default_left"].([]uint8)[i])<<31
		b = append(b, binLE(binaryNode, uint32(t["parents"].([]int32)[i]), uint32(left[i]), uint32(t["right_children"].([]int32)[i]), feature,
			math.Float32bits(t["split_conditions"].([]float32)[i]))...)
	}
	for i := range left {
		b = append(b, binLE(binaryStats, 0, math.Float32bits(t["sum_hessian"].([]float32)[i]))...)
	}
	return b
}

// binLinear is a gblinear of two features and two outputs.
func binLinear(version ...int32) []byte {
	version = append(slices.Clone(version), 0, 0)
	b := binLE(binaryLearner, math.Float32bits(0.5), 2, 2, 1, 0, uint32(version[0]), uint32(version[1]))
	b = append(append(b, binText("multi:softprob")...), binText("gblinear")...)
	b = append(append(b, make([]byte, binaryLinear)...), binFloats([]float32{1, -2, 0.25, 4, 0.125, -0.5})...)
	return append(b, make([]byte, binaryLength)...)
}

// binGrove is grove without its categorical splits, which the format cannot hold.
func binGrove() handmade {
	h := grove
	h.version = []int32{1, 7, 0}
	h.trees = []*sprout{
		below(0, 1.5, goesLeft, leaf(0.25), below(1, -2, goesRight, leaf(-1), leaf(2))),
		below(3, 4, goesRight, below(0, 0, goesRight, leaf(0.5), leaf(1)), leaf(-0.75)),
		leaf(0.0625),
	}
	h.groups, h.rounds = []int32{0, 1, 2}, nil
	return h
}

func TestBinaryFilesAnswerAsTheirTwinsInJSON(t *testing.T) {
	for name, h := range map[string]handmade{"classes": binGrove(), "dropout": dropout, "a leaf": {trees: []*sprout{leaf(1)}}, "no trees": {}} {
		for _, version := range [][]int32{{1, 0, 2}, {1, 3, 0}, {1, 7, 0}, {3, 0, 5}} {
			h.version = version
			rows := sparseRows(t, h, 200)
			want, wantMargin := answersTo(t, mustOpen(t, h.json(), nil), rows)
			for form, prefix := range map[string]string{"plain": "", "binf": "binf", "Spark": "\x00\x00\x00\x02", "Spark, binf": "\x00\x00\x01\x00binf"} {
				got, margin := answersTo(t, mustOpen(t, append([]byte(prefix), h.binary()...), nil), rows)
				if !sameBits(got, want) || !sameBits(margin, wantMargin) {
					t.Errorf("%s of %v, %s: the answers differ", name, version, form)
				}
			}
		}
	}
}

func TestBaseScoresBefore10AreMargins(t *testing.T) {
	h := handmade{objective: "binary:logistic", base: "0.25", trees: []*sprout{leaf(1)}}
	for _, tt := range []struct {
		version []int32
		want    float32
	}{{nil, 1.25}, {[]int32{1, 0}, 1 + logit(0.25)}} {
		h.version = tt.version
		if _, margin := answersTo(t, mustOpen(t, h.binary(), nil), []float32{0}); margin.Data.([]float32)[0] != tt.want {
			t.Errorf("version %v: the margin is %v, want %v", tt.version, margin.Data, tt.want)
		}
	}
}

func TestObjectivesForTheGPUAreTheSame(t *testing.T) { // until 0.90
	h := handmade{objective: "gpu:binary:logistic", trees: []*sprout{leaf(1)}}
	if got, _ := answersTo(t, mustOpen(t, h.binary(), nil), []float32{0}); got.Data.([]float32)[0] != sigmoid(1) {
		t.Errorf("%v, want %v", got.Data, sigmoid(1))
	}
}

func TestWhatEndedFilesBefore10IsPassed(t *testing.T) {
	h := handmade{objective: "count:poisson", trees: []*sprout{leaf(1)}}
	plain := h.binary()
	metrics := slices.Clone(plain)
	metrics[16] = 1
	list := append(binary.LittleEndian.AppendUint64(nil, 2), append(binText("mae"), binText("rmse")...)...)
	for name, data := range map[string][]byte{
		"nothing": plain, "a delta": append(slices.Clone(plain), binText("0.7")...),
		"a delta and metrics": append(append(slices.Clone(metrics), binText("0.7")...), list...),
	} {
		if _, margin := answersTo(t, mustOpen(t, data, nil), []float32{0}); margin.Data.([]float32)[0] != 1 {
			t.Errorf("%s: the margin is %v, want 1", name, margin.Data)
		}
	}
	_, err := openBytes(append(append(slices.Clone(metrics), binText("0.7")...), list[:len(list)-1]...), nil)
	mentions(t, err, "training parameters")
}

// binDamage is where in binThicket things are.
const (
	binAfterNames = binaryLearner + 2*binaryLength + len("binary:logistic") + len("gbtree")
	binAtTree     = binAfterNames + binaryForest
	binAtNodes    = binAtTree + binaryTree
	binAtStats    = binAtNodes + 5*binaryNode
	binAtInfo     = binAtStats + 5*binaryStats + binaryTree + binaryNode + binaryStats
)

// binThicket is a tree of five nodes, of which 0 and 1 are inner, and a leaf.
func binThicket() handmade {
	return handmade{objective: "binary:logistic", base: "5E-1", features: 3, version: []int32{1, 7, 0}, trees: []*sprout{
		below(0, 1, goesLeft, below(2, 2, goesRight, leaf(1), leaf(2)), leaf(3)), leaf(0.5),
	}}
}

func TestBadBinaryModelsAreRefusedWithTheReason(t *testing.T) {
	node := func(i, field int) int { return binAtNodes + i*binaryNode + 4*field }
	tests := []struct {
		name  string
		at    int
		value uint32
		want  []string
	}{
		{"a link to itself", node(0, 1), 0, []string{"tree 0", "node 0|two ways"}},
		{"a link back to the root", node(1, 2), 0, []string{"tree 0", "two ways|met twice"}},
		{"two nodes that share a child", node(1, 2), 2, []string{"tree 0", "node 2"}},
		{"a left child out of range", node(1, 1), 5, []string{"tree 0", "node 1", "out of range"}},
		{"a right child far out of range", node(1, 2), 1 << 30, []string{"tree 0", "node 1", "out of range"}},
		{"a negative right child", node(1, 2), math.MaxUint32, []string{"tree 0", "node 1", "-1"}},
		{"a negative left child", node(1, 1), math.MaxUint32 - 1, []string{"tree 0", "node 1", "-2"}},
		{"a child that is deleted", node(2, 3), math.MaxUint32, []string{"tree 0", "node 0", "deleted"}},
		{"fewer deleted nodes than claimed", binAtTree + 8, 1, []string{"tree 0", "num_deleted"}},
		{"a leaf that is NaN", node(3, 4), math.Float32bits(nan), []string{"tree 0", "node 3", "NaN"}},
		{"a split that is NaN", node(1, 4), math.Float32bits(nan), []string{"tree 0", "node 1"}},
		{"a feature out of range", node(1, 3), 3, []string{"tree 0", "feature 3", "num_feature is 3"}},
		{"a huge feature", node(1, 3), 1<<31 - 2, []string{"tree 0", "node 1", "feature 2147483646"}},
		{"no nodes", binAtTree + 4, 0, []string{"tree 0", "num_nodes is 0"}},
		{"fewer nodes than none", binAtTree + 4, math.MaxUint32, []string{"tree 0", "num_nodes is -1"}},
		{"two billion nodes", binAtTree + 4, 1<<31 - 1, []string{"tree 0", "num_nodes is 2147483647", "bytes are left"}},
		{"several roots", binAtTree, 2, []string{"tree 0", "2 roots"}},
		{"vector leaves", binAtTree + 20, 3, []string{"tree 0", "vectors of 3"}},
		{"two billion trees", binAfterNames, 1<<31 - 1, []string{"num_trees is 2147483647", "bytes are left"}},
		{"fewer trees than none", binAfterNames, math.MaxUint32, []string{"num_trees is -1"}},
		{"fewer trees", binAfterNames, 1, []string{"byte|trees"}},
		{"no parallel trees", binAfterNames + 4, 0, []string{"num_parallel_tree"}},
		{"a tree of no output", binAtInfo, 1, []string{"tree 0", "output 1"}},
		{"a tree of a negative output", binAtInfo, math.MaxUint32, []string{"tree 0", "output -1"}},
		{"a base score that is NaN", 0, math.Float32bits(nan), []string{"base_score"}},
		{"a base score that cannot be", 0, math.Float32bits(2), []string{"base_score", "binary:logistic"}},
		{"no features", 4, 0, []string{"num_feature is 0"}},
		{"four billion features", 4, math.MaxUint32, []string{"num_feature is 4294967295"}},
		{"fewer classes than none", 8, math.MaxUint32, []string{"num_class is -1"}},
		{"more classes than bytes", 8, 60_000, []string{"60000 outputs", "bytes"}},
		{"two billion targets", 28, 1<<31 - 1, []string{"num_target"}},
		{"attributes without end", binAtInfo + 8, 1 << 20, []string{"attributes", "bytes are left"}},
		{"attributes that are not said", 12, 0, []string{"bytes are left after the model"}},
	}
	good := binThicket().binary()
	mustOpen(t, good, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := slices.Clone(good)
			binary.LittleEndian.PutUint32(data[tt.at:], tt.value)
			allocated, m, err := openCounting(data)
			if m != nil {
				t.Fatal("it opens")
			}
			mentions(t, err, tt.want...)
			if limit := allowance(data); allocated > limit {
				t.Errorf("%d bytes were allocated for a file of %d, want at most %d", allocated, len(data), limit)
			}
		})
	}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"something after the end":  {append(slices.Clone(good), 0), "1 bytes are left"},
		"an unknown objective":     {handmade{objective: "reg:magic"}.binary(), "reg:magic"},
		"too few weights":          {slices.Concat(binLinear()[:len(binLinear())-binaryLength-4-6*4-4], binFloats([]float32{1}), make([]byte, 8)), "byte|weights"},
		"base64":                   {[]byte("bs64\tAAAAPw"), "base64"},
		"weights of another model": {dropoutOf(2), "weight_drop has 2"},
	} {
		_, err := openBytes(tt.data, nil)
		if err == nil {
			t.Errorf("%s: it opens", name)
			continue
		}
		mentions(t, err, tt.want)
	}
}

func dropoutOf(weights int) []byte {
	h := dropout
	h.weights = h.weights[:weights]
	return h.binary()
}

// TestPrunedNodesAreNoPartOfATree takes a leaf's children away, as pruning leaves them in the file.
func TestPrunedNodesAreNoPartOfATree(t *testing.T) {
	pruned := binThicket().binary()
	put := func(at int, v uint32) { binary.LittleEndian.PutUint32(pruned[at:], v) }
	put(binAtTree+8, 2)
	put(binAtNodes+binaryNode+4, math.MaxUint32) // the library looks at the left child only
	put(binAtNodes+binaryNode+16, math.Float32bits(9))
	for _, i := range []int{3, 4} {
		put(binAtNodes+i*binaryNode+12, math.MaxUint32)
		put(binAtNodes+i*binaryNode+16, math.Float32bits(nan))
	}
	want := binThicket()
	want.trees = []*sprout{below(0, 1, goesLeft, leaf(9), leaf(3)), leaf(0.5)}
	rows := sparseRows(t, want, 100)
	got, _ := answersTo(t, mustOpen(t, pruned, nil), rows)
	if other, _ := answersTo(t, mustOpen(t, want.json(), nil), rows); !sameBits(got, other) {
		t.Error("the answers are not those of the tree that is left")
	}
}

func TestBinaryFilesAreKnownByTheirContent(t *testing.T) {
	good := handmade{}.binary()
	brace := slices.Clone(good)
	copy(brace, "{i") // a base score may begin like UBJSON
	for name, tt := range map[string]struct {
		data []byte
		want bool
	}{
		"a model": {good, true}, "one that begins like UBJSON": {brace, true}, "base64": {[]byte("bs64\tAAAA"), true},
		"Spark's": {append([]byte{0, 0, 0, 3}, good...), true}, "a single class": {append([]byte{0, 0, 0, 1}, good...), false},
		"empty": {nil, false}, "zeros": {make([]byte, 4096), false}, "its magic": {[]byte("binf"), false},
		"another text":     {[]byte("trees\nversion=v4\nnum_class=1\n" + strings.Repeat("gbtree ", 100)), false},
		"JSON":             {[]byte(`{"a": "` + strings.Repeat("gbtree", 100) + `"}`), false},
		"another booster":  {[]byte(strings.Replace(string(good), "gbtree", "gbwood", 1)), false},
		"another length":   {[]byte(strings.Replace(string(good), "\x06\x00\x00\x00\x00\x00\x00\x00gbtree", "\x07\x00\x00\x00\x00\x00\x00\x00gbtree", 1)), false},
		"no objective":     {[]byte(strings.Replace(string(good), "reg:squarederror", "reg:squarederr\x01r", 1)), false},
		"cut in the names": {good[:binaryLearner+20], false},
	} {
		if got := isXGBoost(tt.data); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestBinaryFilesPassTheSuite(t *testing.T) {
	models := []predicttest.Model{
		{Name: "classes", Files: predicttest.Files{"m.bin": binGrove().binary()}, Options: predict.Options{"iterations": "1"}},
		{Name: "dart of 0.90", Files: predicttest.Files{"m.bin": dropout.binary()}},
	}
	predicttest.Run(t, predicttest.Options{Runtime: Runtime{}, Models: models, Request: sparseRequest})
}
