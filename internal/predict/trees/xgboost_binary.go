package trees

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// XGBoost's old binary format: the library's structs as they lay in memory, little endian, each with room for fields to come.
//
//	[number of classes]   four bytes, big endian: before Spark's classifiers, 0.8 to 1.6
//	[binf]                since 1.1
//	learner               136 bytes; the names of the objective and of the booster follow as texts
//	forest                160 bytes; the trees and, of each, the output it adds to follow; with dropout then their weights
//	  tree                148 bytes; its nodes (20 bytes each) follow, then their statistics (16 bytes each)
//	linear                136 bytes, in place of the forest; the weights follow
//	[attributes]          pairs of texts
//	[delta, metrics]      before 1.0
//
// Texts and lists begin with their length in 8 bytes. 3.0 was the last to write and to read it. Categorical splits and vector leaves it
// cannot hold.
const (
	binaryLearner = 136
	binaryForest  = 160
	binaryTree    = 148
	binaryNode    = 20
	binaryStats   = 16
	binaryLinear  = 136
	binaryLength  = 8
)

const (
	binaryMagic = "binf"
	base64Magic = "bs64\t" // the format as text, until 0.4

	longestObjective = 64
	deletedFeature   = math.MaxUint32 // of a node that pruning took away
	defaultLeftBit   = 1 << 31        // in a node's feature
)

// isBinary tells whether data is a model in the old binary format, and where in it the learner begins. It goes by the name of the
// booster, which must be where the length of the objective's name says.
func isBinary(data []byte) (learner int, is bool) {
	for _, spark := range []int{0, 4} {
		if len(data) < spark || spark > 0 && (binary.BigEndian.Uint32(data) < 2 || binary.BigEndian.Uint32(data) > maxOutputs) {
			continue
		}
		at := spark
		if bytes.HasPrefix(data[at:], []byte(binaryMagic)) {
			at += len(binaryMagic)
		}
		f := binaryFile{data: data, pos: at + binaryLearner, fail: new(failure)}
		objective, booster := f.bytes("objective"), f.bytes("booster")
		if f.fail.err == nil && len(objective) > 0 && len(objective) <= longestObjective && printable(objective) && isBooster(string(booster)) {
			return at, true
		}
	}
	return 0, false
}

func isBase64(data []byte) bool { return bytes.HasPrefix(data, []byte(base64Magic)) }

func isBooster(name string) bool { return name == "gbtree" || name == "dart" || name == "gblinear" }

func printable(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// binaryFile reads the old binary format from pos on. A length is a claim: it is held against the bytes that are left.
type binaryFile struct {
	data []byte
	pos  int
	fail *failure
}

func (f *binaryFile) failf(format string, args ...any) {
	f.fail.set(fault.Invalidf("binary model at byte %d: %w", f.pos, fault.Invalidf(format, args...)))
}

func (f *binaryFile) left() int { return max(len(f.data)-f.pos, 0) }

// take returns the next n bytes, nil where they are not there or the file has failed before.
func (f *binaryFile) take(n int, what string) []byte {
	if n > f.left() {
		f.failf("the file ends inside of %s", what)
	}
	if f.fail.err != nil {
		return nil
	}
	f.pos += n
	return f.data[f.pos-n : f.pos]
}

// count reads how many things of at least size bytes follow.
func (f *binaryFile) count(size int, what string) int {
	b := f.take(binaryLength, what)
	if b == nil {
		return 0
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(f.left()/size) {
		f.pos -= binaryLength
		f.failf("%s has the length %d, but %d bytes are left", what, n, f.left()-binaryLength)
		return 0
	}
	return int(n)
}

func (f *binaryFile) bytes(what string) []byte { return f.take(f.count(1, what), what) }

func (f *binaryFile) text(what string) string { return string(f.bytes(what)) }

func (f *binaryFile) float32s(dst []float32, what string) []float32 {
	b := f.take(4*f.count(4, what), what)
	for ; len(b) > 0; b = b[4:] {
		dst = append(dst, floatAt(b, 0))
	}
	return dst
}

func uintAt(b []byte, at int) uint32   { return binary.LittleEndian.Uint32(b[at:]) }
func intAt(b []byte, at int) int32     { return int32(uintAt(b, at)) }
func floatAt(b []byte, at int) float32 { return math.Float32frombits(uintAt(b, at)) }

// binary reads a file in the old binary format, whose learner begins at start.
func (d *decoder) binary(data []byte, start int) {
	f := &binaryFile{data: data, pos: start, fail: d.fail}
	p := f.take(binaryLearner, "the learner")
	d.x.objective, d.x.booster = f.text("the objective"), f.text("the booster")
	if d.fail.err != nil {
		return
	}
	d.seen |= learner | params | boosterSection | objectiveSection
	d.x.learner(p)
	d.x.objective = strings.TrimPrefix(d.x.objective, "gpu:") // before 1.0 a name of its own for the same
	if d.x.booster == "gblinear" {
		d.seen |= weightSection
		f.take(binaryLinear, "the linear model")
		d.x.weights = f.float32s(nil, "the weights")
	} else {
		d.binaryForest(f)
	}
	if hasAttributes := uintAt(p, 12) != 0; hasAttributes {
		for range f.count(2*binaryLength, "the attributes") {
			name := f.text("an attribute's name")
			d.x.attributes[name] = f.text("an attribute")
		}
	}
	if hasMetrics := uintAt(p, 16) != 0; len(d.x.version) == 0 {
		f.oldEnd(d.x.objective, hasMetrics)
	}
	if f.left() > 0 {
		f.failf("%d bytes are left after the model", f.left())
	}
}

// learner takes what the learner's parameters say. Fields that a version did not have yet are 0.
func (x *xgboost) learner(p []byte) {
	x.baseScore = strconv.FormatFloat(float64(floatAt(p, 0)), 'g', -1, 32)
	x.features, x.classes = int64(uintAt(p, 4)), int64(intAt(p, 8))
	if major := uintAt(p, 20); major > 0 {
		x.version = []int32{int32(major), intAt(p, 24), 0}
	}
	x.baseIsMargin = len(x.version) == 0
	x.targets = max(int64(uintAt(p, 28)), 1)
}

// binaryForest reads the trees, which output each adds to, and with dropout their weights.
func (d *decoder) binaryForest(f *binaryFile) {
	p := f.take(binaryForest, "the forest")
	if p == nil {
		return
	}
	d.seen |= treeSection
	trees := int64(intAt(p, 0))
	d.x.trees = &trees
	if !d.x.writtenBefore(1, 6) {
		d.x.parallel = int64(intAt(p, 4))
	}
	if least := binaryTree + binaryNode + binaryStats + 4; trees < 0 || trees > int64(f.left()/least) {
		f.failf("num_trees is %d, but %d bytes are left", trees, f.left())
	}
	for range trees {
		d.tree.reset()
		f.tree(&d.tree, d.b.f.trees())
		if d.b.add(&d.tree); d.fail.err != nil {
			return
		}
	}
	for b := f.take(4*int(trees), "tree_info"); len(b) > 0; b = b[4:] {
		d.x.treeInfo = append(d.x.treeInfo, intAt(b, 0))
	}
	if d.x.booster == "dart" && trees > 0 {
		d.x.weightDrop = f.float32s(nil, "weight_drop")
	}
}

// tree reads one tree.
func (f *binaryFile) tree(t *xgboostTree, number int) {
	start := f.pos
	p := f.take(binaryTree, "a tree")
	if p == nil {
		return
	}
	roots, nodes, deleted, leafSize := intAt(p, 0), int(intAt(p, 4)), int(intAt(p, 8)), intAt(p, 20)
	f.pos = start
	switch {
	case nodes < 1 || nodes > (f.left()-binaryTree)/(binaryNode+binaryStats):
		f.failf("tree %d: num_nodes is %d, but %d bytes are left", number, nodes, f.left()-binaryTree)
	case roots > 1:
		f.failf("tree %d: it has %d roots", number, roots)
	case leafSize < 0 || leafSize > 1:
		f.failf("tree %d: its leaves are vectors of %d", number, leafSize)
	}
	f.pos = start + binaryTree
	body := f.take(nodes*binaryNode, "a tree's nodes")
	stats := f.take(nodes*binaryStats, "a tree's statistics")
	if stats == nil {
		return
	}
	for i := range nodes {
		n := body[i*binaryNode : (i+1)*binaryNode]
		left, right, feature, value := intAt(n, 4), intAt(n, 8), uintAt(n, 12), floatAt(n, 16)
		switch {
		case feature == deletedFeature && i > 0:
			deleted--
			left, right, feature, value = none, none, 0, 0
		case left == none:
			right = none // which the library does not look at
		case isDeleted(body, left) || isDeleted(body, right):
			f.fail.set(fault.Invalidf("tree %d: node %d has a child that is deleted (%d and %d)", number, i, left, right))
			return
		}
		t.left, t.right = append(t.left, left), append(t.right, right)
		t.feature = append(t.feature, int32(feature&^defaultLeftBit))
		t.defaultLeft = append(t.defaultLeft, feature&defaultLeftBit != 0)
		t.split = append(t.split, value)
		t.cover = append(t.cover, floatAt(stats, i*binaryStats+4))
	}
	if deleted != 0 {
		f.fail.set(fault.Invalidf("tree %d: num_deleted is not the number of its deleted nodes", number))
	}
}

// isDeleted tells whether node i of a tree is there and deleted.
func isDeleted(body []byte, i int32) bool {
	return i > 0 && int(i) < len(body)/binaryNode && uintAt(body, int(i)*binaryNode+12) == deletedFeature
}

// oldEnd passes what ended a file before 1.0 and no prediction needs: a parameter of count:poisson, until 0.72 not always there, and the
// names of metrics.
func (f *binaryFile) oldEnd(objective string, hasMetrics bool) {
	const what = "the training parameters"
	if objective == "count:poisson" && f.left() > 0 {
		f.text(what)
	}
	if hasMetrics {
		for range f.count(binaryLength, what) {
			f.text(what)
		}
	}
}
