package measure

import "testing"

func TestOfTwoClassesTheSecondIsPositive(t *testing.T) {
	for _, c := range []struct {
		classes          []string
		label            string
		positive, binary bool
	}{
		{nil, "true", true, true},
		{nil, "spam", false, false},
		{[]string{"ham", " spam "}, "spam", true, true},
		{[]string{"ham", "spam"}, "ham", false, true},
		{[]string{"ham", "spam"}, "1", false, false},
		{[]string{"1", "0"}, "false", true, true}, // whatever is usual
		{[]string{"0", "1", "2"}, "1", false, false},
		{[]string{"1"}, "1", false, false},
	} {
		if positive, binary := NewClasses(c.classes).Positive(c.label); positive != c.positive || binary != c.binary {
			t.Errorf("%q of %q: positive %v, binary %v", c.label, c.classes, positive, binary)
		}
	}
}

func TestConfusionsGoByTheServicesClasses(t *testing.T) {
	for _, c := range []struct {
		classes          []string
		truth, predicted string
		want             Confusion
	}{
		{[]string{"ham", "spam"}, "spam", "spam", TruePositive},
		{[]string{"ham", "spam"}, "ham", "spam", FalsePositive},
		{[]string{"ham", "spam"}, "ham", "ham", TrueNegative},
		{[]string{"ham", "spam"}, "spam", "ham", FalseNegative},
		{[]string{"ham", "spam"}, "", "spam", FalsePositive}, // all that is known is that it was wrong
		{[]string{"ham", "spam"}, "", "ham", FalseNegative},
		{[]string{"ham", "spam"}, "eggs", "ham", NotBinary},
		{[]string{"ham", "spam"}, "", "eggs", NotBinary},
		{[]string{"0", "1", "2"}, "0", "1", NotBinary},
		{[]string{"0", "1", "2"}, "", "1", NotBinary},
		{nil, "", "spam", NotBinary},
		{nil, "no", "yes", FalsePositive},
	} {
		if got := NewClasses(c.classes).Confusion(c.truth, c.predicted); got != c.want {
			t.Errorf("%q predicted as %q of %q: %v, want %v", c.truth, c.predicted, c.classes, got, c.want)
		}
	}
}
