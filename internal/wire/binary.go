package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Binary tensors, as the binary extension and raw_input_contents have them: row-major, little-endian, nothing between the elements. A
// BOOL is one byte, and each element of BYTES stands behind its length, four bytes.

// lengthBytes is what the length of an element of BYTES takes.
const lengthBytes = 4

// binarySize returns how many bytes an element takes, 0 for BYTES.
func binarySize(d tensor.DType) int {
	switch d {
	case tensor.Bool, tensor.Uint8, tensor.Int8:
		return 1
	case tensor.Uint16, tensor.Int16, float16, bfloat16:
		return 2
	case tensor.Uint32, tensor.Int32, tensor.Float32:
		return 4
	case tensor.Uint64, tensor.Int64, tensor.Float64:
		return 8
	}
	return 0
}

// readBinary reads n elements that raw must hold exactly, and returns a slice of their Go type, float32 for the two halves. It shares
// nothing with raw.
func readBinary(d tensor.DType, raw []byte, n int) (any, error) {
	if size := binarySize(d); size > 0 && len(raw) != n*size {
		return nil, fault.Invalidf("%d bytes of binary data, but %d values of %s take %d", len(raw), n, datatypeName(d), n*size)
	}
	switch d {
	case tensor.Float32:
		return readFloat32s(raw), nil
	case tensor.Float64:
		out := make([]float64, n)
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
		return out, nil
	case tensor.Bytes:
		return readBinaryTexts(raw, n)
	case tensor.Bool:
		out := make([]bool, n)
		for i, b := range raw {
			if b > 1 {
				return nil, fault.Invalidf("element %d: the byte %d where 1 for true or 0 for false should be", i, b)
			}
			out[i] = b == 1
		}
		return out, nil
	case tensor.Int64:
		return read8[int64](raw, n), nil
	case tensor.Uint64:
		return read8[uint64](raw, n), nil
	case tensor.Int32:
		return read4[int32](raw, n), nil
	case tensor.Uint32:
		return read4[uint32](raw, n), nil
	case tensor.Int16:
		return read2[int16](raw, n), nil
	case tensor.Uint16:
		return read2[uint16](raw, n), nil
	case tensor.Int8:
		out := make([]int8, n)
		for i, b := range raw {
			out[i] = int8(b)
		}
		return out, nil
	case float16:
		return readHalves(raw, n, halfToFloat), nil
	case bfloat16:
		return readHalves(raw, n, bfloatToFloat), nil
	default: // UINT8
		return slices.Clone(raw[:n:n]), nil
	}
}

// readFloat32s reads all of raw, a multiple of four bytes.
func readFloat32s(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func read8[I int64 | uint64](raw []byte, n int) []I {
	out := make([]I, n)
	for i := range out {
		out[i] = I(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}

func read4[I int32 | uint32](raw []byte, n int) []I {
	out := make([]I, n)
	for i := range out {
		out[i] = I(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func read2[I int16 | uint16](raw []byte, n int) []I {
	out := make([]I, n)
	for i := range out {
		out[i] = I(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return out
}

func readHalves(raw []byte, n int, value func(uint16) float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = value(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return out
}

// readBinaryTexts reads n elements of BYTES. All of them share one copy of raw.
func readBinaryTexts(raw []byte, n int) ([]string, error) {
	if n > len(raw)/lengthBytes {
		return nil, fault.Invalidf("%d bytes of binary data are too few for %d values of BYTES, each behind a length of %d bytes", len(raw), n, lengthBytes)
	}
	all := string(raw)
	out := make([]string, n)
	at := 0
	for i := range out {
		if len(raw)-at < lengthBytes {
			return nil, fault.Invalidf("element %d: the binary data ends where its length should be", i)
		}
		length := int(binary.LittleEndian.Uint32(raw[at:]))
		at += lengthBytes
		if length > len(raw)-at {
			return nil, fault.Invalidf("element %d: its length is %d, but %d bytes of binary data are left", i, length, len(raw)-at)
		}
		out[i] = all[at : at+length]
		at += length
	}
	if at < len(raw) {
		return nil, fault.Invalidf("%d bytes of binary data are left behind the %d values", len(raw)-at, n)
	}
	return out, nil
}

// binaryLen returns how many bytes appendBinary appends. t must have passed its Check.
func binaryLen(t *tensor.Tensor) int {
	if texts, ok := t.Data.([]string); ok {
		n := lengthBytes * len(texts)
		for _, text := range texts {
			n += len(text)
		}
		return n
	}
	return binarySize(t.DType()) * t.Len()
}

// appendBinary appends the elements of t. t must have passed its Check. Nothing that a tensor of numbers holds cannot be said in binary.
func appendBinary(dst []byte, t *tensor.Tensor) []byte {
	switch data := t.Data.(type) {
	case []float32:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	case []float64:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	case []string:
		for _, v := range data {
			dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(v))), v...)
		}
	case []bool:
		for _, v := range data {
			dst = append(dst, byte(one(v)))
		}
	case []int64:
		dst = append8(dst, data)
	case []uint64:
		dst = append8(dst, data)
	case []int32:
		dst = append4(dst, data)
	case []uint32:
		dst = append4(dst, data)
	case []int16:
		dst = append2(dst, data)
	case []uint16:
		dst = append2(dst, data)
	case []int8:
		for _, v := range data {
			dst = append(dst, byte(v))
		}
	case []uint8:
		dst = append(dst, data...)
	}
	return dst
}

func append8[I int64 | uint64](dst []byte, data []I) []byte {
	for _, v := range data {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
	}
	return dst
}

func append4[I int32 | uint32](dst []byte, data []I) []byte {
	for _, v := range data {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return dst
}

func append2[I int16 | uint16](dst []byte, data []I) []byte {
	for _, v := range data {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(v))
	}
	return dst
}
