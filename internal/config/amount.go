package config

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// Unit is what an Amount is written in.
type Unit string

// The units.
const (
	Plain   Unit = ""
	Parts   Unit = "%" // of a hundred
	Seconds Unit = "s"
)

// Amount is a number of something: 0.01, 1% or 500ms.
type Amount struct {
	Value float64 // a percentage as a share, a time in seconds
	Unit  Unit    // that it was written in
}

// amountPattern is what UnmarshalText reads, but for durations of days.
const amountPattern = `^-?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)([eE][-+]?[0-9]+)?%?$`

var amounts = regexp.MustCompile(amountPattern)

// UnmarshalText reads a decimal, a percentage, or a duration with its unit. Anything else is Invalid.
func (a *Amount) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err == nil && amounts.Match(text) && !math.IsInf(v, 0) && percent:
		*a = Amount{v / 100, Parts}
		return nil
	case err == nil && amounts.Match(text) && !math.IsInf(v, 0):
		*a = Amount{v, Plain}
		return nil
	}
	d, err := strictyaml.ParseDuration(string(text))
	if err != nil || percent {
		return fault.Invalidf("%.40q is no amount", text).WithHint("write a number like 0.01, a share like 1%%, or a time like 500ms")
	}
	*a = Amount{d.Seconds(), Seconds}
	return nil
}

// MarshalText writes the amount as UnmarshalText reads it.
func (a Amount) MarshalText() ([]byte, error) {
	v := a.Value
	if a.Unit == Parts {
		v *= 100
	}
	return append(strconv.AppendFloat(nil, v, 'g', -1, 64), a.Unit...), nil
}
