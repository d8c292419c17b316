package trees

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
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
		parallel := x.sideBySide()
		if parallel < 1 || parallel > int64(max(trees, 1)) {
			return nil, fault.Invalidf("num_parallel_tree is %d with %d trees", parallel, trees)
		}
		perRound := parallel * int64(x.outputs())
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

// sideBySide returns how many trees of each output a round has. Until 1.5 the file does not hold it; newer libraries take one then. But
// until 1.3 the scikit-learn wrapper wrote into the file how many trees of an output early stopping leaves, and it goes by that.
func (x *xgboost) sideBySide() int64 {
	if x.parallel != unsaid {
		return x.parallel
	}
	limit := wrapperLimit(x.attributes["scikit_learn"])
	best, err := strconv.ParseInt(x.attributes["best_iteration"], 10, 32)
	if err == nil && best >= 0 && limit > 0 && limit%(best+1) == 0 {
		return limit / (best + 1)
	}
	return 1
}

// wrapperLimit returns best_ntree_limit of the JSON that the scikit-learn wrapper keeps of itself, 0 where it is not there.
func wrapperLimit(meta string) (limit int64) {
	s := jsonscan.New([]byte(meta)).AllowNonFinite() // it holds the parameter missing, which is NaN
	for s.Object(); s.Next(); {
		if string(s.Key()) == "best_ntree_limit" && s.Peek() == jsonscan.Number {
			limit = s.Int64()
		} else {
			s.Skip()
		}
	}
	if s.Err() != nil {
		return 0
	}
	return limit
}
