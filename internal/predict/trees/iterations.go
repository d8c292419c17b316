package trees

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
)

// rounds returns how many trees, from the first on, answer under the option iterations.
func (x *xgboost) rounds(iterations string) (trees int, err error) {
	best, hasBest := x.attributes["best_iteration"]
	if iterations == "" || iterations == "auto" {
		iterations = "all"
		if _, wrapper := x.attributes["scikit_learn"]; wrapper && hasBest {
			iterations = "best"
		}
	}
	ends, err := x.ends()
	if err != nil {
		return 0, err
	}
	rounds := len(ends)
	switch iterations {
	case "all":
		return len(x.treeInfo), nil
	case "best":
		n, err := strconv.Atoi(best)
		if !hasBest || err != nil {
			return 0, fault.Invalidf("the file has no best iteration (best_iteration is %.40q)", best).
				WithHint("it has one after training with early stopping; else leave the option iterations out")
		}
		if n < 0 || n >= rounds {
			return 0, fault.Invalidf("best_iteration is %d, but the file has %d rounds", n, rounds)
		}
		return ends[n], nil
	}
	n, err := strconv.Atoi(iterations)
	if err != nil || n < 1 || n > rounds {
		return 0, fault.Invalidf("the option iterations is %.40q; the file has %d rounds", iterations, rounds).
			WithHint("give auto, all, best, or how many of the first rounds shall answer")
	}
	return ends[n-1], nil
}

// ends returns for each round the number of trees up to its end. Until 2.0 files did not say, and every round had as many.
func (x *xgboost) ends() (ends []int, err error) {
	trees := len(x.treeInfo)
	if trees == 0 {
		return nil, nil
	}
	if len(x.roundEnds) == 0 {
		perRound := x.parallel * int64(x.outputs())
		if x.parallel < 1 || x.parallel > int64(max(trees, 1)) {
			return nil, fault.Invalidf("num_parallel_tree is %d with %d trees", x.parallel, trees)
		}
		for end := perRound; end <= int64(trees); end += perRound {
			ends = append(ends, int(end))
		}
		return ends, nil
	}
	for i, end := range x.roundEnds {
		if i == 0 && end != 0 || i > 0 && end < x.roundEnds[i-1] || int(end) > trees {
			return nil, fault.Invalidf("iteration_indptr goes from %v to %d at %d, with %d trees", x.roundEnds[max(i-1, 0)], end, i, trees)
		}
		if i > 0 {
			ends = append(ends, int(end))
		}
	}
	return ends, nil
}
