package app

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/measure"
)

// measured shows Prometheus what was measured. It reads running totals, which are in memory, so that a scrape costs the same after a
// day and after a year.
//
// Counters are left out until the log has been read to its end once: while a lost telemetry.db is made anew, they would count up again
// from nothing, and Prometheus would take all of it for new. A log that cannot be read on does not hide them.
type measured struct {
	telemetry *telemetry
	versions  *versions
	services  func() []*gateway.Service
	started   time.Time
	totals    []total
	accuracy  *prometheus.Desc
	labelled  *prometheus.Desc
	mismatch  *prometheus.Desc
	pValue    *prometheus.Desc
	lag       *prometheus.Desc
	behind    *prometheus.Desc
	bytes     *prometheus.Desc
}

// total is one counter of a variant.
type total struct {
	desc *prometheus.Desc
	of   func(*measure.Running) uint64
}

// byVersion are the labels of what is told of a version. The values come from the configuration and the registry.
var byVersion = []string{"service", "variant", "version"}

func newMeasured(t *telemetry, v *versions, services func() []*gateway.Service) *measured {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	counter := func(name, help string, of func(*measure.Running) uint64) total {
		return total{desc(name, help, byVersion...), of}
	}
	const held = "; by verified feedback."
	return &measured{
		telemetry: t, versions: v, services: services, started: t.now(),
		totals: []total{
			counter("predictions_total", "Rows predicted to be of a class.", func(r *measure.Running) uint64 { return r.Predictions }),
			counter("pos_predictions_total", "Rows predicted to be of the positive class.", func(r *measure.Running) uint64 { return r.Positives }),
			counter("neg_predictions_total", "Rows predicted to be of the negative class.", func(r *measure.Running) uint64 { return r.Negatives }),
			counter("true_pos_predictions_total", "Predictions of the positive class that were right"+held, func(r *measure.Running) uint64 { return r.TruePositives }),
			counter("false_pos_predictions_total", "Predictions of the positive class that were wrong"+held, func(r *measure.Running) uint64 { return r.FalsePositives }),
			counter("true_neg_predictions_total", "Predictions of the negative class that were right"+held, func(r *measure.Running) uint64 { return r.TrueNegatives }),
			counter("false_neg_predictions_total", "Predictions of the negative class that were wrong"+held, func(r *measure.Running) uint64 { return r.FalseNegatives }),
		},
		accuracy: desc("model_accuracy", "Share of predictions that were right, of all with verified feedback since the log began.", byVersion...),
		labelled: desc("serin_labelled_total", "Outcomes that say whether a prediction was right, by how far they can be believed.", append(byVersion[:3:3], "class")...),
		mismatch: desc("serin_sample_ratio_mismatch", "1 if units split otherwise than the weights of the newest epoch say: comparisons cannot be trusted.", "service"),
		pValue:   desc("serin_sample_ratio_p_value", "Always-valid p value of the test behind serin_sample_ratio_mismatch.", "service"),
		lag:      desc("serin_telemetry_lag_seconds", "For how long figures have been behind the log; 0 if they are not."),
		behind:   desc("serin_telemetry_lag_bytes", "Bytes of the log that are not in the figures yet."),
		bytes:    desc("serin_log_bytes", "Bytes of the log that are kept."),
	}
}

// Describe implements prometheus.Collector.
func (m *measured) Describe(to chan<- *prometheus.Desc) {
	for _, t := range m.totals {
		to <- t.desc
	}
	for _, d := range []*prometheus.Desc{m.accuracy, m.labelled, m.mismatch, m.pValue, m.lag, m.behind, m.bytes} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *measured) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	lag, end, applied := m.telemetry.follower.Lag(), m.telemetry.log.End(), m.telemetry.sink.Applied()
	gauge(m.bytes, float64(m.telemetry.log.Bytes()))
	gauge(m.behind, float64(max(end, applied)-applied))
	gauge(m.lag, m.seconds(lag, end > applied))
	for _, s := range m.services() {
		if r, ok := m.telemetry.sink.Ratio(s.Name()); ok {
			alarm := 0.0
			if r.Alarm {
				alarm = 1
			}
			gauge(m.mismatch, alarm, s.Name())
			gauge(m.pValue, r.P, s.Name())
		}
	}
	if lag.Since.IsZero() && lag.Err == nil {
		return
	}
	for key, r := range m.merged() {
		labels := []string{key.service, key.variant, key.version}
		count := func(d *prometheus.Desc, n uint64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
		}
		for _, t := range m.totals {
			count(t.desc, t.of(r), labels...)
		}
		for class, n := range r.Labelled {
			if n == 0 && measure.Class(class) != measure.Verified {
				continue // most have none, and a series costs more than what it would say
			}
			count(m.labelled, n, append(labels[:3:3], measure.Class(class).String())...)
		}
		if n := r.Labelled[measure.Verified]; n > 0 {
			gauge(m.accuracy, float64(r.Correct)/float64(n), labels...)
		}
	}
}

// seconds is for how long the figures have been behind.
func (m *measured) seconds(lag measure.Lag, behind bool) float64 {
	if !behind {
		return 0
	}
	since := m.started
	if lag.Since.After(since) {
		since = lag.Since
	}
	return max(0, m.telemetry.now().Sub(since).Seconds())
}

// series are the values of the labels.
type series struct{ service, variant, version string }

// merged adds up the epochs of each version. Should two versions of a variant go by one name, as versions of two models can, the one
// that came later goes by its digest.
func (m *measured) merged() map[series]*measure.Running {
	all := m.telemetry.sink.Running()
	merged := make(map[series]*measure.Running, len(all))
	for i := range all {
		r := &all[i]
		key := series{plain(r.Service), plain(r.Variant.Variant), plain(m.versions.Label(r.Version))}
		into := merged[key]
		if into != nil && into.Version != r.Version {
			key.version = plain(m.versions.Short(r.Version))
			into = merged[key]
		}
		if into == nil {
			into = &measure.Running{Variant: r.Variant}
			merged[key] = into
		}
		into.Merge(r)
	}
	return merged
}

// plain is a label's value as Prometheus takes it, whatever the log holds.
func plain(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
