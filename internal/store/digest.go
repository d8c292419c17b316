package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Digest names bytes by their SHA-256. The zero Digest names nothing; it has no text form and cannot be marshalled (leave it out
// with omitzero). Digests compare with ==.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// Sum returns the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the text form: "sha256:" and 64 lower-case hexadecimal digits.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(text, digestPrefix)
	if ok && len(digits) == hex.EncodedLen(len(d)) && strings.ToLower(digits) == digits {
		if _, err := hex.Decode(d[:], []byte(digits)); err == nil && !d.IsZero() {
			return d, nil
		}
	}
	return Digest{}, fault.Invalidf("%.80q is no digest", text).
		WithHint(`a digest is "sha256:" followed by 64 lower-case hexadecimal digits`)
}

// IsZero tells whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns the text form, "" for the zero Digest.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return digestPrefix + hex.EncodeToString(d[:])
}

// Short returns the first 12 digits, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// MarshalText writes the text form. The zero Digest is an Internal error: it would not be read back.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, fault.Internalf("an empty digest cannot be written")
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads the text form.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}
