//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// TestTheCanaryGuideRunsByCopyAndPaste runs the shell blocks of docs/guides/canary.md in one shell, in order, each to the end without an
// error. Ports are free ones. On a machine that is busy with other tests the generator may be late: it then says that its figures are not to
// be trusted (exit code 3); that no request is lost is looked at all the same.
func TestTheCanaryGuideRunsByCopyAndPaste(t *testing.T) {
	needsTime(t, "bash", "curl", "python3")
	root := testenv.Root(t)
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	guide := read("docs", "guides", "canary.md")
	for language, file := range map[string]string{"nginx": "nginx.conf", "yaml": "serin.yaml"} {
		if shown := blocks(guide, language); len(shown) != 1 || shown[0] != read("examples", "movies", file) {
			t.Errorf("the guide does not show examples/movies/%s as it is: %q", file, shown)
		}
	}

	web, control := freeAddress(t), freeAddress(t)
	ports := []string{"localhost:8080", web, "localhost:8090", control}
	for _, port := range []string{"8082", "8083", "8084", "8085", "8086"} {
		free := freeAddress(t)
		ports = append(ports, port, free[strings.LastIndexByte(free, ':')+1:])
	}
	elsewhere := strings.NewReplacer(ports...)
	dir := clone(t, root)
	if err := os.WriteFile(filepath.Join(dir, "moved.yaml"), []byte(elsewhere.Replace(read("examples", "movies", "serin.yaml"))), 0o600); err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"cp examples/movies/serin.yaml ", "cp moved.yaml ",
		"{ bin/serin load ", "{ load ",
	).Replace(strings.Join(blocks(guide, "sh"), ""))
	script = "set -eu -o pipefail\nload() { bin/serin load \"$@\" || test $? = 3; }\n" + script
	out := shell(t, dir, elsewhere.Replace(script), "SERIN_HTTP="+web, "SERIN_GRPC=127.0.0.1:0", "SERIN_CONTROL="+control)
	rest := out
	for _, want := range []string{
		`"model": "1\.4\.0"`, `"model": "1\.4\.0"`, `"model": "2\.0\.0"`,
		`serin\.yaml is good\n  service movies answers at /recommend/ with`,
		`Serin-Decision: `,
		`requests +2000 in .* all answered as expected`,
		`canary +2\.0\.0 +\d+ `, `stable +1\.4\.0 +\d+ `,
		`as the weights say`,
		`movies +stable +2 instances +1\.4\.0 +ready`,
		` 5 \{"user": "ada"`,
		`"model": "2\.0\.0"`,
		`canary 50%, stable 50%, by the override`,
		`canary 20%, stable 80%, by the file`,
		`Serin-Fallback: timeout`, `\{"movies":\["The General"`,
		`requests +400 in .* all answered as expected`,
		`movies +canary .* unavailable`,
		`"model": "1\.4\.0"`, // what a tester gets while the canary hangs
		`serin_failovers_total\{service="movies",variant="canary",why="unavailable"\} [1-9]`,
		`serin_fallbacks_total\{service="movies",variant="canary",why="timeout"\} [1-9]`,
		`"model": "2\.0\.0"`,
		`requests +200 in .* all answered as expected`,
		`movies +stable +2 instances +1\.4\.0 +degraded`,
		`movies/stable +healthy`,
		`requests +800 in .* all answered as expected`,
		`services changed: movies`,
		`requests +400 in .* all answered as expected`,
		`movies +stable +2 instances +2\.0\.0 +ready`,
	} {
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Errorf("after what came before, the output has no %s", want)
			continue
		}
		rest = rest[at[1]:]
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestTheNGINXOfTheGuideTakesItsConfiguration(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("there is no nginx to ask")
	}
	root, err := filepath.Abs(testenv.Root(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), nginx, "-t", "-p", dir, "-e", filepath.Join(dir, "error.log"),
		"-c", filepath.Join(root, "examples", "movies", "nginx.conf"), "-g", "pid "+filepath.Join(dir, "pid")+";").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
