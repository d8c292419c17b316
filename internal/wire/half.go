package wire

import (
	"math"

	"github.com/serin-ml/serin/internal/tensor"
)

// The element types of two bytes. They exist in binary data alone and are read as FP32, which holds each of their values.
const (
	float16  = tensor.Bytes + 1 // FP16: IEEE 754 binary16
	bfloat16 = tensor.Bytes + 2 // BF16: the upper half of a binary32
)

// datatypeName returns the protocol's name of an element type.
func datatypeName(d tensor.DType) string {
	switch d {
	case float16:
		return "FP16"
	case bfloat16:
		return "BF16"
	}
	return d.String()
}

// parseDatatype reads the protocol's name of an element type, 0 for one that is unknown.
func parseDatatype(name []byte) tensor.DType {
	switch string(name) {
	case "FP32": // what nearly all requests hold
		return tensor.Float32
	case "FP16":
		return float16
	case "BF16":
		return bfloat16
	}
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		if d.String() == string(name) {
			return d
		}
	}
	return 0
}

// halfToFloat returns the value of an IEEE 754 binary16.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exponent {
	case 0: // zero, or below the smallest power of two: the fraction in units of 2^-24
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31: // an infinity, or not a number
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// bfloatToFloat returns the value of a BF16.
func bfloatToFloat(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }
