package registry

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/tensor"
)

// manifestFormat is the version of Manifest's format.
const manifestFormat = 1

// ManifestFile is the name of the manifest in a folder. It is no file of the model.
const ManifestFile = "model.yaml"

// maxManifest bounds the canonical form, in bytes; written as YAML it must still be read.
const maxManifest = strictyaml.MaxBytes * 3 / 4

// Manifest says what a version is. Its digest, over the canonical form, is the version's digest, and it holds those of the files:
// so the one digest stands for everything.
type Manifest struct {
	Format    int              `json:"format"`
	Runtime   string           `json:"runtime"`
	Options   predict.Options  `json:"options,omitempty"`
	Signature tensor.Signature `json:"signature"`
	Files     []File           `json:"files"`
	Golden    *Golden          `json:"golden,omitempty"`
	Lineage   Lineage          `json:"lineage,omitzero"`
}

// File is a file of a version.
type File struct {
	Path   string       `json:"path" yaml:"path,required"` // slash-separated
	Size   int64        `json:"size" yaml:"size"`          // bytes
	Digest store.Digest `json:"digest" yaml:"digest,required"`
}

// Lineage says where a version comes from, as far as it was told.
type Lineage struct {
	Parent store.Digest      `json:"parent,omitzero"`  // the version it was made from; may be in another registry
	Data   string            `json:"data,omitempty"`   // digest of the training data, in the user's own notation
	Params map[string]string `json:"params,omitempty"` // what training was told
	Code   string            `json:"code,omitempty"`   // revision of the code, such as a Git commit
}

// canonical returns the one form that digests are taken of: JSON without spaces, keys in the order of the fields, maps sorted.
func canonical(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fault.Internalf("write manifest: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func digestOf(v any) (store.Digest, error) {
	b, err := canonical(v)
	return store.Sum(b), err
}

// content is the digest of what the version does. Lineage is left out: who made the same thing again made nothing new.
func (m Manifest) content() (store.Digest, error) {
	m.Lineage = Lineage{}
	return digestOf(m)
}

// recipe is the digest of how the version was made and is run: the runtime, its options, and what training was told.
func (m Manifest) recipe() (store.Digest, error) {
	return digestOf(struct {
		Runtime string
		Options predict.Options   `json:",omitempty"`
		Params  map[string]string `json:",omitempty"`
		Code    string
	}{m.Runtime, m.Options, m.Lineage.Params, m.Lineage.Code})
}

// decodeManifest reads the canonical form.
func decodeManifest(b []byte) (m Manifest, err error) {
	var head struct{ Format int }
	if err := json.Unmarshal(b, &head); err != nil {
		return m, fault.Internalf("the manifest is unreadable: %w", err)
	}
	if head.Format != manifestFormat {
		return m, newerFormat("the manifest", head.Format, manifestFormat)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fault.Internalf("the manifest is unreadable: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return m, fault.Internalf("the manifest is followed by other text")
	}
	return m, nil
}

func newerFormat(what string, have, known int) error {
	return fault.Conflictf("%s is in format %d; this Serin knows %d", what, have, known).WithHint("use a newer Serin")
}
