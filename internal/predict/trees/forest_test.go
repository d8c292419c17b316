package trees

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

var nan, inf = float32(math.NaN()), float32(math.Inf(1))

func sameBits(a, b tensor.Tensor) bool {
	return slices.Equal(a.Shape, b.Shape) && slices.EqualFunc(a.Data.([]float32), b.Data.([]float32), func(v, w float32) bool {
		return math.Float32bits(v) == math.Float32bits(w)
	})
}

// sparseRows draws rows for a model, one after the other.
func sparseRows(t testing.TB, h handmade, rows int) []float32 {
	t.Helper()
	r := sparseRequest(rand.New(rand.NewPCG(1, 2)), mustOpen(t, h.json(), nil).Signature(), rows)
	return r.Inputs[0].Data.([]float32)
}

func TestRowsGoDownATreeAsTheyShould(t *testing.T) {
	stump := func(root *sprout) handmade { return handmade{trees: []*sprout{root}} }
	const left, right = -1, 1
	numeric := func(m way) handmade { return stump(below(0, 2.5, m, leaf(left), leaf(right))) }
	chosen := func(m way, categories ...int32) handmade {
		return stump(among(0, categories, m, leaf(left), leaf(right)))
	}
	tests := []struct {
		name  string
		model handmade
		row   float32
		want  float32
	}{
		{"below", numeric(goesRight), 2.4999998, left},
		{"equal", numeric(goesLeft), 2.5, right},
		{"above", numeric(goesLeft), 2.5000002, right},
		{"far below", numeric(goesRight), -math.MaxFloat32, left},
		{"far above", numeric(goesLeft), math.MaxFloat32, right},
		{"missing goes left", numeric(goesLeft), nan, left},
		{"missing goes right", numeric(goesRight), nan, right},
		{"zero equals minus zero", stump(below(0, 0, goesLeft, leaf(left), leaf(right))), float32(math.Copysign(0, -1)), right},
		{"the largest number is below an infinite split", stump(below(0, inf, goesRight, leaf(left), leaf(right))), math.MaxFloat32, left},
		{"missing goes right of an infinite split", stump(below(0, inf, goesRight, leaf(left), leaf(right))), nan, right},
		{"missing goes left of an infinite split", stump(below(0, inf, goesLeft, leaf(left), leaf(right))), nan, left},
		{"all are above minus infinity", stump(below(0, -inf, goesLeft, leaf(left), leaf(right))), -math.MaxFloat32, right},
		{"missing goes left of minus infinity", stump(below(0, -inf, goesLeft, leaf(left), leaf(right))), nan, left},
		{"missing goes right of minus infinity", stump(below(0, -inf, goesRight, leaf(left), leaf(right))), nan, right},

		{"a chosen category goes right", chosen(goesLeft, 3, 5), 5, right},
		{"another goes left", chosen(goesRight, 3, 5), 4, left},
		{"the first category", chosen(goesLeft, 0), 0, right},
		{"a fraction is cut off", chosen(goesLeft, 3), 3.99, right},
		{"a fraction is cut off to another", chosen(goesRight, 3), 2.99, left},
		{"missing goes left of a set", chosen(goesLeft, 3), nan, left},
		{"missing goes right of a set", chosen(goesRight, 3), nan, right},
		{"a category of the next word", chosen(goesRight, 3), 32, left},
		{"an unknown category goes left", chosen(goesRight, 3), 1e6, left},
		{"what is no category goes left", chosen(goesRight, 3), 1 << 24, left},
		{"far beyond goes left", chosen(goesRight, 3), math.MaxFloat32, left},
		{"a negative category goes left", chosen(goesRight, 0), -1, left},
		{"a little below zero goes left", chosen(goesRight, 0), -0.5, left},
		{"minus zero is zero", chosen(goesLeft, 0), float32(math.Copysign(0, -1)), right},
		{"far below goes left", chosen(goesRight, 0), -math.MaxFloat32, left},
		{"the last category", chosen(goesLeft, maxCategory-1), maxCategory - 1, right},
		{"the last but one", chosen(goesRight, maxCategory-1), maxCategory - 2, left},
		{"below a large category", chosen(goesRight, 7, 9_000_000), 0, left},
		{"a small one beside a large one", chosen(goesLeft, 7, 9_000_000), 7, right},
		{"a category named twice", chosen(goesLeft, 7, 7, 2), 7, right},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, trees := range []int{1, 4, 5} { // trees, like rows, are walked one by one or four at a time
				many := handmade{trees: slices.Repeat(tt.model.trees, trees)}
				for _, data := range [][]byte{many.json(), many.ubjson()} {
					m := mustOpen(t, data, nil)
					for _, rows := range []int{1, 4, 5} {
						got, _ := answersTo(t, m, slices.Repeat([]float32{tt.row}, rows))
						if want := slices.Repeat([]float32{tt.want * float32(trees)}, rows); !slices.Equal(got.Data.([]float32), want) {
							t.Errorf("%d trees, %d rows of %v: %v, want %v", trees, rows, tt.row, got.Data, want)
						}
					}
				}
			}
		})
	}
}

func TestTreesAddUp(t *testing.T) {
	step := func(feature int32, at, left, right float32) *sprout {
		return below(feature, at, goesLeft, leaf(left), leaf(right))
	}
	two := []*sprout{step(0, 1, -1, 1), step(1, 1, -4, 4)}
	six := []*sprout{leaf(1), leaf(2), leaf(4), leaf(8), leaf(16), step(0, 1, 32, 64)}
	tests := []struct {
		name   string
		model  handmade
		option string
		row    []float32
		want   []float32 // margin
	}{
		{"no trees", handmade{base: "1.5"}, "", []float32{0}, []float32{1.5}},
		{"base score and leaves", handmade{features: 2, base: "[2.5E-1]", trees: two}, "", []float32{0, 1}, []float32{3.25}},
		{"dart weighs its trees", handmade{features: 2, weights: []float32{0.5, 0.25}, trees: two}, "", []float32{1, 1}, []float32{1.5}},
		{"dart with a weight of zero", handmade{features: 2, weights: []float32{0, 1}, trees: two}, "", []float32{1, 0}, []float32{-4}},
		{"classes", handmade{objective: "multi:softprob", classes: 3, base: "5E-1", groups: []int32{0, 1, 2, 0, 1, 2}, trees: six}, "",
			[]float32{0}, []float32{9.5, 18.5, 36.5}},
		{"a base score for each class", handmade{objective: "multi:softprob", classes: 3, base: "[1E0,2E0,-3E0]", groups: []int32{0, 1, 2, 0, 1, 2}, trees: six}, "",
			[]float32{1}, []float32{10, 20, 65}},
		{"classes out of turn", handmade{objective: "multi:softprob", classes: 2, groups: []int32{1, 1, 0, 1, 0, 0}, trees: six}, "",
			[]float32{0}, []float32{52, 11}},
		{"the first round", handmade{classes: 3, objective: "multi:softprob", groups: []int32{0, 1, 2, 0, 1, 2}, trees: six, rounds: []int32{0, 3, 6}}, "1",
			[]float32{0}, []float32{1, 2, 4}},
		{"rounds of unequal size", handmade{trees: six, rounds: []int32{0, 1, 5, 6}}, "2", []float32{0}, []float32{31}},
		{"rounds that the file does not list", handmade{trees: six, version: []int32{1, 6, 0}}, "5", []float32{0}, []float32{31}},
		{"all rounds", handmade{trees: six, attributes: doc{"best_iteration": "1", "scikit_learn": "{}"}}, "all", []float32{1}, []float32{95}},
		{"the best round", handmade{trees: six, attributes: doc{"best_iteration": "1"}}, "best", []float32{0}, []float32{3}},
		{"the best round of scikit-learn's wrapper", handmade{trees: six, attributes: doc{"best_iteration": "3", "scikit_learn": "{}"}}, "", []float32{0}, []float32{15}},
		{"all rounds without the wrapper", handmade{trees: six, attributes: doc{"best_iteration": "3"}}, "auto", []float32{0}, []float32{63}},
		{"dart, the first round", handmade{features: 2, weights: []float32{0.5, 0.25}, trees: two, rounds: []int32{0, 1, 2}}, "1", []float32{1, 1}, []float32{0.5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o predict.Options
			if tt.option != "" {
				o = predict.Options{"iterations": tt.option}
			}
			for _, data := range [][]byte{tt.model.json(), tt.model.ubjson()} {
				if _, got := answersTo(t, mustOpen(t, data, o), tt.row); !slices.Equal(got.Data.([]float32), tt.want) {
					t.Errorf("margin %v, want %v", got.Data, tt.want)
				}
			}
		})
	}
}

func TestObjectivesTurnMarginsIntoPredictions(t *testing.T) {
	same := func(v float64) float64 { return v }
	logistic := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	hinge := func(v float64) float64 {
		if v > 0 {
			return 1
		}
		return 0
	}
	tests := []struct {
		objective, base string // the base score whose margin is 0
		transform       func(float64) float64
	}{
		{"reg:squarederror", "0", same}, {"reg:squaredlogerror", "0", same}, {"reg:pseudohubererror", "0", same}, {"reg:absoluteerror", "0", same},
		{"reg:quantileerror", "0", same}, {"reg:logistic", "5E-1", logistic}, {"reg:gamma", "1", math.Exp}, {"reg:tweedie", "1", math.Exp},
		{"binary:logistic", "5E-1", logistic}, {"binary:logitraw", "0", same}, {"binary:hinge", "0", hinge}, {"count:poisson", "1", math.Exp},
		{"rank:pairwise", "0", same}, {"rank:ndcg", "0", same}, {"rank:map", "0", same}, {"survival:cox", "1", math.Exp}, {"survival:aft", "1", math.Exp},
	}
	for _, tt := range tests {
		t.Run(tt.objective, func(t *testing.T) {
			for _, margin := range []float32{-20, -1.5, -0.01, 0, 0.3, 1, 5, 40} {
				got, raw := answersTo(t, mustOpen(t, handmade{objective: tt.objective, base: tt.base, trees: []*sprout{leaf(margin)}}.json(), nil), []float32{0})
				if v := raw.Data.([]float32)[0]; v != margin {
					t.Errorf("margin %v, want %v", v, margin)
				}
				if v, want := float64(got.Data.([]float32)[0]), tt.transform(float64(margin)); math.Abs(v-want) > 1e-6*math.Abs(want) {
					t.Errorf("the prediction for margin %v is %v, want %v", margin, v, want)
				}
			}
		})
	}
}

func TestClassesGetProbabilitiesOrAVote(t *testing.T) {
	h := handmade{objective: "multi:softprob", classes: 3, features: 1, groups: []int32{0, 1, 2}, trees: []*sprout{
		leaf(0.5), below(0, 1, goesLeft, leaf(0.5), leaf(3)), leaf(-200),
	}}
	got, _ := answersTo(t, mustOpen(t, h.json(), nil), []float32{0, 1})
	e := 1 / (1 + math.Exp(-2.5))
	for i, want := range []float64{0.5, 0.5, 0, 1 - e, e, 0} {
		if v := float64(got.Data.([]float32)[i]); math.Abs(v-want) > 1e-6*want+1e-30 {
			t.Errorf("probability %d is %v, want %v", i, v, want)
		}
	}
	h.objective = "multi:softmax"
	got, margin := answersTo(t, mustOpen(t, h.json(), nil), []float32{0, 1})
	if want := []float32{0, 1}; !slices.Equal(got.Data.([]float32), want) || !slices.Equal(got.Shape, []int{2}) {
		t.Errorf("the votes are %v %v, want %v: the first of equals", got.Shape, got.Data, want)
	}
	if want := []float32{0.5, 0.5, -200, 0.5, 3, -200}; !slices.Equal(margin.Data.([]float32), want) || !slices.Equal(margin.Shape, []int{2, 3}) {
		t.Errorf("the margins are %v %v, want %v", margin.Shape, margin.Data, want)
	}
}

// points are what random splits and rows are made of, so that rows often lie right on a split, and categories often fit. All are
// exact, as are the leaves, so that sums do not depend on their order.
var points = []float32{-8, -1.5, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 1.75, 2, 3, 7.5, 31, 32, 33, 64, 255, 256, 1000, maxCategory - 1, maxCategory, 1e30, -1e30}

func drawTree(t *rapid.T, depth, features int) *sprout {
	if depth == 0 || rapid.IntRange(0, 4).Draw(t, "stop") == 0 {
		return leaf(float32(rapid.IntRange(-512, 512).Draw(t, "leaf")) / 64)
	}
	n := &sprout{
		feature:     int32(rapid.IntRange(0, features-1).Draw(t, "feature")),
		missingLeft: rapid.Bool().Draw(t, "missing left"),
		left:        drawTree(t, depth-1, features), right: drawTree(t, depth-1, features),
	}
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		category := rapid.SampledFrom([]int32{0, 1, 2, 3, 7, 31, 32, 33, 64, 255, 256, 1000, maxCategory - 1})
		n.categories = rapid.SliceOfN(category, 1, 9).Draw(t, "categories")
	} else {
		n.split = rapid.SampledFrom(points).Draw(t, "split")
	}
	return n
}

func drawForest(t *rapid.T) handmade {
	h := handmade{objective: "multi:softprob", base: "5E-1", features: rapid.IntRange(1, 6).Draw(t, "features"), classes: rapid.SampledFrom([]int{0, 1, 2, 5}).Draw(t, "classes")}
	if h.classes < 2 {
		h.objective = "reg:squarederror"
	}
	dart := rapid.Bool().Draw(t, "dart")
	for range rapid.IntRange(0, 11).Draw(t, "trees") {
		h.trees = append(h.trees, drawTree(t, rapid.IntRange(0, 5).Draw(t, "depth"), h.features))
		h.groups = append(h.groups, int32(rapid.IntRange(0, max(h.classes, 1)-1).Draw(t, "group")))
		if dart {
			h.weights = append(h.weights, float32(rapid.IntRange(0, 8).Draw(t, "weight"))/8)
		}
	}
	return h
}

func drawRows(t *rapid.T, features int) []float32 {
	value := rapid.OneOf(rapid.SampledFrom(points), rapid.SampledFrom(points), rapid.Just(nan), rapid.Float32Range(-40, 40))
	return rapid.SliceOfN(value, features, 70*features).Draw(t, "values")
}

// plainTree is one tree of the reference, as encoding/json reads it. What stands at a categorical split's place is dropped.
type plainTree struct {
	Left       []int     `json:"left_children"`
	Right      []int     `json:"right_children"`
	Feature    []int     `json:"split_indices"`
	Split      []float32 `json:"split_conditions"`
	Default    []int     `json:"default_left"`
	Kind       []int     `json:"split_type"`
	Categories []int     `json:"categories"`
	Nodes      []int     `json:"categories_nodes"`
	Segments   []int     `json:"categories_segments"`
	Sizes      []int     `json:"categories_sizes"`
}

// leafOf is the reference: it follows the file node by node, as plainly as can be.
func (p *plainTree) leafOf(node int, row []float32) float32 {
	if p.Left[node] == -1 {
		return p.Split[node]
	}
	v := row[p.Feature[node]]
	var left bool
	switch {
	case math.IsNaN(float64(v)):
		left = p.Default[node] == 1
	case p.Kind[node] == 1:
		k := slices.Index(p.Nodes, node)
		chosen := p.Categories[p.Segments[k] : p.Segments[k]+p.Sizes[k]]
		left = v < 0 || v >= maxCategory || !slices.Contains(chosen, int(v))
	default:
		left = v < p.Split[node]
	}
	if left {
		return p.leafOf(p.Left[node], row)
	}
	return p.leafOf(p.Right[node], row)
}

// reference computes the margins of rows from a model's JSON.
func reference(t *rapid.T, h handmade, file []byte, rows []float32) []float32 {
	var decoded struct {
		Learner struct {
			Booster struct {
				Model struct {
					Trees []plainTree `json:"trees"`
				} `json:"model"`
				GBTree struct {
					Model struct {
						Trees []plainTree `json:"trees"`
					} `json:"model"`
				} `json:"gbtree"`
			} `json:"gradient_booster"`
		} `json:"learner"`
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(file), "NaN", "0")), &decoded); err != nil {
		t.Fatal(err)
	}
	trees, base := decoded.Learner.Booster.Model.Trees, float32(0.5)
	if h.weights != nil {
		trees = decoded.Learner.Booster.GBTree.Model.Trees
	}
	outputs := max(h.classes, 1)
	margins := make([]float32, len(rows)/h.features*outputs)
	for i := range margins {
		margins[i] = base
	}
	for i := range len(rows) / h.features {
		for k := range trees {
			v := trees[k].leafOf(0, rows[i*h.features:(i+1)*h.features])
			if h.weights != nil {
				v *= h.weights[k]
			}
			margins[i*outputs+int(h.groups[k])] += v
		}
	}
	return margins
}

func TestEngineAgreesWithAPlainWalk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawForest(rt)
		rows := drawRows(rt, h.features)
		rows = rows[:len(rows)/h.features*h.features]
		n := len(rows) / h.features
		file := h.json()
		m := mustOpen(t, file, nil)
		prediction, margin := answersTo(t, m, rows)
		want := reference(rt, h, file, rows)
		if got := margin.Data.([]float32); !slices.Equal(got, want) {
			rt.Fatalf("the margins are %v, want %v", got, want)
		}

		fromUBJSON, marginUBJSON := answersTo(t, mustOpen(t, h.ubjson(), nil), rows)
		if !sameBits(fromUBJSON, prediction) || !sameBits(marginUBJSON, margin) {
			rt.Fatalf("UBJSON answers %v, JSON %v", fromUBJSON.Data, prediction.Data)
		}

		outputs := len(want) / n
		for _, i := range rapid.Permutation(slices.Collect(seq(n))).Draw(rt, "order") { // one by one, in any order
			one, _ := answersTo(t, m, rows[i*h.features:(i+1)*h.features])
			if !slices.Equal(one.Data.([]float32), prediction.Data.([]float32)[i*outputs:(i+1)*outputs]) {
				rt.Fatalf("row %d alone is %v, in the batch %v", i, one.Data, prediction.Data)
			}
		}
	})
}

func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestOrderOfRowsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawForest(rt)
		rows := drawRows(rt, h.features)
		n := len(rows) / h.features
		rows = rows[:n*h.features]
		m := mustOpen(t, h.json(), nil)
		before, _ := answersTo(t, m, rows)
		order := rapid.Permutation(slices.Collect(seq(n))).Draw(rt, "order")
		shuffled := make([]float32, 0, len(rows))
		for _, i := range order {
			shuffled = append(shuffled, rows[i*h.features:(i+1)*h.features]...)
		}
		after, _ := answersTo(t, m, shuffled)
		k := before.Len() / n
		for at, i := range order {
			if !slices.Equal(after.Data.([]float32)[at*k:(at+1)*k], before.Data.([]float32)[i*k:(i+1)*k]) {
				rt.Fatalf("row %d moved to %d is %v, was %v", i, at, after.Data, before.Data)
			}
		}
	})
}

func TestFilesOfOneOldVersionSendUnknownCategoriesWithTheMissing(t *testing.T) {
	for _, m := range []way{goesLeft, goesRight} {
		h := handmade{trees: []*sprout{among(0, []int32{3}, m, leaf(-1), leaf(1))}}
		for _, tt := range []struct {
			version []int32
			left    bool
		}{{[]int32{1, 5, 2}, true}, {[]int32{1, 6, 2}, bool(m)}, {[]int32{1, 7, 0}, true}, {[]int32{3, 2, 0}, true}} {
			h.version = tt.version
			want := float32(1)
			if tt.left {
				want = -1
			}
			for _, v := range []float32{-1, 1000, 1 << 24} {
				if got, _ := answersTo(t, mustOpen(t, h.json(), nil), []float32{v}); got.Data.([]float32)[0] != want {
					t.Errorf("version %v, missing goes left %v: category %v gives %v, want %v", tt.version, m, v, got.Data, want)
				}
			}
		}
	}
}

func TestSignatureComesFromTheFile(t *testing.T) {
	file := grove.doc()
	names := []any{"clicks", "age", "country", "hour"}
	put(file, "learner/feature_names", names)
	sig := mustOpen(t, appendJSON(nil, file), nil).Signature()
	if got := fmt.Sprint(sig.Inputs[0].Columns); got != fmt.Sprint(names) {
		t.Errorf("the columns are %v, want %v", got, names)
	}
	if in, out := sig.Inputs[0], sig.Outputs[0]; !slices.Equal(in.Shape, []int{-1, 4}) || !slices.Equal(out.Shape, []int{-1, 3}) || in.DType != tensor.Float32 {
		t.Errorf("the signature is %v", sig)
	}
	if !sig.Equal(mustOpen(t, appendUBJSON(nil, file, typedArrays), nil).Signature()) {
		t.Error("JSON and UBJSON have different signatures")
	}
}
