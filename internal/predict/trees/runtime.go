// Package trees is Serin's own engine for ensembles of decision trees. It reads the files of the libraries that train them and gives
// the numbers that those libraries give.
//
//	XGBoost   file ─► source (json, ubjson) ─► xgboost.go ─► build.go ─┐
//	             └──► xgboost_binary.go ───────────────────────┘          ├─► branch.go (checks, lays flat) ─► forest ─► model
//	LightGBM  file ─► lightgbm_text.go, lightgbm_json.go ─► lightgbm_trees.go ─┘
//
// XGBoost: JSON and UBJSON from 1.0 to 3.2 (3.3 and 3.4 by their source), the old binary format from 0.72 to 3.0; boosters gbtree, dart and
// gblinear, leaves that are vectors. LightGBM: text files and dumps from 2.0 to 4.7; gbdt, dart, random forests, linear trees. The forest
// knows no file format; it computes in the arithmetic and the order of the library (XGBoost float32, LightGBM float64, tree by tree), so
// that results are the same to the bit but for the last one of exp and log.
package trees

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
)

// Runtime opens models of XGBoost and LightGBM, and MLflow's folders of both. Its options:
//
//	iterations   which boosting rounds answer: auto (the default), all, best, or a number N for the first N. auto is best where the
//	             file says that the scikit-learn wrapper wrote it and has a best iteration, else all: what each interface's own
//	             predict does. LightGBM's files hold the best rounds alone; there auto is all.
type Runtime struct{}

var _ predict.Runtime = Runtime{}

const optionIterations = "iterations"

var _ predict.Describer = Runtime{}

// Formats implements predict.Describer.
func (Runtime) Formats() string {
	return "XGBoost's JSON, UBJSON and old binary files, LightGBM's text files and dumps, and MLflow's folders of both; " +
		"a pickle becomes such a file in Python: MODEL.save_model('model.ubj'), or MODEL.booster_.save_model('model.txt')"
}

// format is one of the formats that the runtime opens.
type format struct {
	name string
	is   func(data []byte) bool
	open func(data []byte, iterations string) (predict.Model, error)
}

func formats() []format {
	return []format{
		{"XGBoost", isXGBoost, openXGBoost},
		{"LightGBM", isLightGBM, openLightGBM},
	}
}

// Detect tells whether a file of a looks like a model. Open says so when several do.
func (Runtime) Detect(a predict.Artefact) bool {
	found, err := candidates(a)
	return err == nil && len(found) > 0
}

// Open reads the one model among the files.
func (Runtime) Open(ctx context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if key != optionIterations {
			return nil, fault.Invalidf("trees: unknown option %q", key).WithHint("the trees runtime knows the option iterations: auto, all, best or a number")
		}
	}
	found, err := candidates(a)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fault.Invalidf("trees: no file is a model of XGBoost or LightGBM").WithHint("save it with the library's own save_model")
	case len(found) > 1:
		return nil, fault.Invalidf("trees: %q and %q are both models", found[0].file, found[1].file).WithHint("keep one in the folder")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, err := found[0].open(found[0].data, o[optionIterations])
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "trees: %s: %w", found[0].file, err)
	}
	return m, nil
}

// candidate is a file that looks like a model.
type candidate struct {
	format
	file string
	data []byte
}

// candidates returns the files that look like a model. In an MLflow model folder only the file that it names is looked at.
func candidates(a predict.Artefact) (found []candidate, err error) {
	files := a.Files()
	switch data, named, err := mlflowData(a); {
	case err != nil:
		return nil, err
	case named:
		files = []string{data}
	}
	for _, name := range files {
		data, err := a.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, f := range formats() {
			if f.is(data) {
				found = append(found, candidate{f, name, data})
				break
			}
		}
	}
	return found, nil
}

var errFound = errors.New("found")

// isXGBoost tells whether data is in the old binary format, or an object, in either syntax, that has a learner. It reads no further than there.
func isXGBoost(data []byte) bool {
	if _, is := isBinary(data); is || isBase64(data) {
		return true
	}
	var f failure
	newSource(data, &f).object(func(key []byte) bool {
		if string(key) == "learner" {
			f.set(errFound)
		}
		return false
	})
	return errors.Is(f.err, errFound)
}

// openXGBoost reads one file.
func openXGBoost(data []byte, iterations string) (predict.Model, error) {
	x, forest, err := readXGBoost(data)
	if err != nil {
		return nil, err
	}
	objective, known := objectives[x.objective]
	if !known {
		return nil, fault.Invalidf("unknown objective %q", x.objective).
			WithHint("XGBoost itself does not load a model with an objective it does not know; train with one of its own")
	}
	if x.booster == "gblinear" {
		return x.openLinear(objective, iterations)
	}
	trees, err := x.rounds(iterations)
	if err != nil {
		return nil, err
	}
	forest.keep(trees)
	x.asWritten(forest, &objective)
	if forest.base, err = x.base(objective); err != nil {
		return nil, err
	}
	return newModel(forest, objective.link(), modelOptions{columns: x.featureNames, finite: true, unexplained: !forest.covered()}), nil
}
