package wire

import (
	"strconv"
	"time"
)

// Timing is how often something was done, and how long that took in all.
type Timing struct {
	Count uint64
	Total time.Duration
}

// BatchStatistics is what was done with batches of one size.
type BatchStatistics struct {
	Size                                      int // rows
	ComputeInput, ComputeInfer, ComputeOutput Timing
}

// ModelStatistics is what one version of a model has done since the server started.
type ModelStatistics struct {
	Name, Version  string
	LastInference  time.Time // zero: never
	InferenceCount uint64    // rows answered
	ExecutionCount uint64    // requests that the model ran for
	Success, Fail  Timing    // of requests

	Queue, ComputeInput, ComputeInfer, ComputeOutput Timing // of requests answered: waiting, decoding, the model, encoding

	Batches []BatchStatistics
}

// AppendModelStatistics appends what models have done.
func AppendModelStatistics(dst []byte, list []ModelStatistics) []byte {
	dst = append(dst, `{"model_stats":[`...)
	for i := range list {
		m := &list[i]
		dst = appendText(append(comma(dst, i), `{"name":`...), m.Name)
		dst = appendText(append(dst, `,"version":`...), m.Version)
		dst = strconv.AppendUint(append(dst, `,"last_inference":`...), m.lastInference(), 10)
		dst = strconv.AppendUint(append(dst, `,"inference_count":`...), m.InferenceCount, 10)
		dst = strconv.AppendUint(append(dst, `,"execution_count":`...), m.ExecutionCount, 10)
		dst = append(dst, `,"inference_stats":{`...)
		for j, t := range m.timings() {
			dst = append(append(comma(dst, j), '"'), t.name...)
			dst = appendTiming(append(dst, `":`...), t.Timing)
		}
		dst = append(dst, `},"batch_stats":[`...)
		for j, b := range m.Batches {
			dst = strconv.AppendInt(append(comma(dst, j), `{"batch_size":`...), int64(b.Size), 10)
			dst = appendTiming(append(dst, `,"compute_input":`...), b.ComputeInput)
			dst = appendTiming(append(dst, `,"compute_infer":`...), b.ComputeInfer)
			dst = appendTiming(append(dst, `,"compute_output":`...), b.ComputeOutput)
			dst = append(dst, '}')
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, "]}"...)
}

func appendTiming(dst []byte, t Timing) []byte {
	dst = strconv.AppendUint(append(dst, `{"count":`...), t.Count, 10)
	dst = strconv.AppendUint(append(dst, `,"ns":`...), t.nanoseconds(), 10)
	return append(dst, '}')
}

func (t Timing) nanoseconds() uint64 { return uint64(max(t.Total, 0)) }

// lastInference is in milliseconds since 1970, 0 for never.
func (m *ModelStatistics) lastInference() uint64 {
	if m.LastInference.IsZero() {
		return 0
	}
	return uint64(max(m.LastInference.UnixMilli(), 0))
}

// namedTiming is one timing of a model's statistics, under the protocol's name.
type namedTiming struct {
	name string
	Timing
}

// timings is the timings in the order of their field numbers. There is no cache; clients read its two all the same.
func (m *ModelStatistics) timings() [8]namedTiming {
	return [8]namedTiming{
		{"success", m.Success}, {"fail", m.Fail}, {"queue", m.Queue}, {"compute_input", m.ComputeInput}, {"compute_infer", m.ComputeInfer},
		{"compute_output", m.ComputeOutput}, {"cache_hit", Timing{}}, {"cache_miss", Timing{}},
	}
}
