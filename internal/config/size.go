package config

import (
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Size is a number of bytes, written with a unit: 64KiB, 16MiB, 1MB.
type Size int64

// The binary units.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// sizeUnits are the units of Size, those that end with another before it.
var sizeUnits = []struct {
	name string
	size Size
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}}

// sizePattern says the same for the schema.
const sizePattern = `^(0|[1-9][0-9]*) ?([KMG]iB|[kKMG]?B)$`

// UnmarshalText reads a whole number with a unit. Anything else is Invalid.
func (s *Size) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(string(text), unit.name)
		if !ok {
			continue
		}
		digits = strings.TrimSuffix(digits, " ")
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || len(digits) > 1 && digits[0] == '0' || n > uint64(math.MaxInt64/unit.size) {
			break
		}
		*s = Size(n) * unit.size
		return nil
	}
	return fault.Invalidf("%.80q is no size", text).WithHint("write a whole number with a unit, like 64KiB, 16MiB or 1MB")
}

// String writes s with the largest unit that leaves a whole number.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if s != 0 && s%unit.size == 0 {
			return strconv.FormatInt(int64(s/unit.size), 10) + unit.name
		}
	}
	return "0B"
}

// MarshalText writes s as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
