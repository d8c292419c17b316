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

// TestTheReleaseGuideRunsByCopyAndPaste runs the shell blocks of docs/guides/release.md in one shell, in order, each to the end without an
// error: two stories, each with a bad candidate and with a good one, and a real mail server. Ports are free ones; all else is as it stands
// there. Of the requests none may fail. SERIN_GUIDE_OUTPUT names a file for all that is printed, from which the guide's output is taken.
func TestTheReleaseGuideRunsByCopyAndPaste(t *testing.T) {
	needsTime(t, "bash", "curl", "python3")
	root := testenv.Root(t)
	testenv.Python(t, "smtp")
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	guide, movies, reviews := read("docs", "guides", "release.md"), read("examples", "movies", "release.yaml"), read("examples", "reviews", "serin.yaml")
	if shown := blocks(guide, "yaml"); len(shown) != 2 || shown[0] != movies || shown[1] != reviews {
		t.Errorf("the guide does not show examples/movies/release.yaml and examples/reviews/serin.yaml as they are: %q", shown)
	}

	web, control, mail := freeAddress(t), freeAddress(t), freeAddress(t)
	ports := []string{"localhost:8080", web, "127.0.0.1:1025", mail}
	for _, port := range []string{"8082", "8083", "8084"} {
		free := freeAddress(t)
		ports = append(ports, port, free[strings.LastIndexByte(free, ':')+1:])
	}
	elsewhere := strings.NewReplacer(ports...)
	dir := clone(t, root)
	for name, text := range map[string]string{"movies.yaml": movies, "reviews.yaml": reviews} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(elsewhere.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"scripts", ".venv"} {
		to, err := filepath.Abs(filepath.Join(root, name))
		if err == nil {
			err = os.Symlink(to, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	script := strings.NewReplacer(
		"cp examples/movies/release.yaml ", "cp movies.yaml ",
		"examples/reviews/serin.yaml", "reviews.yaml",
		"readers.py --seconds", "readers.py --server http://"+web+" --seconds",
	).Replace(strings.Join(blocks(guide, "sh"), ""))
	out := shell(t, dir, elsewhere.Replace("set -eu -o pipefail\n"+script), "SERIN_HTTP="+web, "SERIN_GRPC=127.0.0.1:0", "SERIN_CONTROL="+control)
	rest := out
	for _, want := range []string{
		`movies\.yaml is good`,
		`movies: canary takes the place of stable in service movies`,
		`latency +guardrail +\d.*s +\d+ +about `, `errors +guardrail +0% +\d+ +about `,
		`movies-1 has begun: canary has 20% of the traffic`,
		` 20%  it is at step 1 \(setWeight 20%\)`,
		` 0%  it goes back to stable: the mean latency of the candidate is 6\d\d\..*: it is shown not to keep to 500ms`,
		`serin: error: movies-1 is rolled back`,
		`movies-1: rolled back, all traffic is with stable`,
		`latency +guardrail +fail +6\d\d\.`,
		`Subject: movies-1: the release of canary to movies begins`,
		`Subject: movies-1: it goes back to stable: the mean latency`,
		`Subject: movies-1: all traffic is with stable: the mean latency`,
		`services changed: movies`,
		`movies-2 has begun: canary has 20% of the traffic`,
		`it is promoted: every step of the plan is done`, `-  canary is promoted`,
		`movies-2 +movies +canary +promoted `, `movies-1 +movies +canary +rolledBack `,
		`canary +100 +100%`, `since release movies-2, stable has the weight of canary`,
		`requests +\d+ in .*: all answered as expected`,
		`imported reviews/2 `, `candidate -> 2`,
		`the alias champion of model reviews moves to the version of canary`,
		`accuracy +goal +7\d`, `warning: accuracy: with this margin it passes only of a candidate that is better`,
		`reviews-1 has begun`,
		` 0%  it goes back to stable: the accuracy of the candidate is .* lower than stable's.*: it is shown to be worse`,
		`serin: error: reviews-1 is rolled back`,
		`imported reviews/3 `, `candidate -> 3`,
		`reviews-2 has begun`,
		`it is promoted: every step of the plan is done`, `-  canary is promoted`,
		`accuracy +goal +pass +\+\d`, `shown not to be worse`,
		`aliases: candidate=3,champion=3`, `champion +1 +3 +release reviews-2`,
		`Subject: reviews-1: it goes back to stable: the accuracy`, `Subject: reviews-2: canary is promoted`,
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
	if to := os.Getenv("SERIN_GUIDE_OUTPUT"); to != "" {
		if err := os.WriteFile(to, []byte(out), 0o600); err != nil {
			t.Error(err)
		}
	}
}
