//go:build unix

package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/testenv"
)

// TestTheGuideRunsByCopyAndPaste runs the shell blocks of docs/guides/ab-test.md in one shell, in order, each to the end without an
// error. Ports are free ones, and the public is quicker than in the guide; all else is as it stands there.
func TestTheGuideRunsByCopyAndPaste(t *testing.T) {
	needsTime(t, "bash", "curl", "go")
	root := testenv.Root(t)
	guide, err := os.ReadFile(filepath.Join(root, "docs", "guides", "ab-test.md"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(root, "examples", "installs", "ab", "serin.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if shown := blocks(string(guide), "yaml"); len(shown) != 1 || shown[0] != string(file) {
		t.Errorf("the guide does not show examples/installs/ab/serin.yaml as it is: %q", shown)
	}

	web, control := freeAddress(t), freeAddress(t)
	script := "set -eu -o pipefail\n" + strings.Join(blocks(string(guide), "sh"), "")
	script = strings.NewReplacer(
		"localhost:8080", web,
		"localhost:8090", control,
		"./examples/installs/public", "./examples/installs/public --server http://"+web+" --control http://"+control+" --rate 2000 --delay 50ms",
	).Replace(script)
	out := shell(t, clone(t, root), script, "SERIN_HTTP="+web, "SERIN_GRPC=127.0.0.1:0", "SERIN_CONTROL="+control)

	rest := out
	for _, want := range []string{
		`imported installs/1 `,
		`imported installs/2 `,
		`serin\.yaml is good`,
		`"status":"accepted".*"status":"duplicate".*"status":"conflict"`,
		`1 +stable .* within\n`,
		`canary .* verified `,
		`as the weights say \(p = `,
		`"ratios":\[\{.*"alarm":false`,
		`canary 50%, stable 50%, by the override`,
		`2 +canary .* within\n`,
		`nothing broke; learn faster`,
		`its token, which is genuine`,
		`variant +mean_ms +requests\ncanary +\d[\d.e-]* +\d+\nstable +\d[\d.e-]* +\d+`,
		`serin_outcomes_total\{kind="correct",service="installs",status="conflict"\} \d+\n`,
		`exported outcomes to`,
		`canary 20%, stable 80%, by the file`,
		`learnt enough`,
		`(?i)set-cookie: variant`,
		`"model_version":"2"`,
		`canary +byHand `,
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

// needsTime leaves a test that starts servers out of short runs, which are for the race detector, and wants the programs that it runs.
func needsTime(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("servers take some seconds")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			testenv.Missing(t, "there is no %s (install it)", program)
		}
	}
}

// blocks returns what stands in a document between ```language and ```.
func blocks(document, language string) (all []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(document, -1) {
		all = append(all, m[1])
	}
	return all
}

// clone returns a folder that looks like the project's root after `make build`, in which files may be left.
func clone(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{filepath.Join("bin", "serin"): self}
	for _, name := range []string{"examples", "go.mod", "go.sum"} {
		links[name] = filepath.Join(root, name)
	}
	for name, to := range links {
		if to, err = filepath.Abs(to); err == nil {
			err = os.Symlink(to, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shell runs a script, which must succeed, and returns all that it prints.
func shell(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	// A group of its own, to be ended with all that it has started, should it fail half-way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // a server that is left behind holds them open
	err := cmd.Run()
	if err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
