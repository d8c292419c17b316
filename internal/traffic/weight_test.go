package traffic

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

func TestWeightsAreReadExactly(t *testing.T) {
	for text, want := range map[string]struct {
		billionths uint64
		again      string
	}{
		"80": {80e9, "80"}, "0.2": {2e8, "0.2"}, "20%": {2e8, "20%"}, "0": {0, "0"}, "0%": {0, "0"}, ".5": {5e8, "0.5"}, "0.1": {1e8, "0.1"},
		"33.3333333%": {333333333, "33.3333333%"}, "0.000000001": {1, "0.000000001"}, "0.0000001%": {1, "0.0000001%"},
		"1000000": {1e15, "1000000"}, "999999.999999999": {1e15 - 1, "999999.999999999"}, "100000000%": {1e15, "100000000%"},
		"1.000000000000000000": {1e9, "1"}, "100.50": {1005e8, "100.5"},
	} {
		w, err := ParseWeight(text)
		if err != nil || w.billionths != want.billionths || w.String() != want.again {
			t.Errorf("%s: %d %s %v, want %d %s", text, w.billionths, w, err, want.billionths, want.again)
		}
	}
}

func TestWhatIsNoWeightIsRefusedClearly(t *testing.T) {
	for text, want := range map[string]string{
		"": "is no weight", "%": "is no weight", ".": "is no weight", "5.": "is no weight", "-1": "is negative", "-0": "is negative", "-0.2%": "is negative",
		"+1": "is no weight", "1e3": "is no weight", "1e-999999999": "is no weight", "1E400": "is no weight", "NaN": "is no weight", "nan%": "is no weight",
		"Inf": "is no weight", "infinity": "is no weight", "0x10": "is no weight", "1_000": "is no weight", "1,5": "is no weight", " 1": "is no weight", "1 %": "is no weight",
		"1%%": "is no weight", "1.2.3": "is no weight", "٣": "is no weight", "007": "a zero too many", "00": "a zero too many",
		"0.0000000001": "10 decimals; at most 9", "0.12345678%": "8 decimals; at most 7", "1000000.000000001": "above 1000000", "100000001%": "above 1000000",
		"18446744073709551616": "above 1000000", strings.Repeat("9", 33): "33 characters is too long", strings.Repeat("0", 1<<20): "too long",
	} {
		_, err := ParseWeight(text)
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" && len(text) < 40 {
			t.Errorf("%.40q: %v, want one that says %q", text, err, want)
		}
		if err != nil && len(err.Error()) > 150 {
			t.Errorf("%.40q: the message has %d bytes", text, len(err.Error()))
		}
	}
}

func TestWeightsInJSONAreNumbersOrStrings(t *testing.T) {
	var w Weights
	if err := json.Unmarshal([]byte(`{"a": 80, "b": "20%", "c": 0.2, "d": "0.25"}`), &w); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(w)
	if err != nil || string(out) != `{"a":"80","b":"20%","c":"0.2","d":"0.25"}` {
		t.Errorf("%s %v", out, err)
	}
	for _, text := range []string{`{"a": 1e3}`, `{"a": null}`, `{"a": true}`, `{"a": [1]}`, `{"a": -1}`, `{"a": "\ud800"}`} {
		if err := json.Unmarshal([]byte(text), &w); err == nil {
			t.Errorf("%s is read", text)
		}
	}
}

func TestSharesAreExactHoweverTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawWeight(t), drawWeight(t)
		if a.billionths+b.billionths == 0 {
			return
		}
		got := Weights{"a": a, "b": b}.Share("a")
		exact := new(big.Rat).SetFrac(new(big.Int).SetUint64(a.billionths), new(big.Int).SetUint64(a.billionths+b.billionths))
		want, _ := exact.Float64()
		if math.Abs(got-want) > want*0x1p-52 {
			t.Fatalf("%v of %v and %v: %v, want %v", a, a, b, got, want)
		}
	})
	if (Weights{}).Share("a") != 0 {
		t.Error("nothing has a share")
	}
}

func FuzzWeight(f *testing.F) {
	for _, seed := range []string{"80", "0.2", "20%", "-1", "1e9", "NaN", "1000000.000000001", "0.1234567890", ".5", "00.1"} {
		f.Add(seed)
	}
	pattern := regexp.MustCompile(WeightPattern)
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWeight(text)
		if err != nil {
			return
		}
		number, percent := strings.CutSuffix(text, "%")
		want, ok := new(big.Rat).SetString(number)
		if !ok || !pattern.MatchString(text) {
			t.Fatalf("%q is read as %v", text, w)
		}
		if percent {
			want.Quo(want, big.NewRat(100, 1))
		}
		if got := new(big.Rat).SetFrac(new(big.Int).SetUint64(w.billionths), big.NewInt(1e9)); got.Cmp(want) != 0 {
			t.Fatalf("%q is read as %v", text, got)
		}
		if exact, _ := want.Float64(); w.Float() != exact || w.IsZero() != (want.Sign() == 0) {
			t.Fatalf("%q is %v", text, w.Float())
		}
		if again, err := ParseWeight(w.String()); err != nil || again != w {
			t.Fatalf("%q is written as %v", text, w)
		}
	})
}

func TestAPercentageIsTheWeightThatPeopleWouldWrite(t *testing.T) {
	for percent, want := range map[float64]string{0: "0", 20: "20%", 0.5: "0.5%", 33.3333333: "33.3333333%", 100: "100%", -1: "0", 101: "100%", math.NaN(): "0"} {
		if got := PercentWeight(percent).String(); got != want {
			t.Errorf("%v is %s, want %s", percent, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		percent := rapid.Float64Range(0, 100).Draw(t, "percent")
		both := Weights{"a": PercentWeight(percent), "b": PercentWeight(100 - percent)}
		if got := both.Share("a"); math.Abs(got-percent/100) > 1e-9 {
			t.Fatalf("the share is %v", got)
		}
	})
}
