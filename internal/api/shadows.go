package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
)

// Shadower tells what comparisons of shadows have found, from one time up to another, with at most so many examples of disagreement for
// each. Empty texts mean all services, and all shadows. What has nothing yet is not in the list.
type Shadower interface {
	Shadows(ctx context.Context, service, variant string, from, to time.Time, examples int) ([]Shadow, error)
}

// ShadowReport is what comparisons of shadows have found in a time.
type ShadowReport struct {
	From       time.Time `json:"from" doc:"whole minutes"`
	To         time.Time `json:"to" doc:"not included"`
	Confidence float64   `json:"confidence" doc:"of each interval, however often one looks"`
	Shadows    []Shadow  `json:"shadows" doc:"one for each pair of versions and rule, of each service the last one first; empty: nothing was compared yet"`
}

// Shadow is what is known of one version of a shadow beside one version of the variant that answered, by one rule. Users with many requests
// do not make its intervals narrower than they are.
type Shadow struct {
	Service       string    `json:"service"`
	Shadow        string    `json:"shadow" doc:"the variant that was sent copies"`
	ShadowVersion string    `json:"shadowVersion,omitempty" doc:"a digest, or what an upstream says"`
	Variant       string    `json:"variant" doc:"the one that answered"`
	Version       string    `json:"version,omitempty"`
	Rule          string    `json:"rule" doc:"what agreement means"`
	From          time.Time `json:"from" doc:"of the first copy in this time"`
	To            time.Time `json:"to" doc:"of the last"`
	Says          string    `json:"says" doc:"the gist, in a sentence"`

	Pairs     uint64   `json:"pairs" doc:"answers that were compared"`
	Agreed    uint64   `json:"agreed"`
	Users     float64  `json:"users" doc:"as how many users with one request each the pairs count, at least"`
	Agreement Interval `json:"agreement" doc:"the share of pairs that agree; by users, not by requests"`

	SlowerMicros Interval `json:"slowerMicros" doc:"the shadow's latency less the variant's, the mean over pairs"`
	Latency      Speeds   `json:"latencyMicros" doc:"of the variant, over pairs"`
	ShadowSpeeds Speeds   `json:"shadowLatencyMicros" doc:"of the shadow, over pairs"`

	Score     Interval   `json:"score" doc:"the shadow's score less the variant's, the mean over pairs with a score"`
	ScoreBins []ScoreBin `json:"scoreBins" doc:"the histogram of these differences"`
	Overlap   Interval   `json:"overlap" doc:"of the first k, the mean over pairs; without data under rules that know none"`

	Unpaired map[string]uint64 `json:"unpaired" doc:"copies that gave no two answers to compare: primaryFailed, shadowFailed, bothFailed, timeout (of the shadow), incomparable"`
	Dropped  map[string]uint64 `json:"dropped" doc:"requests that were drawn and not copied: queue, bytes, tooLarge, streaming, draining, unavailable, method"`

	Judged   JudgedPairs    `json:"judged" doc:"who was right where they predict different classes, by verified feedback"`
	Examples []Disagreement `json:"examples" doc:"disagreements: the newest, and those with the largest difference"`
}

// Speeds are quantiles of latencies, in microseconds.
type Speeds struct {
	P50 *float64 `json:"p50" nullable:"true"`
	P99 *float64 `json:"p99" nullable:"true"`
}

// ScoreBin is a range of score differences. A range from 0 to 0 is those without a difference.
type ScoreBin struct {
	From *float64 `json:"from" nullable:"true" doc:"null: no lower end"`
	To   *float64 `json:"to" nullable:"true" doc:"null: no upper end"`
	N    uint64   `json:"n"`
}

// JudgedPairs counts users by who was right in the first of their disagreements that feedback judged.
type JudgedPairs struct {
	PrimaryRight uint64  `json:"primaryRight"`
	ShadowRight  uint64  `json:"shadowRight"`
	NeitherRight uint64  `json:"neitherRight"`
	P            float64 `json:"p" doc:"the p-value of: either is right as often as the other; valid however often one looks (sequential McNemar)"`
}

// Disagreement is a pair of answers that do not agree.
type Disagreement struct {
	Decision     string    `json:"decision"`
	At           time.Time `json:"at"`
	Status       int       `json:"status"`
	ShadowStatus int       `json:"shadowStatus"`
	Micros       int64     `json:"micros"`
	ShadowMicros int64     `json:"shadowMicros"`
	Label        string    `json:"label,omitempty"`
	ShadowLabel  string    `json:"shadowLabel,omitempty"`
	Score        *float64  `json:"score,omitempty"`
	ShadowScore  *float64  `json:"shadowScore,omitempty"`
	Difference   *float64  `json:"difference,omitempty" doc:"the largest, the shadow's less the variant's"`
	Overlap      *float64  `json:"overlap,omitempty"`
	Where        string    `json:"where" doc:"where the answers part"`
	Answer       string    `json:"answer,omitempty" doc:"cut; where bodies are captured"`
	ShadowAnswer string    `json:"shadowAnswer,omitempty"`
}

// Bounds of a report.
const (
	shadowsUsual   = 7 * 24 * time.Hour
	shadowsMost    = 60 * 24 * time.Hour
	shadowExamples = 100
)

func (c *control) routeShadows(h huma.API) {
	type input struct {
		Service  string    `query:"service" example:"sentiment" doc:"default: all"`
		Variant  string    `query:"variant" example:"next" doc:"the shadow; default: all"`
		From     time.Time `query:"from" doc:"default: seven days before to"`
		To       time.Time `query:"to" doc:"default: now"`
		Examples int       `query:"examples" default:"6" minimum:"0" maximum:"100" doc:"disagreements to send for each"`
	}
	type output struct{ Body ShadowReport }
	handle(h, huma.Operation{
		OperationID: "show-shadows", Method: http.MethodGet, Path: "/api/v1/shadows", Summary: "How the answers of shadows are beside those that clients got",
	}, func(ctx context.Context, in *input) (*output, error) {
		report, err := c.shadows(ctx, in.Service, in.Variant, in.From, in.To, in.Examples)
		return &output{report}, err
	})
}

func (c *control) shadows(ctx context.Context, service, variant string, from, to time.Time, examples int) (r ShadowReport, err error) {
	if c.Shadows == nil {
		return r, NoTelemetry()
	}
	if to.IsZero() {
		to = c.Now()
	}
	if from.IsZero() {
		from = to.Add(-shadowsUsual)
	}
	from, to = from.UTC().Truncate(time.Minute), to.UTC().Add(time.Minute-1).Truncate(time.Minute)
	switch {
	case !to.After(from):
		return r, fault.Invalidf("from %s is not before to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	case to.Sub(from) > shadowsMost:
		return r, fault.Invalidf("from and to are %.0f days apart; figures of shadows are kept for %.0f", to.Sub(from).Hours()/24, shadowsMost.Hours()/24)
	case examples < 0 || examples > shadowExamples:
		return r, fault.Invalidf("%d examples; 0 to %d are sent", examples, shadowExamples)
	}
	r = ShadowReport{From: from, To: to, Confidence: confidence}
	if r.Shadows, err = c.Shadows.Shadows(ctx, service, variant, from, to, examples); err != nil {
		return r, err
	}
	r.Shadows = orEmpty(r.Shadows)
	for i := range r.Shadows {
		s := &r.Shadows[i]
		s.ScoreBins, s.Examples = orEmpty(s.ScoreBins), orEmpty(s.Examples)
		s.Says = s.sentence()
	}
	return r, nil
}

// sentence is the gist of what is known.
func (s *Shadow) sentence() string {
	percent := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return strconv.FormatFloat(100**v, 'g', 4, 64) + "%"
	}
	switch {
	case s.Pairs > 0:
		return fmt.Sprintf("%s agrees with %s in %s of %d answers; the true share lies between %s and %s", s.Shadow, s.Variant,
			percent(s.Agreement.Estimate), s.Pairs, percent(s.Agreement.Low), percent(s.Agreement.High))
	case total(s.Unpaired) > 0:
		return fmt.Sprintf("no data yet: %s was sent %d copies, and not one gave two answers to compare", s.Shadow, total(s.Unpaired))
	}
	return fmt.Sprintf("no data yet: not one of %d requests that were drawn was copied to %s", total(s.Dropped), s.Shadow)
}

func total(counts map[string]uint64) (n uint64) {
	for _, m := range counts {
		n += m
	}
	return n
}

// Shadows returns what comparisons of shadows have found. Empty texts mean all services and shadows; a zero to is now, a zero from seven
// days before.
func (c *Client) Shadows(ctx context.Context, service, variant string, from, to time.Time, examples int) (r ShadowReport, err error) {
	q := url.Values{"examples": {strconv.Itoa(examples)}}
	for name, text := range map[string]string{"service": service, "variant": variant} {
		if text != "" {
			q.Set(name, text)
		}
	}
	for name, t := range map[string]time.Time{"from": from, "to": to} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	err = c.call(ctx, http.MethodGet, path("shadows")+"?"+q.Encode(), nil, &r)
	return r, err
}
