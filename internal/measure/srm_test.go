package measure

import (
	"math"
	"testing"
)

func TestUnitsThatSplitOtherwiseThanTheWeightsRaiseTheAlarm(t *testing.T) {
	half := map[string]float64{"stable": 0.5, "canary": 0.5}
	split := func(policy, stable, canary uint64) Split {
		return Split{PolicyVersion: policy, Shares: half, Units: map[string]uint64{"stable": stable, "canary": canary}}
	}
	tests := map[string]struct {
		splits []Split
		p      float64 // NaN: any
		alarm  bool
	}{
		"nothing seen":            {nil, 1, false},
		"as configured":           {[]Split{split(1, 500, 500)}, 1, false},
		"within chance":           {[]Split{split(1, 500, 600)}, 0.13374, false}, // GrowthBook's formula with kappa 1000
		"far off":                 {[]Split{split(1, 100, 900)}, 4.4e-72, true},
		"evidence of two weights": {[]Split{split(1, 450, 600), split(2, 450, 600)}, math.NaN(), true},
		"a variant that nobody reached": {
			[]Split{{PolicyVersion: 1, Shares: map[string]float64{"stable": 0.8}, Units: map[string]uint64{"stable": 1000}}}, math.NaN(), true,
		},
		"shares that contradict each other": {
			[]Split{{PolicyVersion: 1, Shares: half, Units: map[string]uint64{"stable": 1000}, Mixed: true}}, 1, false,
		},
		"shares of more than all": {
			[]Split{{PolicyVersion: 1, Shares: map[string]float64{"a": 1, "b": 0.5}, Units: map[string]uint64{"a": 1000}}}, 1, false,
		},
		"one variant": {[]Split{{PolicyVersion: 1, Shares: map[string]float64{"a": 1}, Units: map[string]uint64{"a": 1000}}}, 1, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := RatioOf(1, tt.splits)
			if err != nil {
				t.Fatal(err)
			}
			if r.Alarm != tt.alarm || !math.IsNaN(tt.p) && math.Abs(r.P-tt.p) > 0.02*tt.p {
				t.Errorf("p %v, alarm %v; want %v, %v", r.P, r.Alarm, tt.p, tt.alarm)
			}
		})
	}
}
