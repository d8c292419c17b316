package app

import (
	"fmt"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/release"
)

const shadowText = `services:
  - name: movies
    path: /recommend/
    variants: [{name: stable, upstream: "%s"}, {name: canary, upstream: "%s"}]
    traffic: {weights: {stable: 1}, sticky: {unit: "header:X-User"}}
    shadow: [{variant: canary, percent: 0}]
releases:
  - name: movies
    service: movies
    candidate: canary
    strategy: shadow
    steps: [{mirror: 100}, {approval: {}}]
    metrics: [{name: agreement, min: 50%%}]
`

func TestAReleaseOfAShadowCopiesTrafficAsLongAsItIsUnderWay(t *testing.T) {
	m := &moving{stable: newVariantServer(t, "the same"), canary: newVariantServer(t, "the same")}
	c := readText(t, fmt.Sprintf(shadowText, m.stable.URL, m.canary.URL))
	onAnyPort(c)
	m.running = startWith(t, options(t.TempDir()), c)
	m.until(t, "both are ready", func(s []api.Service) bool {
		return len(s) == 2 && s[0].State == "ready" && s[1].State == "ready"
	})
	defer m.users(t)()
	m.eventually(t, "users are answered", func() bool { return m.stable.asked.Load() > 50 })
	if n := m.canary.asked.Load(); n != 0 {
		t.Errorf("%d copies before the release", n)
	}
	_, err := m.client.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "ann"})
	must(t, err)
	m.eventually(t, "requests are copied", func() bool { return m.canary.asked.Load() > 50 })
	r := m.reaches(t, "a verdict", func(r api.Release) bool {
		return len(r.Verdicts) == 1 && r.Verdicts[0].N > 100
	})
	if r.Percent != 0 || r.Mirrored != 100 {
		t.Errorf("the candidate answers %v%%, and gets copies of %v%%", r.Percent, r.Mirrored)
	}
	m.wants(t, "movies", release.WantAbort)
	m.eventually(t, "no more copies are made", func() bool {
		copies, asked := m.canary.asked.Load(), m.stable.asked.Load()
		m.eventually(t, "users go on", func() bool { return m.stable.asked.Load() > asked+40 })
		return m.canary.asked.Load() == copies
	})
	if m.failed.Load() != 0 {
		t.Errorf("%d requests failed", m.failed.Load())
	}
}
