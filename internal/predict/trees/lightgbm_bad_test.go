package trees

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
)

// lgbJSONDump is a handmade dump with splits of every kind and a linear leaf.
const lgbJSONDump = `{"name":"tree","version":"v4","num_class":1,"num_tree_per_iteration":1,"label_index":0,"max_feature_idx":2,
"objective":"binary sigmoid:1","average_output":false,"feature_names":["a","b","c"],"monotone_constraints":[],"feature_infos":{},
"tree_info":[{"tree_index":0,"num_leaves":3,"num_cat":1,"shrinkage":1,"tree_structure":{"split_index":0,"split_feature":1,"split_gain":4,
"threshold":"1||3||40","decision_type":"==","default_left":false,"missing_type":"None","internal_value":0,"internal_weight":0,"internal_count":6,
"left_child":{"leaf_index":0,"leaf_value":-0.5,"leaf_weight":3,"leaf_count":3},
"right_child":{"split_index":1,"split_feature":0,"split_gain":1,"threshold":2.5,"decision_type":"<=","default_left":true,"missing_type":"NaN",
"internal_value":0,"internal_weight":0,"internal_count":3,"left_child":{"leaf_index":1,"leaf_value":1,"leaf_weight":1,"leaf_count":1},
"right_child":{"leaf_index":2,"leaf_value":2,"leaf_weight":2,"leaf_count":2,"leaf_const":0.25,"leaf_features":[0, 2],"leaf_coeff":[0.5, -1]}}}},
{"tree_index":1,"num_leaves":1,"num_cat":0,"shrinkage":1,"tree_structure":{"leaf_value":0.125,"leaf_count":6}}],
"feature_importances":{},"pandas_categorical":null}`

// lgbSmallModels are files to damage.
func lgbSmallModels() map[string]string {
	all := lgbFile{header: "objective=regression sqrt\n", trees: []lgbTree{lgbGrove, lgbLinear, lgbStump, lgbLeaf}}
	old := strings.Replace(lgbFile{trees: []lgbTree{lgbStump}, tail: "\nfeature importances:\nColumn_0=1\n\npandas_categorical:[]"}.text(), "=v4", "=v2", 1)
	from := strings.Index(old, "tree_sizes=")
	return map[string]string{
		"text":      all.text(),
		"forest":    lgbFile{header: "num_class=2\nobjective=multiclass num_class:2\naverage_output\n", trees: []lgbTree{lgbGrove, lgbStump, lgbLeaf, lgbGrove}}.text(),
		"parser":    lgbFile{trees: []lgbTree{lgbStump}, tail: strings.Replace(lgbTail, "\npandas", "\nparser:\n{\"className\":\"x\"}\n\nend of parser\n\npandas", 1)}.text(),
		"old":       old[:from] + old[from+strings.IndexByte(old[from:], '\n')+1:],
		"no trees":  lgbFile{}.text(),
		"dump.json": lgbJSONDump,
	}
}

// lgbMayEnd tells whether a text may end at n: nothing but the last section is lost, or the last line's end.
func lgbMayEnd(text string, n int) bool {
	lost := strings.Trim(text[n:], "\n")
	switch {
	case lost == "" && strings.HasSuffix(strings.TrimRight(text[:n], "\n"), lastLine(text)):
		return true
	case strings.HasSuffix(strings.TrimRight(text[:n], "\n"), "end of parameters"):
		return true
	case strings.HasSuffix(strings.TrimRight(text[:n], "\n"), "end of parser"):
		return true
	}
	// A file from before 2.2 may have had no parameters and no categories of pandas: its importances, line by line.
	return !strings.Contains(text, "end of trees") && strings.Contains(text[:n], "feature importances:\n") && strings.HasSuffix(text[:n], "\n")
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func TestEveryTruncationOfLightGBMFilesIsRefused(t *testing.T) {
	for name, text := range lgbSmallModels() {
		whole := mustOpen(t, []byte(text), nil)
		opened := 0
		for n := range len(text) {
			allocated, m, err := openCounting([]byte(text[:n]))
			switch {
			case m != nil && lgbMayEnd(text, n) && name != "dump.json":
				opened++
				rows := []float64{1, 33, 2, 6, 2, 3, -1, 0, 0}
				if got, want := lgbAnswer(t, m, "prediction", rows...), lgbAnswer(t, whole, "prediction", rows...); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s cut to %d bytes answers %v, whole %v", name, n, got, want)
				}
			case m != nil || fault.KindOf(err) != fault.Invalid:
				t.Errorf("%s cut to %d of %d bytes, %q: %v, %v", name, n, len(text), text[max(n-30, 0):n], m, err)
			}
			if limit := allowance([]byte(text[:n])); allocated > limit {
				t.Errorf("%s cut to %d bytes: %d bytes were allocated, want at most %d", name, n, allocated, limit)
			}
		}
		if opened > 8 {
			t.Errorf("%s: %d cuts open", name, opened)
		}
	}
}

func TestFlippedBytesOfLightGBMFilesAreRefusedOrHarmless(t *testing.T) {
	const flips = 10_000
	for name, text := range lgbSmallModels() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(4, 7))
			opened := 0
			for range flips {
				damaged := []byte(text)
				what := make([]string, 1+r.IntN(3))
				for i := range what {
					at, to := r.IntN(len(text)), byte(r.IntN(256))
					if r.IntN(2) == 0 { // a byte that stands elsewhere in the file is more likely to be read
						to = text[r.IntN(len(text))]
					}
					damaged[at] = to
					what[i] = fmt.Sprintf("byte %d is %q", at, to)
				}
				opened += lgbOpens(t, damaged, fmt.Sprint(what))
			}
			if opened == 0 || opened == flips {
				t.Errorf("%d of %d damaged files open; the damage is not what it should be", opened, flips)
			}
		})
	}
}

// lgbOpens opens what may be anything and asks it, if it is a model, for everything. It returns 1 for a model.
func lgbOpens(t *testing.T, data []byte, what string) int {
	t.Helper()
	allocated, m, err := openCounting(data)
	if limit := allowance(data); allocated > limit {
		t.Errorf("%s: %d bytes were allocated for a file of %d, want at most %d", what, allocated, len(data), limit)
	}
	if err == nil {
		if err := useIt(m); err != nil {
			t.Errorf("%s: it opens, but: %v", what, err)
		}
		if in := m.Signature().Inputs[0]; in.Shape[1] <= 1<<6 {
			for _, output := range m.Signature().Outputs {
				lgbAnswer(t, m, output.Name, make([]float64, in.Shape[1])...)
			}
		}
		return 1
	}
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("%s: the error is %v, want invalid: %v", what, fault.KindOf(err), err)
	}
	return 0
}

func TestLightGBMFilesPassTheSuite(t *testing.T) {
	var models []predicttest.Model
	for name, text := range lgbSmallModels() {
		models = append(models, predicttest.Model{Name: name, Files: predicttest.Files{"model": []byte(text)}})
	}
	linear := lgbFile{trees: []lgbTree{lgbLinear, lgbStump}}
	models = append(models, predicttest.Model{Name: "linear", Files: predicttest.Files{"m": []byte(linear.text())}, Options: predict.Options{"iterations": "1"}})
	predicttest.Run(t, predicttest.Options{Runtime: Runtime{}, Models: models})
}

func FuzzLightGBM(f *testing.F) {
	for _, text := range lgbSmallModels() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { lgbOpens(t, data, "fuzzed") })
}

func TestBadLightGBMFilesAreRefusedWithTheReason(t *testing.T) {
	grove := func(key, value string) string {
		return lgbFile{trees: []lgbTree{lgbLeaf, lgbGrove.with(key, value)}}.text()
	}
	linear := func(key, value string) string { return lgbFile{trees: []lgbTree{lgbLinear.with(key, value)}}.text() }
	header := func(text string) string { return lgbFile{header: text, trees: []lgbTree{lgbStump}}.text() }
	tail := func(text string) string { return lgbFile{trees: []lgbTree{lgbStump}, tail: text}.text() }
	good := lgbFile{trees: []lgbTree{lgbStump, lgbGrove}}.text()
	before, _, _ := strings.Cut(good, "Tree=1")
	replaced := func(old, by string) string { return strings.Replace(good, old, by, 1) }
	dump := func(old, by string) string { return strings.Replace(lgbJSONDump, old, by, 1) }
	tests := []struct {
		name, text string
		want       []string
	}{
		{"a child out of range", grove("left_child", "1 -1 -3 4"), []string{"line 30", "tree 1", "split 3", "child 4"}},
		{"a leaf out of range", grove("left_child", "1 -1 -3 -6"), []string{"tree 1", "split 3", "child -6"}},
		{"a child far out of range", grove("right_child", "2 3 -4 2147483647"), []string{"tree 1", "split 3", "child 2147483647"}},
		{"a leaf far out of range", grove("right_child", "2 3 -4 -2147483648"), []string{"tree 1", "split 3", "child -2147483648"}},
		{"a child beyond 32 bits", grove("right_child", "2 3 -4 4294967295"), []string{"right_child", "number 3", "4294967295"}},
		{"a link to itself", grove("left_child", "1 1 -3 -2"), []string{"tree 1", "two ways"}},
		{"a link back to the root", grove("right_child", "2 3 -4 0"), []string{"tree 1", "two ways"}},
		{"a leaf of two splits", grove("right_child", "2 3 -4 -1"), []string{"tree 1", "two ways"}},
		{"a child that is text", grove("left_child", "1 -1 -3 x"), []string{"line 37", "tree 1", "left_child", `"x"`}},
		{"a child that is a fraction", grove("left_child", "1 -1 -3 0.5"), []string{"left_child", `"0.5"`}},
		{"too few children", grove("left_child", "1 -1 -3"), []string{"tree 1", "left_child has 3", "num_leaves is 5"}},
		{"too many children", grove("right_child", "2 3 -4 -5 -6"), []string{"tree 1", "right_child has 5"}},
		{"no children", lgbFile{trees: []lgbTree{lgbWithout(lgbStump, "left_child")}}.text(), []string{"left_child has 0"}},
		{"too few features", grove("split_feature", "0 1 2"), []string{"split_feature has 3"}},
		{"too few thresholds", grove("threshold", "0"), []string{"threshold has 1"}},
		{"too few decisions", grove("decision_type", "8 1"), []string{"decision_type has 2"}},
		{"too few counts", grove("internal_count", "8 1"), []string{"internal_count has 2"}},
		{"too few leaf counts", grove("leaf_count", "8 1"), []string{"leaf_count has 2"}},
		{"too few leaves", grove("leaf_value", "8 1"), []string{"leaf_value has 2", "num_leaves is 5"}},
		{"no leaves", lgbFile{trees: []lgbTree{lgbWithout(lgbStump, "leaf_value")}}.text(), []string{"leaf_value has 0"}},
		{"a billion leaves", grove("num_leaves", "1000000000"), []string{"num_leaves is 1000000000"}},
		{"fewer leaves than none", grove("num_leaves", "-5"), []string{"num_leaves is -5"}},
		{"leaves beyond 64 bits", grove("num_leaves", "18446744073709551621"), []string{"num_leaves", "18446744073709551621"}},
		{"a leaf that is NaN", grove("leaf_value", "1 2 nan 8 16"), []string{"leaf_value", "number 2", "nan"}},
		{"a leaf that is infinite", grove("leaf_value", "1 2 4 8 -inf"), []string{"leaf_value", "number 4", "Inf"}},
		{"a leaf that is too large", grove("leaf_value", "1 2 4 8 1e309"), []string{"leaf_value", "number 4", "1e309"}},
		{"a leaf in hexadecimal", grove("leaf_value", "1 2 4 8 0x10p0"), []string{"leaf_value", "0x10p0"}},
		{"a threshold that is NaN", grove("threshold", "nan 0 0 1"), []string{"threshold", "number 0", "nan"}},
		{"a negative feature", grove("split_feature", "0 1 2 -1"), []string{"tree 1", "split 3", "feature -1"}},
		{"a feature out of range", grove("split_feature", "0 1 3 1"), []string{"tree 1", "split 2", "feature 3", "max_feature_idx is 2"}},
		{"a fourth kind of missing", grove("decision_type", "12 1 6 9"), []string{"tree 1", "split 0", "decision_type"}},
		{"a negative decision", grove("decision_type", "-2 1 6 9"), []string{"tree 1", "split 0", "decision_type"}},

		{"a set out of range", grove("threshold", "2.5 0 0 2"), []string{"tree 1", "split 3", "set 2", "num_cat is 2"}},
		{"a negative set", grove("threshold", "2.5 -1 0 1"), []string{"tree 1", "split 1", "set -1"}},
		{"an infinite set", grove("threshold", "2.5 inf 0 1"), []string{"tree 1", "split 1", "set +Inf"}},
		{"a set where there are none", lgbFile{trees: []lgbTree{lgbStump.with("decision_type", "1")}}.text(), []string{"split 0", "num_cat is 0"}},
		{"sets that go back", grove("cat_boundaries", "0 4 3"), []string{"cat_boundaries goes from"}},
		{"sets that begin late", grove("cat_boundaries", "1 2 3"), []string{"cat_boundaries goes from 0 to 1"}},
		{"sets that end early", grove("cat_boundaries", "0 1 2"), []string{"cat_boundaries ends at 2", "3 numbers"}},
		{"sets beyond their bounds", grove("cat_boundaries", "0 1 2147483647"), []string{"cat_boundaries", "2147483647"}},
		{"more sets than bounds", grove("num_cat", "3"), []string{"cat_boundaries has 3", "num_cat is 3"}},
		{"bounds without sets", grove("num_cat", "0"), []string{"cat_boundaries has 3", "num_cat is 0"}},
		{"fewer sets than none", grove("num_cat", "-1"), []string{"num_cat is -1"}},
		{"a billion sets", grove("num_cat", "1000000000"), []string{"num_cat is 1000000000"}},
		{"no num_cat", lgbFile{trees: []lgbTree{lgbWithout(lgbStump, "num_cat")}}.text(), []string{"num_cat", "2.0.5"}},
		{"a word beyond 32 bits", grove("cat_threshold", "10 0 4294967296"), []string{"cat_threshold", "4294967296"}},
		{"a negative word", grove("cat_threshold", "10 0 -1"), []string{"cat_threshold", "-1"}},

		{"too few constants", linear("leaf_const", "1 2"), []string{"leaf_const has 2"}},
		{"too few sizes", linear("num_features", "1 2"), []string{"num_features 2"}},
		{"a negative size", linear("num_features", "1 -1 3"), []string{"num_features is -1"}},
		{"sizes beyond the features", linear("num_features", "0 1 2147483647"), []string{"num_features is 2147483647"}},
		{"too small sizes", linear("num_features", "0 1 1"), []string{"adds up to 2", "leaf_features has 3"}},
		{"too few factors", linear("leaf_coeff", "1 2"), []string{"leaf_coeff 2"}},
		{"a factor that is NaN", linear("leaf_coeff", "1 2 nan"), []string{"leaf_coeff", "nan"}},
		{"a constant that is infinite", linear("leaf_const", "1 2 inf"), []string{"leaf_const", "Inf"}},
		{"a function of a column that is not there", linear("leaf_features", "1 1 3"), []string{"leaf 2", "feature 3"}},

		{"no number of classes", replaced("num_class=1\n", ""), []string{"no num_class"}},
		{"no features", replaced("max_feature_idx=2\n", ""), []string{"no max_feature_idx"}},
		{"no names", replaced("feature_names=Column_0 Column_1 Column_2\n", ""), []string{"no feature_names"}},
		{"too few names", replaced(" Column_2", ""), []string{"2 feature_names", "max_feature_idx is 2"}},
		{"a name twice", replaced("Column_2", "Column_1"), []string{`"Column_1" twice`}},
		{"fewer features than none", replaced("max_feature_idx=2", "max_feature_idx=-1"), []string{"max_feature_idx is -1"}},
		{"a billion features", replaced("max_feature_idx=2", "max_feature_idx=1000000000"), []string{"max_feature_idx is 1000000000"}},
		{"2^63-1 features", replaced("max_feature_idx=2", "max_feature_idx=9223372036854775807"), []string{"max_feature_idx"}},
		{"no classes", replaced("num_class=1", "num_class=0"), []string{"num_class is 0"}},
		{"fewer classes than none", replaced("num_class=1", "num_class=-1"), []string{"num_class is -1"}},
		{"fewer features than nothing", replaced("max_feature_idx=2", "max_feature_idx=-2"), []string{"max_feature_idx is -2"}},
		{"a billion classes", replaced("num_class=1", "num_class=1000000000"), []string{"num_class is 1000000000"}},
		{"more classes than bytes", replaced("num_class=1\nnum_tree_per_iteration=1", "num_class=60000"), []string{"num_class is 60000"}},
		{"other trees than classes", replaced("num_tree_per_iteration=1", "num_tree_per_iteration=2"), []string{"num_tree_per_iteration is 2"}},
		{"half a round", header("num_class=3\n"), []string{"1 trees", "rounds of 3"}},
		{"classes that are text", replaced("num_class=1", "num_class=one"), []string{"line 3", "num_class", `"one"`}},
		{"a line without a key", header("what is this\n"), []string{"line 7", "what is this"}},
		{"another number of sizes", replaced("tree_sizes=", "tree_sizes=1 "), []string{"tree_sizes lists 3 trees", "there are 2"}},
		{"a tree too few", before + lgbTail, []string{"tree_sizes lists 2 trees", "there are 1"}},
		{"a tree twice", replaced("Tree=1", "Tree=0"), []string{"tree 0 follows on tree 0"}},
		{"a tree left out", replaced("Tree=1", "Tree=2"), []string{"tree 2 follows on tree 0"}},
		{"a tree without a number", replaced("Tree=1", "Tree="), []string{"Tree"}},
		{"a tree with a line that is none", replaced("num_leaves=2\n", "num_leaves=2\nwhat\n"), []string{"line 13", "tree 0", "what"}},

		{"an unknown objective", header("objective=magic\n"), []string{"objective", "magic"}},
		{"a sigmoid of 0", header("objective=binary sigmoid:0\n"), []string{"sigmoid is 0"}},
		{"no sigmoid", header("objective=binary\n"), []string{"sigmoid is 0"}},
		{"a sigmoid that is NaN", header("objective=binary sigmoid:nan\n"), []string{"sigmoid is NaN"}},
		{"a sigmoid that is text", header("objective=binary sigmoid:x\n"), []string{"sigmoid:x", "not a number"}},
		{"an objective of other classes", header("objective=multiclass num_class:3\n"), []string{"multiclass", "num_class"}},
		{"an objective of one class", header("num_class=2\nobjective=poisson\n") + "", []string{"1 trees|poisson"}},
		{"a forest without trees", lgbFile{header: "average_output\n"}.text(), []string{"no mean"}},

		{"no end of the trees", tail("\n"), []string{"ends behind a tree"}},
		{"nothing behind the trees", tail("end of trees\n"), []string{"before its end"}},
		{"no end of the parameters", tail("end of trees\n\nparameters:\n[a: 1]\n"), []string{"before its end"}},
		{"no end of the parser", tail("end of trees\n\nparameters:\n\nend of parameters\n\nparser:\nx\n"), []string{"before its end"}},
		{"half a list of categories", tail("end of trees\n\npandas_categorical:[[1, 2]"), []string{"pandas_categorical", "ends"}},
		{"something behind the end", good + "more\n", []string{"more"}},
		{"another model behind the end", good + good, []string{"tree"}},

		{"JSON: no classes", dump(`"num_class":1,`, ""), []string{"no num_class"}},
		{"JSON: no features", dump(`"max_feature_idx":2,`, ""), []string{"no max_feature_idx"}},
		{"JSON: trees twice", dump(`"tree_info":`, `"tree_info":[],"tree_info":`), []string{"tree_info", "twice"}},
		{"JSON: a tree without a structure", dump(`"tree_structure":{"leaf_value"`, `"x":{"leaf_value"`), []string{"tree 1", "tree_structure"}},
		{"JSON: a node that is nothing", dump(`{"leaf_value":0.125,"leaf_count":6}`, `{}`), []string{"tree 1", "neither"}},
		{"JSON: a split without a child", dump(`"left_child":{"leaf_index":0,"leaf_value":-0.5,"leaf_weight":3,"leaf_count":3},`, ""), []string{"tree 0", "neither"}},
		{"JSON: a leaf with a feature", dump(`"leaf_index":0`, `"split_feature":0`), []string{"tree 0", "neither"}},
		{"JSON: a feature out of range", dump(`"split_feature":1`, `"split_feature":3`), []string{"tree 0", "feature 3"}},
		{"JSON: a set of numbers", dump(`"decision_type":"=="`, `"decision_type":"<="`), []string{"tree 0", "decision_type"}},
		{"JSON: a category that is none", dump(`1||3||40`, `1||x`), []string{"x", "no category"}},
		{"JSON: a negative category", dump(`1||3||40`, `1||-3`), []string{"-3", "no category"}},
		{"JSON: an unknown kind of missing", dump(`"missing_type":"NaN"`, `"missing_type":"Null"`), []string{"Null"}},
		{"JSON: too few factors", dump(`[0.5, -1]`, `[0.5]`), []string{"2 leaf_features", "1 leaf_coeff"}},
		{"JSON: a leaf that is NaN", dump(`"leaf_value":-0.5`, `"leaf_value":NaN`), []string{"tree 0", "NaN"}},
		{"JSON: a leaf that is infinite", dump(`"leaf_value":-0.5`, `"leaf_value":Infinity`), []string{"tree 0", "Inf"}},
		{"JSON: a threshold that is NaN", dump(`"threshold":2.5`, `"threshold":NaN`), []string{"tree 0", "not a number"}},
		{"JSON: deep trees", `{"num_class":1,"max_feature_idx":0,"tree_info":[{"tree_structure":` + strings.Repeat(`{"left_child":`, 100_000), []string{"nested deeper"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.text == good || tt.text == lgbJSONDump {
				t.Fatal("nothing was changed")
			}
			allocated, m, err := openCounting([]byte(tt.text))
			if m != nil {
				t.Fatal("it opens")
			}
			mentions(t, err, tt.want...)
			if limit := allowance([]byte(tt.text)); allocated > limit {
				t.Errorf("%d bytes were allocated for a file of %d, want at most %d", allocated, len(tt.text), limit)
			}
		})
	}
}

func TestLightGBMOptionsAreChecked(t *testing.T) {
	text := []byte(lgbFile{trees: []lgbTree{lgbStump, lgbLeaf}}.text())
	for option, want := range map[string]string{"0": "iterations", "3": "2 rounds", "-1": "iterations", "x": "iterations", "1.5": "iterations", "best": "best iteration"} {
		_, err := openBytes(text, predict.Options{"iterations": option})
		mentions(t, err, want)
	}
}

func TestWhatIsNoLightGBMFileIsNotTakenForOne(t *testing.T) {
	for _, text := range []string{"", "tree", "tree\n", "trees\nversion=v4\n", "tree\nhouse\n", "treeversion=v4", "{}", "[]", "{\"tree_inf", `{"x":{"tree_info":[]}}`, `["tree_info"]`, `{"tree`} {
		if isLightGBM([]byte(text)) {
			t.Errorf("%q is taken for a LightGBM file", text)
		}
	}
	for _, text := range []string{"tree\nversion=v2\n", "tree\r\nversion=v4\r\n", "tree\nnum_class=1\n", ` {"name": "tree", "tree_info": `} {
		if !isLightGBM([]byte(text)) {
			t.Errorf("%q is not taken for a LightGBM file", text)
		}
	}
}

func TestLightGBMFilesTakeRoomInProportion(t *testing.T) {
	wide := lgbStump.with("num_cat", "1").with("threshold", "0").with("decision_type", "1") +
		lgbTree("cat_boundaries=0 200000\ncat_threshold="+strings.Repeat("4294967295 ", 200_000)+"\n")
	names := strings.Repeat("a ", 1<<20)
	for name, text := range map[string]string{
		"a wide set":                 lgbFile{trees: []lgbTree{wide}}.text(),
		"sparse words":               strings.ReplaceAll(lgbFile{trees: []lgbTree{wide}}.text(), "4294967295", "1"),
		"one-leaf trees":             lgbFile{trees: slices.Repeat([]lgbTree{"num_leaves=1\nnum_cat=0\nleaf_value=1\n"}, 20_000)}.text(),
		"names":                      strings.Replace(lgbFile{}.text(), "feature_names=", "feature_names="+names, 1),
		"a dump of large categories": strings.Replace(lgbJSONDump, "1||3||40", "2147483647"+strings.Repeat("||2147483646", 20_000), 1),
	} {
		allocated, m, err := openCounting([]byte(text))
		if limit := allowance([]byte(text)); allocated > limit {
			t.Errorf("%s: %d bytes were allocated for a file of %d, want at most %d", name, allocated, len(text), limit)
		}
		if (name == "names") == (err == nil) {
			t.Errorf("%s: %v, %v", name, m != nil, err)
		}
	}
}

// TestManySplitsOfOneSetTakeRoomOnce has a tree whose splits all go by one large set.
func TestManySplitsOfOneSetTakeRoomOnce(t *testing.T) {
	const splits, words = 1000, 4000
	list := func(n int, f func(i int) string) string {
		var b bytes.Buffer
		for i := range n {
			b.WriteString(f(i))
			b.WriteByte(' ')
		}
		return b.String()
	}
	tree := lgbTree(fmt.Sprintf("num_leaves=%d\nnum_cat=1\nsplit_feature=%s\nthreshold=%s\ndecision_type=%s\nleft_child=%s\nright_child=%s\nleaf_value=%s\n"+
		"cat_boundaries=0 %d\ncat_threshold=%s\n", splits+1,
		list(splits, func(int) string { return "0" }), list(splits, func(int) string { return "0" }), list(splits, func(int) string { return "1" }),
		list(splits, func(i int) string { return fmt.Sprint(-i - 1) }),
		list(splits, func(i int) string { return fmt.Sprint(map[bool]int{true: -splits - 1, false: i + 1}[i == splits-1]) }),
		list(splits+1, func(i int) string { return fmt.Sprint(i) }), words, list(words, func(int) string { return "1" })))
	data := []byte(lgbFile{trees: []lgbTree{tree}}.text())
	allocated, m, err := openCounting(data)
	if err != nil {
		t.Fatal(err)
	}
	if limit := allowance(data); allocated > limit {
		t.Errorf("%d bytes were allocated for a file of %d, want at most %d", allocated, len(data), limit)
	}
	if got := lgbAnswer(t, m, "margin", 1, 0, 0); got[0] != splits {
		t.Errorf("margin %v, want %v", got, splits)
	}
}
