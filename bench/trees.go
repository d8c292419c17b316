package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
)

const (
	batch         = 20 // calls with one row that are timed together, each with another row
	batches       = 10 // of a side, one after the other
	oneRowRounds  = 101
	allRowsRounds = 51
	explainRounds = 5
	loadRounds    = 15

	// How far answers may be apart, as the project promises.
	toleranceXGBoost      = 1e-6
	toleranceLightGBM     = 1e-12
	toleranceContribution = 1e-5 // of the row's largest
)

// rival is a library with a model, asked for the same rows.
type rival[F number] interface {
	one(row int) (F, error)
	all() ([]F, error)
}

// filler is what trees' models are besides: predictions written where the caller says, with no response around them.
type filler[F number] interface {
	PredictInto(ctx context.Context, rows, out []F) error
}

// forests measures the engine of trees against the libraries that trained them.
func forests(ctx context.Context) error {
	path, err := trained(ctx, "xgboost", "xgboost", "xgboost.json")
	if err != nil {
		return err
	}
	x, err := newContestant[float32](ctx, path)
	if err != nil {
		return err
	}
	libxgboost, err := newXGBoost(path, x.rows)
	if err != nil {
		return err
	}
	if path, err = trained(ctx, "lightgbm", "lightgbm", "lightgbm.txt"); err != nil {
		return err
	}
	l, err := newContestant[float64](ctx, path)
	if err != nil {
		return err
	}
	lightgbm, err := newLightGBM(path, l.rows)
	if err != nil {
		return err
	}

	fmt.Printf("\n## Trees (XGBoost %s, LightGBM %s)\n\n", libxgboost.version, lightgbm.version)
	fmt.Println("| what | Serin | rival | the rival's call | ratio | to reach |\n|---|---|---|---|---|---|")
	const dense = "`XGBoosterPredictFromDense`"
	if err := predictions(ctx, "XGBoost", x, libxgboost, terms{toleranceXGBoost, dense, "≤ 0.30", dense, "≤ 0.70"}); err != nil {
		return err
	}
	if err := contributions(ctx, x, libxgboost); err != nil {
		return err
	}
	if err := loads(ctx); err != nil {
		return err
	}
	return predictions(ctx, "LightGBM", l, lightgbm,
		terms{toleranceLightGBM, "`LGBM_BoosterPredictForMatSingleRowFast`", "≤ 0.80", "`LGBM_BoosterPredictForMat`", "≤ 0.80"})
}

// terms are the terms of a duel over predictions.
type terms struct {
	tolerance          float64
	oneCall, oneGoal   string
	manyCall, manyGoal string
}

// predictions measures one row at a time, and all rows in a call.
func predictions[F number](ctx context.Context, library string, c *contestant[F], r rival[F], t terms) error {
	answers, err := agreed(ctx, library, c, r, t.tolerance)
	if err != nil {
		return err
	}
	if err := oneByOne(ctx, library, c, r, answers, t); err != nil {
		return err
	}
	took, err := duel(library+", all rows", allRowsRounds, 1,
		side{run: func(int) error { _, err := c.Predict(ctx, &c.all); return err }},
		side{run: func(int) error { _, err := r.all(); return err }})
	if err != nil {
		return err
	}
	row(fmt.Sprintf("%s, %d rows", library, len(c.each)), took[0], took[1], t.manyCall, t.manyGoal)
	return nil
}

// agreed returns the rival's answers to all rows, once Serin's are the same.
func agreed[F number](ctx context.Context, what string, c *contestant[F], r rival[F], tolerance float64) ([]F, error) {
	ours, err := c.ask(ctx, &c.all)
	if err != nil {
		return nil, err
	}
	theirs, err := r.all()
	if err != nil {
		return nil, err
	}
	return slices.Clone(theirs), agree(what, ours, theirs, 1, tolerance) // a clone: the library will use that memory again
}

// oneByOne measures calls with one row, each call with another, in random order.
func oneByOne[F number](ctx context.Context, library string, c *contestant[F], r rival[F], want []F, t terms) error {
	into, ok := c.Model.(filler[F])
	if !ok {
		return fmt.Errorf("the model %T has no PredictInto", c.Model)
	}
	out := make([]F, 1)
	ways := []struct {
		name string
		one  func(row int) (F, error)
	}{
		{"the rival", r.one},
		{"`Model.Predict`", func(row int) (F, error) {
			values, err := c.ask(ctx, &c.each[row])
			if err != nil {
				return 0, err
			}
			return values[0], nil
		}},
		{"`PredictInto`", func(row int) (F, error) {
			err := into.PredictInto(ctx, c.rows[row*features:(row+1)*features], out)
			return out[0], err
		}},
	}
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(want))
	sides := make([]side, len(ways))
	for i, w := range ways {
		got := make([]F, len(want))
		for row := range got {
			var err error
			if got[row], err = w.one(row); err != nil {
				return err
			}
		}
		if err := agree(library+", one row, "+w.name, got, want, 1, t.tolerance); err != nil {
			return err
		}
		sides[i].run = func(turn int) error {
			for i := range batch {
				if _, err := w.one(order[(turn*batch+i)%len(order)]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	took, err := duel(library+", one row", oneRowRounds, batches, sides...)
	if err != nil {
		return err
	}
	for i, w := range ways[1:] {
		n, err := allocations(func() error { _, err := w.one(i); return err })
		if err != nil {
			return err
		}
		row(fmt.Sprintf("%s, one row, %s, %d allocations", library, w.name, n), took[i+1]/batch, took[0]/batch, t.oneCall, t.oneGoal)
	}
	return nil
}

// contributions measures TreeSHAP of all rows.
func contributions(ctx context.Context, c *contestant[float32], r *xgboost) error {
	request := c.request(c.rows, "contributions")
	ours, err := c.ask(ctx, &request)
	if err != nil {
		return err
	}
	theirs, err := r.contributions()
	if err != nil {
		return err
	}
	if err := agree("XGBoost, TreeSHAP", ours, theirs, features+1, toleranceContribution); err != nil {
		return err
	}
	took, err := duel("XGBoost, TreeSHAP", explainRounds, 1,
		side{run: func(int) error { _, err := c.Predict(ctx, &request); return err }},
		side{run: func(int) error { _, err := r.contributions(); return err }})
	if err != nil {
		return err
	}
	row(fmt.Sprintf("XGBoost, TreeSHAP of %d rows", len(c.each)), took[0], took[1], "`XGBoosterPredictFromDMatrix` type 2", "≤ 1.00")
	return nil
}

// loads measures how long a model of 10 MB JSON takes from its file.
func loads(ctx context.Context) error {
	path, err := trained(ctx, "xgboost", "served", "model.json")
	if err != nil {
		return err
	}
	c, err := newContestant[float32](ctx, path)
	if err != nil {
		return err
	}
	r, err := newXGBoost(path, c.rows)
	if err != nil {
		return err
	}
	if _, err := agreed(ctx, "XGBoost, load", c, r, toleranceXGBoost); err != nil {
		return err
	}
	if err := r.close(); err != nil {
		return err
	}
	file := r.cString(path)
	took, err := duel("XGBoost, load", loadRounds, 1,
		side{run: func(int) error { _, err := open(ctx, path); return err }},
		side{run: func(int) error { return r.open(file) }, after: r.close})
	if err != nil {
		return err
	}
	row("XGBoost, load of 10 MB JSON", took[0], took[1], "`XGBoosterLoadModel`", "≤ 100 ms")
	return nil
}
