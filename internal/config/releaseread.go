package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// Bounds of releases.
const (
	maxReleases = 1000
	maxSteps    = 100
	maxMetrics  = 32
	maxChance   = 50 // percent
	maxRelease  = 365 * 24 * time.Hour
	maxNoData   = 30 * 24 * time.Hour
	maxLease    = time.Hour
	maxHook     = 24 * time.Hour
	maxExec     = 64
	maxArgument = 4096
)

// releaseReader checks one release.
type releaseReader struct {
	doc     *strictyaml.Doc
	at      string
	config  *Config
	release *Release
	service *Service // nil: there is none of that name
}

func (r releaseReader) tell(key, message, hint string) { r.doc.Problem(r.at+key, message, hint) }

func checkReleases(doc *strictyaml.Doc, c *Config) {
	if len(c.Releases) > maxReleases {
		doc.Problem("releases", fmt.Sprintf("there are %d releases", len(c.Releases)), fmt.Sprintf("keep to %d", maxReleases))
		return
	}
	named := map[string]int{}
	for i := range c.Releases {
		one := &c.Releases[i]
		r := releaseReader{doc, fmt.Sprintf("releases[%d]", i), c, one, c.Service(one.Service)}
		checkName(doc, r.at+".name", one.Name)
		if before, twice := named[one.Name]; twice {
			line, _ := doc.At(fmt.Sprintf("releases[%d].name", before))
			r.tell(".name", fmt.Sprintf("there is a release %q already, on line %d", one.Name, line), "choose another name")
		} else {
			named[one.Name] = i
		}
		if r.service == nil {
			r.tell(".service", fmt.Sprintf("there is no service %.80q", one.Service), "name one of services")
		} else {
			r.variants()
		}
		r.strategy()
		r.settings()
		r.steps()
		if one.Strategy == release.Shadow && !doc.Has(r.at+".metrics") {
			one.Metrics = nil // the default is a canary's
		}
		r.metrics()
		r.hooks()
	}
}

// variants checks who is candidate, who is stable, and what becomes of them.
func (r releaseReader) variants() {
	s, names := r.service, r.service.VariantNames()
	if !slices.Contains(names, r.release.Candidate) {
		r.tell(".candidate", fmt.Sprintf("service %s has no variant %.80q", s.Name, r.release.Candidate), "name one of its variants; a new one needs no weight")
		return
	}
	weights := s.Traffic.FileWeights(names)
	if w, given := weights[r.release.Candidate]; given && !w.IsZero() && len(names) > 1 {
		line, _ := r.doc.At(r.at)
		at := slices.IndexFunc(r.config.Services, func(other Service) bool { return other.Name == s.Name })
		r.doc.Problem(fmt.Sprintf("services[%d].traffic.weights%s", at, key(r.release.Candidate)),
			fmt.Sprintf("the share of %s is the business of release %s, on line %d, whose candidate it is", r.release.Candidate, r.release.Name, line), "remove this weight, or write 0")
		return // and who is stable is not to be told from such weights
	}
	stable := r.release.StableIn(s)
	switch w := weights[stable]; {
	case stable == "":
		r.tell(".stable", "this key is missing, and the service has several variants with a weight, or none", "name the variant that the candidate is to take the place of")
		return
	case !slices.Contains(names, stable):
		r.tell(".stable", fmt.Sprintf("service %s has no variant %.80q", s.Name, stable), "name one of its variants")
		return
	case stable == r.release.Candidate:
		r.tell(".candidate", fmt.Sprintf("%s is stable already", stable), "name another variant of the service; add it if there is none")
		return
	case w.IsZero():
		r.tell(".stable", fmt.Sprintf("%s has no traffic that the candidate could get", stable), "name a variant that has a weight")
		return
	}
	r.promotion(s.variant(stable), s.variant(r.release.Candidate))
	if r.release.Strategy == release.Shadow && !slices.ContainsFunc(s.Shadows, func(sh Shadow) bool { return sh.Variant == r.release.Candidate }) {
		r.tell(".candidate", fmt.Sprintf("%s is no shadow of service %s, so that it is not known how answers are compared", r.release.Candidate, s.Name),
			fmt.Sprintf("add {variant: %s, percent: 0} to its shadow list, with compare where the usual comparison is not meant; the release sees to the share", r.release.Candidate))
	}
}

// promotion checks that the promotion changes something.
func (r releaseReader) promotion(stable, candidate *Variant) {
	if candidate.Model != "" && r.doc.Has(r.at+".hooks") {
		r.tell(".hooks", "hooks promote an upstream, and the candidate is a version of a model", "remove them")
	}
	if _, same := r.release.model(r.service); !same {
		if r.doc.Has(r.at + ".alias") {
			r.tell(".alias", "no alias is moved where stable and candidate are not versions of one model", "remove it")
		}
		return
	}
	a, _ := registry.ParseRef(stable.Model) // of which model has made sure that they can be read
	b, _ := registry.ParseRef(candidate.Model)
	follows := func(ref registry.Ref) string {
		if ref.Alias == "" && ref.Number == 0 && ref.Semver == "" && ref.Digest == (store.Digest{}) {
			return registry.Champion
		}
		return ref.Alias
	}
	switch {
	case follows(a) == "":
		r.tell(".candidate", fmt.Sprintf("stable stays with %s, whatever alias a promotion moves", stable.Model), fmt.Sprintf("let variant %s follow models:/%s@%s", stable.Name, a.Model, r.release.Alias))
	case follows(a) != r.release.Alias:
		r.tell(".alias", fmt.Sprintf("a promotion would move the alias %.80q, and stable follows %s", r.release.Alias, follows(a)), "write alias: "+follows(a))
	case follows(b) == follows(a):
		r.tell(".candidate", fmt.Sprintf("%s follows the alias %s as stable does: both are always the same version", candidate.Name, follows(a)),
			fmt.Sprintf("let it follow another, as models:/%s@candidate, or name a version, as models:/%s/3", a.Model, a.Model))
	}
}

func (r releaseReader) strategy() {
	if r.release.Strategy != release.Canary && r.release.Strategy != release.Shadow {
		r.tell(".strategy", fmt.Sprintf("%.40q is no strategy", r.release.Strategy), "write canary or shadow")
	}
}

func (r releaseReader) settings() {
	t := r.release
	for _, p := range []struct {
		key string
		is  Percent
	}{{".falseRollback", t.FalseRollback}, {".falsePromotion", t.FalsePromotion}} {
		if p.is <= 0 || p.is > maxChance {
			r.tell(p.key, fmt.Sprintf("%v%% is out of range", float64(p.is)), "give more than 0% and at most 50%, like 5%")
		}
	}
	for _, p := range []struct {
		key   string
		is    release.Policy
		words []release.Policy
		hint  string
	}{
		{".onRestart", t.OnRestart, []release.Policy{release.Hold, release.Resume, release.Rollback}, "write hold, resume or rollback"},
		{".onNoData", t.OnNoData, []release.Policy{release.Hold, release.Rollback}, "write hold or rollback"},
		{".onInconclusive", t.OnInconclusive, []release.Policy{release.Hold, release.Rollback}, "write hold or rollback"},
	} {
		if !slices.Contains(p.words, p.is) {
			r.tell(p.key, fmt.Sprintf("%.40q says nothing here", p.is), p.hint)
		}
	}
	r.span(".noData", t.NoData, time.Second, maxNoData, "1s to 30d")
	r.span(".lease", t.Lease, time.Second, maxLease, "1s to 1h, like 30s")
	r.span(".maxDuration", t.MaxDuration, time.Second, maxRelease, "1s to 365d, like 7d")
	if pauses := t.length(); pauses >= t.MaxDuration {
		r.tell(".maxDuration", fmt.Sprintf("the pauses take %v together, and the release may take %v", pauses, t.MaxDuration), "give more than the pauses, and time for its analyses")
	}
}

// span tells of a time that is out of range.
func (r releaseReader) span(key string, is, from, to time.Duration, hint string) {
	if is < from || is > to {
		r.tell(key, fmt.Sprintf("%v is out of range", is), "give "+hint)
	}
}

func (r releaseReader) hooks() {
	for _, h := range r.release.Hooks.all() {
		if h.hook == nil {
			continue
		}
		at := ".hooks." + h.name
		exec, asked := r.doc.Has(r.at+at+".exec"), r.doc.Has(r.at+at+".url")
		switch {
		case exec == asked:
			r.tell(at, "a hook is a command or an address: one of exec and url", "give one of both")
		case exec && (len(h.hook.Exec) == 0 || len(h.hook.Exec) > maxExec || h.hook.Exec[0] == ""):
			r.tell(at+".exec", "there is no program, or there are too many arguments", fmt.Sprintf("give the program and its arguments, up to %d, like [./deploy.sh, movies]", maxExec))
		case exec && slices.ContainsFunc(h.hook.Exec, isNoArgument):
			r.tell(at+".exec", "an argument holds a zero byte, or is too long", fmt.Sprintf("keep each to %d bytes", maxArgument))
		case asked:
			checkURL(r.doc, r.at+at+".url", h.hook.URL)
		}
		r.span(at+".timeout", h.hook.Timeout, time.Second, maxHook, "1s to 24h, like 5m")
	}
	if h := r.release.Hooks; h.Undo != nil && h.Build == nil && h.Deploy == nil && h.Ready == nil {
		r.tell(".hooks.undo", "there is nothing to undo: the release has no other hook", "add build, deploy or ready, or remove it")
	}
}
