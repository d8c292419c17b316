package registry

import (
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// Ref names a version of a model. At most one of the fields after Model is set; with none it is the champion, or the newest
// version where no champion is set.
//
//	models:/m            m
//	models:/m@champion   m@champion     by alias
//	models:/m/3          m/3            by number
//	models:/m@1.2.0      m@1.2.0        by semantic version
//	models:/m@sha256:…   m@sha256:…     by digest
type Ref struct {
	Model  string
	Alias  string
	Number int
	Semver string
	Digest store.Digest
}

const scheme = "models:/"

// ParseRef reads a Ref. Anything but the forms of Ref is Invalid.
func ParseRef(text string) (Ref, error) {
	rest := strings.TrimPrefix(text, scheme)
	name, number, numbered := strings.Cut(rest, "/")
	name, tag, tagged := strings.Cut(name, "@")
	r := Ref{Model: name}
	if err := checkModel(name); err != nil {
		return Ref{}, fault.Invalidf("%.200q names no version: %w", text, err)
	}
	var err error
	switch {
	case numbered && tagged:
		return Ref{}, refError(text)
	case numbered:
		r.Number, err = parseNumber(number)
	case tagged:
		err = r.parseTag(tag)
	}
	if err != nil {
		return Ref{}, refError(text)
	}
	return r, nil
}

func (r *Ref) parseTag(tag string) (err error) {
	switch {
	case strings.HasPrefix(tag, "sha256:"):
		r.Digest, err = store.ParseDigest(tag)
	case tag != "" && tag[0]-'0' < 10:
		r.Semver, err = parseSemver(tag)
	default:
		r.Alias, err = tag, checkAlias(tag)
	}
	return err
}

func refError(text string) error {
	return fault.Invalidf("%.200q names no version of a model", text).
		WithHint("write models:/NAME, models:/NAME@ALIAS, models:/NAME/3 or models:/NAME@1.2.0; models:/ may be left out")
}

// maxNumber bounds a model's version numbers: ten digits in keys, and an int everywhere.
const maxNumber = 1<<31 - 1

// parseNumber reads a version's number in its one spelling: no sign, no leading zero.
func parseNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxNumber || strconv.Itoa(n) != text {
		return 0, fault.Invalidf("%.40q is no version number", text)
	}
	return n, nil
}

// parseSemver reads a semantic version in its one spelling. Build metadata is refused: semver.org does not order by it, so that two
// versions would be equal and yet differ.
func parseSemver(text string) (string, error) {
	v, err := semver.StrictNewVersion(text)
	if err != nil || v.Metadata() != "" || v.String() != text || len(text) > 64 {
		return "", fault.Invalidf("%.80q is no semantic version", text).WithHint("write three numbers, such as 1.2.0, or 2.0.0-rc.1")
	}
	return text, nil
}

// String returns the full form, which ParseRef reads.
func (r Ref) String() string {
	base := scheme + r.Model
	switch {
	case r.Alias != "":
		return base + "@" + r.Alias
	case r.Number != 0:
		return base + "/" + strconv.Itoa(r.Number)
	case r.Semver != "":
		return base + "@" + r.Semver
	case !r.Digest.IsZero():
		return base + "@" + r.Digest.String()
	}
	return base
}

// MarshalText writes the full form.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads any form.
func (r *Ref) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRef(string(text))
	return err
}
