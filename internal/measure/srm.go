package measure

import (
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/stat"
)

// ShareTolerance is by how much two statements of a share may differ.
const ShareTolerance = 1e-9

// RatioAlpha is the p-value below which units are held to be split in other shares than configured.
const RatioAlpha = 0.001

// Split is how many units one policy sent to each variant, each unit counted once in its epoch, where it was first seen.
type Split struct {
	PolicyVersion uint64
	Shares        map[string]float64 // by variant: the probability that decisions state
	Units         map[string]uint64
	Mixed         bool // decisions disagree about a share: it says nothing
}

// Ratio is the test for a sample-ratio mismatch within one epoch: do units split as the weights say? It may be looked at any time. A
// mismatch means that something loses or moves units of one variant, and that no comparison of them can be trusted.
type Ratio struct {
	Epoch  uint32
	Units  map[string]uint64 // by variant, of all policies of the epoch
	P      float64           // always valid: 1 where there is nothing to test
	Alarm  bool              // P < RatioAlpha
	Tested uint64            // units of policies that could be tested
	Mixed  uint64            // units of policies that could not, as decisions disagree about a share
}

// RatioOf tests the splits of one epoch's policies. A new unit is drawn by the policy in force, whatever came before, so the
// policies' e-values multiply. What the stated shares leave to 1 belongs to variants that no unit was seen at.
func RatioOf(epoch uint32, splits []Split) (Ratio, error) {
	r := Ratio{Epoch: epoch, Units: map[string]uint64{}, P: 1}
	logE := 0.0
	for _, s := range splits {
		var weights []float64
		var counts []uint64
		sum, units := 0.0, uint64(0)
		for _, variant := range sortedKeys(s.Shares) {
			weights, counts = append(weights, s.Shares[variant]), append(counts, s.Units[variant])
			r.Units[variant] += s.Units[variant]
			sum += s.Shares[variant]
			units += s.Units[variant]
		}
		if s.Mixed || sum > 1+1e-6 {
			r.Mixed += units
			continue
		}
		r.Tested += units
		if rest := 1 - sum; rest > 1e-6 {
			weights, counts = append(weights, rest), append(counts, 0)
		}
		if len(weights) < 2 {
			continue
		}
		test, err := stat.NewSplitTest(stat.UnitsKappa, weights...)
		if err != nil {
			return r, err
		}
		e, err := test.LogE(counts...)
		if err != nil {
			return r, err
		}
		logE += e
	}
	r.P = min(1, math.Exp(-logE))
	r.Alarm = r.P < RatioAlpha
	return r, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
