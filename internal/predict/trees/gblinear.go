package trees

import (
	"context"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
)

// openLinear makes the model of a file with the booster gblinear. There are no rounds to choose from: they all went into the same weights.
func (x *xgboost) openLinear(o objective, iterations string) (predict.Model, error) {
	if iterations != "" && iterations != "auto" && iterations != "all" {
		return nil, fault.Invalidf("the option iterations is %.40q, but booster gblinear does not keep its rounds apart", iterations).
			WithHint("leave the option out")
	}
	x.asWritten(&forest[float32]{}, &o)
	base, err := x.base(o)
	if err != nil {
		return nil, err
	}
	for i := range base { // since 3.1 each output may have its own, but the library adds the first one's to all
		base[i] = base[0]
	}
	g := &gblinear{features: int(x.features), base: base, weights: x.weights}
	return newModel(g, o.link(), modelOptions{columns: x.featureNames, finite: true}), nil
}

// checkWeights checks a linear model's weights. Without any it was never trained.
func (x *xgboost) checkWeights(d *decoder) error {
	if d.seen&weightSection == 0 {
		return fault.Invalidf("the file has no weights")
	}
	if want := (x.features + 1) * int64(x.outputs()); len(x.weights) > 0 && int64(len(x.weights)) != want {
		return fault.Invalidf("it has %d weights, but %d features and a bias, of %d outputs each, want %d", len(x.weights), x.features, x.outputs(), want)
	}
	for i, w := range x.weights {
		if w-w != 0 {
			return fault.Invalidf("weight %d is %v", i, w)
		}
	}
	return nil
}

// gblinear is XGBoost's booster of that name: a linear function for each output. A missing value contributes nothing.
type gblinear struct {
	features int
	base     []float32 // of each output
	weights  []float32 // of each feature one for each output; then the bias of each output; none: they are all 0
}

func (g *gblinear) size() (features, outputs, trees int) { return g.features, len(g.base), 0 }

// bias returns what an output starts from. It is the library's order to add the two first.
func (g *gblinear) bias(output int) (sum float32) {
	if len(g.weights) > 0 {
		sum = g.weights[g.features*len(g.base)+output]
	}
	return sum + g.base[output]
}

// margins implements booster, in the order and arithmetic of the library: a product is rounded before it is added.
func (g *gblinear) margins(ctx context.Context, rows, out []float32) error {
	k := len(g.base)
	for r := 0; r < len(out)/k; r++ {
		if r%block == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row := rows[r*g.features : (r+1)*g.features]
		for o := range k {
			sum := g.bias(o)
			for i, v := range row {
				if v == v && len(g.weights) > 0 {
					sum += float32(v * g.weights[i*k+o])
				}
			}
			out[r*k+o] = sum
		}
	}
	return nil
}

// leaves implements booster. There are none.
func (g *gblinear) leaves(context.Context, []float32, []int32) error {
	return fault.Invalidf("booster gblinear is linear and has no leaves")
}

// contributions implements booster: of each feature its part of the sum.
func (g *gblinear) contributions(ctx context.Context, rows, out []float32) error {
	k := len(g.base)
	width := g.features + 1
	for r := 0; r < len(out)/(k*width); r++ {
		if r%block == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row := rows[r*g.features : (r+1)*g.features]
		for o := range k {
			part := out[(r*k+o)*width : (r*k+o+1)*width]
			for i, v := range row {
				if part[i] = 0; v == v && len(g.weights) > 0 {
					part[i] = v * g.weights[i*k+o]
				}
			}
			part[g.features] = g.bias(o)
		}
	}
	return nil
}
