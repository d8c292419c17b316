package config

import (
	"fmt"

	"github.com/serin-ml/serin/internal/release"
)

// steps checks each step, and whether they make sense in this order.
func (r releaseReader) steps() {
	steps := r.release.Steps
	if len(steps) == 0 || len(steps) > maxSteps {
		r.tell(".steps", fmt.Sprintf("there are %d steps", len(steps)), fmt.Sprintf("give 1 to %d, like [{setWeight: 20}, {pause: 12h}, {analysis: {}}]", maxSteps))
		return
	}
	share := Percent(0)
	ever := false
	for i := range steps {
		s, at := &steps[i], fmt.Sprintf(".steps[%d]", i)
		switch r.stepKind(s, at) {
		case "":
			ever, share = true, 1 // what it was meant to be is not known: the others are not judged by it
		case "setWeight":
			r.ofStrategy(at+".setWeight", release.Canary, "the candidate of a shadow gets no share of the traffic", "write mirror, or strategy: canary")
			share = value(s.SetWeight)
		case "mirror":
			r.ofStrategy(at+".mirror", release.Shadow, "the candidate of a canary gets no copies", "write setWeight, or strategy: shadow")
			share = value(s.Mirror)
		case "pause":
			if s.Pause != nil {
				r.span(at+".pause", *s.Pause, 1, maxRelease, "more than 0 and at most 365d, like 12h; approval waits for somebody")
			}
		case "analysis":
			r.analysis(s, at, share)
		case "approval":
			s.Approval = &ApprovalStep{} // however it was written
		}
		ever = ever || share > 0
	}
	if !ever {
		r.tell(".steps", "no step gives the candidate any requests, so that nothing is found out", "begin with {setWeight: 20}, or {mirror: 100} of a shadow")
	}
}

func value(p *Percent) Percent {
	if p == nil {
		return 0
	}
	return *p
}

// stepKind returns the one key that a step has, "" with a problem told where there is none, or more than one.
func (r releaseReader) stepKind(s *ReleaseStep, at string) string {
	var given []string
	for _, k := range []string{"setWeight", "mirror", "pause", "analysis", "approval"} {
		if r.doc.Has(r.at + at + "." + k) {
			given = append(given, k)
		}
	}
	switch {
	case len(given) == 0:
		r.tell(at, "this step does nothing", "give setWeight, mirror, pause, analysis or approval")
		return ""
	case len(given) > 1:
		r.tell(at+"."+given[1], fmt.Sprintf("this step has %s too, and a step does one thing", given[0]), "give it a step of its own")
		return ""
	}
	set := map[string]bool{"setWeight": s.SetWeight != nil, "mirror": s.Mirror != nil, "pause": s.Pause != nil, "analysis": true, "approval": true}
	if !set[given[0]] {
		r.tell(at+"."+given[0], "nothing is given", "give a value, or remove the step")
		return ""
	}
	return given[0]
}

func (r releaseReader) ofStrategy(key string, want release.Strategy, message, hint string) {
	if r.release.Strategy != want {
		r.tell(key, message, hint)
	}
}

func (r releaseReader) analysis(s *ReleaseStep, at string, share Percent) {
	if s.Analysis == nil {
		s.Analysis = &AnalysisStep{} // however it was written
	}
	if r.doc.Has(r.at + at + ".analysis.maxDuration") {
		r.span(at+".analysis.maxDuration", s.Analysis.MaxDuration, 1, maxRelease, "more than 0 and at most 365d, like 2h")
	}
	if share == 0 {
		r.tell(at, "the candidate gets no requests at this step: there is nothing to analyse", "give it a share before, like {setWeight: 20}")
	}
	for i := range r.release.Metrics {
		if role := r.release.Metrics[i].Role; role == release.Guardrail || role == release.Goal {
			return
		}
	}
	r.tell(at, "an analysis waits for guardrails and goals, and the release has none", "give a metric the role guardrail or goal, or remove the analysis")
}
