package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/release"
)

// Releases tell what releases there are and were. An id is that of one (movies-12), or a template's name (movies), which means its newest.
// What there is not is NotFound.
type Releases interface {
	// Releases returns all that are known, without their journals, those that run first, of each the newest first.
	Releases(ctx context.Context) ([]Release, error)
	// Release returns one with its whole journal.
	Release(ctx context.Context, id string) (Release, error)
	// Follow calls each with the release as it stands, whenever something of it changes: at once, and then after every transition and
	// every look that says something else. Its Journal holds the transitions that each was not called with yet, of those above after. It
	// returns nil after the call for the last transition of a release that has ended, and what each returns otherwise.
	Follow(ctx context.Context, id string, after int, each func(Release) error) error
}

// Releaser starts and commands releases.
type Releaser interface {
	// StartRelease begins a release by the template of that name. Conflict: one of the service is under way, and s does not supersede it.
	StartRelease(ctx context.Context, name string, s ReleaseStart) (Release, error)
	// CommandRelease does what somebody wants; Conflict: the release's phase does not allow it.
	CommandRelease(ctx context.Context, id string, c release.Command) (Release, error)
	// PlanRelease tells what a release by the template of that name would find out, and when.
	PlanRelease(ctx context.Context, name string) (ReleasePlan, error)
}

// Release is a release as it stands.
type Release struct {
	release.State
	Percent  float64              `json:"percent" doc:"the candidate's share of the traffic now"`
	Mirrored float64              `json:"mirrored" doc:"the share of the traffic that is copied to the candidate now, in percent"`
	Unled    string               `json:"unled,omitempty" doc:"why nobody sees to it, so that its candidate gets nobody; none: somebody does, or it has ended"`
	StepName string               `json:"stepName" doc:"the step that it is at, in words"`
	Drift    string               `json:"drift,omitempty" doc:"in what the service differs from its file since: roles that were swapped"`
	Journal  []release.Transition `json:"journal,omitempty" doc:"what happened, the oldest first"`
	Hooks    []HookRun            `json:"hooks,omitempty" doc:"the last ones that were run, the oldest first"`
}

// HookRun is a hook that was run, and how it ended.
type HookRun struct {
	Key         string    `json:"key" doc:"the same where it was run again after a crash"`
	Hook        string    `json:"hook" enum:"build,deploy,ready,undo"`
	At          time.Time `json:"at" doc:"when it began"`
	TookSeconds Seconds   `json:"tookSeconds"`
	Said        string    `json:"said,omitempty" doc:"the end of what it printed or answered"`
	Err         string    `json:"error,omitempty" doc:"why it failed; none: it did not"`
}

// NewRelease returns a state as people and programs see it.
func NewRelease(s release.State, drift string, journal []release.Transition) Release {
	return Release{State: s, Percent: s.Percent(), Mirrored: s.Mirrored(), StepName: s.StepName(), Drift: drift, Journal: journal}
}

// ReleaseStart says who starts a release, and why.
type ReleaseStart struct {
	By        string `json:"by" doc:"who wants it"`
	Why       string `json:"why,omitempty" doc:"the reason; others will ask"`
	Supersede bool   `json:"supersede,omitempty" doc:"abort what is under way for the service, and begin anew with what there is now"`
}

// ReleasePlan is what a release would do, and what it would find out when, as far as the traffic before it tells.
type ReleasePlan struct {
	Plan     release.Plan    `json:"plan"`
	Steps    []string        `json:"steps" doc:"in words"`
	From     time.Time       `json:"from" doc:"the time that its figures are of"`
	To       time.Time       `json:"to"`
	Requests uint64          `json:"requests" doc:"that both variants answered in this time"`
	Metrics  []PlannedMetric `json:"metrics"`
	Pauses   Seconds         `json:"pausesSeconds" doc:"how long its pauses take together"`
	Decided  *Seconds        `json:"decidedSeconds" nullable:"true" doc:"how long it takes, about, until every guardrail and goal passes of a candidate that is as good as stable; null: not known, or never"`
	Horizon  Seconds         `json:"horizonSeconds" doc:"how long it takes, about: the longer of both; the harm that is found is that until then"`
	Says     []string        `json:"says" doc:"the gist, in sentences"`
	Warnings []string        `json:"warnings" doc:"what may not be as it is meant"`
}

// Seconds are a time in seconds.
type Seconds float64

// String writes the time for people, by its two largest units: 12h, 1h30m, 9d4h, 250ms.
func (s Seconds) String() string {
	d := time.Duration(float64(s) * float64(time.Second))
	unit := time.Millisecond
	switch {
	case d >= 24*time.Hour:
		unit = time.Hour
	case d >= time.Hour:
		unit = time.Minute
	case d >= 10*time.Minute:
		unit = time.Minute
	case d >= time.Minute:
		unit = time.Second
	case d >= time.Second:
		unit = 100 * time.Millisecond
	}
	d = d.Round(unit)
	text := ""
	if days := d / (24 * time.Hour); days > 0 {
		text, d = fmt.Sprintf("%dd", days), d%(24*time.Hour)
		if d == 0 {
			return text
		}
	}
	rest := d.String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	return text + rest
}

// PlannedMetric is what a release would find out about one metric, and when.
type PlannedMetric struct {
	Metric   string       `json:"metric"`
	Role     release.Role `json:"role"`
	Now      *float64     `json:"now" nullable:"true" doc:"its value for stable; null: there are no data"`
	N        uint64       `json:"n" doc:"the observations behind that"`
	PerHour  float64      `json:"perHour" doc:"observations of both variants"`
	Share    float64      `json:"share" doc:"the candidate's part of them at the step that the figures are for"`
	Passes   *Seconds     `json:"passesSeconds" nullable:"true" doc:"when it passes, about, of a candidate that is as good as stable; null: not known, or never"`
	Harm     *float64     `json:"harm" nullable:"true" doc:"the smallest harm that it finds until then, about half of the times, in the metric's unit: how much worse than stable, or than the limit; null: not known"`
	Says     string       `json:"says" doc:"the same in a sentence"`
	Warnings []string     `json:"warnings"`
}
