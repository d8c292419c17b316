package measure

import (
	"testing"

	"github.com/serin-ml/serin/internal/event"
)

// What refuses more, a limit or overload, must not make a variant look better, nor worse.
func TestWhatWasRefusedUnaskedIsInNoErrorRate(t *testing.T) {
	total := Totals{Requests: 110, Limited: 20, Shed: 10}
	total.Errors[event.Timeout] = 25
	list, err := Summarise([]Totals{total})
	if err != nil {
		t.Fatal(err)
	}
	if got := list[0].ErrorRate; got.Estimate != 0.25 || got.N != 100 {
		t.Errorf("%v of %d", got.Estimate, got.N)
	}
}
