package stat

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// near fails unless got is want, within an absolute or a relative error.
func near(t *testing.T, what string, got, want, abs, rel float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > max(abs, rel*math.Abs(want)) && got != want {
		t.Errorf("%s: got %.17g, want %.17g", what, got, want)
	}
}

// The oracle is mpmath at 60 digits; testdata/special.py writes the file.
func TestSpecialFunctionsAgreeWithSixtyDigits(t *testing.T) {
	data, err := os.ReadFile("testdata/special.json")
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Split []struct {
			X, P        []float64
			Kappa, Want float64
		}
		ChiSquareTail []struct {
			X    float64
			DF   int
			Want float64
		}
		LogBetaTail  []struct{ X, A, B, Want float64 }
		LogPhiTimes  []struct{ Z, Want float64 }
		StirlingRest []struct{ Z, Want float64 }
		Zeta         []struct{ S, Want float64 }
	}
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	if len(o.Split)*len(o.ChiSquareTail)*len(o.LogBetaTail)*len(o.LogPhiTimes)*len(o.StirlingRest)*len(o.Zeta) == 0 {
		t.Fatal("a table is empty")
	}
	for _, c := range o.Split {
		near(t, "ln E of a split", logSplitE(c.X, c.P, c.Kappa), c.Want, 1e-11, 1e-12)
	}
	for _, c := range o.ChiSquareTail {
		near(t, "chi-square tail", chiSquareTail(c.X, c.DF), c.Want, 1e-300, 1e-11)
	}
	for _, c := range o.LogBetaTail {
		near(t, "ln of a beta tail", logBetaTail(c.X, c.A, c.B), c.Want, 1e-13, 1e-12)
	}
	for _, c := range o.LogPhiTimes {
		near(t, "z²/2 + ln Φ", logPhiTimes(c.Z), c.Want, 1e-12, 1e-13)
	}
	for _, c := range o.StirlingRest {
		near(t, "rest of Stirling's formula", stirlingRest(c.Z), c.Want, 4e-15, 1e-13)
	}
	for _, c := range o.Zeta {
		near(t, "zeta", zeta(c.S), c.Want, 0, 1e-12)
	}
}

func TestBoundaryReturnsTheNeighbourThatIsOut(t *testing.T) {
	out := func(v float64) bool { return v > math.Pi }
	if got := boundary(10, 0, out); !out(got) || out(math.Nextafter(got, 0)) {
		t.Errorf("got %v", got)
	}
	if got := boundary(0, 10, func(v float64) bool { return v < 1e-200 }); !(got < 1e-200 && got > 0.99e-200) {
		t.Errorf("got %v", got)
	}
}
