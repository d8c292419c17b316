package gateway

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// truth is what a feedback call of Seldon says is true: a SeldonMessage, of which one label is wanted.
type truth struct {
	seen   itemReader
	names  []string
	values int  // numbers and texts
	oneRow bool // they stand in one row
	first  feedbackItem
	ones   int // how many are 1
	one    int // the last one that is
	others int // how many are neither 1 nor 0
}

// The keys of a truth.
const (
	truthData = 1 << iota
	truthNames
	truthNdarray
	truthTensor
	truthShape
	truthValues
	truthText
	truthJSON

	truthsOfValues = truthNdarray | truthTensor | truthText | truthJSON
)

func (t *truth) read(s *jsonscan.Scanner) {
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "data":
			if t.seen.once(s, truthData, "data") {
				t.data(s)
			}
		case "strData":
			if t.only(s, truthText, "strData") {
				t.collect(s)
			}
		case "jsonData":
			if t.only(s, truthJSON, "jsonData") {
				t.collect(s)
			}
		case "binData", "customData":
			unreadable(s)
		default:
			s.Skip()
		}
	}
}

// only is once for the keys that hold values, of which there may be one.
func (t *truth) only(s *jsonscan.Scanner, bit uint16, name string) bool {
	if t.seen.given&truthsOfValues != 0 && s.Peek() != jsonscan.Null {
		s.Failf("truth holds %q beside other values", name)
		return false
	}
	return t.seen.once(s, bit, name)
}

// unreadable refuses a truth in a form that no label is read from, unless it is null.
func unreadable(s *jsonscan.Scanner) {
	if s.Peek() != jsonscan.Null {
		s.Failf("no label is read from binData, customData and tftensor; send ndarray, tensor, strData or jsonData")
		return
	}
	s.Null()
}

func (t *truth) data(s *jsonscan.Scanner) {
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "names":
			if t.seen.once(s, truthNames, "names") {
				s.Array()
				for s.Next() {
					t.names = append(t.names, s.String())
				}
			}
		case "ndarray":
			if t.only(s, truthNdarray, "ndarray") {
				t.ndarray(s)
			}
		case "tensor":
			if t.only(s, truthTensor, "tensor") {
				t.tensor(s)
			}
		case "tftensor":
			unreadable(s)
		default:
			s.Skip()
		}
	}
}

func (t *truth) ndarray(s *jsonscan.Scanner) {
	rows, nested := 0, false
	s.Array()
	for s.Next() {
		rows++
		nested = s.Peek() == jsonscan.Array
		t.collect(s)
	}
	t.oneRow = rows == 1 && nested
}

func (t *truth) tensor(s *jsonscan.Scanner) {
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "shape":
			if t.seen.once(s, truthShape, "shape") {
				dims, rows := 0, int64(0)
				s.Array()
				for ; s.Next(); dims++ {
					if n := s.Int64(); dims == 0 {
						rows = n
					}
				}
				t.oneRow = dims > 1 && rows == 1
			}
		case "values":
			if t.seen.once(s, truthValues, "values") {
				t.collect(s)
			}
		default:
			s.Skip()
		}
	}
}

// collect reads a number or text, or arrays of them.
func (t *truth) collect(s *jsonscan.Scanner) {
	var v feedbackItem
	switch s.Peek() {
	case jsonscan.Array:
		s.Array()
		for s.Next() {
			t.collect(s)
		}
		return
	case jsonscan.String:
		v.text, v.isText = s.String(), true
	case jsonscan.Number:
		v.number = readFinite(s)
	case jsonscan.Bool:
		v.setBool(s.Bool())
	default:
		s.Failf("a truth is numbers or texts")
		return
	}
	if t.values == 0 {
		t.first = v
	}
	switch {
	case v.isText || v.number != 0 && v.number != 1:
		t.others++
	case v.number == 1:
		t.ones, t.one = t.ones+1, t.values
	}
	t.values++
}

// label returns the one label, if there is one: a single value, or the class whose column of a row is 1 where the others are 0, by its
// name or else its number.
func (t *truth) label() (item feedbackItem, ok bool, err error) {
	item = t.first
	switch {
	case t.values == 0:
		return item, false, nil
	case t.values == 1:
	case t.oneRow && t.ones == 1 && t.others == 0:
		item = feedbackItem{number: float64(t.one)}
		if len(t.names) == t.values && t.names[t.one] != "t:"+strconv.Itoa(t.one) { // which only counts
			item = feedbackItem{text: t.names[t.one], isText: true}
		}
	default:
		return item, false, fault.Invalidf("truth holds %d values", t.values).
			WithHint("send the one label that turned out to be true, or a row that is 1 for its class and 0 for the others; and a call for each row of a request")
	}
	item.kind = kindLabel
	return item, true, nil
}
