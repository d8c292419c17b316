package measure

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/event"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// made is the id of a decision made at noon.
func made(n byte) (id event.ID) {
	ms := uint64(noon.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8], id[15] = 0x70, 0x80, n
	return id
}

var canary = Variant{Service: "reviews", Epoch: 2, Variant: "canary", Version: "v"}

func fromToken(kind string, number float64) *event.Outcome {
	return &event.Outcome{
		ID: "a", Decision: made(1), Kind: kind, Number: number, ReceivedAt: noon.Add(time.Minute), Verified: true, DecidedAt: noon,
		Service: "reviews", Epoch: 2, Variant: "canary", Version: "v",
	}
}

func fromID(kind string, number float64) *event.Outcome {
	return &event.Outcome{ID: "a", Decision: made(1), Kind: kind, Number: number, ReceivedAt: noon.Add(time.Minute)}
}

func TestOutcomesAreJudged(t *testing.T) {
	known := func(label string) *Known { return &Known{Variant: canary, Label: label} }
	late := fromToken("reward", 2)
	late.ReceivedAt = noon.Add(time.Hour + time.Millisecond)
	onTime := fromToken("reward", 2)
	onTime.ReceivedAt = noon.Add(time.Hour)
	byCookie := &event.Outcome{Kind: "correct", Number: 1, ReceivedAt: noon, Service: "reviews", Epoch: 2, Variant: "canary", Version: "v", Attributed: true}
	text := fromToken("label", 0)
	text.Text, text.IsText = "cat", true
	ownCookie := *byCookie
	ownCookie.ByHand = true
	tests := map[string]struct {
		outcome *event.Outcome
		known   *Known
		want    Settled
	}{
		"a true label":                     {fromToken("label", 1), known("1"), Settled{Variant: canary, Status: Counted, Decided: noon, Value: 1, Labelled: true, Correct: true, Truth: "1", Predicted: "1"}},
		"a true label by another name":     {fromToken("label", 1), known("true"), Settled{Variant: canary, Status: Counted, Decided: noon, Value: 1, Labelled: true, Correct: true, Truth: "true", Predicted: "true"}},
		"a false label":                    {fromToken("label", 0), known("1"), Settled{Variant: canary, Status: Counted, Decided: noon, Labelled: true, Truth: "0", Predicted: "1"}},
		"a label in words":                 {text, known("dog"), Settled{Variant: canary, Status: Counted, Decided: noon, Labelled: true, Truth: "cat", Predicted: "dog"}},
		"a label without its prediction":   {fromToken("label", 1), nil, Settled{Variant: canary, Status: Counted, Decided: noon, Unmatched: true}},
		"correct":                          {fromToken("correct", 1), known("dog"), Settled{Variant: canary, Status: Counted, Decided: noon, Value: 1, Labelled: true, Correct: true, Truth: "dog", Predicted: "dog"}},
		"wrong, of two classes":            {fromToken("correct", 0), known("0"), Settled{Variant: canary, Status: Counted, Decided: noon, Labelled: true, Truth: "1", Predicted: "0"}},
		"wrong, of many classes":           {fromToken("correct", 0), known("dog"), Settled{Variant: canary, Status: Counted, Decided: noon, Labelled: true, Predicted: "dog"}},
		"correct without its prediction":   {fromToken("correct", 1), nil, Settled{Variant: canary, Status: Counted, Decided: noon, Value: 1, Labelled: true, Correct: true}},
		"neither correct nor wrong":        {fromToken("correct", 0.5), known("1"), Settled{Variant: canary, Status: Counted, Decided: noon, Value: 0.5}},
		"a reward of 0 is a value":         {fromToken("reward", 0), known("1"), Settled{Variant: canary, Status: Counted, Decided: noon}},
		"at the window's end":              {onTime, nil, Settled{Variant: canary, Status: Counted, Decided: noon, Value: 2}},
		"after the window":                 {late, nil, Settled{Variant: canary, Status: Late, Decided: noon, Value: 2}},
		"by id":                            {fromID("reward", 3), known(""), Settled{Variant: canary, Status: Counted, Class: Unverified, Decided: noon, Value: 3}},
		"by an id that nobody knows":       {fromID("reward", 3), nil, Settled{Status: Unknown, Class: Unverified, Decided: noon.Add(time.Minute)}},
		"by the cookie":                    {byCookie, nil, Settled{Variant: canary, Status: Counted, Class: Attributed, Decided: noon, Value: 1, Labelled: true, Correct: true}},
		"by a cookie that the client set":  {&ownCookie, nil, Settled{Variant: canary, Status: Counted, Class: ByHand, Decided: noon, Value: 1, Labelled: true, Correct: true}},
		"of a unit that chose its variant": {fromToken("reward", 3), &Known{Variant: canary, ByHand: true}, Settled{Variant: canary, Status: Counted, Class: ByHand, Decided: noon, Value: 3}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.want.Kind = tt.outcome.Kind
			if tt.known == nil {
				tt.want.Bucket = NoBucket
			}
			if diff := cmp.Diff(tt.want, Settle(tt.outcome, tt.known, time.Hour)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestARepeatIsTheSameValueWhateverTheClientsClockSays(t *testing.T) {
	first := fromToken("reward", 1)
	again := fromID("reward", 1)
	again.At, again.ReceivedAt = noon, noon.Add(time.Hour)
	if !SameOutcome(again, first) {
		t.Error("a repeat was not known")
	}
	for name, change := range map[string]func(*event.Outcome){
		"value":    func(o *event.Outcome) { o.Number = 0 },
		"kind":     func(o *event.Outcome) { o.Kind = "click" },
		"decision": func(o *event.Outcome) { o.Decision = made(2) },
		"slot":     func(o *event.Outcome) { o.Slot = 1 },
		"text":     func(o *event.Outcome) { o.IsText, o.Text = true, "1" },
	} {
		other := *first
		change(&other)
		if SameOutcome(&other, first) {
			t.Errorf("another %s was taken for a repeat", name)
		}
	}
}

func TestAnOutcomeWithoutAnIDIsRememberedByWhatItIsOf(t *testing.T) {
	a, b := fromID("click", 1), fromID("click", 1)
	a.ID, b.ID = "", ""
	if IDOf(a) != IDOf(b) || IDOf(a) == "" {
		t.Errorf("%q and %q", IDOf(a), IDOf(b))
	}
	b.Slot = 1
	if IDOf(a) == IDOf(b) {
		t.Error("two slots have one id")
	}
}
