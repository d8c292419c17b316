package trees

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/tensor"
)

// get returns what lies at a path of keys and indexes.
func get(v any, path string) any {
	for part := range strings.SplitSeq(path, "/") {
		switch at := v.(type) {
		case doc:
			v = at[part]
		default:
			i, _ := strconv.Atoi(part)
			v = elements(at)[i]
		}
	}
	return v
}

// drop as a value makes put take the key away.
type drop struct{}

// put puts a value at a path. A number of an array is put into a copy of the array.
func put(file doc, path string, value any) {
	up, last, found := cutLast(path)
	parent := any(file)
	if found {
		parent = get(file, up)
	}
	if o, ok := parent.(doc); ok {
		if _, gone := value.(drop); gone {
			delete(o, last)
			return
		}
		o[last] = value
		return
	}
	i, _ := strconv.Atoi(last)
	all := append([]any(nil), elements(parent)...)
	all[i] = value
	put(file, up, all)
}

func cutLast(path string) (up, last string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

const (
	atParams  = "learner/learner_model_param/"
	atBooster = "learner/gradient_booster/"
	atModel   = "learner/gradient_booster/model/"
	atTree    = "learner/gradient_booster/model/trees/0/"
)

// thicket is a tree with two categorical splits: nodes 0 and 1 are inner, 2, 3, 4 and 5, 6 below. Node 2 is numeric.
func thicket() handmade {
	return handmade{objective: "binary:logistic", base: "5E-1", features: 3, trees: []*sprout{
		among(0, []int32{1, 2}, goesLeft, among(1, []int32{0, 40}, goesRight, leaf(1), leaf(2)), below(2, 0.5, goesLeft, leaf(3), leaf(4))),
		leaf(0.5),
	}}
}

func TestBadModelsAreRefusedWithTheReason(t *testing.T) {
	dart := func() handmade {
		h := thicket()
		h.weights = []float32{1, 0.5}
		return h
	}
	tests := []struct {
		name  string
		model func() handmade // thicket if nil
		path  string
		value any
		want  []string
	}{
		{"a link to itself", nil, atTree + "left_children/0", int64(0), []string{"tree 0", "two ways"}},
		{"a link back to the root", nil, atTree + "right_children/2", int64(0), []string{"tree 0", "two ways"}},
		{"two nodes that share a child", nil, atTree + "right_children/2", int64(3), []string{"tree 0", "two ways"}},
		{"the same child twice", nil, atTree + "right_children/2", int64(5), []string{"tree 0", "two ways"}},
		{"a left child out of range", nil, atTree + "left_children/1", int64(7), []string{"tree 0", "node 1", "out of range"}},
		{"a right child far out of range", nil, atTree + "right_children/1", int64(1<<31 - 1), []string{"tree 0", "node 1", "out of range"}},
		{"a negative left child", nil, atTree + "left_children/1", int64(-2), []string{"tree 0", "node 1", "-2"}},
		{"a left child only", nil, atTree + "right_children/1", int64(-1), []string{"tree 0", "node 1", "-1"}},
		{"a right child only", nil, atTree + "left_children/1", int64(-1), []string{"tree 0", "node 1", "-1"}},
		{"a child beyond 32 bits", nil, atTree + "left_children/1", int64(1 << 40), []string{"32 bits"}},
		{"a child that is text", nil, atTree + "left_children/1", "3", []string{"number"}},
		{"a child that is a fraction", nil, atTree + "left_children/1", float32(1.5), []string{"whole number"}},
		{"no nodes", nil, atTree + "left_children", []int32{}, []string{"tree 0", "no nodes"}},
		{"no left children", nil, atTree + "left_children", drop{}, []string{"tree 0", "no nodes"}},
		{"too few right children", nil, atTree + "right_children", []int32{1, -1, -1}, []string{"tree 0", "right_children", "3"}},
		{"too many splits", nil, atTree + "split_conditions", make([]float32, 8), []string{"tree 0", "split_conditions", "8"}},
		{"no features", nil, atTree + "split_indices", drop{}, []string{"tree 0", "split_indices", "0"}},
		{"too few defaults", nil, atTree + "default_left", []uint8{1}, []string{"tree 0", "default_left", "1"}},
		{"a default of 2", nil, atTree + "default_left/0", int64(2), []string{"2 where true, false, 1 or 0"}},
		{"too few kinds", nil, atTree + "split_type", []uint8{1}, []string{"tree 0", "split_type", "1"}},
		{"an unknown kind", nil, atTree + "split_type/2", int64(2), []string{"tree 0", "node 2", "split_type 2"}},
		{"a wrong number of nodes", nil, atTree + "tree_param/num_nodes", "8", []string{"tree 0", "num_nodes", "8"}},
		{"a number of nodes that is none", nil, atTree + "tree_param/num_nodes", "many", []string{"num_nodes", "many"}},
		{"a leaf that is NaN", nil, atTree + "split_conditions/3", nan, []string{"tree 0", "node 3", "NaN"}},
		{"a leaf that is infinite", nil, atTree + "split_conditions/3", -inf, []string{"tree 0", "node 3", "Inf"}},
		{"a leaf beyond 32 bits", nil, atTree + "split_conditions/3", 1e300, []string{"tree 0|32-bit"}},
		{"a split that is NaN", nil, atTree + "split_conditions/2", nan, []string{"tree 0", "node 2", "not a number"}},
		{"a feature out of range", nil, atTree + "split_indices/2", int64(3), []string{"tree 0", "feature 3", "num_feature is 3"}},
		{"a negative feature", nil, atTree + "split_indices/2", int64(-1), []string{"tree 0", "node 2", "feature -1"}},
		{"a huge feature", nil, atTree + "split_indices/2", int64(1<<31 - 1), []string{"tree 0", "node 2", "feature 2147483647"}},

		{"categories that begin out of range", nil, atTree + "categories_segments/1", int64(4), []string{"tree 0", "node 1", "out of range"}},
		{"categories that begin below zero", nil, atTree + "categories_segments/1", int64(-1), []string{"tree 0", "node 1", "out of range"}},
		{"categories that end out of range", nil, atTree + "categories_sizes/1", int64(3), []string{"tree 0", "node 1", "out of range"}},
		{"categories that end far out of range", nil, atTree + "categories_sizes/1", int64(1<<31 - 1), []string{"tree 0", "node 1", "out of range"}},
		{"no categories", nil, atTree + "categories_sizes/1", int64(0), []string{"tree 0", "node 1", "out of range"}},
		{"fewer categories than none", nil, atTree + "categories_sizes/1", int64(-1), []string{"tree 0", "node 1", "out of range"}},
		{"a category of 2^24", nil, atTree + "categories/3", int64(1 << 24), []string{"tree 0", "category 16777216"}},
		{"a negative category", nil, atTree + "categories/3", int64(-1), []string{"tree 0", "category -1"}},
		{"a categorical node twice", nil, atTree + "categories_nodes/1", int64(0), []string{"tree 0", "node 0", "twice"}},
		{"a categorical node out of range", nil, atTree + "categories_nodes/1", int64(7), []string{"tree 0", "node 7"}},
		{"a negative categorical node", nil, atTree + "categories_nodes/1", int64(-1), []string{"tree 0", "node -1"}},
		{"a categorical node that is not listed", nil, atTree + "categories_nodes/1", int64(2), []string{"tree 0", "node 1", "categories_nodes"}},
		{"too few segments", nil, atTree + "categories_segments", []int64{0}, []string{"tree 0", "categories_segments"}},
		{"too few sizes", nil, atTree + "categories_sizes", []int64{2}, []string{"tree 0", "categories_sizes"}},
		{"no list of categorical nodes", nil, atTree + "categories_nodes", drop{}, []string{"tree 0", "categories"}},

		{"vector leaves without values", nil, atTree + "tree_param/size_leaf_vector", "2", []string{"tree 0", "7 weights", "2 values"}},
		{"vector leaves of fewer than none", nil, atTree + "tree_param/size_leaf_vector", "-1", []string{"tree 0", "size_leaf_vector", "-1"}},
		{"vector leaves of a billion", nil, atTree + "tree_param/size_leaf_vector", "1000000000", []string{"tree 0", "size_leaf_vector", "1000000000"}},
		{"a tree that is a number", nil, atModel + "trees/1", int64(1), []string{"an object"}},
		{"trees that are an object", nil, atModel + "trees", doc{}, []string{"an array"}},
		{"no list of trees", nil, atModel + "trees", drop{}, []string{"no trees"}},
		{"another number of trees", nil, atModel + "gbtree_model_param/num_trees", "3", []string{"num_trees", "3", "2 trees"}},
		{"a negative number of trees", nil, atModel + "gbtree_model_param/num_trees", "-3", []string{"num_trees", "-3"}},
		{"too short a tree_info", nil, atModel + "tree_info", []int32{0}, []string{"tree_info", "1", "2 trees"}},
		{"too long a tree_info", nil, atModel + "tree_info", []int32{0, 0, 0}, []string{"tree_info", "3", "2 trees"}},
		{"no tree_info", nil, atModel + "tree_info", drop{}, []string{"tree_info", "0", "2 trees"}},
		{"a tree of no output", nil, atModel + "tree_info/1", int64(1), []string{"tree 1", "output 1"}},
		{"a tree of a negative output", nil, atModel + "tree_info/1", int64(-1), []string{"tree 1", "output -1"}},
		{"rounds that begin late", nil, atModel + "iteration_indptr", []int32{1, 2}, []string{"iteration_indptr"}},
		{"rounds that go back", nil, atModel + "iteration_indptr", []int32{0, 2, 1}, []string{"iteration_indptr"}},
		{"rounds beyond the trees", nil, atModel + "iteration_indptr", []int32{0, 3}, []string{"iteration_indptr"}},
		{"no parallel trees", nil, atModel + "gbtree_model_param/num_parallel_tree", "0", []string{"num_parallel_tree"}},
		{"a billion parallel trees", nil, atModel + "gbtree_model_param/num_parallel_tree", "9223372036854775807", []string{"num_parallel_tree"}},

		{"gblinear with trees", nil, atBooster + "name", "gblinear", []string{"no weights"}},
		{"an unknown booster", nil, atBooster + "name", "gbforest", []string{"gbforest"}},
		{"no booster's name", nil, atBooster + "name", drop{}, []string{"booster"}},
		{"no booster", nil, "learner/gradient_booster", drop{}, []string{"gradient_booster"}},
		{"too few weights", dart, atBooster + "weight_drop", []float32{1}, []string{"weight_drop", "1", "2 trees"}},
		{"too many weights", dart, atBooster + "weight_drop", []float32{1, 2, 3}, []string{"weight_drop", "3", "2 trees"}},
		{"no weights", dart, atBooster + "weight_drop", drop{}, []string{"weight_drop", "0", "2 trees"}},
		{"too few weights in the model", nil, atModel + "weight_drop", []float32{1}, []string{"weight_drop", "1", "2 trees"}},
		{"a weight that is NaN", dart, atBooster + "weight_drop/1", nan, []string{"weight", "NaN"}},
		{"a weight that is infinite", dart, atBooster + "weight_drop/1", inf, []string{"weight", "Inf"}},

		{"an unknown objective", nil, "learner/objective/name", "reg:magic", []string{"objective", "reg:magic"}},
		{"no objective's name", nil, "learner/objective/name", drop{}, []string{"objective"}},
		{"no objective", nil, "learner/objective", drop{}, []string{"objective"}},
		{"a base score that is text", nil, atParams + "base_score", "half", []string{"base_score", "half"}},
		{"no base score", nil, atParams + "base_score", drop{}, []string{"base_score"}},
		{"an empty base score", nil, atParams + "base_score", "", []string{"base_score"}},
		{"a base score for two", nil, atParams + "base_score", "[5E-1,5E-1]", []string{"base_score", "2"}},
		{"a list of base scores without an end", nil, atParams + "base_score", "[5E-1", []string{"base_score"}},
		{"an empty list of base scores", nil, atParams + "base_score", "[]", []string{"base_score"}},
		{"a base score that is NaN", nil, atParams + "base_score", "nan", []string{"base_score", "nan"}},
		{"a base score that is infinite", nil, atParams + "base_score", "1E999", []string{"base_score"}},
		{"a probability of 0", nil, atParams + "base_score", "0E0", []string{"base_score", "binary:logistic"}},
		{"a probability above 1, where 1 may be", func() handmade { h := thicket(); h.version = []int32{3, 2, 0}; return h }, atParams + "base_score", "1.5E0", []string{"base_score", "binary:logistic"}},
		{"a probability of 1", nil, atParams + "base_score", "1E0", []string{"base_score", "binary:logistic"}},
		{"a probability above 1", nil, atParams + "base_score", "1.5E0", []string{"base_score", "binary:logistic"}},
		{"a probability below 0", nil, atParams + "base_score", "-5E-1", []string{"base_score", "binary:logistic"}},
		{"a negative count", func() handmade { h := thicket(); h.objective = "count:poisson"; return h }, atParams + "base_score", "-1E0", []string{"base_score", "count:poisson"}},

		{"no number of features", nil, atParams + "num_feature", drop{}, []string{"num_feature"}},
		{"no features at all", nil, atParams + "num_feature", "0", []string{"num_feature", "0"}},
		{"fewer features than none", nil, atParams + "num_feature", "-1", []string{"num_feature", "-1"}},
		{"2^62 features", nil, atParams + "num_feature", "4611686018427387904", []string{"num_feature", "4611686018427387904"}},
		{"2^70 features", nil, atParams + "num_feature", "1180591620717411303424", []string{"num_feature", "1180591620717411303424"}},
		{"a fraction of features", nil, atParams + "num_feature", "2.5", []string{"num_feature", "2.5"}},
		{"fewer features than the trees look at", nil, atParams + "num_feature", "2", []string{"tree 0", "feature 2", "num_feature is 2"}},
		{"2^62 classes", nil, atParams + "num_class", "4611686018427387904", []string{"num_class"}},
		{"more classes than the file has bytes", nil, atParams + "num_class", "60000", []string{"60000 outputs", "bytes"}},
		{"a billion classes", nil, atParams + "num_class", "1000000000", []string{"num_class"}},
		{"fewer classes than none", nil, atParams + "num_class", "-1", []string{"num_class", "-1"}},
		{"a billion targets", nil, atParams + "num_target", "1000000000", []string{"num_target"}},
		{"fewer targets than none", nil, atParams + "num_target", "-3", []string{"num_target", "-3"}},
		{"classes and targets that multiply to 2^64", nil, "learner/learner_model_param", doc{"num_class": "4611686018427387904", "num_target": "4", "num_feature": "3", "base_score": "5E-1"}, []string{"num_class", "num_target"}},
		{"no parameters", nil, "learner/learner_model_param", drop{}, []string{"learner_model_param"}},
		{"names for other features", nil, "learner/feature_names", []any{"a", "b"}, []string{"feature_names", "2"}},
		{"the same name twice", nil, "learner/feature_names", []any{"a", "b", "a"}, []string{"feature_names", `"a"`, "twice"}},
		{"no learner", nil, "learner", drop{}, []string{"no file is a model of XGBoost or LightGBM"}},
		{"a learner that is a list", nil, "learner", []any{}, []string{"an object"}},
		{"a version that is text", nil, "version", "3.0.0", []string{"an array"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			model := thicket
			if tt.model != nil {
				model = tt.model
			}
			file := model().doc()
			mustOpen(t, appendJSON(nil, file), nil) // the damage is what is wrong with it
			put(file, tt.path, tt.value)
			for name, data := range map[string][]byte{"json": appendJSON(nil, file), "ubjson": appendUBJSON(nil, file, typedArrays)} {
				allocated, m, err := openCounting(data)
				if m != nil {
					t.Errorf("%s: it opens", name)
					continue
				}
				mentions(t, err, tt.want...)
				if limit := allowance(data); allocated > limit {
					t.Errorf("%s: %d bytes were allocated for a file of %d, want at most %d", name, allocated, len(data), limit)
				}
			}
		})
	}
}

func TestBadTextsAreRefused(t *testing.T) {
	good := string(thicket().json())
	again := func(key string) string { // the key's value once more, before it
		i := strings.Index(good, `"`+key+`":`)
		return good[:i] + `"` + key + `":` + rawValue(good[i+len(key)+3:]) + "," + good[i:]
	}
	deep := strings.Repeat("[", 100_000)
	tests := []struct {
		name, text, want string
	}{
		{"an empty file", "", "no file is a model of XGBoost or LightGBM"},
		{"an empty object", "{}", "no file is a model of XGBoost or LightGBM"},
		{"a list", "[]", "no file is a model of XGBoost or LightGBM"},
		{"an empty learner", `{"learner":{}}`, "no learner_model_param"},
		{"a learner without a value", `{"learner":`, "ends"},
		{"something after the end", good + "}", "more text"},
		{"another model after the end", good + good, "more text"},
		{"deep lists before the learner", `{"x":` + deep, "no file is a model of XGBoost or LightGBM"},
		{"deep lists for a learner", `{"learner":` + deep, "an object"},
		{"deep lists that are dropped", `{"learner":{"x":` + deep, "nested deeper"},
		{"a comment", strings.Replace(good, "{", "{/**/", 2), "no file is a model of XGBoost or LightGBM"},
		{"a comma too many", strings.Replace(good, `"name":"gbtree"`, `"name":"gbtree",`, 1), "after the comma"},
		{"a word where a number should be", strings.Replace(good, `"default_left":[1`, `"default_left":[one`, 1), "JSON at byte"},
		{"two learners", again("learner"), "learner twice"},
		{"two boosters", again("gradient_booster"), "gradient_booster twice"},
		{"two objectives", again("objective"), "objective twice"},
		{"two sets of parameters", again("learner_model_param"), "learner_model_param twice"},
		{"two lists of trees", again("trees"), "trees twice"},
		{"two models", again("model"), "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			allocated, m, err := openCounting([]byte(tt.text))
			if m != nil {
				t.Fatal("it opens")
			}
			mentions(t, err, tt.want)
			if limit := allowance([]byte(tt.text)); allocated > limit {
				t.Errorf("%d bytes were allocated for a file of %d, want at most %d", allocated, len(tt.text), limit)
			}
		})
	}
}

// rawValue returns the JSON value that text begins with.
func rawValue(text string) string {
	depth := 0
	for i, c := range text {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth == 0 {
			return text[:i+1]
		}
	}
	return text
}

func TestOneArtefactHoldsOneModel(t *testing.T) {
	_, err := Runtime{}.Open(context.Background(), predicttest.Files{"a.json": thicket().json(), "b/c.ubj": grove.ubjson(), "z": nil}, nil)
	mentions(t, err, `"a.json"`, `"b/c.ubj"`, "both")
}

func TestIterationsThatCannotBeAreRefused(t *testing.T) {
	tests := []struct {
		option string
		best   any
		want   []string
	}{
		{"0", nil, []string{"iterations", `"0"`, "2 rounds"}},
		{"3", nil, []string{"iterations", `"3"`, "2 rounds"}},
		{"-1", nil, []string{"iterations", `"-1"`}},
		{"1.5", nil, []string{"iterations", `"1.5"`}},
		{"99999999999999999999", nil, []string{"iterations"}},
		{"Best", nil, []string{"iterations", `"Best"`}},
		{" 1", nil, []string{"iterations", `" 1"`}},
		{"best", nil, []string{"best_iteration"}},
		{"best", "two", []string{"best_iteration", "two"}},
		{"best", "2", []string{"best_iteration", "2"}},
		{"best", "-1", []string{"best_iteration", "-1"}},
	}
	for _, tt := range tests {
		t.Run(tt.option+fmt.Sprint(tt.best), func(t *testing.T) {
			h := thicket()
			if tt.best != nil {
				h.attributes = doc{"best_iteration": tt.best}
			}
			_, err := openBytes(h.json(), predict.Options{"iterations": tt.option})
			mentions(t, err, tt.want...)
		})
	}
}

const allocs = "/gc/heap/allocs:bytes"

// openCounting opens a file and tells how many bytes were allocated meanwhile. No test here runs beside another.
func openCounting(data []byte) (allocated uint64, m predict.Model, err error) {
	files := predicttest.Files{"model": data}
	sample := []metrics.Sample{{Name: allocs}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	m, err = Runtime{}.Open(context.Background(), files, nil)
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before, m, err
}

// allowance is how much Open may allocate for a file. A good file needs about twice its size.
func allowance(data []byte) uint64 { return 64*uint64(len(data)) + 1<<20 }

// useIt asks a model that may be damaged for a few rows. It may refuse them.
func useIt(m predict.Model) error {
	width := m.Signature().Inputs[0].Shape[1]
	if width > 1<<12 {
		return nil // a digit more; asking would need rows of millions
	}
	values := make([]float32, 5*width)
	for i := range values {
		values[i] = float32(i%7) - 2
	}
	values[0] = nan
	r := &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{5, width}, values)}, Outputs: []string{"prediction", "margin"}}
	if err := m.Signature().Check(r); err != nil {
		return err
	}
	got, err := m.Predict(context.Background(), r)
	if err != nil {
		return err
	}
	for i := range got.Outputs {
		if err := got.Outputs[i].Check(); err != nil || got.Outputs[i].Rows() != 5 {
			return fmt.Errorf("output %v: %w", got.Outputs[i].Shape, err)
		}
	}
	return nil
}

// smallModels are files to damage, in every syntax.
func smallModels() map[string][]byte {
	return map[string][]byte{
		"grove.json": grove.json(), "grove.ubj": grove.ubjson(), "dart.json": dropout.json(), "dart.ubj": dropout.ubjson(),
		"thicket.json": thicket().json(), "plain.ubj": appendUBJSON(nil, thicket().doc(), dialect{length: 'i'}),
		"grove.bin": binGrove().binary(), "dart.bin": dropout.binary(), "linear.bin": binLinear(1, 7),
		"linear.json": appendJSON(nil, linDoc(linWeights)), "linear.ubj": appendUBJSON(nil, linDoc(linWeights), typedArrays),
		"vectors.json": appendJSON(nil, vecDoc(false, nil)), "vectors.ubj": appendUBJSON(nil, vecDoc(true, nil), typedArrays),
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	for name, data := range smallModels() {
		mustOpen(t, data, nil)
		for n := range len(data) {
			allocated, m, err := openCounting(bytes.Clone(data[:n]))
			if m != nil || fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s cut to %d of %d bytes: %v, %v", name, n, len(data), m, err)
			}
			if limit := allowance(data[:n]); allocated > limit {
				t.Errorf("%s cut to %d bytes: %d bytes were allocated, want at most %d", name, n, allocated, limit)
			}
		}
	}
}

func TestFlippedBytesAreRefusedOrHarmless(t *testing.T) {
	const flips = 10_000
	for name, data := range smallModels() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 5))
			opened := 0
			for range flips {
				damaged := bytes.Clone(data)
				what := make([]string, 1+r.IntN(3))
				for i := range what {
					at, to := r.IntN(len(data)), byte(r.IntN(256))
					if r.IntN(2) == 0 { // a byte that stands elsewhere in the file is more likely to be read
						to = data[r.IntN(len(data))]
					}
					damaged[at] = to
					what[i] = fmt.Sprintf("byte %d is %#x", at, to)
				}
				allocated, m, err := openCounting(damaged)
				switch {
				case err == nil:
					opened++
					if err := useIt(m); err != nil {
						t.Errorf("%v: opens, but: %v", what, err)
					}
				case fault.KindOf(err) != fault.Invalid:
					t.Errorf("%v: the error is %v, want invalid: %v", what, fault.KindOf(err), err)
				}
				if limit := allowance(damaged); allocated > limit {
					t.Errorf("%v: %d bytes were allocated, want at most %d", what, allocated, limit)
				}
			}
			if opened == 0 || opened == flips {
				t.Errorf("%d of %d damaged files open; the damage is not what it should be", opened, flips)
			}
		})
	}
}

func TestCategoriesThatOverlapDoNotMultiply(t *testing.T) {
	const n = 1200
	// A chain of categorical splits, all of which claim the same categories, far apart.
	root := leaf(0)
	for range n {
		root = among(0, []int32{0}, goesLeft, leaf(1), root)
	}
	h := handmade{trees: []*sprout{root}}
	file := h.doc()
	categories, starts, sizes := make([]int32, n), make([]int64, n), make([]int64, n)
	for i := range n {
		categories[i], sizes[i] = int32(i*10_000), n
	}
	put(file, atTree+"categories", categories)
	put(file, atTree+"categories_segments", starts)
	put(file, atTree+"categories_sizes", sizes)
	data := appendUBJSON(nil, file, typedArrays)
	allocated, m, err := openCounting(data)
	if limit := uint64(8*len(data)) + 1<<20; allocated > limit {
		t.Errorf("%d bytes were allocated for a file of %d, want at most %d (model %v, error %v)", allocated, len(data), limit, m != nil, err)
	}
}

func TestManySmallThingsTakeRoomInProportion(t *testing.T) {
	many := func(n int, part string) string { return strings.TrimSuffix(strings.Repeat(part+",", n), ",") }
	good := string(thicket().json())
	attributes := make([]string, 20_000)
	for i := range attributes {
		attributes[i] = fmt.Sprintf(`"%x":""`, i)
	}
	tests := map[string]string{
		"empty names":    strings.Replace(good, `"feature_names":[]`, `"feature_names":[`+many(100_000, `""`)+`]`, 1),
		"attributes":     strings.Replace(good, `"attributes":{}`, `"attributes":{`+strings.Join(attributes, ",")+`}`, 1),
		"empty trees":    strings.Replace(good, `"trees":[`, `"trees":[`+many(100_000, "{}")+",", 1),
		"one-leaf trees": strings.Replace(good, `"trees":[`, `"trees":[`+many(20_000, `{"left_children":[-1],"right_children":[-1],"split_indices":[0],"split_conditions":[0],"default_left":[0]}`)+",", 1),
		"rounds":         strings.Replace(good, `"tree_info"`, `"iteration_indptr":[`+many(100_000, "0")+`],"tree_info"`, 1),
		"versions":       strings.Replace(good, `"version":[3`, `"version":[3,`+many(100_000, "0"), 1),
		"base scores":    strings.Replace(good, `"base_score":"5E-1"`, `"base_score":"[`+many(100_000, "1")+`]"`, 1),
	}
	for name, text := range tests {
		if text == good {
			t.Errorf("%s: nothing was changed", name)
		}
		allocated, _, _ := openCounting([]byte(text))
		if limit := allowance([]byte(text)); allocated > limit {
			t.Errorf("%s: %d bytes were allocated for a file of %d, want at most %d", name, allocated, len(text), limit)
		}
	}
}
