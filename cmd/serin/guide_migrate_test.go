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

// TestMigrationGuidesRunByCopyAndPaste runs the shell blocks of each docs/guides/migrate-from-*.md in one shell, in order, each to the end
// without an error. Ports are free ones and servers stop more quickly; all else is as it stands there.
func TestMigrationGuidesRunByCopyAndPaste(t *testing.T) {
	needsTime(t, "bash", "curl")
	const answer = `0\.001500547` // what XGBoost computed for the row that the guides ask for
	root := testenv.Root(t)
	wants := map[string][]string{ // what the output holds, in this order
		"seldon": {
			`"ndarray":\[` + answer + `\d*\]\},"meta":\{"puid":"mine","requestPath":\{"installs":"installs:1"\}`,
			`"reward":"accepted"`,
			`"explanations":\[\{"margin":-6\.5\d*,"base":`,
		},
		"kserve": {
			`\{"predictions":\[` + answer + `\d*\]\}`,
			`\{"explanations":\[\{"margin":-6\.5\d*,"base":`,
			`"ready":true`,
			`"name":"installs","versions":\["1"\]`,
			`"model_name":"installs".*"data":\[` + answer,
			`"ready":true`,
		},
		"triton": {
			`"max_batch_size":100000,`,
			`"id":"7".*"name":"margin".*"data":\[-6\.5`,
			`"inference_count":1,`,
			`"name":"installs","version":"1","state":"READY"`,
		},
		"tensorflow-serving": {
			`"state":\s*"AVAILABLE"`,
			`"predictions":\[` + answer,
			`"outputs":\[` + answer,
			`serving_default`,
		},
		"mlflow": {
			`\{"predictions":\[` + answer + `\d*\]\}`,
			`\{"predictions":\[` + answer + `\d*\]\}`,
			`\{"predictions":\[0\.000972776\d*,\s*` + answer,
		},
	}
	guides, err := filepath.Glob(filepath.Join(root, "docs", "guides", "migrate-from-*.md"))
	if err != nil || len(guides) != len(wants) {
		t.Fatalf("%d guides, %v; what %d of them print is known", len(guides), err, len(wants))
	}
	for name, wants := range wants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guide, err := os.ReadFile(filepath.Join(root, "docs", "guides", "migrate-from-"+name+".md"))
			if err != nil {
				t.Fatal(err)
			}
			web, rpc := freeAddress(t), freeAddress(t)
			script := "set -eu -o pipefail\n" + strings.Join(blocks(string(guide), "sh"), "")
			script = strings.NewReplacer(
				"localhost:8080", web, "localhost:8000", web, "localhost:8501", web, "localhost:5000", web, "localhost:8001", rpc,
				"kill $SERVER", "kill -INT $SERVER", // which does not wait for balancers
			).Replace(script)
			out := shell(t, clone(t, root), script, "SERIN_HTTP="+web, "SERIN_GRPC="+rpc, "SERIN_CONTROL=127.0.0.1:0")
			rest := out
			for _, want := range wants {
				at := regexp.MustCompile(want).FindStringIndex(rest)
				if at == nil {
					t.Fatalf("after what came before, the output has no %s\n%s", want, out)
				}
				rest = rest[at[1]:]
			}
		})
	}
}
