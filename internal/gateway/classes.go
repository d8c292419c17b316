package gateway

import (
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/tensor"
)

// classCount is how many rows of an answer were predicted to be of a class.
type classCount struct {
	label string
	rows  uint64
}

// classify notes the classes that an answer predicts: the labels of its rows and, of a single row, label and score. An answer that has no
// classes has none here.
func (d *decision) classify(response *tensor.Response) {
	d.score = math.NaN()
	specs := d.live.Model.Signature().Outputs
	if len(specs) == 0 || len(response.Outputs) == 0 || response.Outputs[0].Name != specs[0].Name {
		return // the prediction was not asked for, or is not the first
	}
	out := &response.Outputs[0]
	rows := out.Rows()
	if rows == 0 || out.Len()%rows != 0 {
		return
	}
	if texts, ok := out.Data.([]string); ok {
		if len(texts) == rows {
			for _, label := range texts {
				d.count(label)
			}
			d.single(rows, texts[0], math.NaN())
		}
		return
	}
	values, err := out.Float64s()
	if err != nil {
		return
	}
	classes := d.service.options.Labels
	if len(classes) == 0 {
		classes = specs[0].Labels
	}
	width := len(values) / rows
	for i := range rows {
		row := values[i*width : (i+1)*width]
		label, score := d.classOf(row, classes)
		if label != "" {
			d.count(label)
		}
		if i == 0 {
			d.single(rows, label, score)
		}
	}
}

func (d *decision) single(rows int, label string, score float64) {
	if rows == 1 {
		d.label, d.score = label, score
	}
}

// classOf returns the label of one row's prediction, "" if it has none, and its score: of several numbers the largest; of one number
// itself, which is that of the second of two classes, or a class number.
func (d *decision) classOf(row []float64, classes []string) (label string, score float64) {
	if len(row) > 1 {
		best := 0
		for i, v := range row {
			if v > row[best] {
				best = i
			}
		}
		return className(classes, best), row[best]
	}
	v := row[0]
	switch {
	case len(classes) == 2 && v >= 0 && v <= 1:
		if v >= d.service.options.Threshold {
			return classes[1], v
		}
		return classes[0], v
	case len(classes) > 2 && v >= 0 && v < float64(len(classes)) && v == math.Trunc(v):
		return classes[int(v)], v
	}
	return "", v
}

// className returns a class's label: its number where it has no name.
func className(classes []string, i int) string {
	if i < len(classes) {
		return classes[i]
	}
	return strconv.Itoa(i)
}

func (d *decision) count(label string) {
	for i := range d.counts {
		if d.counts[i].label == label {
			d.counts[i].rows++
			return
		}
	}
	d.counts = append(d.counts, classCount{label, 1})
}
