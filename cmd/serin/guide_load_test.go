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

// TestTheLoadGuideRunsByCopyAndPaste runs the shell blocks of docs/guides/load.md in one shell, in order, each to the end without an error.
// Ports are free ones. On a machine that is busy with other tests the generator may be late: it then says that its figures are not to be
// trusted (exit code 3), and what was sent and answered is what is looked at here.
func TestTheLoadGuideRunsByCopyAndPaste(t *testing.T) {
	needsTime(t, "bash", "curl")
	root := testenv.Root(t)
	guide, err := os.ReadFile(filepath.Join(root, "docs", "guides", "load.md"))
	if err != nil {
		t.Fatal(err)
	}
	web, rpc := freeAddress(t), freeAddress(t)
	script := "set -eu -o pipefail\nload() { bin/serin load \"$@\" || test $? = 3; }\n" + strings.Join(blocks(string(guide), "sh"), "")
	script = strings.NewReplacer(
		"localhost:8080", web,
		"localhost:8081", rpc,
		"\nbin/serin load ", "\nload ", "\n  bin/serin load ", "\n  load ",
		"--threshold 'p99<250ms'", "--threshold 'p99<1h'",
	).Replace(script)
	out := shell(t, clone(t, root), script, "SERIN_HTTP="+web, "SERIN_GRPC="+rpc, "SERIN_CONTROL=127.0.0.1:0")
	rest := out
	for _, want := range []string{
		`constant arrivals over http/1.1 to .*/v2/models/installs/infer, at most 64 in flight`,
		`requests +3000 in .* all answered as expected`,
		`latency +p50 `,
		`threshold p99<1h: kept`,
		`threshold errors<0.1%: kept \(0%\)`,
		`poisson arrivals `,
		`all answered as expected`,
		`Value\s+Percentile`,
		`closed loop over http/1.1 to .*/v2/models/installs/infer, at most 4 in flight`,
		`200: 500\n`,
		`/seldon/installs/api/v1.0/predictions`,
		`200: 500\n`,
		`/v1/models/installs:predict`,
		`200: 500\n`,
		`over grpc to .*/ModelInfer`,
		`OK: 500\n`,
		`/v2/health/ready`,
		`200: 500\n`,
		`all answered as expected`,
		`200: 500\n`,
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
