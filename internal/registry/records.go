package registry

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// Version is a version of a model. But for Removed it never changes.
type Version struct {
	Model        string            `json:"model"`
	Number       int               `json:"number"`           // from 1, in the order of import; never given out twice
	Semver       string            `json:"version"`          // semantic version
	Digest       store.Digest      `json:"digest"`           // of the manifest, and so of everything
	Parent       int               `json:"parent,omitempty"` // number of the version that Semver was computed from; 0 for none
	Runtime      string            `json:"runtime"`
	Files        []File            `json:"files"`        // sorted by path
	ManifestSize int64             `json:"manifestSize"` // bytes
	CreatedAt    time.Time         `json:"createdAt"`
	By           string            `json:"by"`
	Why          string            `json:"why,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Removed      *Removed          `json:"removed,omitempty"`
}

// Ref returns the reference by number.
func (v Version) Ref() Ref { return Ref{Model: v.Model, Number: v.Number} }

// Size returns the bytes of all files.
func (v Version) Size() (n int64) {
	for _, f := range v.Files {
		n += f.Size
	}
	return n
}

// blobs returns the digests of all that the version is made of.
func (v Version) blobs() []store.Digest {
	all := []store.Digest{v.Digest}
	for _, f := range v.Files {
		all = append(all, f.Digest)
	}
	return all
}

// Removed tells of a removal.
type Removed struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"`
	Why string    `json:"why,omitempty"`
}

// Move is one move of an alias.
type Move struct {
	Seq   int       `json:"seq"` // from 1, over all aliases of the model
	Alias string    `json:"alias"`
	From  int       `json:"from"` // version number; 0 where the alias was not set
	To    int       `json:"to"`   // version number; 0 where the alias was removed
	At    time.Time `json:"at"`
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
}

// The documents, their keys, and the version of their formats:
//
//	model/<model>                 modelDoc
//	version/<model>/<number>      versionDoc; stays as a tombstone when the version is removed
//	alias/<model>/<alias>         aliasDoc; absent where the alias is not set
//	move/<model>/<seq>            moveDoc; written once
//
// Numbers in keys have ten digits, so that keys sort as numbers do.
const docFormat = 1

type modelDoc struct {
	Format    int       `json:"format"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"createdAt"`
	Versions  int       `json:"versions"` // the last number given out
	Moves     int       `json:"moves"`    // the last seq given out
}

type versionDoc struct {
	Format int `json:"format"`
	Version
	Content   store.Digest `json:"content"`   // Manifest.content
	Signature store.Digest `json:"signature"` // digest of Manifest.Signature
	Recipe    store.Digest `json:"recipe"`    // Manifest.recipe
}

type aliasDoc struct {
	Format int    `json:"format"`
	Alias  string `json:"alias"`
	Number int    `json:"number"`
}

type moveDoc struct {
	Format int `json:"format"`
	Move
}

const (
	modelPrefix = "model/"
	allVersions = "version/"
)

func modelKey(model string) string          { return modelPrefix + model }
func versionPrefix(model string) string     { return allVersions + model + "/" }
func versionKey(model string, n int) string { return fmt.Sprintf("%s%010d", versionPrefix(model), n) }
func aliasPrefix(model string) string       { return "alias/" + model + "/" }
func aliasKey(model, alias string) string   { return aliasPrefix(model) + alias }
func movePrefix(model string) string        { return "move/" + model + "/" }
func moveKey(model string, seq int) string  { return fmt.Sprintf("%s%010d", movePrefix(model), seq) }

// decode reads a document of ours.
func decode[T any](d store.Doc) (v T, err error) {
	var head struct{ Format int }
	if err := json.Unmarshal(d.Value, &head); err != nil {
		return v, fault.Internalf("document %s is unreadable: %w", d.Key, err)
	}
	if head.Format != docFormat {
		return v, newerFormat("document "+d.Key, head.Format, docFormat)
	}
	if err := json.Unmarshal(d.Value, &v); err != nil {
		return v, fault.Internalf("document %s is unreadable: %w", d.Key, err)
	}
	return v, nil
}

// get reads one document, and its revision.
func get[T any](r store.Reader, key string) (v T, revision int64, err error) {
	d, err := r.Get(key)
	if err != nil {
		return v, 0, err
	}
	v, err = decode[T](d)
	return v, d.Revision, err
}

// all reads the documents of a prefix, in the order of their keys.
func all[T any](r store.Reader, prefix string) (found []T, err error) {
	err = r.Scan(prefix, func(d store.Doc) error {
		v, err := decode[T](d)
		found = append(found, v)
		return err
	})
	return found, err
}

func put(tx store.Tx, key string, v any, was int64) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Internalf("write document %s: %w", key, err)
	}
	_, err = tx.Put(key, b, was)
	return err
}

// getModel reads a model, or says that it does not exist.
func getModel(r store.Reader, model string) (m modelDoc, revision int64, err error) {
	if err := checkModel(model); err != nil {
		return m, 0, err
	}
	m, revision, err = get[modelDoc](r, modelKey(model))
	if fault.KindOf(err) == fault.NotFound {
		err = fault.NotFoundf("there is no model %q", model).WithHint("list the models with serin model list")
	}
	return m, revision, err
}

// resolve finds the version that ref names. One that was removed is NotFound, and says who removed it.
func resolve(r store.Reader, ref Ref) (v versionDoc, err error) {
	if _, _, err := getModel(r, ref.Model); err != nil {
		return v, err
	}
	switch {
	case ref.Number != 0:
		v, _, err = get[versionDoc](r, versionKey(ref.Model, ref.Number))
	case ref.Alias != "":
		return byAlias(r, ref)
	case ref.Semver != "" || !ref.Digest.IsZero():
		v, err = search(r, ref)
	default:
		return byDefault(r, ref)
	}
	if fault.KindOf(err) == fault.NotFound {
		return v, fault.NotFoundf("there is no version %s", ref).
			WithHint("list the versions with serin model show %s", ref.Model)
	}
	if err == nil && v.Removed != nil {
		return v, fault.NotFoundf("version %s was removed by %s at %s: %s", ref, v.Removed.By, v.Removed.At.Format(time.RFC3339), v.Removed.Why)
	}
	return v, err
}

func byAlias(r store.Reader, ref Ref) (v versionDoc, err error) {
	a, _, err := get[aliasDoc](r, aliasKey(ref.Model, ref.Alias))
	if fault.KindOf(err) == fault.NotFound {
		return v, fault.NotFoundf("model %q has no alias %q", ref.Model, ref.Alias).
			WithHint("list the aliases with serin model show %s", ref.Model)
	}
	if err != nil {
		return v, err
	}
	return resolve(r, Ref{Model: ref.Model, Number: a.Number})
}

func byDefault(r store.Reader, ref Ref) (v versionDoc, err error) {
	v, err = byAlias(r, Ref{Model: ref.Model, Alias: Champion})
	if err == nil || fault.KindOf(err) != fault.NotFound {
		return v, err
	}
	versions, err := all[versionDoc](r, versionPrefix(ref.Model))
	if err != nil {
		return v, err
	}
	if v, ok := newest(versions); ok {
		return v, nil
	}
	return v, fault.NotFoundf("model %q has no version left", ref.Model).WithHint("import one with serin model import")
}

// search finds a version by what only its document tells. Of versions with one digest the living one is meant.
func search(r store.Reader, ref Ref) (v versionDoc, err error) {
	versions, err := all[versionDoc](r, versionPrefix(ref.Model))
	if err != nil {
		return v, err
	}
	found := false
	for _, candidate := range versions {
		if candidate.Semver == ref.Semver || candidate.Digest == ref.Digest {
			v, found = candidate, true
			if v.Removed == nil {
				return v, nil
			}
		}
	}
	if !found {
		return v, fault.NotFoundf("no such version")
	}
	return v, nil
}

// newest returns the living version with the greatest number.
func newest(versions []versionDoc) (versionDoc, bool) {
	for _, v := range slices.Backward(versions) {
		if v.Removed == nil {
			return v, true
		}
	}
	return versionDoc{}, false
}
