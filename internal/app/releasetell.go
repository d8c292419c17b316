package app

import (
	"fmt"
	"strings"

	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/release"
)

// messageOf tells people of a transition: one sentence, and the verdicts that it was made of.
func messageOf(s *release.State, t *release.Transition) notify.Message {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n\nRelease %s of service %s, from %s to %s.\n", t.Sentence, s.ID, s.Plan.Service, s.Plan.Stable, s.Plan.Candidate)
	if len(t.Verdicts) > 0 {
		text.WriteString("\n")
		for i := range t.Verdicts {
			v := &t.Verdicts[i]
			fmt.Fprintf(&text, "%-12s  %s (%s): %s\n", v.Outcome, v.Metric, v.Role, v.Sentence)
		}
	}
	fields := map[string]string{"release": s.ID, "service": s.Plan.Service, "phase": string(t.Phase), "by": t.By}
	if t.Phase != release.Promoted { // behind it there is no candidate
		fields["candidate's share"] = fmt.Sprintf("%g%%", t.Percent)
	}
	return notify.Message{
		Key: fmt.Sprintf("release/%s/%020d", s.ID, t.Seq), At: t.At, Kind: "release", Level: levelOf(t.What), Text: text.String(),
		Subject: notify.OneLine(fmt.Sprintf("%s: %s", s.ID, t.Sentence)),
		Fields:  fields,
	}
}

func levelOf(what release.What) notify.Level {
	switch what {
	case release.EndedWell:
		return notify.Good
	case release.Held, release.Failed:
		return notify.Warning
	case release.RollBack, release.EndedBack:
		return notify.Bad
	case release.Start, release.Advance, release.Resumed, release.Approved, release.Promote, release.Effected, release.Restarted:
	}
	return notify.Info
}
