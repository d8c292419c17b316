package load

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// v2JSON writes an Open Inference request with its data as JSON.
func v2JSON(x *tensor.Tensor) ([]byte, error) {
	dst := v2Head(nil, x)
	dst = append(dst, `,"data":`...)
	dst, err := appendFlat(dst, x, "null")
	return append(dst, "}]}"...), err
}

// v2Head begins a request with one input.
func v2Head(dst []byte, x *tensor.Tensor) []byte {
	dst = append(dst, `{"inputs":[{"name":`...)
	dst = appendText(dst, x.Name)
	dst = append(dst, `,"datatype":"`+x.DType().String()+`","shape":`...)
	return appendShape(dst, x.Shape)
}

// v2Binary writes one with its data behind the JSON, which has to tell how long it is itself.
func v2Binary(x *tensor.Tensor) Payload {
	raw := appendRaw(nil, x)
	head := v2Head(nil, x)
	head = append(head, `,"parameters":{"binary_data_size":`...)
	head = strconv.AppendInt(head, int64(len(raw)), 10)
	head = append(head, `}}],"parameters":{"binary_data_output":true}}`...)
	return Payload{Body: append(head, raw...), Header: []Field{
		{"Content-Type", "application/octet-stream"}, {"Inference-Header-Content-Length", strconv.Itoa(len(head))},
	}}
}

// seldonJSON writes a SeldonMessage in JSON.
func seldonJSON(x *tensor.Tensor, columns []string, ndarray bool) (dst []byte, err error) {
	dst = append(dst, `{"data":{`...)
	if columns != nil {
		dst = append(appendTexts(append(dst, `"names":`...), columns), ',')
	}
	if ndarray {
		dst, err = appendNested(append(dst, `"ndarray":`...), x)
		return append(dst, "}}"...), err
	}
	dst = appendShape(append(dst, `"tensor":{"shape":`...), x.Shape)
	dst, err = appendFlat(append(dst, `,"values":`...), x, `"NaN"`)
	return append(dst, "}}}"...), err
}

// instances writes KServe's and TF-Serving's.
func instances(x *tensor.Tensor) ([]byte, error) {
	dst, err := appendNested([]byte(`{"instances":`), x)
	return append(dst, '}'), err
}

// mlflowJSON writes a data frame, if its columns have names.
func mlflowJSON(x *tensor.Tensor, columns []string) ([]byte, error) {
	if columns == nil {
		return instances(x)
	}
	dst := appendTexts([]byte(`{"dataframe_split":{"columns":`), columns)
	dst, err := appendNested(append(dst, `,"data":`...), x)
	return append(dst, "}}"...), err
}

func appendShape(dst []byte, shape []int) []byte {
	dst = append(dst, '[')
	for i, d := range shape {
		dst = strconv.AppendInt(comma(dst, i), int64(d), 10)
	}
	return append(dst, ']')
}

func appendTexts(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, text := range texts {
		dst = appendText(comma(dst, i), text)
	}
	return append(dst, ']')
}

func appendText(dst []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // text always can be
	return append(dst, quoted...)
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return dst
}

// appendFlat writes all elements as one list; missing stands for NaN.
func appendFlat(dst []byte, x *tensor.Tensor, missing string) ([]byte, error) {
	return appendElements(dst, x, 0, x.Len(), missing)
}

// appendNested writes lists in lists, by the shape.
func appendNested(dst []byte, x *tensor.Tensor) ([]byte, error) {
	return appendLevel(dst, x, x.Shape, 0, x.Len())
}

func appendLevel(dst []byte, x *tensor.Tensor, shape []int, from, to int) (_ []byte, err error) {
	if len(shape) == 1 {
		return appendElements(dst, x, from, to, "null")
	}
	dst = append(dst, '[')
	for i := range shape[0] {
		size := (to - from) / shape[0]
		if dst, err = appendLevel(comma(dst, i), x, shape[1:], from+i*size, from+(i+1)*size); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendElements writes elements as a list.
func appendElements(dst []byte, x *tensor.Tensor, from, to int, missing string) ([]byte, error) {
	dst = append(dst, '[')
	switch data := x.Data.(type) {
	case []float32:
		return floats(dst, data[from:to], 32, missing)
	case []float64:
		return floats(dst, data[from:to], 64, missing)
	case []bool:
		for i, v := range data[from:to] {
			dst = strconv.AppendBool(comma(dst, i), v)
		}
	case []int64:
		dst = wholes(dst, data[from:to])
	case []int32:
		dst = wholes(dst, data[from:to])
	case []int16:
		dst = wholes(dst, data[from:to])
	case []int8:
		dst = wholes(dst, data[from:to])
	case []uint64:
		dst = wholes(dst, data[from:to])
	case []uint32:
		dst = wholes(dst, data[from:to])
	case []uint16:
		dst = wholes(dst, data[from:to])
	case []uint8:
		dst = wholes(dst, data[from:to])
	}
	return append(dst, ']'), nil
}

type whole interface {
	int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8
}

func wholes[T whole](dst []byte, data []T) []byte {
	for i, v := range data {
		if dst = comma(dst, i); v < 0 {
			dst = strconv.AppendInt(dst, int64(v), 10)
		} else {
			dst = strconv.AppendUint(dst, uint64(v), 10)
		}
	}
	return dst
}

// floats writes the shortest decimals that read back as the same numbers.
func floats[F float32 | float64](dst []byte, data []F, bits int, missing string) ([]byte, error) {
	for i, v := range data {
		dst = comma(dst, i)
		switch f := float64(v); {
		case f != f:
			dst = append(dst, missing...)
		case math.IsInf(f, 0):
			return dst, fault.Invalidf("value %d is %v, which JSON cannot hold", i, f).WithHint("send it as a binary tensor or over gRPC")
		default:
			dst = strconv.AppendFloat(dst, f, 'g', -1, bits)
		}
	}
	return append(dst, ']'), nil
}
