package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ladder is the policy: a package imports only packages on lines below its own. An adapter (x/y) stands between its parent's line
// and the one above: it imports its parent x and whatever x may import. Only app imports adapters. cmd/serin imports app, api and
// what those hand out. The order is DESIGN's; a change of it needs a line in docs/decisions.
const ladder = `
	app
	api config
	gateway decide release
	registry measure pipeline load
	predict
	wire proxy rows shadow
	event traffic limit bandit notify payload
	store stat tensor
	sqlite
	jsonscan strictyaml frontdoor
	fault socket
`

// forTests may be imported by tests alone: suites that adapters pass, and what finds the outside world.
var forTests = []string{"testenv", "predict/predicttest", "store/storetest", "event/eventtest", "notify/notifytest", "proxy/proxytest"}

const module = "github.com/serin-ml/serin/"

func TestImportsGoDownTheLadder(t *testing.T) {
	rung := map[string]int{}
	lines := strings.Split(strings.TrimSpace(ladder), "\n")
	for i, line := range lines {
		for _, name := range strings.Fields(line) {
			rung[name] = len(lines) - i
		}
	}
	checked := 0
	walkImports(t, ".", func(file, from, to string) {
		checked++
		if slices.Contains(forTests, to) {
			t.Errorf("%s imports %s, which is for tests", file, to)
			return
		}
		parent, _, adapter := strings.Cut(from, "/")
		target, _, toAdapter := strings.Cut(to, "/")
		have, known := rung[parent]
		want, knownTarget := rung[target]
		switch {
		case !known || !knownTarget:
			t.Errorf("%s: %s or %s is not on the ladder; add it there, with a line in docs/decisions", file, from, to)
		case toAdapter && from != "app":
			t.Errorf("%s imports the adapter %s; only app sees adapters", file, to)
		case adapter && to == parent, want < have:
		default:
			t.Errorf("%s: %s must not import %s, which is not on a rung below", file, from, to)
		}
	})
	if checked < 20 {
		t.Fatalf("only %d imports were found: the test does not see the code", checked)
	}
}

// walkImports calls found for each import of one of our packages from another, tests and test helpers left out.
func walkImports(t *testing.T, root string, found func(file, from, to string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		if slices.Contains(forTests, from) {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if to, ours := strings.CutPrefix(imported, module+"internal/"); ours {
				found(path, from, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		documented[dir] = documented[dir] || f.Doc != nil && strings.HasPrefix(f.Doc.Text(), "Package "+f.Name.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("internal/%s has no package comment", dir)
		}
	}
}
