package shadow

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/tensor"
)

// compareTensors compares two answers of tensors.
func (c *Comparer) compareTensors(r *Result, primary, shadow *Answer) {
	switch c.rule.By {
	case ByExact, ByNumeric:
		c.compareOutputs(r, primary.Outputs, shadow.Outputs)
	case ByLabel:
		if c.rule.At == "" {
			c.compareTexts(r, told(primary.Labels), shadow.Labels)
			break
		}
		c.compareTexts(r, cells(named(primary.Outputs, c.rule.At)), cells(named(shadow.Outputs, c.rule.At)))
	case ByTopK:
		p, s := &primary.Outputs[0], &shadow.Outputs[0]
		if c.rule.At != "" {
			p, s = named(primary.Outputs, c.rule.At), named(shadow.Outputs, c.rule.At)
		}
		if p == nil || s == nil {
			r.Verdict, r.Where = Incomparable, fmt.Sprintf("there is no output %.60q", c.rule.At)
			return
		}
		c.compareRankings(r, rankings(p, c.rule.K), rankings(s, c.rule.K))
	}
	if d := scoreDifference(primary, shadow); !math.IsNaN(d) {
		r.Difference = d
	}
}

// told returns labels, none where not a single row has one.
func told(labels []string) []string {
	if !slices.ContainsFunc(labels, func(l string) bool { return l != "" }) {
		return nil
	}
	return labels
}

// named returns the output of that name, nil if there is none.
func named(outputs []tensor.Tensor, name string) *tensor.Tensor {
	for i := range outputs {
		if outputs[i].Name == name {
			return &outputs[i]
		}
	}
	return nil
}

// compareOutputs compares each output but for those that are ignored.
func (c *Comparer) compareOutputs(r *Result, primary, shadow []tensor.Tensor) {
	for i := range primary {
		p := &primary[i]
		if slices.Contains(c.rule.Ignore, p.Name) {
			continue
		}
		s := named(shadow, p.Name)
		if s == nil {
			r.part(p.Name + " is missing in the shadow's answer")
			continue
		}
		c.compareOutput(r, p, s)
	}
	for i := range shadow {
		if name := shadow[i].Name; named(primary, name) == nil && !slices.Contains(c.rule.Ignore, name) {
			r.part(name + " is in the shadow's answer alone")
		}
	}
}

func (c *Comparer) compareOutput(r *Result, p, s *tensor.Tensor) {
	switch {
	case !slices.Equal(p.Shape, s.Shape) || p.Len() != s.Len():
		r.part(fmt.Sprintf("%s: shape %v, and of the shadow %v", p.Name, p.Shape, s.Shape))
		return
	case p.DType().Numeric() != s.DType().Numeric(), c.rule.By == ByExact && p.DType() != s.DType():
		r.part(fmt.Sprintf("%s: %v, and of the shadow %v", p.Name, p.DType(), s.DType()))
		return
	}
	if !p.DType().Numeric() {
		a, _ := p.Data.([]string)
		b, _ := s.Data.([]string)
		for i := range a {
			if a[i] != b[i] {
				r.part(place(p, i))
				return
			}
		}
		return
	}
	a, errA := p.Float64s()
	b, errB := s.Float64s()
	if errA != nil || errB != nil {
		r.part(p.Name + ": what it holds is not known")
		return
	}
	for i := range a {
		if !c.near(r, a[i], b[i]) {
			r.part(place(p, i) + ": " + plain(a[i]) + ", and of the shadow " + plain(b[i]))
		}
	}
	if c.rule.By == ByExact && !sameWhole(p.Data, s.Data) {
		r.part(p.Name)
	}
}

// sameWhole tells whether two slices of 64-bit whole numbers are the same, where different ones may be one float64; true for other slices.
func sameWhole(a, b any) bool {
	switch x := a.(type) {
	case []int64:
		y, ok := b.([]int64)
		return ok && slices.Equal(x, y)
	case []uint64:
		y, ok := b.([]uint64)
		return ok && slices.Equal(x, y)
	}
	return true
}

func plain(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }

// place names a cell of a tensor: prediction[3][0].
func place(t *tensor.Tensor, cell int) string {
	indices := make([]int, len(t.Shape))
	for d := len(t.Shape) - 1; d >= 0; d-- {
		if size := t.Shape[d]; size > 0 {
			indices[d], cell = cell%size, cell/size
		}
	}
	name := t.Name
	for _, i := range indices {
		name += "[" + strconv.Itoa(i) + "]"
	}
	return name
}

// cells returns the elements as texts.
func cells(t *tensor.Tensor) []string {
	if t == nil {
		return nil
	}
	if texts, ok := t.Data.([]string); ok {
		return texts
	}
	switch whole := t.Data.(type) { // beyond what a float64 tells apart
	case []int64:
		return textsOf(whole, func(v int64) string { return strconv.FormatInt(v, 10) })
	case []uint64:
		return textsOf(whole, func(v uint64) string { return strconv.FormatUint(v, 10) })
	}
	values, err := t.Float64s()
	if err != nil {
		return nil
	}
	return textsOf(values, func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) })
}

func textsOf[T any](values []T, write func(T) string) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = write(v)
	}
	return all
}

// rankings returns a ranking for each row: of whole numbers or texts, which are ids, as they stand; of numbers with a fraction, which are
// scores, the places of the k largest. A tensor of one dimension is one ranking.
func rankings(t *tensor.Tensor, k int) [][]string {
	rows := 1
	if len(t.Shape) > 1 {
		rows = t.Rows()
	}
	if rows == 0 || t.Len()%rows != 0 {
		return nil
	}
	width := t.Len() / rows
	var ids []string
	var scores []float64
	if d := t.DType(); d == tensor.Float32 || d == tensor.Float64 {
		scores, _ = t.Float64s()
	} else {
		ids = cells(t)
	}
	all := make([][]string, rows)
	for i := range all {
		if scores == nil {
			all[i] = ids[i*width : (i+1)*width]
			continue
		}
		for _, place := range largest(scores[i*width:(i+1)*width], k) {
			all[i] = append(all[i], strconv.Itoa(place))
		}
	}
	return all
}

// largest returns the places of the k largest values, of equal ones the first; a NaN is smaller than any number.
func largest(values []float64, k int) []int {
	places := make([]int, len(values))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int { return -cmp.Compare(values[a], values[b]) })
	return places[:min(k, len(places))]
}

// scoreDifference returns how far the shadow's score is above the primary's, NaN if there is none: of a row of several numbers that of the
// class which the primary predicts, of several rows the largest.
func scoreDifference(primary, shadow *Answer) float64 {
	p, s := &primary.Outputs[0], &shadow.Outputs[0]
	rows := p.Rows()
	if !primary.Scored || !shadow.Scored || rows == 0 || p.Name != s.Name || p.Len() != s.Len() || p.Len()%rows != 0 {
		return math.NaN()
	}
	a, errA := p.Float64s()
	b, errB := s.Float64s()
	if errA != nil || errB != nil {
		return math.NaN()
	}
	r := Result{Difference: math.NaN()}
	width := len(a) / rows
	for i := range rows {
		best := 0
		for j, v := range a[i*width : (i+1)*width] {
			if v > a[i*width+best] {
				best = j
			}
		}
		r.note(b[i*width+best] - a[i*width+best])
	}
	return r.Difference
}

// firstCells returns the first n elements, as a tensor of one dimension.
func firstCells(t *tensor.Tensor, n int) *tensor.Tensor {
	if t.Len() <= n {
		return t
	}
	return &tensor.Tensor{Name: t.Name, Shape: []int{n}, Data: reflect.ValueOf(t.Data).Slice(0, n).Interface()}
}

// OutputsText is outputs for people to look at, as {"prediction":[0.51,0.2]}, cut at so many bytes; "" of none.
func OutputsText(outputs []tensor.Tensor, most int) string {
	if len(outputs) == 0 {
		return ""
	}
	b := []byte{'{'}
	for i := range outputs {
		o := &outputs[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, o.Name), ':', '[')
		for j, cell := range cells(firstCells(o, most)) {
			if len(b) > most {
				break
			}
			if j > 0 {
				b = append(b, ',')
			}
			if o.DType().Numeric() {
				b = append(b, cell...)
			} else {
				b = strconv.AppendQuote(b, cell)
			}
		}
		b = append(b, ']')
	}
	b = append(b, '}')
	if len(b) > most {
		return strings.ToValidUTF8(string(b[:most]), "")
	}
	return string(b)
}
