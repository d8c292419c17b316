package store

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

func TestDigestTextFormIsRoundTripped(t *testing.T) {
	const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // FIPS 180-2's value of no bytes
	if got := Sum(nil).String(); got != empty {
		t.Errorf("Sum(nil) = %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Sum(rapid.SliceOf(rapid.Byte()).Draw(t, "content"))
		if got, err := ParseDigest(d.String()); err != nil || got != d {
			t.Errorf("ParseDigest(%s) = %s, %v", d, got, err)
		}
		text, err := json.Marshal(map[Digest][]Digest{d: {d}})
		if err != nil {
			t.Fatal(err)
		}
		var got map[Digest][]Digest
		if err := json.Unmarshal(text, &got); err != nil || got[d][0] != d {
			t.Errorf("%s came back as %v, %v", text, got, err)
		}
		if !strings.HasPrefix(d.String(), "sha256:"+d.Short()) {
			t.Errorf("Short() = %s of %s", d.Short(), d)
		}
	})
}

func TestOtherTextIsNoDigest(t *testing.T) {
	good := Sum(nil).String()
	for _, text := range []string{
		"", "sha256:", good[:len(good)-1], good + "0", strings.ToUpper(good), "sha512:" + good[7:], good[7:], " " + good,
		strings.Replace(good, "e3", "g3", 1), strings.Replace(good, "e3", "E3", 1), "sha256:" + strings.Repeat("0", 64), "sha256:../" + good[10:],
	} {
		d, err := ParseDigest(text)
		if fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" || !d.IsZero() {
			t.Errorf("ParseDigest(%q) = %s, %v", text, d, err)
		}
	}
	if _, err := json.Marshal(Digest{}); err == nil {
		t.Error("an empty digest was written")
	}
	if got := (Digest{}).String(); got != "" {
		t.Errorf("the empty digest reads %q", got)
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(Sum(nil).String())
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDigest(text); err == nil && d.String() != text {
			t.Errorf("%q reads as %s", text, d)
		}
	})
}
