package gateway

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
)

func TestFeedbackIsRead(t *testing.T) {
	tests := map[string][]feedbackItem{
		`{"token":"t","label":"positive"}`:                {{token: "t", kind: "label", text: "positive", isText: true}},
		`{"decision":"d","label":-3.5e1}`:                 {{decision: "d", kind: "label", number: -35}},
		`{"service":"s","correct":true}`:                  {{service: "s", kind: "correct", number: 1}},
		`{"correct":false,"slot":255}`:                    {{kind: "correct", slot: 255}},
		`{"reward":0,"id":"mine"}`:                        {{kind: "reward", id: "mine"}},
		`{"rating":null,"reward":1}`:                      {{kind: "reward", number: 1}},
		`{"value":2,"kind":"impression"}`:                 {{kind: "impression", number: 2}},
		`{"kind":"a_1-b","value":false}`:                  {{kind: "a_1-b"}},
		`{"kind":"label","value":"é"}`:                    {{kind: "label", text: "é", isText: true}},
		`{"kind":"rating","rating":5}`:                    {{kind: "rating", number: 5}},
		`{"label":9007199254740992}`:                      {{kind: "label", number: 1 << 53}},
		`{"label":1,"at":"2026-01-31T13:00:00.25+01:00"}`: {{kind: "label", number: 1, at: time.Date(2026, 1, 31, 12, 0, 0, 25e7, time.UTC)}},
		` {"feedback":[{"label":1},{"reward":2}]}` + "\n": {{kind: "label", number: 1}, {kind: "reward", number: 2}},
	}
	for body, want := range tests {
		got, batch, err := readFeedback([]byte(body))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(feedbackItem{})); err != nil || diff != "" || batch != strings.Contains(body, "feedback") {
			t.Errorf("%s: %v, batch %v\n%s", body, err, batch, diff)
		}
	}
}

func TestFeedbackThatIsWrongSaysWhere(t *testing.T) {
	long := strings.Repeat("x", 129)
	tests := map[string]string{
		``:                                        `the text ends where an object should be`,
		`[]`:                                      `JSON at byte 0: '[' where an object should be`,
		`{}`:                                      `there is no value`,
		`{"token":"t"}`:                           `there is no value`,
		`{"label":null}`:                          `there is no value`,
		`{"lable":"x"}`:                           `JSON at byte 9: the key "lable" is not known; there are token,`,
		`{"label":1,"label":1}`:                   `the key "label" is given twice`,
		`{"label":null,"label":1}`:                `the key "label" is given twice`,
		`{"label":1,"correct":true}`:              `there are several values`,
		`{"label":1,"value":1,"kind":"a"}`:        `there are several values`,
		`{"value":1}`:                             `value has no kind`,
		`{"kind":"click"}`:                        `there is no value`,
		`{"label":1,"kind":"click"}`:              `the key label does not go with the kind "click"`,
		`{"token":"t","decision":"d","label":1}`:  `there are both token and decision`,
		`{"label":true}`:                          `'t' where a number should be`,
		`{"label":""}`:                            `the label is empty, longer than 128 bytes, or has control characters`,
		`{"label":"` + long + `"}`:                `the label is empty, longer`,
		`{"label":"a\u0000"}`:                     `the label is empty, longer`,
		`{"label":9007199254740993.5e1}`:          `a label of so many digits is a name; write it as a string`,
		`{"label":1e999}`:                         `does not fit`,
		`{"rating":NaN}`:                          `'N' where a number should be`,
		`{"rating":"5"}`:                          `'"' where a number should be`,
		`{"correct":1}`:                           `'1' where true or false should be`,
		`{"kind":"correct","value":2}`:            `the value of the kind correct is neither true nor false`,
		`{"kind":"correct","value":"true"}`:       `the value of the kind correct is neither`,
		`{"kind":"click","value":"yes"}`:          `the value of the kind click is no number`,
		`{"kind":"Click","value":1}`:              `"Click" is no name of a kind`,
		`{"kind":"","value":1}`:                   `"" is no name of a kind`,
		`{"kind":"a` + long[:32] + `","value":1}`: `is no name of a kind`,
		`{"kind":"1a","value":1}`:                 `"1a" is no name of a kind`,
		`{"kind":"a","value":{}}`:                 `'{' where a number should be`,
		`{"label":1,"slot":256}`:                  `slot 256 is not 0 to 255`,
		`{"label":1,"slot":-1}`:                   `slot -1 is not 0 to 255`,
		`{"label":1,"slot":1.5}`:                  `is not a whole number`,
		`{"label":1,"at":"yesterday"}`:            `at is "yesterday"; write a time like 2026-01-31T12:00:00.5Z`,
		`{"label":1,"at":1700000000}`:             `'1' where a string should be`,
		`{"label":1,"id":""}`:                     `id is empty, longer than 128 bytes, or has control characters`,
		`{"label":1,"id":"` + long + `"}`:         `id is empty, longer`,
		`{"label":1}x`:                            `more text after the value`,
		`{"label":1,}`:                            `a value after the comma`,
		"{\"label\":\"\xff\"}":                    `not valid UTF-8`,
		`{"feedback":[]}`:                         `feedback has no items`,
		`{"feedback":{}}`:                         `'{' where an array should be`,
		`{"feedback":[1]}`:                        `feedback[0]: JSON at byte 13: '1' where an object should be`,
		`{"feedback":[{"label":1},{}]}`:           `feedback[1]: there is no value`,
		`{"feedback":[{"label":1},{"x":1}]}`:      `feedback[1]: JSON at byte 30: the key "x" is not known`,
		`{"feedback":[{"label":1}],"x":1}`:        `the key "x" beside feedback; it belongs into its items`,
		`{"label":1,"feedback":[]}`:               `the key "feedback" is not known`,
		`{"feedback":[{"label":1}`:                `the text ends where`,
		`{"feedback":[` + strings.Repeat(`{"label":1},`, 1000) + `{"label":1}]}`: `more than 1000 items of feedback`,
		`{"token":"","label":1}`:    `token is empty`,
		`{"decision":"","label":1}`: `decision is empty`,
		`{"service":"","label":1}`:  `service is empty`,
	}
	for body, want := range tests {
		_, _, err := readFeedback([]byte(body))
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s\ngot  %v\nwant %s", body, err, want)
		}
	}
	if items, _, err := readFeedback([]byte(`{"feedback":[` + strings.Repeat(`{"label":1},`, 999) + `{"label":1}]}`)); err != nil || len(items) != 1000 {
		t.Errorf("1000 items: %d, %v", len(items), err)
	}
}

func TestSeldonFeedbackIsRead(t *testing.T) {
	label := func(text string) []feedbackItem { return []feedbackItem{{kind: "label", text: text, isText: true}} }
	number := func(v float64) []feedbackItem { return []feedbackItem{{kind: "label", number: v}} }
	reward := func(v float64, more ...feedbackItem) []feedbackItem {
		return append([]feedbackItem{{kind: "reward", number: v}}, more...)
	}
	tests := map[string][]feedbackItem{
		`{}`:                           reward(0), // what the protocol's own client makes of a reward of 0
		`{"reward":0.0}`:               reward(0),
		`{"reward":null,"truth":null}`: reward(0),
		`{"reward":1.5,"truth":{}}`:    reward(1.5),
		`{"request":{"data":{"ndarray":[[NaN]]}},"response":{"meta":{"puid":"p","tags":{}},"data":{}},"reward":1,"extra":[]}`: reward(1),
		`{"reward":1,"truth":{"data":{"ndarray":[0]}}}`:                                                                       reward(1, number(0)...),
		`{"truth":{"data":{"ndarray":[[3]]}}}`:                                                                                number(3),
		`{"truth":{"data":{"ndarray":["positive"]}}}`:                                                                         label("positive"),
		`{"truth":{"data":{"ndarray":[true]}}}`:                                                                               number(1),
		`{"truth":{"data":{"tensor":{"shape":[1,1],"values":[2.5]}}}}`:                                                        number(2.5),
		`{"truth":{"data":{"names":["neg","pos"],"ndarray":[[0,1]]}}}`:                                                        label("pos"),
		`{"truth":{"data":{"ndarray":[[1,0,0]],"names":["t:0","t:1","t:2"]}}}`:                                                number(0),
		`{"truth":{"data":{"tensor":{"values":[0,0,1],"shape":[1,3]}}}}`:                                                      number(2),
		`{"truth":{"strData":"yes"}}`:                                                                                         label("yes"),
		`{"truth":{"jsonData":4,"meta":{},"binData":null}}`:                                                                   number(4),
	}
	for body, want := range tests {
		var c seldonFeedback
		if err := c.read([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		got, err := c.items()
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(feedbackItem{})); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", body, err, diff)
		}
	}
}

func TestSeldonFeedbackThatIsWrongSaysWhere(t *testing.T) {
	tests := map[string]string{
		`[]`:                                     `'[' where an object should be`,
		`{"reward":NaN}`:                         `NaN is no value`,
		`{"reward":"1"}`:                         `'"' where a number should be`,
		`{"reward":1,"reward":1}`:                `the key "reward" is given twice`,
		`{"truth":{"data":{"ndarray":[1,0,1]}}}`: `truth holds 3 values`,
		`{"truth":{"data":{"ndarray":[[0.2,0.8]]}}}`:                   `truth holds 2 values`,
		`{"truth":{"data":{"ndarray":[[1,1]]}}}`:                       `truth holds 2 values`,
		`{"truth":{"data":{"ndarray":[[0],[1]]}}}`:                     `truth holds 2 values`,
		`{"truth":{"data":{"tensor":{"shape":[2,1],"values":[0,1]}}}}`: `truth holds 2 values`,
		`{"truth":{"data":{"ndarray":[null]}}}`:                        `a truth is numbers or texts`,
		`{"truth":{"data":{"ndarray":[Infinity]}}}`:                    `+Inf is no value`,
		`{"truth":{"data":{"ndarray":[1]},"strData":"1"}}`:             `truth holds "strData" beside other values`,
		`{"truth":{"data":{"ndarray":[""]}}}`:                          `the label is empty`,
		`{"truth":{"jsonData":{"a":1}}}`:                               `a truth is numbers or texts`,
		`{"response":{"meta":{"puid":"a","puid":"a"}}}`:                `the key "puid" is given twice`,
		`{"response":[]}`: `'[' where an object should be`,
		`{"truth":{"data":{"ndarray":` + strings.Repeat("[", 200) + `}}}`: `nested deeper`,
		`{"truth":{"binData":"AA=="}}`:                                    `no label is read from binData`,
		`{"truth":{"data":{"tftensor":{}}}}`:                              `no label is read from binData`,
	}
	for body, want := range tests {
		var c seldonFeedback
		err := c.read([]byte(body))
		if err == nil {
			_, err = c.items()
		}
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s\ngot  %v\nwant %s", body, err, want)
		}
	}
}

// checkItem holds what was read to what may be written down.
func checkItem(t *testing.T, item *feedbackItem) {
	t.Helper()
	switch {
	case !isKind(item.kind), math.IsNaN(item.number), math.IsInf(item.number, 0), item.isText && item.number != 0, !item.isText && item.text != "",
		len(item.text) > maxLabelText, len(item.id) > maxOutcomeID, item.isText && item.text == "", item.token != "" && item.decision != "":
		t.Errorf("%+v", *item)
	}
}

func FuzzFeedback(f *testing.F) {
	f.Add([]byte(`{"feedback":[{"token":"t","label":"a","id":"x","slot":1,"at":"2026-01-31T12:00:00Z"},{"kind":"click","value":true}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		items, batch, err := readFeedback(body)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v is not the caller's fault", err)
			}
			return
		}
		if len(items) == 0 || len(items) > maxFeedback || !batch && len(items) != 1 {
			t.Errorf("%d items, batch %v", len(items), batch)
		}
		for i := range items {
			checkItem(t, &items[i])
		}
	})
}

func FuzzSeldonFeedback(f *testing.F) {
	f.Add([]byte(`{"request":{},"response":{"meta":{"puid":"p"}},"reward":1,"truth":{"data":{"names":["a","b"],"tensor":{"shape":[1,2],"values":[0,1]}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var c seldonFeedback
		err := c.read(body)
		var items []feedbackItem
		if err == nil {
			items, err = c.items()
		}
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v is not the caller's fault", err)
			}
			return
		}
		if len(items) == 0 || len(items) > 2 {
			t.Errorf("%d items", len(items))
		}
		for i := range items {
			checkItem(t, &items[i])
		}
	})
}
