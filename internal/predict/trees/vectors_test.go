package trees

import (
	"slices"
	"strconv"
	"testing"

	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/tensor"
)

// vecDoc is two trees whose leaves have two values: a split of five nodes, and a leaf. Leaves hold theirs as 3.2 writes them, or as 2.0 to
// 3.1 did, where every node has some.
func vecDoc(leafWeights bool, weights []float32) doc {
	h := handmade{base: "5E-1", features: 2, version: []int32{3, 0, 0}, rounds: []int32{0, 1, 2}, weights: weights, trees: []*sprout{
		below(0, 1, goesLeft, below(1, 2, goesRight, leaf(9), leaf(9)), leaf(9)), leaf(9),
	}}
	file := h.doc()
	put(file, atParams+"num_target", "2")
	all := atModel
	if weights != nil {
		all = atBooster + "gbtree/model/"
	}
	for tree, values := range [][]float32{{0, 0, 0, 0, 1, -1, 2, -2, 4, 8}, {0.25, 0.125}} {
		at := all + "trees/" + strconv.Itoa(tree) + "/"
		put(file, at+"tree_param/size_leaf_vector", "2")
		put(file, at+"base_weights", values)
		if leafWeights {
			numbers := []int32{2, 4, 2, 0, 1} // nodes 2, 3 and 4 are leaves
			if tree == 1 {
				numbers = []int32{0}
			} else {
				values = []float32{2, -2, 4, 8, 1, -1}
			}
			put(file, at+"right_children", numbers)
			put(file, at+"leaf_weights", values)
			put(file, at+"base_weights", []float32{})
		}
	}
	return file
}

func TestLeavesMayBeVectors(t *testing.T) {
	rows := []float32{0, 0, 0, 3, 2, 0, nan, nan}
	want := []float32{2.75, -1.375, 4.75, 8.625, 1.75, -0.375, 4.75, 8.625}
	leaves := []int32{3, 0, 4, 0, 2, 0, 4, 0}
	for _, leafWeights := range []bool{false, true} {
		file := vecDoc(leafWeights, nil)
		for syntax, data := range map[string][]byte{"json": appendJSON(nil, file), "ubjson": appendUBJSON(nil, file, typedArrays)} {
			m := mustOpen(t, data, nil)
			got, err := m.Predict(t.Context(), &tensor.Request{
				Inputs: []tensor.Tensor{tensor.New("input", []int{4, 2}, rows)}, Outputs: []string{"prediction", "leaf"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if values := got.Outputs[0].Data.([]float32); !slices.Equal(values, want) {
				t.Errorf("%s, leaf_weights %v: %v, want %v", syntax, leafWeights, values, want)
			}
			if numbers := got.Outputs[1].Data.([]int32); !slices.Equal(numbers, leaves) {
				t.Errorf("%s, leaf_weights %v: leaves %v, want %v", syntax, leafWeights, numbers, leaves)
			}
		}
	}
}

// TestVectorsAreExplainedLikeTreesOfTheirOwn holds contributions against those of the same trees once for each output: 3.2, which writes
// what they need, does not explain vectors yet.
func TestVectorsAreExplainedLikeTreesOfTheirOwn(t *testing.T) {
	rows := []float32{0, 0, 0, 3, 2, 0, nan, nan}
	apart := handmade{base: "5E-1", features: 2, classes: 2, groups: []int32{0, 1, 0, 1}, trees: []*sprout{
		below(0, 1, goesLeft, below(1, 2, goesRight, leaf(2), leaf(4)), leaf(1)),
		below(0, 1, goesLeft, below(1, 2, goesRight, leaf(-2), leaf(8)), leaf(-1)),
		leaf(0.25), leaf(0.125),
	}}
	file, twin := vecDoc(true, nil), apart.doc()
	put(file, atTree+"sum_hessian", []float32{10, 6, 4, 1, 5})
	put(twin, atTree+"sum_hessian", []float32{10, 6, 4, 1, 5})
	put(twin, atModel+"trees/1/sum_hessian", []float32{10, 6, 4, 1, 5})
	_, contributions := linAsk(t, mustOpen(t, appendJSON(nil, file), nil), rows...)
	if _, want := linAsk(t, mustOpen(t, appendJSON(nil, twin), nil), rows...); !slices.Equal(contributions, want) {
		t.Errorf("%v, want %v", contributions, want)
	}
}

func TestVectorsWithoutCoversAreNotExplained(t *testing.T) { // as 2.0 to 3.1 wrote them
	file := vecDoc(false, nil)
	put(file, atTree+"sum_hessian", drop{})
	for _, o := range mustOpen(t, appendJSON(nil, file), nil).Signature().Outputs {
		if o.Name == contributionsName {
			t.Error("it offers contributions")
		}
	}
}

func TestDropoutWeighsVectors(t *testing.T) {
	m := mustOpen(t, appendJSON(nil, vecDoc(true, []float32{0.5, 2})), nil)
	got, _ := answersTo(t, m, []float32{0, 0, 2, 0})
	if want := []float32{2, -0.25, 1.5, 0.25}; !slices.Equal(got.Data.([]float32), want) {
		t.Errorf("%v, want %v", got.Data, want)
	}
}

func TestBadVectorsAreRefused(t *testing.T) {
	second := atModel + "trees/1/"
	for name, tt := range map[string]struct {
		leafWeights bool
		path        string
		value       any
		want        []string
	}{
		"a leaf's number out of range":       {true, atTree + "right_children/2", int64(5), []string{"tree 0", "node 2", "5"}},
		"a leaf's number that is negative":   {true, atTree + "right_children/2", int64(-1), []string{"tree 0", "node 2", "-1"}},
		"a leaf's number that is another's":  {true, atTree + "right_children/2", int64(1), []string{"tree 0", "node 4|node 2", "another"}},
		"a leaf's number beyond the leaves":  {true, atTree + "right_children/2", int64(3), []string{"tree 0", "node 2", "3"}},
		"too few values":                     {true, atTree + "leaf_weights", []float32{1, 2, 3, 4}, []string{"tree 0", "4 weights", "want 6"}},
		"too many values":                    {true, atTree + "leaf_weights", make([]float32, 8), []string{"tree 0", "8 weights", "want 6"}},
		"no values":                          {true, atTree + "leaf_weights", drop{}, []string{"tree 0", "0 weights", "want 10"}},
		"too few values of nodes":            {false, atTree + "base_weights", make([]float32, 9), []string{"tree 0", "9 weights", "want 10"}},
		"no values of nodes":                 {false, atTree + "base_weights", drop{}, []string{"tree 0", "0 weights", "want 10"}},
		"a value that is NaN":                {false, atTree + "base_weights/5", nan, []string{"tree 0", "node 2", "NaN"}},
		"a value that is infinite":           {true, atTree + "leaf_weights/0", inf, []string{"tree 0", "Inf"}},
		"other vectors in the second tree":   {false, second + "tree_param/size_leaf_vector", "3", []string{"tree 1", "3 values", "before it 2"}},
		"a value only in the second tree":    {true, second + "tree_param/size_leaf_vector", "1", []string{"tree 1", "1 values", "before it 2"}},
		"vectors only in the second tree":    {true, atTree + "tree_param/size_leaf_vector", "1", []string{"tree"}},
		"other outputs":                      {true, atParams + "num_target", "3", []string{"2 values", "3 outputs"}},
		"more values than a model may have":  {true, atTree + "tree_param/size_leaf_vector", "65537", []string{"tree 0", "65537"}},
		"many more values than there can be": {true, atTree + "tree_param/size_leaf_vector", "9223372036854775807", []string{"tree 0", "size_leaf_vector"}},
	} {
		file := vecDoc(tt.leafWeights, nil)
		put(file, tt.path, tt.value)
		for syntax, data := range map[string][]byte{"json": appendJSON(nil, file), "ubjson": appendUBJSON(nil, file, typedArrays)} {
			allocated, m, err := openCounting(data)
			if m != nil {
				t.Errorf("%s, %s: it opens", name, syntax)
				continue
			}
			mentions(t, err, tt.want...)
			if limit := allowance(data); allocated > limit {
				t.Errorf("%s: %d bytes were allocated for a file of %d, want at most %d", name, allocated, len(data), limit)
			}
		}
	}
}

func TestVectorsPassTheSuite(t *testing.T) {
	models := []predicttest.Model{
		{Name: "3.2", Files: predicttest.Files{"m.json": appendJSON(nil, vecDoc(true, nil))}},
		{Name: "2.0", Files: predicttest.Files{"m.json": appendJSON(nil, vecDoc(false, nil))}},
	}
	predicttest.Run(t, predicttest.Options{Runtime: Runtime{}, Models: models, Request: sparseRequest})
}
