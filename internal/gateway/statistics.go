package gateway

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/wire"
)

// statistics are what a live version has done, as Open Inference's statistics tell it.
type statistics struct {
	rows, runs            atomic.Uint64
	last                  atomic.Int64 // when, in milliseconds since 1970
	success, fail         timing
	decode, model, encode timing // of what succeeded
}

// timing is how often, and how long in all.
type timing struct {
	count atomic.Uint64
	nanos atomic.Int64
}

func (t *timing) add(d time.Duration) {
	t.count.Add(1)
	t.nanos.Add(int64(d))
}

func (t *timing) into(w *wire.Timing) {
	w.Count += t.count.Load()
	w.Total += time.Duration(t.nanos.Load())
}

// add counts an answered request.
func (s *statistics) add(at time.Time, b *spent, a answered) {
	if b.model > 0 {
		s.runs.Add(1)
	}
	if a.status != http.StatusOK {
		s.fail.add(a.took)
		return
	}
	s.rows.Add(uint64(b.rows))
	s.last.Store(at.UnixMilli())
	s.success.add(a.took)
	s.decode.add(b.decode)
	s.model.add(b.model)
	s.encode.add(b.encode)
}

// into adds what was counted to w.
func (s *statistics) into(w *wire.ModelStatistics) {
	w.InferenceCount += s.rows.Load()
	w.ExecutionCount += s.runs.Load()
	if last := s.last.Load(); last > 0 {
		if at := time.UnixMilli(last); at.After(w.LastInference) {
			w.LastInference = at
		}
	}
	s.success.into(&w.Success)
	s.fail.into(&w.Fail)
	s.decode.into(&w.ComputeInput)
	s.model.into(&w.ComputeInfer)
	s.encode.into(&w.ComputeOutput)
}

// statistics returns those of the versions that are live now, of one version alone if it is named. A version that two variants have is one.
func (s *Service) statistics(version string) []wire.ModelStatistics {
	var list []wire.ModelStatistics
	for _, v := range s.variants {
		live := v.Live()
		if live == nil || version != "" && live.number() != version {
			continue
		}
		number := live.number()
		of := -1
		for i := range list {
			if list[i].Version == number {
				of = i
			}
		}
		if of < 0 {
			of = len(list)
			list = append(list, wire.ModelStatistics{Name: s.Name(), Version: number})
		}
		live.statistics.into(&list[of])
		list[of].Queue.Count = list[of].Success.Count // nobody waits: whom there is no room for is refused
	}
	return list
}
