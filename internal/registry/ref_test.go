package registry

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

func TestRefForms(t *testing.T) {
	digest := store.Sum([]byte("x"))
	good := map[string]Ref{
		"m":                            {Model: "m"},
		"models:/m":                    {Model: "m"},
		"m@champion":                   {Model: "m", Alias: "champion"},
		"models:/m@champion":           {Model: "m", Alias: "champion"},
		"m@v2":                         {Model: "m", Alias: "v2"},
		"m/3":                          {Model: "m", Number: 3},
		"models:/m/2147483647":         {Model: "m", Number: 2147483647},
		"m@1.2.0":                      {Model: "m", Semver: "1.2.0"},
		"m@1.2.0-rc.1":                 {Model: "m", Semver: "1.2.0-rc.1"},
		"m@" + digest.String():         {Model: "m", Digest: digest},
		"7-eleven_2.x":                 {Model: "7-eleven_2.x"},
		strings.Repeat("m", 63):        {Model: strings.Repeat("m", 63)},
		"m@" + strings.Repeat("a", 63): {Model: "m", Alias: strings.Repeat("a", 63)},
	}
	for text, want := range good {
		if got, err := ParseRef(text); err != nil || got != want {
			t.Errorf("ParseRef(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "models:/", "models:m", "models://m", "/m", "m/", "m@", "m@@a", "m/0", "m/-1", "m/+1", "m/01", "m/1/2", "m/2147483648", "m/99999999999999999999",
		"m/champion", "m@a/1", "m@3", "m@1.2", "m@01.2.3", "m@1.2.3+build", "m@1.2.3@a", "m@A", "M", "a b", "m\n", " m", "-m", ".m", "..", "m#1", "m;x", "m%2f",
		strings.Repeat("m", 64), "m@" + strings.Repeat("a", 64), "m@sha256:", "m@sha256:" + strings.Repeat("0", 64), "m@1." + strings.Repeat("9", 80) + ".0", "mödel",
	} {
		if got, err := ParseRef(text); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
			t.Errorf("ParseRef(%q) = %+v, %v", text, got, err)
		}
	}
}

func TestRefTextIsRoundTripped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Ref{Model: rapid.StringMatching(modelName.String()).Draw(t, "model")}
		switch rapid.IntRange(0, 4).Draw(t, "form") {
		case 1:
			r.Alias = rapid.StringMatching(aliasName.String()).Draw(t, "alias")
		case 2:
			r.Number = rapid.IntRange(1, maxNumber).Draw(t, "number")
		case 3:
			r.Semver = rapid.StringMatching(`(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})(-rc\.[1-9])?`).Draw(t, "semver")
		case 4:
			r.Digest = store.Sum(rapid.SliceOf(rapid.Byte()).Draw(t, "content"))
		}
		var got Ref
		text, err := r.MarshalText()
		if err == nil {
			err = got.UnmarshalText(text)
		}
		if err != nil || got != r {
			t.Errorf("%+v as %q reads %+v, %v", r, text, got, err)
		}
	})
}

func FuzzParseRef(f *testing.F) {
	for _, text := range []string{"m", "models:/m@champion", "m/3", "m@1.2.0-rc.1", "m@" + store.Sum(nil).String(), "../../etc/passwd"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRef(text)
		if err != nil {
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q reads %+v, whose text %q reads %+v, %v", text, r, r, again, err)
		}
		if strings.TrimPrefix(text, scheme) != strings.TrimPrefix(r.String(), scheme) {
			t.Errorf("%q has the second spelling %q", r, text)
		}
	})
}
