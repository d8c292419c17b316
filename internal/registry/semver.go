package registry

import (
	"slices"

	"github.com/Masterminds/semver/v3"

	"github.com/serin-ml/serin/internal/fault"
)

// bump computes the semantic version of child from what changed against its parent (https://semver.org, with the signature as the
// public interface): another signature is a major change; another recipe (runtime, options, params, code) is a minor one; other
// files or data alone are a patch. Versions in use, also by removed ones, are stepped over. The first version is 1.0.0.
func bump(parent *versionDoc, child versionDoc, all []versionDoc) (string, error) {
	if parent == nil {
		return free(semver.New(1, 0, 0, "", ""), semver.Version.IncMinor, all), nil
	}
	from, err := semver.StrictNewVersion(parent.Semver)
	if err != nil {
		return "", fault.Internalf("version %s has the semantic version %q: %w", parent.Ref(), parent.Semver, err)
	}
	step := semver.Version.IncPatch
	switch {
	case child.Signature != parent.Signature:
		step = semver.Version.IncMajor
	case child.Recipe != parent.Recipe:
		step = semver.Version.IncMinor
	}
	next := step(*from)
	return free(&next, step, all), nil
}

// free returns v, or the first version after it, in steps, that none of all has.
func free(v *semver.Version, step func(semver.Version) semver.Version, all []versionDoc) string {
	for slices.ContainsFunc(all, func(o versionDoc) bool { return o.Semver == v.String() }) {
		next := step(*v)
		v = &next
	}
	return v.String()
}
