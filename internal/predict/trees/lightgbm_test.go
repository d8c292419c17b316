package trees

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// lgbTree is a tree of a handmade file: the lines that differ from tree to tree.
type lgbTree string

const (
	lgbStump lgbTree = "num_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\nthreshold=2.5\ndecision_type=2\nleft_child=-1\nright_child=-2\n" +
		"leaf_value=-1 1\nleaf_weight=3 5\nleaf_count=3 5\ninternal_value=0\ninternal_weight=8\ninternal_count=8\nis_linear=0\nshrinkage=0.1\n"

	// lgbGrove goes by numbers, by categories of two sets, and again by numbers.
	lgbGrove lgbTree = "num_leaves=5\nnum_cat=2\nsplit_feature=0 1 2 1\nsplit_gain=4 3 2 1\nthreshold=2.5 0 -1e-3 1\ndecision_type=8 1 6 9\n" +
		"left_child=1 -1 -3 -2\nright_child=2 3 -4 -5\nleaf_value=1 2 4 8 16\nleaf_weight=1 2 3 4 5\nleaf_count=1 2 3 4 5\ninternal_value=0 0 0 0\n" +
		"internal_weight=0 0 0 0\ninternal_count=15 8 7 7\ncat_boundaries=0 1 3\ncat_threshold=10 0 2\nis_linear=0\nshrinkage=1\n"

	lgbLinear lgbTree = "num_leaves=3\nnum_cat=0\nsplit_feature=0 0\nsplit_gain=1 1\nthreshold=0 5\ndecision_type=2 2\nleft_child=-1 -2\nright_child=1 -3\n" +
		"leaf_value=10 20 30\nleaf_weight=1 1 1\nleaf_count=1 1 1\ninternal_value=0 0\ninternal_weight=3 2\ninternal_count=3 2\nis_linear=1\n" +
		"leaf_const=1 2 3\nnum_features=0 1 2\nleaf_features= 1  1 2  \nleaf_coeff= 0.5  2 -1  \nshrinkage=1\n"

	lgbLeaf lgbTree = "num_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\ndecision_type=\nleft_child=\nright_child=\nleaf_value=0.25\n" +
		"leaf_weight=\nleaf_count=\ninternal_value=\ninternal_weight=\ninternal_count=\nis_linear=0\nshrinkage=1\n"
)

// with returns the tree with another value of a key.
func (t lgbTree) with(key, value string) lgbTree {
	from := strings.Index("\n"+string(t), "\n"+key+"=")
	if from < 0 {
		panic("no key " + key)
	}
	to := from + strings.IndexByte(string(t[from:]), '\n')
	return t[:from] + lgbTree(key) + "=" + lgbTree(value) + t[to:]
}

// lgbFile is a handmade text file of three columns.
type lgbFile struct {
	header string // further lines
	trees  []lgbTree
	tail   string // lgbTail where empty
}

const lgbTail = "end of trees\n\nfeature_importances:\nColumn_0=1\n\nparameters:\n[boosting: gbdt]\n[refit_decay_rate: 0.9]\n\nend of parameters\n\npandas_categorical:null\n"

func (f lgbFile) text() string {
	head := "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=2\n"
	if strings.Contains(f.header, "num_class=") {
		head = "tree\nversion=v4\nlabel_index=0\nmax_feature_idx=2\n"
	}
	head += f.header + "feature_names=Column_0 Column_1 Column_2\nfeature_infos=[0:9] -1:1:3 none\ntree_sizes="
	var sizes []string
	body := ""
	for i, t := range f.trees {
		one := fmt.Sprintf("Tree=%d\n%s\n\n", i, t)
		sizes, body = append(sizes, fmt.Sprint(len(one))), body+one
	}
	tail := f.tail
	if tail == "" {
		tail = lgbTail
	}
	return head + strings.Join(sizes, " ") + "\n\n" + body + tail
}

// lgbAnswer returns an output for rows.
func lgbAnswer(t *testing.T, m predict.Model, output string, rows ...float64) []float64 {
	t.Helper()
	width := m.Signature().Inputs[0].Shape[1]
	r := &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{len(rows) / width, width}, rows)}, Outputs: []string{output}}
	if err := m.Signature().Check(r); err != nil {
		t.Fatal(err)
	}
	got, err := m.Predict(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	values, err := got.Outputs[0].Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestLightGBMRowsGoDownATreeAsTheyShould(t *testing.T) {
	nan, inf, zero := math.NaN(), math.Inf(1), float64(float32(1e-35))
	const left, right = -1, 1
	split := func(threshold, decision string) lgbTree {
		return lgbStump.with("threshold", threshold).with("decision_type", decision)
	}
	set := func(boundaries, words string) lgbTree {
		s := split("0", "1").with("num_cat", "1")
		return s + lgbTree("cat_boundaries="+boundaries+"\ncat_threshold="+words+"\n")
	}
	tests := []struct {
		name string
		tree lgbTree
		v    float64
		want float64
	}{
		{"below", split("2.5", "2"), math.Nextafter(2.5, 0), left},
		{"equal goes left", split("2.5", "0"), 2.5, left},
		{"just above goes right", split("2.5", "2"), math.Nextafter(2.5, 3), right},
		{"infinity", split("1e300", "10"), inf, right},
		{"minus infinity", split("-1e300", "8"), -inf, left},
		{"NaN counts as 0 below the threshold", split("2.5", "0"), nan, left},
		{"NaN counts as 0 above it", split("-2.5", "2"), nan, right},
		{"NaN goes left", split("-2.5", "10"), nan, left},
		{"NaN goes right", split("2.5", "8"), nan, right},
		{"zero goes left", split("-2.5", "6"), 0, left},
		{"zero goes right", split("2.5", "4"), 0, right},
		{"minus zero goes right", split("2.5", "4"), math.Copysign(0, -1), right},
		{"NaN goes with zero, left", split("-2.5", "6"), nan, left},
		{"NaN goes with zero, right", split("2.5", "4"), nan, right},
		{"nearly zero is missing", split("2.5", "4"), -zero, right},
		{"a little more is not", split("2.5", "4"), math.Nextafter(zero, 1), left},
		{"nearly zero is zero", split("-1e-36", "8"), -1e-36, right},
		{"zero is below a positive threshold", split("1e-36", "2"), 1e-35, left},
		{"all are below infinity", split("inf", "8"), math.MaxFloat64, left},
		{"infinity is not above infinity", split("inf", "8"), inf, left},
		{"NaN goes right of infinity", split("inf", "8"), nan, right},
		{"zero goes right of infinity", split("inf", "4"), 0, right},
		{"one goes left of infinity", split("inf", "4"), inf, left},
		{"NaN is below infinity", split("inf", "0"), nan, left},
		{"minus infinity is not above minus infinity", split("-inf", "8"), -inf, left},
		{"all else is", split("-inf", "8"), -math.MaxFloat64, right},
		{"without a decision_type", lgbWithout(split("2.5", "2"), "decision_type"), nan, left},

		{"a category of the set", set("0 1", "10"), 3, left},
		{"another", set("0 1", "10"), 2, right},
		{"a fraction is cut off", set("0 1", "10"), 3.99, left},
		{"a fraction below 0 is category 0", set("0 1", "1"), -0.99, left},
		{"a category below 0", set("0 1", "1"), -1, right},
		{"nearly zero is category 0", set("0 1", "1"), 1e-300, left},
		{"a category of the next word", set("0 2", "0 4"), 34, left},
		{"a category beyond the words", set("0 1", "4294967295"), 32, right},
		{"the last bit", set("0 1", "2147483648"), 31, left},
		{"NaN is no category", set("0 1", "1"), nan, right},
		{"infinity is none", set("0 1", "4294967295"), inf, right},
		{"minus infinity is none", set("0 1", "4294967295"), -inf, right},
		{"2^32 is none", set("0 1", "1"), 1 << 32, right},
		{"a set without words", set("0 0", ""), 0, right},
		{"a set of no category", set("0 1", "0"), 0, right},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, trees := range []int{1, 9} { // several are walked at a time
				m := mustOpen(t, []byte(lgbFile{trees: slices.Repeat([]lgbTree{tt.tree}, trees)}.text()), nil)
				for _, rows := range []int{1, 9} {
					got := lgbAnswer(t, m, "margin", slices.Repeat([]float64{tt.v, 7, 7}, rows)...)
					if want := slices.Repeat([]float64{tt.want * float64(trees)}, rows); !slices.Equal(got, want) {
						t.Errorf("%d trees, %d rows of %v: %v, want %v", trees, rows, tt.v, got, want)
					}
				}
			}
		})
	}
}

// lgbWithout returns the tree without the line of a key.
func lgbWithout(t lgbTree, key string) lgbTree {
	before, rest, _ := strings.Cut(string(t), key+"=")
	_, after, _ := strings.Cut(rest, "\n")
	return lgbTree(before + after)
}

func TestLightGBMTreesAddUp(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	stumps := []lgbTree{lgbStump, lgbStump.with("leaf_value", "2 4"), lgbStump.with("leaf_value", "8 16"), lgbLeaf}
	forest := "average_output\n"
	tests := []struct {
		name       string
		file       lgbFile
		iterations string
		row        []float64
		prediction []float64
		margin     []float64
	}{
		{"no trees", lgbFile{}, "", []float64{0, 0, 0}, []float64{0}, []float64{0}},
		{"all", lgbFile{trees: stumps}, "all", []float64{9, 0, 0}, []float64{21.25}, []float64{21.25}},
		{"auto", lgbFile{trees: stumps}, "auto", []float64{9, 0, 0}, []float64{21.25}, []float64{21.25}},
		{"the first two", lgbFile{trees: stumps}, "2", []float64{9, 0, 0}, []float64{5}, []float64{5}},
		{"a forest's mean", lgbFile{header: forest, trees: stumps}, "", []float64{0, 0, 0}, []float64{9.25 / 4}, []float64{9.25}},
		{"the mean of the first two", lgbFile{header: forest, trees: stumps}, "2", []float64{0, 0, 0}, []float64{0.5}, []float64{1}},
		{"the transform of the mean", lgbFile{header: forest + "objective=regression sqrt\n", trees: stumps}, "2", []float64{9, 0, 0}, []float64{6.25}, []float64{5}},
		{"classes", lgbFile{header: "num_class=2\nobjective=multiclassova num_class:2 sigmoid:1\n", trees: []lgbTree{lgbLeaf.with("leaf_value", "0"), lgbStump, lgbLeaf.with("leaf_value", "0"), lgbStump}}, "",
			[]float64{9, 0, 0}, []float64{0.5, 1 / (1 + math.Exp(-2))}, []float64{0, 2}},
		{"by numbers and categories", lgbFile{trees: []lgbTree{lgbGrove}}, "", []float64{0, 1, 0}, []float64{1}, []float64{1}},
		{"by the second set", lgbFile{trees: []lgbTree{lgbGrove}}, "", []float64{0, 33, 0}, []float64{2}, []float64{2}},
		{"by no set", lgbFile{trees: []lgbTree{lgbGrove}}, "", []float64{0, 34, 0}, []float64{16}, []float64{16}},
		{"by what is missing", lgbFile{trees: []lgbTree{lgbGrove}}, "", []float64{nan, 0, 0}, []float64{4}, []float64{4}},
		{"a constant instead of a function", lgbFile{trees: []lgbTree{lgbLinear}}, "", []float64{0, nan, nan}, []float64{1}, []float64{1}},
		{"a function of one feature", lgbFile{trees: []lgbTree{lgbLinear}}, "", []float64{1, 8, nan}, []float64{6}, []float64{6}},
		{"a function of two", lgbFile{trees: []lgbTree{lgbLinear}}, "", []float64{6, 8, 0.5}, []float64{18.5}, []float64{18.5}},
		{"a function whose feature is missing", lgbFile{trees: []lgbTree{lgbLinear}}, "", []float64{6, 8, nan}, []float64{30}, []float64{30}},
		{"a function of infinity", lgbFile{trees: []lgbTree{lgbLinear}}, "", []float64{6, inf, 1}, []float64{inf}, []float64{inf}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, text := range []string{tt.file.text(), strings.ReplaceAll(tt.file.text(), "\n", "\r\n")} {
				m := mustOpen(t, []byte(text), predict.Options{"iterations": tt.iterations})
				if got := lgbAnswer(t, m, "prediction", tt.row...); !slices.Equal(got, tt.prediction) {
					t.Errorf("prediction %v, want %v", got, tt.prediction)
				}
				if got := lgbAnswer(t, m, "margin", tt.row...); !slices.Equal(got, tt.margin) {
					t.Errorf("margin %v, want %v", got, tt.margin)
				}
			}
		})
	}
}

func TestLightGBMObjectivesTurnMarginsIntoPredictions(t *testing.T) {
	same := func(v float64) float64 { return v }
	square := func(v float64) float64 { return math.Abs(v) * v }
	logistic := func(factor float64) func(float64) float64 {
		return func(v float64) float64 { return 1 / (1 + math.Exp(-factor*v)) }
	}
	tests := []struct {
		objective string
		inverse   func(float64) float64
	}{
		{"regression", same}, {"regression sqrt", square}, {"regression_l1", same}, {"regression_l1 sqrt", square}, {"huber", same}, {"huber sqrt", same},
		{"fair", same}, {"fair sqrt", square}, {"quantile", same}, {"mape sqrt", square}, {"lambdarank", same}, {"rank_xendcg", same},
		{"poisson", math.Exp}, {"gamma", math.Exp}, {"tweedie", math.Exp}, {"binary sigmoid:1", logistic(1)}, {"binary sigmoid:0.25", logistic(0.25)},
		{"cross_entropy", logistic(1)}, {"xentropy", logistic(1)},
		{"cross_entropy_lambda", func(v float64) float64 { return math.Log1p(math.Exp(v)) }}, {"xentlambda", func(v float64) float64 { return math.Log1p(math.Exp(v)) }},
		{"custom", same}, {"none", same}, {"mse", same},
	}
	for _, tt := range tests {
		for _, v := range []float64{-800, -20, -1.5, -1e-30, 0, 0.3, 1, 40, 800} {
			m := mustOpen(t, []byte(lgbFile{header: "objective=" + tt.objective + "\n", trees: []lgbTree{lgbLeaf.with("leaf_value", fmt.Sprint(v))}}.text()), nil)
			if got, want := lgbAnswer(t, m, "prediction", 0, 0, 0)[0], tt.inverse(v); got != want && !(math.Abs(got-want) <= 1e-15*math.Abs(want)) {
				t.Errorf("%s: the prediction for margin %v is %v, want %v", tt.objective, v, got, want)
			}
			if got := lgbAnswer(t, m, "margin", 0, 0, 0)[0]; got != v {
				t.Errorf("%s: margin %v, want %v", tt.objective, got, v)
			}
		}
	}
}

// TestOldForestsHoldPredictions tells by what a file lacks that its leaves are transformed already.
func TestOldForestsHoldPredictions(t *testing.T) {
	old := lgbFile{header: "objective=binary sigmoid:1\naverage_output\n", trees: []lgbTree{lgbStump.with("leaf_value", "0.25 0.75"), lgbStump.with("leaf_value", "0.25 0.75")}}
	logistic := 1 / (1 + math.Exp(-0.75))
	texts := map[string]float64{
		strings.Replace(old.text(), "=v4", "=v2", 1):                                                                        logistic,
		strings.Replace(strings.Replace(old.text(), "=v4", "=v2", 1), "[refit_decay_rate: 0.9]\n", "", 1):                   0.75,
		strings.Replace(strings.Replace(old.text(), "version=v4\n", "", 1), "[refit_decay_rate: 0.9]\n", "", 1):             0.75,
		strings.Replace(old.text(), "[refit_decay_rate: 0.9]\n", "", 1):                                                     logistic,
		strings.Replace(strings.Replace(old.text(), "=v4", "=v2", 1), lgbTail, "\nfeature importances:\nColumn_0=2\n\n", 1): 0.75,
	}
	if len(texts) != 5 {
		t.Fatal("two texts are the same")
	}
	for text, want := range texts {
		m := mustOpen(t, []byte(text), nil)
		if got := lgbAnswer(t, m, "prediction", 9, 0, 0)[0]; math.Abs(got-want) > 1e-15 {
			t.Errorf("%v, want %v of\n%s", got, want, text)
		}
	}
}

func TestLightGBMSignature(t *testing.T) {
	f := lgbFile{trees: []lgbTree{lgbStump, lgbGrove}}
	in := mustOpen(t, []byte(f.text()), nil).Signature().Inputs[0]
	if !in.AbsentZero || in.DType != tensor.Float64 || !slices.Equal(in.Shape, []int{-1, 3}) {
		t.Errorf("input %+v", in)
	}
	if in.Columns != nil {
		t.Errorf("columns %q, but LightGBM made these names up", in.Columns)
	}
	named := strings.Replace(f.text(), "feature_names=Column_0 Column_1 Column_2", "feature_names=Column_0 a=\u00a0é c", 1)
	if in := mustOpen(t, []byte(named), nil).Signature().Inputs[0]; !slices.Equal(in.Columns, []string{"Column_0", "a=\u00a0é", "c"}) {
		t.Errorf("columns %q", in.Columns)
	}
	has := func(f lgbFile, output string) bool {
		return slices.ContainsFunc(mustOpen(t, []byte(f.text()), nil).Signature().Outputs, func(s tensor.Spec) bool { return s.Name == output })
	}
	if !has(f, "contributions") || has(lgbFile{trees: []lgbTree{lgbStump, lgbLinear}}, "contributions") {
		t.Error("contributions are there for constant leaves, and not for linear ones")
	}
	if got := lgbAnswer(t, mustOpen(t, []byte(f.text()), nil), "leaf", 0, 34, 0); !slices.Equal(got, []float64{0, 4}) {
		t.Errorf("leaves %v, want [0 4]", got)
	}
}
