package traffic

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Weight is a variant's share before it is divided by the sum of all: a decimal from 0 to a million with at most nine decimals,
// kept exactly. 80 of 80 and 20, 0.8 of 0.8 and 0.2, and 80% of 80% and 20% are the same share. The zero value is 0.
type Weight struct {
	billionths uint64
	percent    bool // how it was written; 20% is 0.2
}

// Bounds of a weight. With at most maxVariants of them a sum stays far below 2^64 billionths.
const (
	maxWeight     = 1_000_000
	maxWeightText = 32 // bytes
	decimals      = 9
)

// WeightPattern is the regular expression of the texts that ParseWeight reads, up to its bounds.
const WeightPattern = `^((0|[1-9][0-9]{0,8})(\.[0-9]+)?|\.[0-9]+)%?$`

const weightHint = "write a decimal like 80, 0.2 or 20%%"

// ParseWeight reads a decimal such as 80, 0.2 or 20%. A sign, an exponent, a number that is not finite, more than nine decimals (seven
// before a percent sign; zeros at the end do not count) or a weight above a million is Invalid.
func ParseWeight(text string) (Weight, error) {
	if len(text) > maxWeightText {
		return Weight{}, fault.Invalidf("a weight of %d characters is too long", len(text)).WithHint(weightHint)
	}
	number, percent := strings.CutSuffix(text, "%")
	whole, fraction, point := strings.Cut(number, ".")
	switch {
	case whole+fraction == "":
		return Weight{}, fault.Invalidf("%q is no weight", text).WithHint(weightHint)
	case strings.HasPrefix(text, "-"):
		return Weight{}, fault.Invalidf("the weight %q is negative", text).WithHint("write 0 for a variant that gets nobody")
	case strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" || point && fraction == "":
		return Weight{}, fault.Invalidf("%q is no weight", text).WithHint(weightHint + ", without sign, exponent or spaces")
	case len(whole) > 1 && whole[0] == '0':
		return Weight{}, fault.Invalidf("the weight %q begins with a zero too many", text).WithHint(weightHint)
	}
	room := decimals
	if percent {
		room -= 2
	}
	if fraction = strings.TrimRight(fraction, "0"); len(fraction) > room {
		return Weight{}, fault.Invalidf("the weight %q has %d decimals; at most %d are kept", text, len(fraction), room).
			WithHint("round it, or multiply all weights by the same number")
	}
	digits := whole + fraction + strings.Repeat("0", room-len(fraction))
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > maxWeight*1e9 {
		return Weight{}, fault.Invalidf("the weight %q is above %d", text, maxWeight).WithHint("divide all weights by the same number")
	}
	return Weight{billionths: n, percent: percent && n > 0}, nil
}

// PercentWeight is the weight of a share in percent, from 0 to 100; what is finer than a ten-millionth of a percent is rounded.
func PercentWeight(percent float64) Weight {
	if percent = min(percent, 100); !(percent > 0) { // NaN included
		return Weight{}
	}
	return Weight{billionths: uint64(math.Round(percent * 1e7)), percent: true}
}

// String writes w as it was written, but for zeros that say nothing. ParseWeight reads it back.
func (w Weight) String() string {
	unit, width, sign := uint64(1e9), decimals, ""
	if w.percent {
		unit, width, sign = 1e7, decimals-2, "%"
	}
	text := strconv.FormatUint(w.billionths/unit, 10)
	if rest := w.billionths % unit; rest != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%0*d", width, rest), "0")
	}
	return text + sign
}

// Float returns the float64 nearest to w; 20% is 0.2.
func (w Weight) Float() float64 { return float64(w.billionths) / 1e9 }

// IsZero tells whether w is 0.
func (w Weight) IsZero() bool { return w.billionths == 0 }

// MarshalText writes w as String does.
func (w Weight) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads what ParseWeight reads.
func (w *Weight) UnmarshalText(text []byte) error {
	parsed, err := ParseWeight(string(text))
	if err != nil {
		return err
	}
	*w = parsed
	return nil
}

// UnmarshalJSON reads a weight from a string or, since 0.2 is what people write, from a number.
func (w *Weight) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return fault.Invalidf("a weight is no JSON string: %w", err)
		}
	}
	return w.UnmarshalText([]byte(text))
}

// Weights maps names of variants to their weights. A variant that is left out has 0.
type Weights map[string]Weight

// Share returns the exact share of a variant as the nearest float64: its weight over the sum of all, 0 when all are 0.
func (w Weights) Share(variant string) float64 {
	var total uint64
	for _, each := range w {
		total += each.billionths
	}
	return share(w[variant].billionths, total)
}

// share divides exactly before it rounds, so that 80 of 100 and 0.8 of 1 give the same float64.
func share(part, total uint64) float64 {
	if total == 0 {
		return 0
	}
	a, b := total, part
	for b != 0 {
		a, b = b, a%b
	}
	return float64(part/a) / float64(total/a)
}
