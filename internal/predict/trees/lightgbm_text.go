package trees

import (
	"bytes"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// lightgbmText reads LightGBM's text format, lines of key=value:
//
//	tree                      the header
//	version=v4
//	...
//
//	Tree=0                    each tree, up to an empty line
//	num_leaves=31
//	...
//
//	end of trees              since 2.2
//
//	feature_importances:      what follows says nothing of predictions
//	...
//	parameters:               since 2.2
//	[boosting: gbdt]
//	...
//	end of parameters
//
//	parser:                   where data was read by a parser of the user's own
//	...
//	end of parser
//
//	pandas_categorical:null   written by Python
//
// A file that is cut off is refused: every version writes a line behind the trees, and from 2.2 on Python ends the file by
// pandas_categorical and the other languages by "end of parameters". Two cuts cannot be told, and change nothing of the model: right
// behind "end of parameters", and among the feature importances of a file older than 2.2, between lines.
type lightgbmText struct {
	data  []byte // what is left
	line  int    // the number of the line read last
	whole bool   // it had its end: a line feed

	l       *lightgbm
	sizes   int // how many sizes of trees the header lists; unsaid where it does not
	tree    lightgbmTree
	planter lightgbmPlanter
}

// readLightGBMText reads a file: what it says, and its trees laid flat.
func readLightGBMText(data []byte) (*lightgbm, *forest[float64], error) {
	r := lightgbmText{data: data, l: &lightgbm{features: notGiven, classes: notGiven}, sizes: unsaid}
	if err := r.read(); err != nil {
		if r.line > 0 {
			return nil, nil, fault.New(fault.KindOf(err), "line %d: %w", r.line, err)
		}
		return nil, nil, err
	}
	return r.l, r.planter.f, nil
}

// next reads a line, without its end.
func (r *lightgbmText) next() (line []byte, ok bool) {
	if len(r.data) == 0 {
		return nil, false
	}
	line, r.data, r.whole = bytes.Cut(r.data, []byte("\n"))
	r.line++
	return bytes.TrimSuffix(line, []byte("\r")), true
}

func (r *lightgbmText) read() error {
	size := len(r.data)
	line, err := r.header()
	if err != nil {
		return err
	}
	if err := r.l.check(size); err != nil {
		return err
	}
	r.planter = lightgbmPlanter{f: r.l.forest(), perRound: int(r.l.perRound)}
	if line, err = r.trees(line); err != nil {
		return err
	}
	if n := r.planter.f.trees(); r.sizes != unsaid && r.sizes != n {
		return fault.Invalidf("tree_sizes lists %d trees, but there are %d", r.sizes, n).WithHint(hintCutOff)
	}
	return r.rest(line)
}

// header reads up to the first line that is not of it, and returns that.
func (r *lightgbmText) header() ([]byte, error) {
	for {
		line, ok := r.next()
		if !ok {
			return nil, cutOff("before its trees")
		}
		key, value, pair := bytes.Cut(line, []byte("="))
		var err error
		switch string(key) {
		case "version":
			r.l.version = string(value)
		case "num_class":
			r.l.classes, err = whole(value)
		case "num_tree_per_iteration":
			r.l.perRound, err = whole(value)
		case "max_feature_idx":
			r.l.features, err = whole(value)
			r.l.features++
		case "objective":
			r.l.objective = string(value)
		case "average_output":
			r.l.average = true
		case "boost_from_average": // until 2.0.12: the first tree is that average
		case "feature_names":
			r.l.featureNames = names(value)
		case "tree_sizes":
			r.sizes = len(names(value))
		case "Tree", endOfTrees, "feature importances:", "feature_importances:":
			return line, r.headerIsWhole()
		default:
			if !pair && len(line) > 0 && (r.line > 1 || string(line) != "tree") {
				return nil, fault.Invalidf("%.40q is no key=value", line)
			}
		}
		if err != nil {
			return nil, fault.Invalidf("%s: %w", key, err)
		}
	}
}

// headerIsWhole refuses a header without what LightGBM refuses it without.
func (r *lightgbmText) headerIsWhole() error {
	switch {
	case r.l.classes == notGiven:
		return fault.Invalidf("the header has no num_class")
	case r.l.features == notGiven:
		return fault.Invalidf("the header has no max_feature_idx")
	case r.l.featureNames == nil:
		return fault.Invalidf("the header has no feature_names")
	}
	return nil
}

const endOfTrees = "end of trees"

// trees reads trees, of which line begins the first, and returns the line behind them.
func (r *lightgbmText) trees(line []byte) ([]byte, error) {
	number := int64(unsaid)
	for {
		text, is := bytes.CutPrefix(line, []byte("Tree="))
		if !is {
			return line, nil
		}
		n, err := whole(text)
		if err != nil {
			return nil, fault.Invalidf("Tree: %w", err)
		}
		if number != unsaid && n != number+1 {
			return nil, fault.Invalidf("tree %d follows on tree %d", n, number)
		}
		number = n
		begins := r.line
		if err := r.readTree(); err != nil {
			return nil, fault.Invalidf("tree %d: %w", number, err)
		}
		if err := r.planter.add(&r.tree); err != nil {
			r.line = begins
			return nil, err
		}
		for line = nil; len(line) == 0; {
			var ok bool
			if line, ok = r.next(); !ok {
				return nil, cutOff("behind a tree")
			}
		}
	}
}

// readTree reads the lines of one tree, up to an empty one.
func (r *lightgbmText) readTree() error {
	t := &r.tree
	t.reset()
	t.categorical = notGiven
	for {
		line, ok := r.next()
		if !ok || !r.whole {
			return cutOff("within it")
		}
		if len(line) == 0 {
			break
		}
		key, value, pair := bytes.Cut(line, []byte("="))
		if !pair {
			return fault.Invalidf("%.40q is no key=value", line)
		}
		if err := t.field(key, value); err != nil {
			return fault.Invalidf("%s: %w", key, err)
		}
	}
	if t.categorical == notGiven {
		return fault.Invalidf("it has no num_cat, as LightGBM wrote it before 2.0.5").
			WithHint("such files are read by no LightGBM since 2017; train again with a newer one")
	}
	return nil
}

// field reads the value of a key. What training left behind (gains, weights, values of splits) is dropped.
func (t *lightgbmTree) field(key, value []byte) (err error) {
	switch string(key) {
	case "num_leaves":
		t.leaves, err = whole(value)
	case "num_cat":
		t.categorical, err = whole(value)
	case "is_linear":
		t.linear, err = whole(value)
	case "split_feature":
		t.feature, err = wholes(t.feature[:0], value)
	case "threshold":
		t.threshold, err = numbersOf(t.threshold[:0], value)
	case "decision_type":
		t.decision, err = wholes(t.decision[:0], value)
	case "left_child":
		t.left, err = wholes(t.left[:0], value)
	case "right_child":
		t.right, err = wholes(t.right[:0], value)
	case "leaf_value":
		t.leafValue, err = finites(t.leafValue[:0], value)
	case "leaf_count":
		t.leafCount, err = wholes(t.leafCount[:0], value)
	case "internal_count":
		t.splitCount, err = wholes(t.splitCount[:0], value)
	case "cat_boundaries":
		t.setStarts, err = wholes(t.setStarts[:0], value)
	case "cat_threshold":
		t.words, err = wholes(t.words[:0], value)
	case "leaf_const":
		t.constants, err = finites(t.constants[:0], value)
	case "num_features":
		t.sizes, err = wholes(t.sizes[:0], value)
	case "leaf_features":
		t.features, err = wholes(t.features[:0], value)
	case "leaf_coeff":
		t.factors, err = finites(t.factors[:0], value)
	}
	return err
}

// rest reads what follows the trees, of which line is the first, for signs that the file is cut off.
func (r *lightgbmText) rest(line []byte) error {
	const importances, parameters, parser, end = "importances", "parameters", "parser", "end"
	section, modern, ended, refit := "", false, false, false
	for ok := true; ok; line, ok = r.next() {
		switch text := string(line); {
		case text == endOfTrees && section == "":
			modern = true
		case (text == "feature importances:" || text == "feature_importances:") && section == "":
			section = importances
		case text == "parameters:" && section != parameters && section != parser:
			section = parameters
		case text == "end of parameters" && section == parameters:
			section, ended = end, true
		case text == "parser:" && section != parameters:
			section = parser
		case text == "end of parser" && section == parser:
			section = end
		case section == parameters:
			refit = refit || bytes.HasPrefix(line, []byte("[refit_decay_rate:"))
		case section == parser || len(line) == 0 || section == importances && bytes.IndexByte(line, '=') >= 0:
		case bytes.HasPrefix(line, []byte("pandas_categorical:")):
			s := jsonscan.New(line[len("pandas_categorical:"):]).AllowNonFinite()
			s.Skip()
			if s.End(); s.Err() != nil {
				return fault.Invalidf("pandas_categorical: %w", s.Err()).WithHint(hintCutOff)
			}
			section, ended = end, true
		default:
			return fault.Invalidf("%.40q is not what follows the trees", line).WithHint(hintCutOff)
		}
	}
	if section == parameters || section == parser || modern && !ended || !ended && !r.whole {
		return cutOff("behind its trees, before its end")
	}
	r.l.predicts = r.l.average && !refit && (r.l.version == "" || r.l.version == "v2")
	return nil
}

const hintCutOff = "the file may be cut off; copy or save it again"

func cutOff(where string) error {
	return fault.Invalidf("the file ends %s", where).WithHint(hintCutOff)
}

// names splits a list of names, which may be empty but is never nil.
func names(value []byte) []string {
	list := []string{}
	for {
		var name []byte
		if name, value = nextWord(value); len(name) == 0 {
			return list
		}
		list = append(list, string(name))
	}
}

// nextWord cuts the next of a list's words off, empty at the end. Only the space parts them: a name may hold other white space.
func nextWord(list []byte) (word, rest []byte) {
	from := 0
	for from < len(list) && list[from] == ' ' {
		from++
	}
	to := from
	for to < len(list) && list[to] != ' ' {
		to++
	}
	return list[from:to], list[to:]
}

func whole(value []byte) (int64, error) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
	if err != nil {
		return 0, fault.Invalidf("%.40q is not a whole number", value)
	}
	return n, nil
}

// wholes appends the whole numbers of a list.
func wholes[T int32 | int64 | uint32](dst []T, list []byte) ([]T, error) {
	for {
		var text []byte
		if text, list = nextWord(list); len(text) == 0 {
			return dst, nil
		}
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || int64(T(n)) != n {
			return dst, fault.Invalidf("number %d is %.40q, which is not a whole number or too large", len(dst), text)
		}
		dst = append(dst, T(n))
	}
}

// finites appends the numbers of a list, of which none may be NaN or infinite.
func finites(dst []float64, list []byte) ([]float64, error) {
	from := len(dst)
	dst, err := numbersOf(dst, list)
	for i, v := range dst[from:] {
		if v-v != 0 && err == nil {
			err = fault.Invalidf("number %d is %v", i, v)
		}
	}
	return dst, err
}

// numbersOf appends the numbers of a list, of which none may be NaN. LightGBM writes no hexadecimal numbers, which Go would read.
func numbersOf(dst []float64, list []byte) ([]float64, error) {
	for {
		var text []byte
		if text, list = nextWord(list); len(text) == 0 {
			return dst, nil
		}
		v, err := strconv.ParseFloat(string(text), 64)
		if err != nil || v != v || bytes.ContainsAny(text, "xX_") {
			return dst, fault.Invalidf("number %d is %.40q, which is not a number or too large", len(dst), text)
		}
		dst = append(dst, v)
	}
}
