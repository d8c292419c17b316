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
	rows := 0
	d.service.eachClass(d.live.Model.Signature(), response, func(label string, score float64) {
		if label != "" {
			d.count(label)
		}
		d.label, d.score = label, score
		rows++
	})
	if rows != 1 {
		d.label, d.score = "", math.NaN()
	}
}

// eachClass calls row for each row of an answer, with the label that it predicts, "" if it has none, and its score. It tells whether the
// scores are scores, and not numbers of classes. An answer that has no classes has no rows here.
func (s *Service) eachClass(signature tensor.Signature, response *tensor.Response, row func(label string, score float64)) (scored bool) {
	specs := signature.Outputs
	if len(response.Outputs) == 0 || len(specs) > 0 && response.Outputs[0].Name != specs[0].Name {
		return false // the prediction was not asked for, or is not the first. Where nobody knows the outputs, the first is the prediction
	}
	out := &response.Outputs[0]
	rows := out.Rows()
	if rows == 0 || out.Len()%rows != 0 {
		return false
	}
	if texts, ok := out.Data.([]string); ok {
		if len(texts) == rows {
			for _, label := range texts {
				row(label, math.NaN())
			}
		}
		return false
	}
	values, err := out.Float64s()
	if err != nil {
		return false
	}
	classes := s.options.Labels
	if len(classes) == 0 && len(specs) > 0 {
		classes = specs[0].Labels
	}
	width := len(values) / rows
	if width == 0 {
		return false
	}
	for i := range rows {
		row(s.classOf(values[i*width:(i+1)*width], classes))
	}
	return width > 1 || len(classes) <= 2
}

// classOf returns the label of one row's prediction, "" if it has none, and its score: of several numbers the largest; of one number
// itself, which is that of the second of two classes, or a class number.
func (s *Service) classOf(row []float64, classes []string) (label string, score float64) {
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
		if v >= s.options.Threshold {
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
