package api

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/stat"
)

// Summariser compares the variants of a service over whole minutes from one time up to another. A service without any figures then
// has no variants.
type Summariser interface {
	Summary(ctx context.Context, service string, from, to time.Time) (ServiceSummary, error)
}

// Interval is a figure with its uncertainty and the size of the sample it comes from. The interval holds at all times together with
// the confidence, however often one looks.
type Interval struct {
	Estimate *float64 `json:"estimate" nullable:"true" doc:"null: there are no data"`
	Low      *float64 `json:"low" nullable:"true" doc:"null: the data give no lower limit yet"`
	High     *float64 `json:"high" nullable:"true" doc:"null: the data give no upper limit yet"`
	N        uint64   `json:"n" doc:"the size of the sample"`
}

// IntervalOf makes what is not finite nil.
func IntervalOf(i stat.Interval) Interval {
	return Interval{Estimate: finite(i.Estimate), Low: finite(i.Low), High: finite(i.High), N: i.N}
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// ServiceSummary compares the variants of a service over a time.
type ServiceSummary struct {
	Service    string           `json:"service"`
	From       time.Time        `json:"from" doc:"whole minutes, by the time of the decision"`
	To         time.Time        `json:"to" doc:"not included"`
	Confidence float64          `json:"confidence" doc:"of each interval, however often one looks"`
	Variants   []VariantSummary `json:"variants"`
	Ratios     []SampleRatio    `json:"ratios" doc:"whether users split as the weights say; of each whole epoch, newest first"`
}

// VariantSummary is one variant and model version, over all epochs.
type VariantSummary struct {
	Variant       string            `json:"variant"`
	Version       string            `json:"version,omitempty" doc:"the model version's digest"`
	Requests      uint64            `json:"requests"`
	Errors        map[string]uint64 `json:"errors" doc:"by class: client, server, timeout, gone"`
	Fallbacks     uint64            `json:"fallbacks"`
	Limited       uint64            `json:"limited" doc:"refused by a rate limit; in none of the other figures"`
	Shed          uint64            `json:"shed"`
	FirstErrors   uint64            `json:"firstErrors" doc:"users who had an error"`
	ErrorRate     Interval          `json:"errorRate" doc:"share of requests that failed by a fault of the service, classes server and timeout; those that were shed are left out"`
	LatencyMicros Latency           `json:"latencyMicros" doc:"of successful requests"`
	Predictions   map[string]uint64 `json:"predictions" doc:"by class"`
	Feedback      Feedback          `json:"feedback" doc:"that a token verified"`
	Unverified    Feedback          `json:"unverified" doc:"by a decision's id alone"`
	Attributed    Feedback          `json:"attributed" doc:"through the sticky cookie"`
	ByHand        Feedback          `json:"byHand" doc:"of users who set the cookie themselves"`
	Late          uint64            `json:"late" doc:"outcomes that came too late to count"`
}

// Latency is how long successful requests took, in microseconds.
type Latency struct {
	N    uint64   `json:"n"`
	Mean *float64 `json:"mean" nullable:"true"`
	P50  Interval `json:"p50"`
	P95  Interval `json:"p95"`
	P99  Interval `json:"p99"`
}

// Feedback is what outcomes of one class say.
type Feedback struct {
	Outcomes       uint64   `json:"outcomes"`
	Accuracy       Interval `json:"accuracy" doc:"n is how many outcomes say whether the prediction was right"`
	Reward         Interval `json:"reward" doc:"the mean of outcomes of kind reward"`
	TruePositives  uint64   `json:"truePositives"`
	FalsePositives uint64   `json:"falsePositives"`
	TrueNegatives  uint64   `json:"trueNegatives"`
	FalseNegatives uint64   `json:"falseNegatives"`
}

// SampleRatio says whether users split between the variants as the weights say. Where it alarms, something loses or moves users of one
// variant, and no comparison of them can be trusted.
type SampleRatio struct {
	Epoch  uint32            `json:"epoch"`
	Units  map[string]uint64 `json:"units" doc:"users seen, by variant"`
	P      float64           `json:"p" doc:"the p-value, valid however often one looks; 1 where there is nothing to test"`
	Alarm  bool              `json:"alarm"`
	Tested uint64            `json:"tested" doc:"users of weights that could be tested"`
	Mixed  uint64            `json:"mixed" doc:"users of weights that could not, as decisions disagree about a share"`
}

// summaryMost is the longest time that a summary covers.
const summaryMost = 400 * 24 * time.Hour

func (c *control) routeSummary(h huma.API) {
	type input struct {
		Service string    `path:"service" example:"sentiment"`
		From    time.Time `query:"from" doc:"default: an hour before to"`
		To      time.Time `query:"to" doc:"default: now"`
	}
	type output struct{ Body ServiceSummary }
	handle(h, huma.Operation{
		OperationID: "summarise-service", Method: http.MethodGet, Path: "/api/v1/services/{service}/summary", Summary: "A service's variants compared, each figure with its uncertainty",
	}, func(ctx context.Context, in *input) (*output, error) {
		s, err := c.summary(ctx, in.Service, in.From, in.To)
		return &output{s}, err
	})
}

func (c *control) summary(ctx context.Context, service string, from, to time.Time) (s ServiceSummary, err error) {
	if c.Measure == nil {
		return s, NoTelemetry()
	}
	if to.IsZero() {
		to = c.Now()
	}
	if from.IsZero() {
		from = to.Add(-time.Hour)
	}
	// Whole minutes: the first that has begun by from, and the one that to lies in.
	from, to = from.UTC().Truncate(time.Minute), to.UTC().Add(time.Minute-1).Truncate(time.Minute)
	switch {
	case !to.After(from):
		return s, fault.Invalidf("from %s is not before to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	case to.Sub(from) > summaryMost:
		return s, fault.Invalidf("from and to are %.0f days apart; at most %.0f are summed up", to.Sub(from).Hours()/24, summaryMost.Hours()/24)
	}
	if s, err = c.Measure.Summary(ctx, service, from, to); err != nil {
		return s, err
	}
	if len(s.Variants) == 0 {
		known, err := c.measured(ctx)
		if err != nil {
			return s, err
		}
		if len(known) == 0 {
			return s, NoTelemetry()
		}
		if !known[service] {
			return s, fault.NotFoundf("there are no figures of a service %.80q", service).WithHint("`serin sql 'SELECT DISTINCT service FROM variant_minutes'` lists those that there are")
		}
	}
	s.Variants, s.Ratios = orEmpty(s.Variants), orEmpty(s.Ratios)
	return s, nil
}

// measured returns the services that have figures.
func (c *control) measured(ctx context.Context) (map[string]bool, error) {
	services := map[string]bool{}
	if c.Telemetry == nil {
		return services, nil
	}
	rows, err := records(c.Telemetry.Query(ctx, "SELECT DISTINCT service FROM variant_minutes"))
	for _, r := range rows {
		services[r.text("service")] = true
	}
	return services, err
}

// Summary compares the variants of a service. A zero to is now, a zero from an hour before.
func (c *Client) Summary(ctx context.Context, service string, from, to time.Time) (s ServiceSummary, err error) {
	q := url.Values{}
	for name, t := range map[string]time.Time{"from": from, "to": to} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	where := path("services", service, "summary")
	if len(q) > 0 {
		where += "?" + q.Encode()
	}
	err = c.call(ctx, http.MethodGet, where, nil, &s)
	return s, err
}
