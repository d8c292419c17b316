package load

import (
	"encoding/json"
	"time"
)

// MarshalJSON writes the report for programs; times are in milliseconds, but elapsedSeconds.
func (r *Report) MarshalJSON() ([]byte, error) {
	type machine struct {
		Cores   int      `json:"cores"`
		Own     float64  `json:"own"`
		Others  *float64 `json:"others"` // null: not known
		Stolen  *float64 `json:"stolen"`
		Busiest float64  `json:"busiestThread"`
	}
	m := machine{Cores: r.Machine.Cores, Own: r.Machine.Own, Busiest: r.Machine.Busiest}
	if r.Machine.Known {
		m.Others, m.Stolen = &r.Machine.Others, &r.Machine.Stolen
	}
	return json.Marshal(struct {
		URL           string         `json:"url"`
		Protocol      string         `json:"protocol"`
		Arrivals      string         `json:"arrivals"`
		InFlight      int            `json:"inFlight"`
		Valid         bool           `json:"valid"`
		Invalid       []string       `json:"invalid"`
		Warnings      []string       `json:"warnings"`
		Interrupted   bool           `json:"interrupted"`
		Requests      int            `json:"requests"`
		Failed        int            `json:"failed"`
		Late          int            `json:"late"`
		CutOff        int            `json:"cutOff"`
		Elapsed       float64        `json:"elapsedSeconds"`
		Rate          float64        `json:"rate"`
		AskedRate     float64        `json:"askedRate"`
		SentRate      float64        `json:"sentRate"`
		Latency       Spread         `json:"latency"`
		FailedLatency Spread         `json:"failedLatency"`
		Lag           Spread         `json:"lag"`
		Statuses      map[string]int `json:"statuses"`
		Problems      []Problem      `json:"problems"`
		BytesIn       int64          `json:"bytesIn"`
		BytesOut      int64          `json:"bytesOut"`
		Machine       machine        `json:"machine"`
	}{
		r.URL, r.Protocol, r.Arrivals, r.InFlight, len(r.Invalid) == 0, list(r.Invalid), list(r.Warnings), r.Interrupted,
		r.Requests, r.Failed, r.Late, r.CutOff, r.Elapsed.Seconds(), r.Rate, r.AskedRate, r.SentRate, r.Latency, r.FailedLatency, r.Lag,
		r.Statuses, r.Problems, r.BytesIn, r.BytesOut, m,
	})
}

// MarshalJSON writes a progress as one object for programs; times are in seconds, but for those of the latency.
func (p Progress) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Elapsed   float64 `json:"elapsedSeconds"`
		Total     float64 `json:"totalSeconds"`
		Measuring bool    `json:"measuring"`
		Done      int     `json:"done"`
		Rate      float64 `json:"rate"`
		Failed    int     `json:"failed"`
		Late      int     `json:"late"`
		Latency   Spread  `json:"latency"`
	}{p.Elapsed.Seconds(), p.Total.Seconds(), p.Measuring, p.Done, p.Rate, p.Failed, p.Late, p.Latency})
}

// list is never null.
func list(texts []string) []string { return append([]string{}, texts...) }

// MarshalJSON writes milliseconds.
func (s Spread) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	return json.Marshal(struct {
		Count int     `json:"count"`
		Mean  float64 `json:"meanMs"`
		P50   float64 `json:"p50Ms"`
		P90   float64 `json:"p90Ms"`
		P95   float64 `json:"p95Ms"`
		P99   float64 `json:"p99Ms"`
		P999  float64 `json:"p999Ms"`
		Max   float64 `json:"maxMs"`
	}{s.Count, ms(s.Mean), ms(s.P50), ms(s.P90), ms(s.P95), ms(s.P99), ms(s.P999), ms(s.Max)})
}
