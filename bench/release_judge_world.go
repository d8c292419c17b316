package main

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/stat"
)

// public is who asks a service in a simulation, and what a day is like there.
type public struct {
	rate    float64 // requests a minute, on the average of the day
	perUser float64 // requests of a user in twelve hours, on average
	bad     float64 // the share of users for whom half of all requests fail, whoever answers
	errors  float64 // the share of requests that fail for all others
}

// candidate is how the new variant differs from stable.
type candidate struct {
	errors    float64 // times as many
	fallbacks float64 // times as many of the failures are answered by the fallback
	slower    float64 // times as long
	tail      float64 // the share of its answers that take four times as long
	wrong     float64 // by how much less often it is right
}

var equal = candidate{errors: 1, fallbacks: 1, slower: 1}

// world is a simulated service in the middle of a release.
type world struct {
	random   *rand.Rand
	public   public
	like     candidate
	users    []user
	minute   int
	segments []release.Segment
	plain    [2]plainFigures // what a rule without statistics would look at
	window   [2]window       // of this minute
	failed   int             // requests, of both arms
	asked    uint64          // of the candidate
}

// user is one who asks. Users stay who they are: in which bucket, on which side of a split, how slow their network is, how hard their cases.
type user struct {
	bucket int
	place  float64 // is the candidate's where it is below the candidate's share
	fails  float64
	slow   float64
	right  float64
	erred  bool
}

// window is what a threshold on the last minute sees of an arm.
type window struct{ requests, errors int }

// plainFigures are moments of single requests: errors, seconds, slow answers, fallbacks, wrong labels. Less of each is better.
type plainFigures [5]stat.Moments

const (
	twelveHours = 12 * 60 // minutes
	slowAnswer  = 0.45    // seconds; about the p99
)

func newWorld(seed uint64, p public, like candidate) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 7)), public: p, like: like}
	w.users = make([]user, int(p.rate*twelveHours/p.perUser))
	for i := range w.users {
		u := user{
			bucket: w.random.IntN(release.Buckets), place: w.random.Float64(), fails: p.errors, slow: math.Exp(0.3 * w.random.NormFloat64()),
			right: 0.85 + 0.1*w.random.Float64(),
		}
		if w.random.Float64() < p.bad {
			u.fails = 0.5
		}
		w.users[i] = u
	}
	return w
}

// setShare begins a segment where the candidate's share is another than before.
func (w *world) setShare(share float64) {
	if n := len(w.segments); n == 0 || w.segments[n-1].Share != share {
		w.segments = append(w.segments, release.Segment{Share: share})
	}
}

// pass lets a minute pass. Half way through the twelve hours there is more traffic, it is slower, and more of it fails.
func (w *world) pass() {
	wave := math.Sin(math.Pi * float64(w.minute) / twelveHours)
	w.window = [2]window{}
	for range poisson(w.random, w.public.rate*(0.5+wave*math.Pi/4)) {
		w.ask(1 + wave)
	}
	w.minute++
}

// ask lets one user ask, when everything takes and fails so many times as much as at its best.
func (w *world) ask(hard float64) {
	r := w.random
	u := &w.users[r.IntN(len(w.users))]
	s := &w.segments[len(w.segments)-1]
	arm, like, at := &s.Stable, equal, 0
	if u.place < s.Share {
		arm, like, at = &s.Candidate, w.like, 1
		w.asked++
	}
	b, plain := u.bucket, &w.plain[at]
	arm.Failed[b].Z++
	arm.Fellback[b].Z++
	w.window[at].requests++
	fails := u.fails
	if fails < 0.5 { // who fails half of the time does so at all hours
		fails *= hard * 2 / (1 + math.Pi/2)
	}
	failed, fellBack := r.Float64() < min(fails*like.errors, 1), false
	if failed {
		w.failed++
		arm.Failed[b].Y++
		w.window[at].errors++
		if !u.erred {
			u.erred = true
			arm.Erred++
		}
		if fellBack = r.Float64() < min(0.5*like.fallbacks, 1); fellBack {
			arm.Fellback[b].Y++
		}
	}
	plain[0].Add(one(failed))
	plain[3].Add(one(fellBack))
	if failed {
		return
	}
	took := 0.08 * u.slow * like.slower * (0.8 + 0.2*hard) * math.Exp(r.NormFloat64()/2)
	if like.tail > 0 && r.Float64() < like.tail {
		took *= 4
	}
	arm.Took[b].Y += took
	arm.Took[b].Z++
	if arm.Latencies[b] == nil {
		arm.Latencies[b] = new(stat.Sketch)
	}
	arm.Latencies[b].Add(took * 1e6)
	plain[1].Add(took)
	plain[2].Add(one(took > slowAnswer))
	if r.Float64() < 0.2 {
		right := r.Float64() < u.right-like.wrong
		arm.Right[b].Z++
		arm.Right[b].Y += one(right)
		plain[4].Add(one(!right))
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// poisson draws a count of the given mean: by products of uniform numbers, in pieces that do not underflow.
func poisson(r *rand.Rand, mean float64) (n int) {
	for ; mean > 0; mean -= 30 {
		for product, least := r.Float64(), math.Exp(-min(mean, 30)); product > least; product *= r.Float64() {
			n++
		}
	}
	return n
}

// fiveGuardrails are what the releases of the simulation are judged by.
var fiveGuardrails = []release.Metric{
	{Name: "errors", Role: release.Guardrail, Measure: release.Errors, Versus: true, Margin: 0.01},
	{Name: "latency", Role: release.Guardrail, Measure: release.Latency, Versus: true, Margin: 0.01},
	{Name: "p99", Role: release.Guardrail, Measure: release.Latency, Quantile: 0.99, Versus: true, Margin: 0.15},
	{Name: "fallbacks", Role: release.Guardrail, Measure: release.Fallbacks, Versus: true, Margin: 0.01},
	{Name: "accuracy", Role: release.Guardrail, Measure: release.Accuracy, Versus: true, Margin: 0.05},
}

// statedFalseRollback is what the plans promise, over all guardrails and looks together.
const statedFalseRollback = 0.05

// course is a release as Serin runs it, over a simulated service.
type course struct {
	state release.State
	now   time.Time
}

func begin(steps ...release.PlanStep) (c course, err error) {
	c.now = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	c.state, _, err = release.Begin("simulated-1", release.Plan{
		Name: "simulated", Service: "simulated", Stable: "stable", Candidate: "canary", Strategy: release.Canary, Steps: steps, Metrics: fiveGuardrails,
		OnRestart: release.Hold, OnNoData: release.Hold, OnInconclusive: release.Hold, FalseRollback: statedFalseRollback, FalsePromotion: 0.05, Lease: 5 * time.Minute,
	}, release.Bound{Version: "old"}, release.Bound{Version: "new"}, "bench", c.now)
	return c, err
}

// look shows the release a minute's figures, as of all before.
func (c *course) look(segments []release.Segment, asked uint64) (err error) {
	c.now = c.now.Add(time.Minute)
	c.state, _, err = release.Step(c.state, release.Input{Look: &release.Look{Segments: segments, Asked: asked}}, c.now)
	return err
}

// rolledBack names the guardrail for which the release went back, "" if it did not.
func (c *course) rolledBack() string {
	if c.state.Phase != release.RollingBack {
		return ""
	}
	for _, v := range c.state.Verdicts {
		if v.Outcome == release.Fail {
			return v.Metric
		}
	}
	return "nothing"
}

func weight(percent float64) release.PlanStep {
	return release.PlanStep{Kind: release.SetWeight, Percent: percent}
}

func pause(minutes int) release.PlanStep {
	return release.PlanStep{Kind: release.Pause, Duration: time.Duration(minutes) * time.Minute}
}
