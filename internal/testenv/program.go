package testenv

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Program returns the path of a program of the system's, as nginx or node, which scripts/servers.sh installs. It also looks where Debian
// has servers, which is in the PATH of root alone.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	for _, folder := range []string{"", "/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path
		}
	}
	Missing(tb, "the program %s is absent (scripts/servers.sh installs it)", name)
	return ""
}
