package measure

import (
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/event"
)

// maxLabel is the length in bytes to which a label is cut.
const maxLabel = 128

// maxNumber is the length in bytes up to which digits are a number: a float64 holds so many without rounding. More are a name.
const maxNumber = 15

// NormaliseLabel gives a label the form in which labels are kept and compared: without space around it, numbers in their shortest
// decimal form ("1.0" and "01" are "1"), true and false in lower case, invalid UTF-8 replaced, at most 128 bytes. All else, also upper
// and lower case, is kept, as "A" and "a" may be two classes. Normalising twice changes nothing.
func NormaliseLabel(label string) string {
	if len(label) == 1 && label[0] > ' ' && label[0] < 0x7f { // most labels; nothing below would change them
		return label
	}
	label = strings.ToValidUTF8(strings.ReplaceAll(label, "\x00", ""), "\uFFFD")
	label = strings.TrimSpace(label)
	if len(label) > maxLabel {
		label = strings.TrimSpace(strings.ToValidUTF8(label[:maxLabel], ""))
	}
	if label != "" && len(label) <= maxNumber && strings.Trim(label, "0123456789+-.eE") == "" {
		if v, err := strconv.ParseFloat(label, 64); err == nil {
			return formatNumber(v)
		}
	}
	if strings.EqualFold(label, "true") || strings.EqualFold(label, "false") {
		return strings.ToLower(label)
	}
	return label
}

func formatNumber(v float64) string {
	size := math.Abs(v)
	switch {
	case size == 0:
		return "0" // also for -0
	case size >= 1e-6 && size < 1e15:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// LabelOf returns the normalised label that an outcome gives as its value.
func LabelOf(o *event.Outcome) string {
	if o.IsText {
		return NormaliseLabel(o.Text)
	}
	return formatNumber(o.Number)
}

// opposites are the names that the two classes of a binary classifier go by, the positive one first. Case is folded.
var opposites = [...][2]string{{"1", "0"}, {"true", "false"}, {"positive", "negative"}, {"pos", "neg"}, {"yes", "no"}, {"1", "-1"}}

// Positive says whether a normalised label names the positive class of a binary classifier, and whether it names one of the two at
// all: 1, true, positive, pos and yes against 0, false, negative, neg, no and -1.
func Positive(label string) (positive, binary bool) {
	for i := range opposites {
		if strings.EqualFold(label, opposites[i][0]) {
			return true, true
		}
		if strings.EqualFold(label, opposites[i][1]) {
			return false, true
		}
	}
	return false, false
}

// Opposite returns the other class of a binary classifier, "" if the label names none. The opposite of 1 is 0, and of -1 is 1.
func Opposite(label string) string {
	for i := range opposites {
		if strings.EqualFold(label, opposites[i][0]) {
			return opposites[i][1]
		}
		if strings.EqualFold(label, opposites[i][1]) {
			return opposites[i][0]
		}
	}
	return ""
}

// SameLabel says whether two normalised labels name the same class: they are equal, or both name the same one of a binary
// classifier, such as "1" and "true".
func SameLabel(a, b string) bool {
	if a == b {
		return true
	}
	p, binary := Positive(a)
	q, both := Positive(b)
	return binary && both && p == q
}

// Confusion is a cell of the confusion matrix of a binary classifier.
type Confusion uint8

// The cells. NotBinary is the one of all other labels.
const (
	NotBinary Confusion = iota
	TruePositive
	FalsePositive
	TrueNegative
	FalseNegative
)

// ConfusionOf returns the cell for a truth and a prediction, both normalised.
func ConfusionOf(truth, predicted string) Confusion {
	return Classes(nil).Confusion(truth, predicted)
}
