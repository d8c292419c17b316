package tensor

import (
	"github.com/serin-ml/serin/internal/fault"
)

// DType is the type of a tensor's elements. Its text form is the Open Inference Protocol's name ("FP32").
type DType uint8

// The element types, with the Go type that holds one element of each. Bytes holds any bytes, in a Go string.
const (
	Bool    DType = iota + 1 // bool
	Uint8                    // uint8
	Uint16                   // uint16
	Uint32                   // uint32
	Uint64                   // uint64
	Int8                     // int8
	Int16                    // int16
	Int32                    // int32
	Int64                    // int64
	Float32                  // float32
	Float64                  // float64
	Bytes                    // string
)

var dtypeNames = [...]string{"", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64", "BYTES"}

// String returns the Open Inference name, "" for the zero DType.
func (d DType) String() string {
	if int(d) < len(dtypeNames) {
		return dtypeNames[d]
	}
	return ""
}

// Numeric tells whether elements are numbers (Bool counts: it reads as 0 or 1, as numpy reads it).
func (d DType) Numeric() bool { return d >= Bool && d < Bytes }

// ParseDType reads an Open Inference name.
func ParseDType(name string) (DType, error) {
	for d := Bool; d <= Bytes; d++ {
		if dtypeNames[d] == name {
			return d, nil
		}
	}
	return 0, fault.Invalidf("unknown datatype %q", name).
		WithHint("use one of BOOL, UINT8-64, INT8-64, FP32, FP64, BYTES")
}

// MarshalText writes the Open Inference name.
func (d DType) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads an Open Inference name.
func (d *DType) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDType(string(text))
	return err
}

// Element is every Go type that a tensor can hold.
type Element interface {
	bool | uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | float32 | float64 | string
}

// dtypeOf returns the DType and the length of a slice of Elements; 0, 0 for anything else.
func dtypeOf(data any) (DType, int) {
	switch s := data.(type) {
	case []float32:
		return Float32, len(s)
	case []float64:
		return Float64, len(s)
	case []string:
		return Bytes, len(s)
	case []int64:
		return Int64, len(s)
	case []int32:
		return Int32, len(s)
	case []bool:
		return Bool, len(s)
	case []uint8:
		return Uint8, len(s)
	case []uint16:
		return Uint16, len(s)
	case []uint32:
		return Uint32, len(s)
	case []uint64:
		return Uint64, len(s)
	case []int8:
		return Int8, len(s)
	case []int16:
		return Int16, len(s)
	}
	return 0, 0
}
