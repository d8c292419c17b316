package trees_test

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// TestRandomModelsAnswerAsXGBoostDoes trains models with random parameters, with the newest XGBoost and with the last of its first
// series, and compares every answer, from every file that each can be saved to.
func TestRandomModelsAnswerAsXGBoostDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains models for seconds")
	}
	seed := oracleSeed(t)
	models := 0
	for _, environment := range []string{"xgboost", "xgboost17"} {
		t.Run(environment, func(t *testing.T) {
			m := runOracle(t, testenv.Python(t, environment), "train", strconv.FormatUint(seed, 10))
			total, rows, objectives := tally{}, 0, map[string]tally{}
			for i := range m.Models {
				o := &m.Models[i]
				s := m.check(t, o)
				total.add(s)
				of := objectives[o.Objective]
				of.add(s)
				objectives[o.Objective] = of
				rows += o.Rows.Shape[0] * len(o.Files) * len(o.Answers)
			}
			models += len(m.Models)
			t.Logf("XGBoost %s, seed %d: %d models, %d rows answered, %d numbers, %.3f%% of them equal to the bit, worst relative error %.3g, of a contribution %.3g",
				m.Version, seed, len(m.Models), rows, total.values, total.share(), total.worst, total.explained)
			for _, name := range slices.Sorted(maps.Keys(objectives)) {
				s := objectives[name]
				t.Logf("%-22s %7d numbers, %7.3f%% equal, worst %.3g, of a contribution %.3g", name, s.values, s.share(), s.worst, s.explained)
			}
		})
	}
	if want := 250; models < want && !t.Failed() {
		t.Errorf("%d models, want at least %d", models, want)
	}
}
