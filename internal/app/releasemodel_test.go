package app

import (
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
)

const modelText = `services:
  - name: m
    variants: [{name: stable, model: "models:/m@champion"}, {name: next, model: "models:/m@candidate"}]
    traffic: {weights: {stable: 1}, sticky: {unit: client}}
releases:
  - {name: m, service: m, candidate: next, steps: [{setWeight: 20}, {approval: {}}]}
`

// released is a server whose service m has version 1 as champion, and 2 as candidate.
func released(t *testing.T) *moving {
	t.Helper()
	o, d := withModels(t)
	must(t, d.Close())
	c := readText(t, modelText)
	onAnyPort(c)
	m := &moving{running: startWith(t, o, c)}
	m.until(t, "both are ready", func(s []api.Service) bool { return len(s) == 2 && s[0].Version == 1 && s[1].Version == 2 })
	return m
}

// alias moves one.
func (m *moving) alias(t *testing.T, alias, to string, supersede bool) error {
	_, err := m.client.MoveAlias(t.Context(), "m", alias, api.AliasChange{To: to, By: "bob", Supersede: supersede})
	return err
}

func (m *moving) wants(t *testing.T, id string, w release.Wish) {
	t.Helper()
	_, err := m.client.CommandRelease(t.Context(), id, release.Command{What: w, By: "bob", Why: "it is time"})
	must(t, err)
}

func TestAModelIsPromotedByItsAliasWhichNobodyMovesMeanwhile(t *testing.T) {
	m := released(t)
	_, err := m.client.StartRelease(t.Context(), "m", api.ReleaseStart{By: "ann"})
	must(t, err)
	for _, alias := range []string{"champion", "candidate"} {
		if err := m.alias(t, alias, "3", false); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "m-1") {
			t.Errorf("%s is moved under the release: %v", alias, err)
		}
	}
	must(t, m.alias(t, "tested", "3", false)) // which is nobody's
	m.wants(t, "m", release.WantApproval)
	m.until(t, "stable is the version that was promoted", func(s []api.Service) bool { return s[0].Version == 2 })
	m.eventually(t, "it has ended", func() bool {
		r, err := m.client.Release(t.Context(), "m")
		return err == nil && r.Phase == release.Promoted
	})
	must(t, m.alias(t, "candidate", "3", false))
	m.until(t, "aliases are followed again", func(s []api.Service) bool { return s[1].Version == 3 })
	d, err := m.client.Model(t.Context(), "m")
	must(t, err)
	if move := d.Moves[len(d.Moves)-2]; move.Alias != "champion" || move.To != 2 || move.By != "release m-1" {
		t.Errorf("the promotion is kept as %+v", move)
	}
	shown, err := m.client.ServiceTraffic(t.Context(), "m")
	must(t, err)
	if shown.Weights.Share("next") != 0 || shown.Source != "file" {
		t.Errorf("behind the release the candidate has %v by the %s", shown.Weights, shown.Source)
	}
}

func TestAnAliasThatIsMovedOnPurposeBeginsTheReleaseAnew(t *testing.T) {
	m := released(t)
	_, err := m.client.StartRelease(t.Context(), "m", api.ReleaseStart{By: "ann"})
	must(t, err)
	must(t, m.alias(t, "candidate", "3", true))
	m.eventually(t, "the next one has begun", func() bool {
		r, err := m.client.Release(t.Context(), "m")
		return err == nil && r.ID == "m-2" && r.Phase == release.Running && r.Bound.Number == 3 && r.Percent == 20
	})
	first, err := m.client.Release(t.Context(), "m-1")
	must(t, err)
	if first.Phase != release.RolledBack || !strings.Contains(first.Reason, "is version 3") {
		t.Errorf("the first one is %s: %s", first.Phase, first.Reason)
	}
	second, err := m.client.StartRelease(t.Context(), "m", api.ReleaseStart{By: "ann", Why: "once more", Supersede: true})
	must(t, err)
	if second.ID != "m-3" {
		t.Errorf("what supersedes m-2 is %s", second.ID)
	}
	m.wants(t, "m-3", release.WantAbort)
	m.until(t, "stable is what it was", func(s []api.Service) bool { return s[0].Version == 1 })
}

func TestAPromotionThatIsTakenBackMovesTheAliasBack(t *testing.T) {
	models, blobs := threeModels(t)
	f := fates()[4]
	w := newWorld(t, f.plan())
	w.state, w.blobs = models.clone(), blobs
	w.plan.Model, w.plan.Alias = "m", "champion"
	w.data.variants = map[string]standing{"stable": {There: true, Ref: "models:/m@champion"}, "canary": {There: true, Ref: "models:/m@candidate"}}
	s, err := w.boot(w.state)
	must(t, err)
	w.reload(s.Registry, s)
	s.Moved = func() {} // the version that is promoted does not load
	s.start()
	_, err = s.CommandRelease(t.Context(), "movies", release.Command{What: release.WantPromotion, By: "bob"})
	must(t, err)
	champion := func() int {
		v, err := s.Registry.Resolve(t.Context(), registry.Ref{Model: "m", Alias: "champion"})
		must(t, err)
		return v.Number
	}
	s.pass(10 * time.Second)
	s.wantPhase("stable does not answer with it yet", release.Promoting)
	if champion() != 2 {
		t.Fatal("the alias is not moved")
	}
	w.data.is("stable", func(s *standing) { s.Trouble = "out of memory" })
	s.pass(20 * time.Second)
	if r := s.newest(); !strings.Contains(r.Held, "out of memory") {
		t.Errorf("it is held %q", r.Held)
	}
	_, err = s.CommandRelease(t.Context(), "movies", release.Command{What: release.WantAbort, By: "bob"})
	must(t, err)
	s.turn()
	s.wantPhase("aborted", release.RolledBack)
	if champion() != 1 {
		t.Error("the alias is not moved back")
	}
	w.wantShare("aborted", 0)
	w.check("aborted")
}
