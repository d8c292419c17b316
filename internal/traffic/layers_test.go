package traffic

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheUppermostLayerThatHoldsIsEffective(t *testing.T) {
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	w := func(text string) Weights {
		out, _ := weights(t, text)
		return out
	}
	override := func(text string) *Override {
		return &Override{Weights: w(text), Author: "ada", Reason: "try", At: start, Expires: start.Add(time.Hour)}
	}
	release := func(text string) *Release {
		return &Release{Name: "r", Step: 1, Stable: "stable", Candidate: "canary", Weights: w(text), Lease: start.Add(time.Minute)}
	}
	forever := release("stable=60 canary=40")
	forever.Lease = time.Time{}
	names := []string{"stable", "canary", "next"}
	file := w("stable=1")
	for _, tt := range []struct {
		name   string
		layers Layers
		after  time.Duration
		source Source
		want   string
	}{
		{"the file alone", Layers{File: file}, 0, FromFile, "stable=1 canary=0 next=0"},
		{"an override", Layers{File: file, Override: override("next=1")}, time.Hour - 1, FromOverride, "stable=0 canary=0 next=1"},
		{"it never expires", Layers{File: file, Override: &Override{Weights: w("next=1"), Author: "ada", Reason: "try", At: start}}, 1e6 * time.Hour, FromOverride, "stable=0 canary=0 next=1"},
		{"it expires", Layers{File: file, Override: override("next=1")}, time.Hour, FromFile, "stable=1 canary=0 next=0"},
		{"a release is above it", Layers{File: file, Override: override("next=1"), Release: release("stable=80 canary=20")}, 0, FromRelease, "stable=80 canary=20 next=0"},
		{"its controller dies", Layers{File: file, Override: override("next=1"), Release: release("stable=80 canary=20")}, time.Minute, FromRelease, "stable=80 canary=0 next=0"},
		{"at its last step", Layers{File: file, Release: release("canary=1")}, time.Minute, FromRelease, "stable=1 canary=0 next=0"},
		{"stable is gone", Layers{File: file, Release: &Release{Name: "r", Stable: "old", Candidate: "canary", Weights: w("old=80 canary=20")}}, 0, FromFile, "stable=1 canary=0 next=0"},
		{"without a lease", Layers{File: file, Release: forever}, 1e6 * time.Hour, FromRelease, "stable=60 canary=40 next=0"},
		{"of variants that are gone", Layers{File: file, Override: override("old=1")}, 0, FromFile, "stable=1 canary=0 next=0"},
		{"some of them", Layers{File: file, Override: override("old=1 next=2")}, 0, FromOverride, "stable=0 canary=0 next=2"},
	} {
		tt.layers.Variants = names
		got, source := tt.layers.Effective(start.Add(tt.after))
		if diff := cmp.Diff(w(tt.want), got, cmp.AllowUnexported(Weight{})); source != tt.source || diff != "" {
			t.Errorf("%s: %s\n%s", tt.name, source, diff)
		}
		effective := 0
		for _, layer := range tt.layers.Explain(start.Add(tt.after)) {
			if layer.Effective {
				effective++
			}
		}
		if effective != 1 {
			t.Errorf("%s: %d layers are effective", tt.name, effective)
		}
		if r := tt.layers.Release; r != nil && r.Weights["canary"].IsZero() {
			t.Errorf("%s: the plan itself was changed", tt.name)
		}
	}
	if _, source := (Layers{Variants: names}).Effective(start); source != FromFile {
		t.Error("nothing is not the file's")
	}
}

func TestAllThreeLayersAreExplained(t *testing.T) {
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	file, names := weights(t, "stable=75% canary=25%")
	chosen, _ := weights(t, "stable=1 old=1")
	planned, _ := weights(t, "stable=80 canary=20")
	l := Layers{
		Variants: names, File: file,
		Override: &Override{Weights: chosen, Author: "ada", Reason: "complaints about the canary", At: start, Expires: start.Add(24 * time.Hour)},
		Release:  &Release{Name: "sentiment", Step: 2, Stable: "stable", Candidate: "canary", Weights: planned, Lease: start.Add(time.Minute)},
	}
	var out strings.Builder
	for _, at := range []time.Duration{0, time.Hour, 25 * time.Hour} {
		text, err := json.MarshalIndent(l.Explain(start.Add(at)), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("after " + at.String() + "\n" + string(text) + "\n")
	}
	want, err := os.ReadFile("testdata/layers.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAnOverrideSaysWhoWhyAndUntilWhen(t *testing.T) {
	at := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	w, names := weights(t, "stable=1 canary=1")
	good := Override{Weights: w, Author: "ada", Reason: "test", At: at, Expires: at.Add(time.Hour)}
	if err := good.Check(names); err != nil {
		t.Error(err)
	}
	err := (&Override{Author: " ", Reason: strings.Repeat("x", 501), At: at, Expires: at}).Check(names)
	if err == nil {
		t.Fatal("an empty override is accepted")
	}
	for _, want := range []string{"weights: ", "author: it is empty", "reason: it has 501 bytes", "expires: it ends before it begins"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	good.Expires = time.Time{}
	if err := good.Check(names); err != nil || good.Expired(at.AddDate(100, 0, 0)) {
		t.Errorf("an override that never ends: %v", err)
	}
	good.Expires = at.Add(366 * 24 * time.Hour)
	if err := good.Check(names); err == nil || !strings.Contains(err.Error(), "more than a year away") {
		t.Error(err)
	}
}
