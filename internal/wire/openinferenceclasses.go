package wire

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/tensor"
)

// topClasses turns an output into its n highest values of each row, the highest first and the lower index first where two are equal, as
// the classification extension has them: texts "value:index", or "value:index:label" where the model labels that index. What is not a
// number ranks lowest.
func topClasses(t *tensor.Tensor, labels []string, n int) *tensor.Tensor {
	rows := t.Rows()
	width, _ := tensor.Elements(t.Shape[min(1, len(t.Shape)):]) // t has passed its Check
	n = min(n, width)
	texts := make([]string, 0, rows*n)
	order := make([]int, width)
	for row := range rows {
		for i := range order {
			order[i] = i
		}
		compare, text := classValues(t, row*width, (row+1)*width)
		slices.SortStableFunc(order, compare)
		for _, i := range order[:n] {
			class := append(text(i), ':')
			class = strconv.AppendInt(class, int64(i), 10)
			if i < len(labels) && labels[i] != "" {
				class = append(append(class, ':'), labels[i]...)
			}
			texts = append(texts, string(class))
		}
	}
	return &tensor.Tensor{Name: t.Name, Shape: []int{rows, n}, Data: texts}
}

// classValues returns how to compare two of the elements from..to of t, and how to write one.
func classValues(t *tensor.Tensor, from, to int) (compare func(a, b int) int, text func(i int) []byte) {
	switch data := t.Data.(type) {
	case []float32:
		return floatClasses(data[from:to], 32)
	case []float64:
		return floatClasses(data[from:to], 64)
	case []uint64:
		row := data[from:to]
		return descending(row), func(i int) []byte { return strconv.AppendUint(nil, row[i], 10) }
	case []int64:
		return wholeClasses(data[from:to])
	case []int32:
		return wholeClasses(data[from:to])
	case []int16:
		return wholeClasses(data[from:to])
	case []int8:
		return wholeClasses(data[from:to])
	case []uint32:
		return wholeClasses(data[from:to])
	case []uint16:
		return wholeClasses(data[from:to])
	case []uint8:
		return wholeClasses(data[from:to])
	}
	truths, _ := t.Data.([]bool) // texts have no classes
	numbers := make([]uint8, to-from)
	for i, v := range truths[from:to] {
		numbers[i] = uint8(one(v))
	}
	return wholeClasses(numbers)
}

func floatClasses[F float32 | float64](data []F, bits int) (compare func(a, b int) int, text func(i int) []byte) {
	return descending(data), func(i int) []byte { return appendFloat(nil, float64(data[i]), bits) }
}

func wholeClasses[I int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](data []I) (compare func(a, b int) int, text func(i int) []byte) {
	return descending(data), func(i int) []byte { return strconv.AppendInt(nil, int64(data[i]), 10) }
}

// descending ranks what is not a number lowest, as cmp does.
func descending[T cmp.Ordered](data []T) func(a, b int) int {
	return func(a, b int) int { return cmp.Compare(data[b], data[a]) }
}
