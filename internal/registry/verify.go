package registry

import (
	"context"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// Verified says what Verify found.
type Verified struct {
	Versions int      `json:"versions"`
	Blobs    int      `json:"blobs"`
	Bytes    int64    `json:"bytes"` // read
	Damage   []Damage `json:"damage"`
}

// Damage is a file of a version that is not what it was.
type Damage struct {
	Model   string       `json:"model"`
	Number  int          `json:"number"`
	Path    string       `json:"path"` // ManifestFile for the manifest
	Digest  store.Digest `json:"digest"`
	Problem string       `json:"problem"`
}

// Verify reads every byte of the versions that refs name, of all versions where none is named, and reports each file that is
// damaged or lost. The error is for what kept it from looking, such as an unknown ref.
func (r *Registry) Verify(ctx context.Context, refs ...Ref) (report Verified, err error) {
	report.Damage = []Damage{}
	versions, err := r.named(ctx, refs)
	if err != nil {
		return report, err
	}
	problems := map[store.Digest]string{} // of blobs looked at, "" for a sound one: versions share blobs
	for _, v := range versions {
		report.Versions++
		files := slices.Concat([]File{{Path: ManifestFile, Size: v.ManifestSize, Digest: v.Digest}}, v.Files)
		for _, f := range files {
			problem, known := problems[f.Digest]
			if !known {
				size, err := store.VerifyBlob(ctx, r.blobs, f.Digest)
				if ctx.Err() != nil {
					return report, ctx.Err()
				}
				report.Blobs++
				report.Bytes += size
				problem = problemOf(err)
				problems[f.Digest] = problem
			}
			if problem == "" && f.Path == ManifestFile {
				problem = r.manifestProblem(ctx, v)
			}
			if problem != "" {
				report.Damage = append(report.Damage, Damage{v.Model, v.Number, f.Path, f.Digest, problem})
			}
		}
	}
	return report, nil
}

func problemOf(err error) string {
	switch {
	case err == nil:
		return ""
	case fault.KindOf(err) == fault.NotFound:
		return "the file is lost"
	}
	return err.Error()
}

// manifestProblem tells whether the manifest says of the files what the registry says.
func (r *Registry) manifestProblem(ctx context.Context, v Version) string {
	m, err := r.Manifest(ctx, v)
	if err != nil {
		return err.Error()
	}
	if !slices.Equal(m.Files, v.Files) {
		return "the manifest lists other files than the registry"
	}
	return ""
}

// named returns the versions that refs name, or all that are not removed.
func (r *Registry) named(ctx context.Context, refs []Ref) (versions []Version, err error) {
	err = r.state.View(ctx, func(s store.Reader) error {
		if len(refs) == 0 {
			docs, err := all[versionDoc](s, allVersions)
			for _, v := range docs {
				if v.Removed == nil {
					versions = append(versions, v.Version)
				}
			}
			return err
		}
		for _, ref := range refs {
			v, err := resolve(s, ref)
			if err != nil {
				return err
			}
			versions = append(versions, v.Version)
		}
		return nil
	})
	return versions, err
}
