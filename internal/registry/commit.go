package registry

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// CommitOptions are what an import tells beside its files. What is set goes before what model.yaml says.
type CommitOptions struct {
	Alias   string // to point at the version; empty: champion, if it is the model's first version
	NoAlias bool   // point no alias at it
	By, Why string // who imports, and why; By is needed

	Version    string            // semantic version; empty: computed from what changed
	Parent     Ref               // the version it was made from, of the same model; zero: the newest one
	DataDigest string            // of the training data, in any notation
	Params     map[string]string // what training was told
	CodeRev    string            // revision of the code that made it
	Labels     map[string]string // free notes, kept beside the version; they count for nothing

	Runtime string          // name of the runtime; empty: the first that knows the format
	Options predict.Options // for the runtime
	Golden  *Golden         // known answers
}

// plan is what model.yaml and the CommitOptions say together.
type plan struct {
	o       CommitOptions
	user    userManifest
	golden  *Golden
	lineage Lineage
}

// Commit makes a version of what was added, or finds the version that there is of the same files, runtime, options, signature and
// golden rows, and tells which: created is false then, and only the alias may move. The model is opened, and must give the golden
// answers. All of the registry changes in one transaction, at the end.
//
// The error is Invalid for what is wrong with the files or options, Conflict for a semantic version that is taken.
func (d *Draft) Commit(ctx context.Context, o CommitOptions) (v Version, created bool, err error) {
	if d.done {
		return v, false, fault.Conflictf("the import has ended already")
	}
	p, err := d.plan(o)
	if err != nil {
		return v, false, err
	}
	m, err := d.manifestOf(ctx, p)
	if err != nil {
		return v, false, err
	}
	doc, err := d.document(m, p)
	if err != nil {
		return v, false, err
	}
	if err := d.storeManifest(ctx, m, doc); err != nil {
		return v, false, err
	}
	err = d.r.state.Update(ctx, func(tx store.Tx) error {
		doc, created, err = d.r.commit(tx, doc, p)
		return err
	})
	if err != nil {
		return Version{}, false, err
	}
	// It is done; litter that stays because of an error is for Sweep.
	_ = d.Close(ctx)
	return doc.Version, created, nil
}

// plan puts the options before what model.yaml says, and checks all that can be checked by itself.
func (d *Draft) plan(o CommitOptions) (p plan, err error) {
	if len(d.files) == 0 {
		return p, fault.Invalidf("there is no model file to import")
	}
	if d.manifest != nil {
		if p.user, err = decodeUserManifest(d.manifest); err != nil {
			return p, err
		}
		if p.user.Files != nil && !slices.Equal(p.user.Files, d.sortedFiles()) {
			return p, d.filesDiffer(p.user.Files)
		}
	}
	l := p.user.Lineage
	p.lineage = Lineage{
		Parent: l.Parent,
		Data:   cmp.Or(o.DataDigest, string(l.Data)),
		Params: firstMap(o.Params, plain(l.Params)),
		Code:   cmp.Or(o.CodeRev, string(l.Code)),
	}
	o.Version = cmp.Or(o.Version, string(p.user.Version))
	o.Runtime = cmp.Or(o.Runtime, p.user.Runtime)
	o.Options = firstMap(o.Options, predict.Options(plain(p.user.Options)))
	p.golden = o.Golden
	if g := p.user.Golden; p.golden == nil && g != nil {
		p.golden = &Golden{Rows: g.Rows}
		if g.Tolerance != nil {
			p.golden.Tolerance = *g.Tolerance
		}
	}
	p.o = o
	return p, p.check(d.model)
}

// firstMap returns a copy of the first map that has entries, nil if none has.
func firstMap[M ~map[string]string](options ...M) M {
	for _, m := range options {
		if len(m) > 0 {
			return maps.Clone(m)
		}
	}
	return nil
}

func (p plan) check(model string) error {
	if err := checkAuthor(p.o.By, p.o.Why); err != nil {
		return err
	}
	if p.o.Version != "" {
		if _, err := parseSemver(p.o.Version); err != nil {
			return err
		}
	}
	if p.o.Alias != "" {
		if err := checkAlias(p.o.Alias); err != nil {
			return err
		}
		if p.o.NoAlias {
			return fault.Invalidf("an alias, %q, and no alias are asked for", p.o.Alias)
		}
	}
	if p.o.Parent.Model != "" && p.o.Parent.Model != model {
		return fault.Invalidf("the parent %s is of another model", p.o.Parent)
	}
	if err := checkNote("the data digest", p.lineage.Data); err != nil {
		return err
	}
	if err := checkNote("the code revision", p.lineage.Code); err != nil {
		return err
	}
	for what, m := range map[string]map[string]string{"param": p.lineage.Params, "label": p.o.Labels, "runtime option": p.o.Options} {
		if err := checkMap(what, m); err != nil {
			return err
		}
	}
	return nil
}

// checkMap bounds what people note, and keeps it such that model.yaml can hold it.
func checkMap(what string, m map[string]string) error {
	if len(m) > maxFiles {
		return fault.Invalidf("more than %d %ss", maxFiles, what)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if key == "" || len(key) > strictyaml.MaxKey {
			return fault.Invalidf("a %s's name of %d bytes; 1 to %d are allowed", what, len(key), strictyaml.MaxKey)
		}
		if err := checkNote("a "+what+"'s name", key); err != nil {
			return err
		}
		if err := checkNote(what+" "+key, m[key]); err != nil {
			return err
		}
	}
	return nil
}

// filesDiffer says what the files: section of model.yaml and the files themselves disagree about.
func (d *Draft) filesDiffer(listed []File) error {
	hint := "if the files were changed on purpose, remove files: and version: from " + ManifestFile
	for _, f := range d.files {
		at := slices.IndexFunc(listed, func(l File) bool { return l.Path == f.Path })
		if at < 0 {
			return fault.Invalidf("%q is not listed in %s", f.Path, ManifestFile).WithHint("%s", hint)
		}
		if listed[at].Digest != f.Digest || listed[at].Size != f.Size {
			return fault.Invalidf("%q is not the file that %s lists: it has %d bytes and digest %s, listed are %d and %s",
				f.Path, ManifestFile, f.Size, f.Digest, listed[at].Size, listed[at].Digest).WithHint("%s", hint)
		}
	}
	for _, l := range listed {
		if !slices.ContainsFunc(d.files, func(f File) bool { return l.Path == f.Path }) {
			return fault.Invalidf("%q is listed in %s, but was not given", l.Path, ManifestFile).WithHint("%s", hint)
		}
	}
	return fault.Invalidf("%s lists the files in another order, or one of them twice", ManifestFile).WithHint("sort them by path")
}

// manifestOf opens the model, checks its answers, and writes down what it is.
func (d *Draft) manifestOf(ctx context.Context, p plan) (m Manifest, err error) {
	defer survive(&err)
	files := d.sortedFiles()
	a := d.r.artefact(ctx, files)
	rt, err := d.r.runtime(p.o.Runtime, a)
	if err != nil {
		return m, err
	}
	model, err := rt.Runtime.Open(ctx, a, p.o.Options)
	if err != nil {
		return m, fault.New(fault.KindOf(err), "the %s runtime cannot open the model: %w", rt.Name, err)
	}
	if err := checkSignature(model.Signature()); err != nil {
		return m, err
	}
	sig, err := p.user.overlay(model.Signature())
	if err != nil {
		return m, err
	}
	m = Manifest{Format: manifestFormat, Runtime: rt.Name, Options: p.o.Options, Signature: sig, Files: files, Lineage: p.lineage}
	if p.golden != nil && len(p.golden.Rows) > 0 {
		g, err := p.golden.normal(sig)
		if err != nil {
			return m, err
		}
		m.Golden = &g
	}
	if err := ready(ctx, model, sig, m.Golden); err != nil {
		return m, err
	}
	if p.o.Parent.Model != "" {
		parent, err := d.r.Resolve(ctx, p.o.Parent)
		if err != nil {
			return m, err
		}
		m.Lineage.Parent = parent.Digest
	}
	return m, nil
}

// document makes all of the version's document that does not depend on the other versions.
func (d *Draft) document(m Manifest, p plan) (doc versionDoc, err error) {
	text, err := canonical(m)
	if err != nil {
		return doc, err
	}
	if len(text) > maxManifest {
		return doc, fault.Invalidf("the manifest has %d bytes; at most %d are allowed", len(text), maxManifest).
			WithHint("give fewer golden rows, or fewer params")
	}
	doc = versionDoc{Format: docFormat, Version: Version{
		Model: d.model, Digest: store.Sum(text), Runtime: m.Runtime, Files: m.Files, ManifestSize: int64(len(text)),
		CreatedAt: d.r.clock(), By: p.o.By, Why: p.o.Why, Labels: firstMap(p.o.Labels),
	}}
	if doc.Content, err = m.content(); err != nil {
		return doc, err
	}
	if doc.Signature, err = digestOf(m.Signature); err != nil {
		return doc, err
	}
	doc.Recipe, err = m.recipe()
	return doc, err
}

// storeManifest keeps the manifest, unless a version of this content is there with another one (another lineage): then nothing will
// name it. One that is there is stored again, which mends it if it was damaged.
func (d *Draft) storeManifest(ctx context.Context, m Manifest, doc versionDoc) error {
	unwanted := false
	err := d.r.state.View(ctx, func(s store.Reader) error {
		versions, err := all[versionDoc](s, versionPrefix(doc.Model))
		same, known := alive(versions, doc.Content)
		unwanted = known && same.Digest != doc.Digest
		return err
	})
	if err != nil || unwanted {
		return err
	}
	text, err := canonical(m)
	if err != nil {
		return err
	}
	_, err = d.store(ctx, "the manifest", bytes.NewReader(text))
	return err
}

// alive returns the living version of that content.
func alive(versions []versionDoc, content store.Digest) (versionDoc, bool) {
	at := slices.IndexFunc(versions, func(v versionDoc) bool { return v.Removed == nil && v.Content == content })
	if at < 0 {
		return versionDoc{}, false
	}
	return versions[at], true
}

// commit is the one transaction of an import.
func (r *Registry) commit(tx store.Tx, doc versionDoc, p plan) (v versionDoc, created bool, err error) {
	model, revision, err := getModel(tx, doc.Model)
	if fault.KindOf(err) == fault.NotFound {
		model, revision, err = modelDoc{Format: docFormat, Name: doc.Model, CreatedAt: doc.CreatedAt}, store.Absent, nil
	}
	if err != nil {
		return v, false, err
	}
	versions, err := all[versionDoc](tx, versionPrefix(doc.Model))
	if err != nil {
		return v, false, err
	}
	if v, ok := alive(versions, doc.Content); ok {
		if p.o.Version != "" && p.o.Version != v.Semver {
			return v, false, fault.Conflictf("this very content is version %s already, as %s; it cannot be %s too", v.Ref(), v.Semver, p.o.Version).
				WithHint("leave the version out to go on with the one that exists")
		}
		return v, false, r.pointAlias(tx, p.o.Alias, v, p, doc.CreatedAt)
	}
	if model.Versions == maxNumber {
		return v, false, fault.Conflictf("model %q has no version number left", doc.Model)
	}
	model.Versions++
	doc.Number = model.Versions
	if err := number(tx, &doc, p, versions); err != nil {
		return v, false, err
	}
	if err := put(tx, modelKey(doc.Model), model, revision); err != nil {
		return v, false, err
	}
	if err := put(tx, versionKey(doc.Model, doc.Number), doc, store.Absent); err != nil {
		return v, false, err
	}
	alias := p.o.Alias
	if alias == "" && doc.Number == 1 && !p.o.NoAlias {
		alias = Champion
	}
	return doc, true, r.pointAlias(tx, alias, doc, p, doc.CreatedAt)
}

// number gives doc its parent and its semantic version.
func number(tx store.Tx, doc *versionDoc, p plan, versions []versionDoc) error {
	parent, err := parentOf(tx, p, versions)
	if err != nil {
		return err
	}
	if parent != nil {
		doc.Parent = parent.Number
	}
	if p.o.Version == "" {
		doc.Semver, err = bump(parent, *doc, versions)
		return err
	}
	for _, other := range versions {
		if other.Semver != p.o.Version {
			continue
		}
		if other.Removed != nil {
			return fault.Conflictf("version %s of model %q existed and was removed; it is not given out again", other.Semver, doc.Model).
				WithHint("choose another version, or leave it out")
		}
		return fault.Conflictf("version %s of model %q exists, with other content, as number %d", other.Semver, doc.Model, other.Number).
			WithHint("choose another version, or leave it out: it is computed then")
	}
	doc.Semver = p.o.Version
	return nil
}

// parentOf is the version that the options name, else the one that model.yaml names, if it is here, else the newest.
func parentOf(tx store.Tx, p plan, versions []versionDoc) (*versionDoc, error) {
	if p.o.Parent.Model != "" {
		v, err := resolve(tx, p.o.Parent)
		return &v, err
	}
	for _, v := range versions {
		if v.Digest == p.lineage.Parent {
			return &v, nil
		}
	}
	if v, ok := newest(versions); ok {
		return &v, nil
	}
	return nil, nil
}

func (r *Registry) pointAlias(tx store.Tx, alias string, v versionDoc, p plan, at time.Time) error {
	if alias == "" {
		return nil
	}
	_, err := r.moveAlias(tx, AliasMove{Model: v.Model, Alias: alias, To: v.Number, By: p.o.By, Why: p.o.Why}, at)
	return err
}
