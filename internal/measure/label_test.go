package measure

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
)

func TestLabelsAreNormalised(t *testing.T) {
	for label, want := range map[string]string{
		"": "", "  cat ": "cat", "Cat": "Cat", "1": "1", "1.0": "1", "+01": "1", "-0.0": "0", "0": "0", "1e3": "1000", "1e-7": "1e-07",
		"0x10": "0x10", "1_000": "1_000", "TRUE": "true", "False": "false", "Infinity": "Infinity", "-": "-", "1.2.3": "1.2.3",
		"a\xffb": "a\uFFFDb", "a\x00b": "ab", "-1": "-1", "1234567": "1234567", "12345678901234567890": "12345678901234567890", "0.50": "0.5", "\x00": "", " ": "",
	} {
		if got := NormaliseLabel(label); got != want {
			t.Errorf("%q: %q, want %q", label, got, want)
		}
	}
}

func TestNormalisingALabelTwiceChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("01.eE+- ax\u00e9\x00")), 0, 300, -1)).Draw(t, "label")
		once := NormaliseLabel(label)
		if twice := NormaliseLabel(once); twice != once {
			t.Fatalf("%q, then %q", once, twice)
		}
		if len(once) > maxLabel || !utf8.ValidString(once) {
			t.Fatalf("%q is too long or no text", once)
		}
	})
}

func FuzzNormaliseLabel(f *testing.F) {
	f.Add("1.0")
	f.Add(" True")
	f.Fuzz(func(t *testing.T, label string) {
		once := NormaliseLabel(label)
		if NormaliseLabel(once) != once || len(once) > maxLabel || !utf8.ValidString(once) {
			t.Errorf("%q became %q, then %q", label, once, NormaliseLabel(once))
		}
	})
}

func TestBinaryClassesGoByManyNames(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"1", "true", true}, {"positive", "1", true}, {"0", "Negative", true}, {"-1", "0", true}, {"1", "0", false}, {"cat", "cat", true},
		{"cat", "Cat", false}, {"2", "1", false}, {"", "0", false},
	} {
		if got := SameLabel(tt.a, tt.b); got != tt.same || SameLabel(tt.b, tt.a) != tt.same {
			t.Errorf("%q and %q: %v", tt.a, tt.b, got)
		}
	}
	for label, want := range map[string]string{"1": "0", "0": "1", "-1": "1", "true": "false", "Yes": "no", "neg": "pos", "cat": ""} {
		if got := Opposite(label); got != want {
			t.Errorf("opposite of %q: %q, want %q", label, got, want)
		}
	}
	for _, tt := range []struct {
		truth, predicted string
		want             Confusion
	}{
		{"1", "1", TruePositive}, {"0", "1", FalsePositive}, {"false", "0", TrueNegative}, {"yes", "no", FalseNegative}, {"cat", "1", NotBinary},
		{"", "1", NotBinary},
	} {
		if got := ConfusionOf(tt.truth, tt.predicted); got != tt.want {
			t.Errorf("%q predicted as %q: %v, want %v", tt.truth, tt.predicted, got, tt.want)
		}
	}
}

func TestANumberIsALabelToo(t *testing.T) {
	for number, want := range map[float64]string{1: "1", 0: "0", 2.50: "2.5", -1: "-1"} {
		if got := LabelOf(&event.Outcome{Number: number}); got != want {
			t.Errorf("%v: %q, want %q", number, got, want)
		}
	}
	if got := LabelOf(&event.Outcome{Text: " True ", IsText: true}); got != "true" {
		t.Errorf("got %q", got)
	}
}
