package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
)

// The documents of releases, their keys, and the version of their formats:
//
//	release/active/<service>       activeDoc: which release leads the service; absent where none does
//	release/state/<id>             releaseDoc
//	release/journal/<id>/<seq>     journalDoc; written once
//	release/number/<name>          numberDoc: the last number given out to a template
//
// A document of a state is replaced only if nobody else has replaced it since it was read. Whoever writes a transition writes the active
// document too, so that its revision tells all others that theirs is old.
const (
	activePrefix = "release/active/"
	statePrefix  = "release/state/"
)

func activeKey(service string) string      { return activePrefix + service }
func stateKey(id string) string            { return statePrefix + id }
func numberKey(name string) string         { return "release/number/" + name }
func journalPrefix(id string) string       { return "release/journal/" + id + "/" }
func journalKey(id string, seq int) string { return fmt.Sprintf("%s%020d", journalPrefix(id), seq) }

// activeDoc says which release leads a service.
type activeDoc struct {
	Format  int      `json:"format"`
	ID      string   `json:"id"`
	Aliases []string `json:"aliases,omitempty"` // that it is bound to, as model@alias: they do not move meanwhile
}

// releaseDoc is a release and what else its runner remembers of it.
type releaseDoc struct {
	Format int           `json:"format"`
	State  release.State `json:"state"`
	Refs   [2]string     `json:"refs"`            // of stable and the candidate, as the file had them; "" of what is no model
	Next   *successor    `json:"next,omitempty"`  // what is to begin once this one has ended
	Moved  bool          `json:"moved,omitempty"` // the promotion has moved the alias
	Hooks  []api.HookRun `json:"hooks,omitempty"`
}

// successor is a release that is to begin in place of another.
type successor struct {
	Name string `json:"name"` // of the template
	By   string `json:"by"`
	Why  string `json:"why,omitempty"`
}

type journalDoc struct {
	Format int `json:"format"`
	release.Transition
}

type numberDoc struct {
	Format int `json:"format"`
	Last   int `json:"last"`
}

// getRelease reads a release and the revision of its document.
func getRelease(r store.Reader, id string) (d releaseDoc, revision int64, err error) {
	doc, err := r.Get(stateKey(id))
	if err != nil {
		return d, 0, err
	}
	d, err = decodeJSON[releaseDoc](doc)
	return d, doc.Revision, err
}

// putRelease writes a release if its document has that revision, and returns the new one.
func putRelease(tx store.Tx, d *releaseDoc, was int64) (int64, error) {
	d.Format = trafficFormat
	b, err := json.Marshal(d)
	if err != nil {
		return 0, fault.Internalf("write release %s: %w", d.State.ID, err)
	}
	return tx.Put(stateKey(d.State.ID), b, was)
}

// activeReleases reads which releases lead which services, with the revisions of the documents that say so.
func activeReleases(r store.Reader, found func(service string, a activeDoc, revision int64) error) error {
	return r.Scan(activePrefix, func(d store.Doc) error {
		a, err := decodeJSON[activeDoc](d)
		if err != nil {
			return err
		}
		return found(strings.TrimPrefix(d.Key, activePrefix), a, d.Revision)
	})
}

// journalOf reads the transitions of a release after seq, the oldest first.
func journalOf(r store.Reader, id string, after int) (journal []release.Transition, err error) {
	for seq := after + 1; ; seq++ {
		d, err := getJSON[journalDoc](r, journalKey(id, seq))
		if fault.KindOf(err) == fault.NotFound {
			return journal, nil
		}
		if err != nil {
			return nil, err
		}
		journal = append(journal, d.Transition)
	}
}

// findRelease returns the id of the release that people mean: by its id, or the newest of a template by its name.
func findRelease(r store.Reader, named string) (id string, err error) {
	if store.CheckKey(stateKey(named)) != nil {
		return "", fault.NotFoundf("there is no release %.80q", named).WithHint("`serin release list` names those that there are")
	}
	if n, err := getJSON[numberDoc](r, numberKey(named)); err == nil {
		return releaseID(named, n.Last), nil
	} else if fault.KindOf(err) != fault.NotFound {
		return "", err
	}
	if _, err := r.Get(stateKey(named)); fault.KindOf(err) == fault.NotFound {
		return "", fault.NotFoundf("there is no release %.80q", named).WithHint("`serin release list` names those that there are, and `serin release start` begins one")
	} else if err != nil {
		return "", err
	}
	return named, nil
}

func releaseID(name string, number int) string { return name + "-" + strconv.Itoa(number) }

// nextRelease gives out the next number of a template.
func nextRelease(tx store.Tx, name string) (id string, err error) {
	n, err := getJSON[numberDoc](tx, numberKey(name))
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return "", err
	}
	n.Format, n.Last = trafficFormat, n.Last+1
	return releaseID(name, n.Last), putJSON(tx, numberKey(name), n, store.Any)
}

// boundAliases are the aliases that a release is bound to. The one that its promotion moves is that of stable.
func (d *releaseDoc) boundAliases() (all []string) {
	for _, text := range d.Refs {
		if ref := refOf(text); ref.Alias != "" {
			all = append(all, ref.Model+"@"+ref.Alias)
		}
	}
	return slices.Compact(all)
}

// guardAliases tells that a release is bound to an alias; nil: none is.
func guardAliases(r store.Reader, model, alias string) error {
	return activeReleases(r, func(service string, a activeDoc, _ int64) error {
		if !slices.Contains(a.Aliases, model+"@"+alias) {
			return nil
		}
		return fault.Conflictf("alias %q of model %q is bound by release %s of service %s", alias, model, a.ID, service).
			WithHint("wait for its end, or abort it (`serin release abort %s`); `serin model alias --supersede` moves the alias, and lets the release begin anew", a.ID)
	})
}

// refOf reads a reference that was written down; one of nothing is zero. A model alone is its champion.
func refOf(text string) registry.Ref {
	ref, err := registry.ParseRef(text)
	if err != nil {
		return registry.Ref{}
	}
	if ref == (registry.Ref{Model: ref.Model}) {
		ref.Alias = registry.Champion
	}
	return ref
}

// hookKept is how much of what a hook said is kept, in bytes, and hooksKept of how many.
const (
	hookKept  = 4 << 10
	hooksKept = 16
)

// said adds what a hook did to a release's document.
func (d *releaseDoc) said(h api.HookRun) {
	hooks := append(append([]api.HookRun(nil), d.Hooks...), h)
	d.Hooks = hooks[max(0, len(hooks)-hooksKept):]
}

// since is how long ago t was, none where it is not known.
func since(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return now.Sub(t)
}

// marshal writes a document.
func marshal(key string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.Internalf("write document %s: %w", key, err)
	}
	return b, nil
}
