package trees

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

// sprout is a node of a tree made by hand: a leaf if it has no children.
type sprout struct {
	feature     int32
	split       float32
	categories  []int32 // those that go right; not nil for a categorical split
	missingLeft bool
	left, right *sprout
	value       float32
}

func leaf(value float32) *sprout { return &sprout{value: value} }

// way says where a missing value goes.
type way bool

const (
	goesLeft  way = true
	goesRight way = false
)

func below(feature int32, split float32, m way, left, right *sprout) *sprout {
	return &sprout{feature: feature, split: split, missingLeft: bool(m), left: left, right: right}
}

func among(feature int32, categories []int32, m way, left, right *sprout) *sprout {
	return &sprout{feature: feature, categories: categories, missingLeft: bool(m), left: left, right: right}
}

// cover is the weight of the training rows that would have come to a node: of each leaf another one.
func (s *sprout) cover() float32 {
	if s.left == nil {
		return 1 + float32(math.Abs(float64(s.value)))
	}
	return s.left.cover() + s.right.cover()
}

// handmade is a model made by hand. Zero fields have XGBoost's defaults.
type handmade struct {
	objective  string // reg:squarederror
	base       string // 0
	features   int    // 1
	classes    int
	groups     []int32 // of each tree; all 0
	weights    []float32
	trees      []*sprout
	attributes map[string]any
	rounds     []int32 // iteration_indptr; absent
	version    []int32 // 3.0.0
}

// doc is an object of a model file, to be written as JSON or UBJSON.
type doc = map[string]any

// doc lays the model out as XGBoost does.
func (h handmade) doc() doc {
	trees := make([]any, len(h.trees))
	for i, root := range h.trees {
		trees[i] = treeDoc(i, root, h.width())
	}
	groups := h.groups
	if groups == nil {
		groups = make([]int32, len(trees))
	}
	gbtree := doc{
		"gbtree_model_param": doc{"num_parallel_tree": "1", "num_trees": strconv.Itoa(len(trees))},
		"tree_info":          groups,
		"trees":              trees,
	}
	if h.rounds != nil {
		gbtree["iteration_indptr"] = h.rounds
	}
	booster := doc{"name": "gbtree", "model": gbtree}
	if h.weights != nil {
		booster = doc{"name": "dart", "gbtree": booster, "weight_drop": h.weights}
	}
	version := h.version
	if version == nil {
		version = []int32{3, 0, 0}
	}
	attributes := doc{}
	maps.Copy(attributes, h.attributes)
	return doc{
		"learner": doc{
			"attributes":       attributes,
			"feature_names":    []any{},
			"feature_types":    []any{},
			"gradient_booster": booster,
			"learner_model_param": doc{
				"base_score": or(h.base, "0E0"), "boost_from_average": "1", "num_class": strconv.Itoa(h.classes),
				"num_feature": strconv.Itoa(h.width()), "num_target": "1",
			},
			"objective": doc{"name": or(h.objective, "reg:squarederror"), "reg_loss_param": doc{"scale_pos_weight": "1"}},
		},
		"version": version,
	}
}

func (h handmade) width() int { return max(h.features, 1) }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// treeDoc lays one tree out, with nodes numbered level by level as XGBoost does, and the statistics that a reader drops.
func treeDoc(id int, root *sprout, features int) doc {
	var left, right, feature []int32
	var categories, categoryNodes []int32
	var starts, sizes []int64
	var split, statistics, covers []float32
	var defaultLeft, kind []uint8
	queue, up := []*sprout{root}, []int32{math.MaxInt32}
	for i := 0; i < len(queue); i++ {
		n := queue[i]
		l, r, at, missingLeft, categorical := int32(-1), int32(-1), n.value, uint8(0), uint8(0)
		if n.left != nil {
			l, r, at = int32(len(queue)), int32(len(queue)+1), n.split
			queue, up = append(queue, n.left, n.right), append(up, int32(i), int32(i))
			if n.missingLeft {
				missingLeft = 1
			}
			if n.categories != nil {
				categorical = 1
				categoryNodes, starts, sizes = append(categoryNodes, int32(i)), append(starts, int64(len(categories))), append(sizes, int64(len(n.categories)))
				categories = append(categories, n.categories...)
				at = float32(math.NaN()) // what XGBoost puts there depends on its version
			}
		}
		left, right, feature, split = append(left, l), append(right, r), append(feature, n.feature), append(split, at)
		defaultLeft, kind, statistics = append(defaultLeft, missingLeft), append(kind, categorical), append(statistics, float32(i)/7)
		covers = append(covers, n.cover())
	}
	return doc{
		"base_weights": statistics, "loss_changes": statistics, "sum_hessian": covers, "parents": up, "id": int64(id),
		"left_children": left, "right_children": right, "split_indices": feature, "split_conditions": split,
		"default_left": defaultLeft, "split_type": kind,
		"categories": categories, "categories_nodes": categoryNodes, "categories_segments": starts, "categories_sizes": sizes,
		"tree_param": doc{
			"num_deleted": "0", "num_feature": strconv.Itoa(features), "num_nodes": strconv.Itoa(len(left)), "size_leaf_vector": "1",
		},
	}
}

func (h handmade) json() []byte   { return appendJSON(nil, h.doc()) }
func (h handmade) ubjson() []byte { return appendUBJSON(nil, h.doc(), typedArrays) }

// openBytes opens one file.
func openBytes(data []byte, o predict.Options) (predict.Model, error) {
	return Runtime{}.Open(context.Background(), predicttest.Files{"model": data}, o)
}

func mustOpen(t testing.TB, data []byte, o predict.Options) predict.Model {
	t.Helper()
	m, err := openBytes(data, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return m
}

// answersTo asks for the prediction and the margin of rows, which lie one after the other.
func answersTo(t testing.TB, m predict.Model, values []float32) (prediction, margin tensor.Tensor) {
	t.Helper()
	width := m.Signature().Inputs[0].Shape[1]
	r := &tensor.Request{
		Inputs:  []tensor.Tensor{tensor.New("input", []int{len(values) / width, width}, values)},
		Outputs: []string{"prediction", "margin"},
	}
	if err := m.Signature().Check(r); err != nil {
		t.Fatal(err)
	}
	got, err := m.Predict(context.Background(), r)
	if err != nil {
		t.Fatalf("Predict: %v", err)
	}
	return got.Outputs[0], got.Outputs[1]
}

// grove has something of everything: two classes of trees, all kinds of split, missing values to either side.
var grove = handmade{
	objective: "multi:softprob", base: "5E-1", features: 4, classes: 3,
	groups: []int32{0, 1, 2, 0, 1, 2}, rounds: []int32{0, 3, 6},
	trees: []*sprout{
		below(0, 1.5, goesLeft, leaf(0.25), below(1, -2, goesRight, leaf(-1), leaf(2))),
		below(3, 4, goesRight, below(0, 0, goesRight, leaf(0.5), leaf(1)), leaf(-0.75)),
		among(2, []int32{1, 4, 33}, goesRight, leaf(-0.5), leaf(0.125)),
		leaf(0.0625),
		among(2, []int32{0}, goesLeft, below(1, 3, goesLeft, leaf(1), leaf(-3)), leaf(4)),
		below(3, 0.1, goesLeft, leaf(0.3), leaf(0.7)),
	},
}

// dropout is a dart booster of one output.
var dropout = handmade{
	objective: "binary:logistic", base: "2.5E-1", features: 2, weights: []float32{1, 0.5, 0.25},
	trees: []*sprout{
		below(0, 1, goesLeft, leaf(-1), leaf(1)),
		below(1, 2, goesRight, leaf(0.5), leaf(-2)),
		leaf(0.75),
	},
}

func TestTreesAreARuntime(t *testing.T) {
	vote := grove
	vote.objective = "multi:softmax"
	file := func(data []byte) predicttest.Files { return predicttest.Files{"model.json": data} }
	predicttest.Run(t, predicttest.Options{
		Runtime: Runtime{},
		Models: []predicttest.Model{
			{Name: "json", Files: file(grove.json())},
			{Name: "ubjson", Files: file(grove.ubjson())},
			{Name: "vote", Files: file(vote.json()), Options: predict.Options{"iterations": "1"}},
			{Name: "dart", Files: file(dropout.ubjson()), Options: predict.Options{"iterations": "all"}},
			{Name: "among other files", Files: predicttest.Files{
				"model.ubj": dropout.ubjson(), "README.md": []byte("A model.\n"), "rows.json": []byte(`{"rows": [[1, 2]]}`), "empty": nil,
			}},
		},
		Foreign: map[string]predicttest.Files{
			"a text about a tree":     {"model.txt": []byte("tree\nhouse\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\n")},
			"a binary XGBoost":        {"model.json": []byte("binf\x00\x00\x00?\x04\x00\x00\x00\n\x00\x00\x00")},
			"learner somewhere below": {"model.json": []byte(`{"model": {"learner": {"gradient_booster": {}}}}`)},
			"UBJSON of something":     {"model.ubj": appendUBJSON(nil, doc{"weights": []float32{1, 2}, "name": "linear"}, typedArrays)},
		},
		Request: sparseRequest,
	})
}

func TestRealModelsPassTheSuite(t *testing.T) {
	var models []predicttest.Model
	for _, name := range []string{"xgboost_2.0.3_iris.json", "mlserver_mushroom_xgboost.json"} {
		content, err := os.ReadFile(testenv.Data(t, "trees", "kserve", name))
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, predicttest.Model{Name: name, Files: predicttest.Files{name: content}})
	}
	predicttest.Run(t, predicttest.Options{Runtime: Runtime{}, Models: models, Request: sparseRequest})
}

// sparseRequest draws rows of which a fifth is missing, and many values are right at a split or name a category.
func sparseRequest(r *rand.Rand, s tensor.Signature, rows int) tensor.Request {
	req := predicttest.RandomRequest(r, s, rows)
	values := req.Inputs[0].Data.([]float32)
	for i := range values {
		switch r.IntN(5) {
		case 0:
			values[i] = float32(math.NaN())
		case 1:
			values[i] = []float32{1.5, -2, 4, 0, 3, 0.1, 1, 33, -1, 64}[r.IntN(10)]
		}
	}
	return req
}

func TestOddNumbersInARowAreNamed(t *testing.T) {
	named := grove.doc()
	put(named, "learner/feature_names", []any{"clicks", "age", "country", "hour"})
	for _, tt := range []struct {
		name string
		file []byte
		want []string
	}{
		{"by number", grove.json(), []string{"row 70", "column 2", "infinite"}},
		{"by name", appendJSON(nil, named), []string{"row 70", "column 2", "country", "infinite"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := mustOpen(t, tt.file, nil)
			values := make([]float32, 100*4)
			values[70*4+2] = float32(math.Inf(-1))
			_, err := m.Predict(context.Background(), &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{100, 4}, values)}})
			mentions(t, err, tt.want...)
		})
	}
}

// mentions checks that an error is Invalid and says all that is wanted. A part with a bar in it is two: either will do.
func mentions(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one that says %q", want)
		return
	}
	if kind := fault.KindOf(err); kind != fault.Invalid {
		t.Errorf("the error is %v, want invalid: %v", kind, err)
	}
	for _, part := range want {
		one, other, _ := strings.Cut(part, "|")
		if !strings.Contains(err.Error(), one) && (other == "" || !strings.Contains(err.Error(), other)) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}
