package api

import (
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// confidence is that of all intervals.
const confidence = 1 - measure.Alpha

// ShadowOf is what comparisons of a shadow say, as the control plane tells it.
func ShadowOf(s *measure.ShadowSummary, judged measure.Trial, examples []*event.Disagreement) Shadow {
	of, counts := s.Of, s.Counts
	out := Shadow{
		Service: of.Service, Shadow: of.Shadow, ShadowVersion: of.ShadowVersion, Variant: of.Primary, Version: of.PrimaryVersion, Rule: of.Rule,
		From: counts.From, To: counts.To, Pairs: s.Pairs, Agreed: s.Agreed, Users: s.Users, Agreement: IntervalOf(s.Agreement),
		SlowerMicros: IntervalOf(s.Latency), Score: IntervalOf(s.Score), Overlap: IntervalOf(s.Overlap),
		Latency:      Speeds{finite(counts.PrimaryLatency.Quantile(0.5)), finite(counts.PrimaryLatency.Quantile(0.99))},
		ShadowSpeeds: Speeds{finite(counts.ShadowLatency.Quantile(0.5)), finite(counts.ShadowLatency.Quantile(0.99))},
		Unpaired:     make(map[string]uint64, len(counts.Unpaired)), Dropped: make(map[string]uint64, len(counts.Drops)),
		Judged: JudgedPairs{judged.PrimaryRight, judged.ShadowRight, judged.NeitherRight, judged.P},
	}
	for why, n := range counts.Unpaired {
		out.Unpaired[event.Unpaired(why).String()] = n
	}
	for why, n := range counts.Drops {
		out.Dropped[event.Drop(why).String()] = n
	}
	for _, b := range measure.ScoreBins(counts) {
		out.ScoreBins = append(out.ScoreBins, ScoreBin{finite(b.From), finite(b.To), b.N})
	}
	for _, d := range examples {
		out.Examples = append(out.Examples, Disagreement{
			Decision: d.Decision.String(), At: d.At, Status: int(d.PrimaryStatus), ShadowStatus: int(d.ShadowStatus), Micros: int64(d.PrimaryMicros),
			ShadowMicros: int64(d.ShadowMicros), Label: d.PrimaryLabel, ShadowLabel: d.ShadowLabel, Score: finite(d.PrimaryScore),
			ShadowScore: finite(d.ShadowScore), Difference: finite(d.Difference), Overlap: finite(d.Overlap), Where: d.Where, Answer: d.PrimaryAnswer,
			ShadowAnswer: d.ShadowAnswer,
		})
	}
	return out
}
