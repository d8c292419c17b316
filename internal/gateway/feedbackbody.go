package gateway

import (
	"math"
	"math/bits"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// Bounds of feedback.
const (
	maxFeedbackBody = 1 << 20 // bytes
	maxFeedback     = 1000    // items of a body
	maxOutcomeID    = 128     // bytes of an outcome's own id
	maxLabelText    = 128     // bytes of a label: longer ones would be cut where labels are compared
	maxKind         = 32      // bytes of a kind's name
)

// The kinds that mean something to Serin. Others are counted and summed.
const (
	kindImpression = "impression"
	kindClick      = "click"
	kindLabel      = "label"   // the truth
	kindCorrect    = "correct" // whether the prediction was right: 1 or 0
	kindRating     = "rating"
	kindReward     = "reward"
)

// feedbackItem is one item of feedback as its client sent it.
type feedbackItem struct {
	token    string // of the decision
	decision string // its id
	service  string
	id       string // of the outcome
	slot     uint8
	at       time.Time // by the client's clock; zero if it did not say

	kind   string
	number float64
	text   string // of a label, or of a kind of the client's own
	isText bool
}

// The keys of an item, as bits.
const (
	keyToken = 1 << iota
	keyDecision
	keyService
	keyID
	keySlot
	keyAt
	keyKind
	keyLabel
	keyCorrect
	keyRating
	keyReward
	keyValue

	keysOfValues = keyLabel | keyCorrect | keyRating | keyReward | keyValue
)

// readFeedback reads the body of POST /v1/feedback: one item, or {"feedback": [items]}. A key that it does not know is an error: a value
// that was misspelt must not be lost.
func readFeedback(body []byte) (items []feedbackItem, batch bool, err error) {
	var s jsonscan.Scanner
	s.Reset(body)
	var r itemReader
	items = make([]feedbackItem, 1)
	s.Object()
	for s.Next() {
		key := s.Key()
		switch {
		case string(key) == "feedback" && r.seen == 0 && !batch:
			batch = true
			if items, err = readBatch(&s); err != nil {
				return nil, true, err
			}
		case batch:
			s.Failf("the key %.40q beside feedback; it belongs into its items", key)
		default:
			r.field(&s, key, &items[0])
		}
	}
	s.End()
	if err := s.Err(); err != nil {
		return nil, batch, err
	}
	if !batch {
		err = r.check(&items[0])
	}
	return items, batch, err
}

// readBatch reads the array of items.
func readBatch(s *jsonscan.Scanner) (items []feedbackItem, err error) {
	s.Array()
	for s.Next() {
		if len(items) == maxFeedback {
			return nil, fault.Invalidf("more than %d items of feedback", maxFeedback).WithHint("send them in several requests")
		}
		items = append(items, feedbackItem{})
		item := &items[len(items)-1]
		var r itemReader
		s.Object()
		for s.Next() {
			r.field(s, s.Key(), item)
		}
		if err = s.Err(); err == nil {
			err = r.check(item)
		}
		if err != nil {
			return nil, fault.Invalidf("feedback[%d]: %w", len(items)-1, err)
		}
	}
	if s.Err() == nil && len(items) == 0 {
		return nil, fault.Invalidf("feedback has no items")
	}
	return items, nil
}

// itemReader reads the fields of one item.
type itemReader struct {
	seen  uint16 // keys that came
	given uint16 // those that are not null: a null counts as absent
}

// once notes a key, and tells whether it holds something.
func (r *itemReader) once(s *jsonscan.Scanner, bit uint16, name string) bool {
	if r.seen&bit != 0 {
		s.Failf("the key %q is given twice", name)
		return false
	}
	r.seen |= bit
	if s.Peek() == jsonscan.Null {
		s.Null()
		return false
	}
	r.given |= bit
	return true
}

// field reads the value of one key.
func (r *itemReader) field(s *jsonscan.Scanner, key []byte, item *feedbackItem) {
	switch string(key) {
	case "token":
		if r.once(s, keyToken, "token") {
			item.token = s.String()
		}
	case "decision":
		if r.once(s, keyDecision, "decision") {
			item.decision = s.String()
		}
	case "service":
		if r.once(s, keyService, "service") {
			item.service = s.String()
		}
	case "id":
		if r.once(s, keyID, "id") {
			item.id = s.String()
		}
	case "slot":
		if r.once(s, keySlot, "slot") {
			item.slot = readSlot(s)
		}
	case "at":
		if r.once(s, keyAt, "at") {
			item.at = readTime(s)
		}
	case "kind":
		if r.once(s, keyKind, "kind") {
			item.kind = s.String()
		}
	case "label":
		if r.once(s, keyLabel, "label") {
			item.label(s)
		}
	case "correct":
		if r.once(s, keyCorrect, "correct") {
			item.setBool(s.Bool())
		}
	case "rating":
		if r.once(s, keyRating, "rating") {
			item.number = s.Float64()
		}
	case "reward":
		if r.once(s, keyReward, "reward") {
			item.number = s.Float64()
		}
	case "value":
		if r.once(s, keyValue, "value") {
			item.value(s)
		}
	default:
		s.Failf("the key %.40q is not known; there are token, decision, service, id, slot, at, kind, label, correct, rating, reward and value", key)
	}
}

func readSlot(s *jsonscan.Scanner) uint8 {
	v := s.Int64()
	if v < 0 || v > math.MaxUint8 {
		s.Failf("slot %d is not 0 to %d", v, math.MaxUint8)
	}
	return uint8(v)
}

func readTime(s *jsonscan.Scanner) time.Time {
	text := s.String()
	if s.Err() != nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		s.Failf("at is %.40q; write a time like 2026-01-31T12:00:00.5Z", text)
	}
	return at.UTC()
}

// label reads a class: its name or number.
func (item *feedbackItem) label(s *jsonscan.Scanner) {
	if s.Peek() == jsonscan.String {
		item.text, item.isText = s.String(), true
		return
	}
	const exact = 1 << 53 // beyond it a float64 takes several whole numbers for one
	if item.number = s.Float64(); math.Abs(item.number) > exact {
		s.Failf("a label of so many digits is a name; write it as a string")
	}
}

// value reads what a client's own kind holds: a number, text, or true or false, which are 1 and 0.
func (item *feedbackItem) value(s *jsonscan.Scanner) {
	if s.Peek() == jsonscan.Bool {
		item.setBool(s.Bool())
		return
	}
	item.label(s)
}

func (item *feedbackItem) setBool(v bool) {
	item.number = 0
	if v {
		item.number = 1
	}
}

// shorthands are the kinds that are keys themselves.
var shorthands = [...]struct {
	key  uint16
	kind string
}{{keyLabel, kindLabel}, {keyCorrect, kindCorrect}, {keyRating, kindRating}, {keyReward, kindReward}}

// check tells what is wrong with an item whose keys were each right, and gives it its kind.
func (r *itemReader) check(item *feedbackItem) error {
	switch values := r.given & keysOfValues; {
	case values == 0:
		return fault.Invalidf("there is no value").WithHint(`give one of label, correct, rating and reward, or kind and value, such as {"token": "...", "correct": true}`)
	case bits.OnesCount16(values) > 1:
		return fault.Invalidf("there are several values").WithHint("send one item for each")
	case values == keyValue && r.given&keyKind == 0:
		return fault.Invalidf("value has no kind").WithHint(`say what it is, such as "kind": "click"`)
	case r.given&keyToken != 0 && r.given&keyDecision != 0:
		return fault.Invalidf("there are both token and decision").WithHint("send the token, which is worth more")
	}
	for _, name := range [...]struct {
		key        uint16
		name, text string
	}{{keyToken, "token", item.token}, {keyDecision, "decision", item.decision}, {keyService, "service", item.service}} {
		if r.given&name.key != 0 && name.text == "" {
			return fault.Invalidf("%s is empty", name.name).WithHint("leave it out where there is none")
		}
	}
	for _, short := range shorthands {
		if r.given&short.key == 0 {
			continue
		}
		if r.given&keyKind != 0 && item.kind != short.kind {
			return fault.Invalidf("the key %s does not go with the kind %.40q", short.kind, item.kind).WithHint("leave kind out, or give value")
		}
		item.kind = short.kind
	}
	if r.given&keyID != 0 && !isPlain(item.id, maxOutcomeID) {
		return fault.Invalidf("id is empty, longer than %d bytes, or has control characters", maxOutcomeID)
	}
	return item.checkValue()
}

// checkValue tells whether the value is one of its kind.
func (item *feedbackItem) checkValue() error {
	if !isKind(item.kind) {
		return fault.Invalidf("%.40q is no name of a kind", item.kind).
			WithHint("there are impression, click, label, correct, rating and reward; others are a small letter and up to %d small letters, digits, - and _", maxKind-1)
	}
	if item.isText && !isPlain(item.text, maxLabelText) {
		return fault.Invalidf("the %s is empty, longer than %d bytes, or has control characters", item.kind, maxLabelText)
	}
	switch item.kind {
	case kindImpression, kindClick, kindRating, kindReward:
		if item.isText {
			return fault.Invalidf("the value of the kind %s is no number", item.kind)
		}
	case kindCorrect:
		if item.isText || item.number != 0 && item.number != 1 {
			return fault.Invalidf("the value of the kind correct is neither true nor false")
		}
	}
	return nil
}

func isKind(name string) bool {
	if name == "" || len(name) > maxKind || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isPlain tells whether text is there, not too long, and without control characters.
func isPlain(text string, most int) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return false
		}
	}
	return text != "" && len(text) <= most
}
