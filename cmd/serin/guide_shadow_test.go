//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// TestTheShadowGuideRunsByCopyAndPaste runs the shell blocks of docs/guides/shadow.md in one shell, in order, each to the end without an
// error. Ports are free ones; where the guide waits two seconds for figures to be written, the test waits until they are.
func TestTheShadowGuideRunsByCopyAndPaste(t *testing.T) {
	needsTime(t, "bash", "curl", "python3")
	root := testenv.Root(t)
	guide, err := os.ReadFile(filepath.Join(root, "docs", "guides", "shadow.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := blocks(string(guide), "yaml")
	for i, name := range []string{filepath.Join("installs", "shadow", "serin.yaml"), filepath.Join("movies", "shadow.yaml")} {
		file, err := os.ReadFile(filepath.Join(root, "examples", name))
		if err != nil {
			t.Fatal(err)
		}
		if len(shown) != 2 || shown[i] != string(file) {
			t.Errorf("the guide does not show examples/%s as it is: %q", name, shown)
		}
	}

	web, control, stable, next := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	// Waits until the server has come to an end with so many copies for a service, and until telemetry has all that it has counted.
	counted := `counted() {
	local now=0
	until test "$now" -ge "$2"; do
		sleep 0.1
		now=$(curl -s ` + control + `/metrics | awk "/^serin_shadow_(results|dropped)_total/ && /service=\"$1\"/ {n += \$2} END {print n + 0}")
	done
	until test "$(bin/serin sql "SELECT CAST(total(pairs + primary_failed + shadow_failed + both_failed + timeouts + incomparable + dropped_queue + dropped_unavailable) AS INTEGER) FROM shadow WHERE service = '$1'" | tail -n 1)" -ge "$now"; do sleep 0.1; done
}
`
	script := "set -eu -o pipefail\n" + counted + "load() { bin/serin load \"$@\" || test $? = 3; }\n" + strings.Join(blocks(string(guide), "sh"), "")
	waits := []string{"counted installs 1000", "counted installs 1020", "counted installs 1400", "counted movies 40", "counted movies 50"}
	script = regexp.MustCompile(`(?m)^sleep 2.*$`).ReplaceAllStringFunc(script, func(string) string {
		if len(waits) == 0 {
			t.Fatal("the guide waits more often than the test knows")
		}
		wait := waits[0]
		waits = waits[1:]
		return wait
	})
	movies := filepath.Join(t.TempDir(), "shadow.yaml")
	port := func(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
	ports := strings.NewReplacer("8082", port(stable), "8084", port(next))
	if err := os.WriteFile(movies, []byte(ports.Replace(shown[1])), 0o600); err != nil {
		t.Fatal(err)
	}
	script = strings.NewReplacer(
		"localhost:8080", web,
		"localhost:8090", control,
		"localhost:$port", "127.0.0.1:$port",
		"\nbin/serin load ", "\nload ",
		"examples/movies/shadow.yaml", movies,
		"8082", port(stable), "8084", port(next),
	).Replace(script)
	out := shell(t, clone(t, root), script, "SERIN_HTTP="+web, "SERIN_GRPC=127.0.0.1:0", "SERIN_CONTROL="+control)

	rest := out
	for _, want := range []string{
		`imported installs/2 `,
		`no data yet: from .* no shadow of installs was sent a copy`,
		`requests +1000 `,
		`installs: next [0-9a-f]{12} beside stable [0-9a-f]{12}, by label\n +next agrees with stable in [\d.]+% of 1[0-9]{3} answers; the true share lies between [\d.]+% and [\d.]+%\n`,
		`would be worth \d{2,3} users who ask once`,
		`scores +next is (lower|higher) by [\d.]+ \[`,
		`latency +next is (slower|faster) by [\d.e-]+ms \[`,
		`failed +nobody\n +not copied +nothing\n`,
		`score of next less that of stable:\n`,
		`DECISION +STABLE +NEXT +DIFFERENCE +WHERE\n.*(negative|positive) [\d.]+ +(negative|positive) [\d.]+ .*row 0: `,
		`of 1[0-9]{3} answers`,
		`feedback +of \d+ users whose first judged disagreement it was, stable was right for \d+ and next for \d+ \(p = `,
		`services changed: installs`,
		`minute +pairs +agreed +failed\n`,
		`serin_shadow_results_total\{result="agreed",service="installs",variant="next"\} \d+\n`,
		`\nstable +[0-9a-f]{12} +2\d{3} `,
		`weights +200 `,
		`movies: next 2\.0\.0 beside stable 1\.4\.0, by topK, k 5, overlap 60%, at movies\n +next agrees with stable in [\d.]+% of 40 answers`,
		`overlap +[\d.]+% \[`,
		`of 40 answers`,
		`failed +next \d+|not copied +unavailable \d+`,
	} {
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Errorf("after what came before, the output has no %s", want)
			continue
		}
		rest = rest[at[1]:]
	}
	if regexp.MustCompile(`\nnext +[0-9a-f]{12} +\d+ `).MatchString(out) {
		t.Error("the shadow is in the summary of the traffic")
	}
	if t.Failed() {
		t.Log(out)
	}
}
