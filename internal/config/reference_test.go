package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// The page about releases has a row for each key, with the default that holds.
func TestTheReferenceOfReleasesIsComplete(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs/guides/releases-reference.md"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Properties map[string]struct{ Default any }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range strings.SplitSeq(string(page), "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		sections[strings.Trim(title, "`[]")] = body
	}
	for def, section := range map[string]string{
		"Release": "releases", "ReleaseStep": "steps", "ReleaseMetric": "metrics", "Hooks": "hooks", "Hook": "hooks", "Notify": "notify", "Prometheus": "prometheus",
	} {
		if len(schema.Defs[def].Properties) == 0 {
			t.Errorf("the schema has no %s", def)
		}
		for key, p := range schema.Defs[def].Properties {
			row := fmt.Sprintf("\n| `%s` |", key)
			if p.Default != nil {
				row += fmt.Sprintf(" `%v` |", p.Default)
			}
			if !strings.Contains(sections[section], row) {
				t.Errorf("section %s has no row %q", section, row)
			}
		}
	}
}
