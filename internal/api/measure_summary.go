package api

import (
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// SummaryOf is a summary as the control plane tells it.
func SummaryOf(s *measure.Summary) ServiceSummary {
	out := ServiceSummary{
		Service: s.Service, From: s.From, To: s.To, Confidence: 1 - measure.Alpha,
		Variants: make([]VariantSummary, len(s.Variants)), Ratios: make([]SampleRatio, len(s.Ratios)),
	}
	for i := range s.Variants {
		out.Variants[i] = variantOf(&s.Variants[i])
	}
	for i, r := range s.Ratios {
		out.Ratios[i] = SampleRatio{Epoch: r.Epoch, Units: r.Units, P: r.P, Alarm: r.Alarm, Tested: r.Tested, Mixed: r.Mixed}
	}
	return out
}

func variantOf(v *measure.VariantSummary) VariantSummary {
	out := VariantSummary{
		Variant: v.Variant, Version: v.Version, Requests: v.Requests, Errors: make(map[string]uint64, len(v.Errors)),
		Fallbacks: v.Fallbacks, Limited: v.Limited, Shed: v.Shed, FirstErrors: v.FirstErrors,
		ErrorRate: IntervalOf(v.ErrorRate),
		LatencyMicros: Latency{
			N: v.Successful, Mean: finite(v.MeanMicros), P50: IntervalOf(v.P50), P95: IntervalOf(v.P95), P99: IntervalOf(v.P99),
		},
		Predictions: v.Predictions, Feedback: feedbackOf(&v.Verified), Unverified: feedbackOf(&v.Unverified),
		Attributed: feedbackOf(&v.Attributed), ByHand: feedbackOf(&v.ByHand), Late: v.Late,
	}
	for class, n := range v.Errors {
		out.Errors[event.ErrorClass(class).String()] = n
	}
	return out
}

func feedbackOf(f *measure.Feedback) Feedback {
	return Feedback{
		Outcomes: f.Outcomes, Accuracy: IntervalOf(f.Accuracy), Reward: IntervalOf(f.Reward),
		TruePositives: f.TruePositives, FalsePositives: f.FalsePositives, TrueNegatives: f.TrueNegatives, FalseNegatives: f.FalseNegatives,
	}
}
