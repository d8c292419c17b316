// Package testenv finds what tests need from outside the module: real data and models, and Python environments with the real
// libraries. What is missing skips the test with a line that starts with SKIP; with CI=true it fails it.
package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Root returns the module's root folder.
func Root(tb testing.TB) string {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("no caller information")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Data returns the path of a file or folder of the shared test data: under SERIN_TEST_DATA, by default ../shared/data beside
// the module's root.
func Data(tb testing.TB, elem ...string) string {
	tb.Helper()
	root := os.Getenv("SERIN_TEST_DATA")
	if root == "" {
		root = filepath.Join(Root(tb), "..", "shared", "data")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		Missing(tb, "test data %s is absent (set SERIN_TEST_DATA to its folder)", filepath.Join(elem...))
	}
	return path
}

// Python returns the interpreter of a virtual environment that `scripts/venv.sh NAME` makes from scripts/venv/NAME.txt.
func Python(tb testing.TB, name string) string {
	tb.Helper()
	path := filepath.Join(Root(tb), ".venv", name, "bin", "python")
	if _, err := os.Stat(path); err != nil {
		Missing(tb, "the Python environment %q is absent (make it with scripts/venv.sh %s)", name, name)
	}
	return path
}

// Missing skips the test loudly, or fails it where CI=true.
func Missing(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf("SKIP is not allowed where CI=true: "+format, args...)
	}
	tb.Skipf("SKIP: "+format, args...)
}
