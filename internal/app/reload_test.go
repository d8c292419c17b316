package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
)

// filed is a server that runs with a file.
type filed struct {
	*running
	path   string
	hangup chan os.Signal
}

// startFile serves the services of a file. Models 1 to 3 answer with their version's number.
func startFile(t *testing.T, text string) *filed {
	t.Helper()
	f := &filed{path: filepath.Join(t.TempDir(), "serin.yaml"), hangup: make(chan os.Signal, 1)}
	o := options(t.TempDir())
	o.Create, o.Hangup = true, f.hangup
	o.Reread = func() (*config.Config, string, error) {
		text, err := os.ReadFile(f.path)
		if err != nil {
			return nil, f.path, fault.NotFoundf("there is no file: %w", err)
		}
		c, err := config.Read("serin.yaml", text)
		if err == nil && c.Server.HTTP == ":8080" {
			onAnyPort(c) // as flags would
		}
		return c, "serin.yaml", err
	}
	writer, err := Writer(t.Context(), o)
	must(t, err)
	early := &running{dir: o.DataDir, client: writer.Client}
	for v := 1; v <= 3; v++ {
		early.importStump(t, float64(v))
	}
	must(t, writer.Close())
	f.write(t, text)
	c, _, err := o.Reread()
	must(t, err)
	f.running = startWith(t, o, c)
	f.until(t, "everything is live", func(all []api.Service) bool {
		for _, s := range all {
			if s.State != "ready" {
				return false
			}
		}
		return len(all) > 0
	})
	return f
}

func (f *filed) write(t *testing.T, text string) {
	t.Helper()
	must(t, os.WriteFile(f.path, []byte(text), 0o600))
}

// reload writes the file and reloads it.
func (f *filed) reload(t *testing.T, text string) api.Reloaded {
	t.Helper()
	f.write(t, text)
	done, err := f.client.Reload(t.Context())
	must(t, err)
	return done
}

// asks a service for one row.
func (f *filed) ask(t *testing.T, client *http.Client, service string) (code int, value float64, version, body string) {
	t.Helper()
	resp, err := client.Post("http://"+f.HTTP+"/v2/models/"+service+"/infer", "application/json", strings.NewReader(question))
	if err != nil {
		t.Error(err)
		return 0, 0, "", ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	var answer struct {
		Version string `json:"model_version"`
		Outputs []struct{ Data []float64 }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Errorf("%d %s: %v", resp.StatusCode, text, err)
	}
	if len(answer.Outputs) == 1 {
		value = answer.Outputs[0].Data[0]
	}
	return resp.StatusCode, value, answer.Version, string(text)
}

func TestAReloadTellsWhatItChanged(t *testing.T) {
	f := startFile(t, `
services:
  - {name: stays, variants: [{model: m/1}], routes: [{path: /s, request: {input: x}}], traffic: {match: [{variant: stable, header: X, regex: "^a"}]}}
  - {name: slower, variants: [{model: m/1}]}
  - {name: goes, variants: [{model: m/1}]}
`)
	done := f.reload(t, `
services:
  - {name: comes, variants: [{model: m/3}, {name: canary, model: m/1}], traffic: {weights: {stable: 1, canary: 0}}}
  - {name: slower, variants: [{model: m/1}], timeout: 2s}
  - {name: stays, variants: [{model: m/1}], routes: [{path: /s, request: {input: x}}], traffic: {match: [{variant: stable, header: X, regex: "^a"}]}}
server: {drain: 7s}
`)
	loaded := done.Loaded
	done.Loaded = nil
	want := api.Reloaded{
		File: "serin.yaml", Added: []string{"comes"}, Changed: []string{"slower"}, Removed: []string{"goes"}, Unchanged: []string{"stays"}, Server: []string{"drain"},
	}
	if diff := cmp.Diff(want, done); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(loaded) != 1 || loaded[0].Service != "comes" || loaded[0].Variant != "stable" || loaded[0].Model != "m" || loaded[0].Version != 3 {
		t.Errorf("loaded: %+v", loaded)
	}
	for service, want := range map[string]int{"comes": 200, "slower": 200, "stays": 200, "goes": 404} {
		if code, _, _, body := f.ask(t, http.DefaultClient, service); code != want {
			t.Errorf("%s: %d %s", service, code, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()

	// The same file once more changes nothing; the signal is as good as the call.
	f.hangup <- syscall.SIGHUP
	f.until(t, "the signal is followed", func([]api.Service) bool {
		return strings.Count(f.logged.String(), "the configuration is reloaded") == 2
	})
	if again, err := f.client.Reload(t.Context()); err != nil || !again.Nothing() || len(again.Unchanged) != 3 || len(again.Loaded) != 0 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestAReloadThatFailsChangesNothing(t *testing.T) {
	const good = `services: [{name: a, variants: [{model: m/1}, {name: canary, model: m/2}], traffic: {weights: {stable: 1, canary: 0}}}]`
	f := startFile(t, good)
	damaged := f.damage(t)
	state := func() string {
		all, err := f.client.Services(t.Context())
		must(t, err)
		weights, err := f.client.Traffic(t.Context())
		must(t, err)
		text, err := json.Marshal([]any{all, weights})
		must(t, err)
		return string(text)
	}
	before := state()
	for what, c := range map[string]struct {
		text string
		kind fault.Kind
		tell []string
	}{
		"all mistakes of the file": {"services: [{name: a, variants: [{model: m/1}], timeout: never}]\nsrever: {}\n", fault.Invalid,
			[]string{"serin.yaml:1:57: services[0].timeout", "serin.yaml:2:1: srever"}},
		"versions that are not there": {"services: [{name: a, variants: [{model: m/7}, {name: canary, model: n}], traffic: {weights: {stable: 1, canary: 0}}}]", fault.NotFound,
			[]string{"service a, variant stable: ", "service a, variant canary: "}},
		"a version that is damaged": {fmt.Sprintf("services: [{name: b, variants: [{model: m/3}]}, {name: a, variants: [{model: m/%d}]}]", damaged), fault.Internal,
			[]string{"service a, variant stable: load m", "damaged"}},
		"a route that does not fit": {`services: [{name: a, variants: [{model: m/1}], routes: [{path: /a, request: {nobody: x}}]}]`, fault.Invalid,
			[]string{"service a, variant stable: route POST /a"}},
		"keys that need a restart": {good + "\nserver: {http: \":1\", accessLog: all, limits: {idle: 3m}, drain: 1s}", fault.Conflict,
			[]string{`server.http is "127.0.0.1:0" and would be ":1"`, `server.accessLog is "off" and would be "all"`, "server.limits.idle is 2m0s and would be 3m0s"}},
		"bodies that gRPC cannot take": {strings.Replace(good, "name: a,", "name: a, limits: {bodyBytes: 1GiB},", 1), fault.Conflict,
			[]string{"limits.bodyBytes would be 1GiB, and gRPC takes 64MiB"}},
		"no services any more": {"", fault.Conflict, []string{"the file names no service, where it named 1"}},
	} {
		f.write(t, c.text)
		_, err := f.client.Reload(t.Context())
		if fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v %v", what, fault.KindOf(err), err)
			continue
		}
		for _, want := range c.tell {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", what, err, want)
			}
		}
		if strings.Contains(err.Error(), "server.drain ") {
			t.Errorf("%s: a reload can change drain: %v", what, err)
		}
		if now := state(); now != before {
			t.Errorf("%s: before %s, after %s", what, before, now)
		}
	}
	must(t, os.Remove(f.path))
	if _, err := f.client.Reload(t.Context()); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no file: %v", err)
	}
	if n := strings.Count(f.logged.String(), "the configuration is not reloaded; all stays as it was"); n != 8 {
		t.Errorf("the log tells of %d failures", n)
	}
	if done := f.reload(t, good); !done.Nothing() {
		t.Errorf("the file of the start changes %+v", done)
	}
}

// damage imports a version and damages its file, and returns its number.
func (f *filed) damage(t *testing.T) int {
	t.Helper()
	v := f.importStump(t, 4)
	digits := strings.TrimPrefix(v.Files[0].Digest.String(), "sha256:")
	blob := filepath.Join(f.dir, "blobs", "sha256", digits[:2], digits[2:])
	content, err := os.ReadFile(blob)
	must(t, err)
	must(t, os.WriteFile(blob, bytes.Replace(content, []byte("squarederror"), []byte("squaredevror"), 1), 0o600))
	return v.Number
}

// TestReloadsUnderLoadLoseNothing reloads 200 times, every other time with a mistake, while clients ask. Every answer is one of a
// configuration that held, and a service that is taken away is not found, no worse.
func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	file := func(version int, more string) string {
		return fmt.Sprintf("services:\n  - {name: m, variants: [{model: m/%d}], timeout: %ds}\n  - {name: same, variants: [{model: m/1}]}\n%s", version, 10+version, more)
	}
	const leaver = "  - {name: leaver, variants: [{model: m/2}], routes: [{path: /leaver, response: {y: prediction}, request: {input: a}}]}\n"
	f := startFile(t, file(1, leaver))
	var clients sync.WaitGroup
	stopped := make(chan struct{})
	stop := sync.OnceFunc(func() {
		close(stopped)
		clients.Wait()
	})
	defer stop()
	counts := make([]map[string]int, 4)
	for i := range counts {
		counts[i] = map[string]int{}
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i == 0}}
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-stopped:
					return
				default:
				}
				service := []string{"m", "leaver", "same"}[n%3]
				code, value, version, body := f.ask(t, client, service)
				switch {
				case code == 200 && fmt.Sprint(value) == version && (service == "m" || version == map[string]string{"leaver": "2", "same": "1"}[service]):
				case code == 404 && service == "leaver":
				default:
					t.Errorf("%s: %d %s", service, code, body)
					return
				}
				counts[i][fmt.Sprint(service, " ", code)]++
			}
		})
	}
	random, mistakes := 0, []string{
		"services: [", file(1, "  - {name: bad, variants: [{model: m/9}]}\n"), file(2, "server: {accessLog: all}\n"), file(3, "  - {name: m, variants: [{model: m}]}\n"), "",
	}
	for n := range 200 {
		if n%2 == 1 {
			f.write(t, mistakes[random%len(mistakes)])
			random++
			if done, err := f.client.Reload(t.Context()); err == nil {
				t.Fatalf("a mistake is taken: %+v", done)
			}
			continue
		}
		more := leaver
		if n%4 == 0 {
			more = ""
		}
		version := 1 + n/2%3
		f.reload(t, file(version, more))
		if _, value, _, body := f.ask(t, http.DefaultClient, "m"); value != float64(version) {
			t.Errorf("after reload %d: %s", n, body)
		}
	}
	f.reload(t, file(1, ""))
	stop()
	for range 10 {
		if code, _, _, body := f.ask(t, http.DefaultClient, "leaver"); code != http.StatusNotFound || !strings.Contains(body, "leaver") {
			t.Errorf("what is gone: %d %s", code, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	all := map[string]int{}
	for _, c := range counts {
		for what, n := range c {
			all[what] += n
		}
	}
	if all["m 200"] < 100 || all["leaver 200"] == 0 || all["leaver 404"] == 0 {
		t.Errorf("the test does not test: %v", all)
	}
	t.Log(all)
}

func TestReloadsAtOnceComeOneAfterTheOther(t *testing.T) {
	f := startFile(t, "services: [{name: a, variants: [{model: m/1}]}]")
	f.write(t, "services: [{name: a, variants: [{model: m/2}]}]")
	var callers sync.WaitGroup
	results := make([]api.Reloaded, 8)
	for i := range results {
		callers.Go(func() {
			done, err := f.client.Reload(t.Context())
			if err != nil {
				t.Error(err)
			}
			results[i] = done
		})
	}
	callers.Wait()
	changed := 0
	for _, r := range results {
		changed += len(r.Changed)
	}
	if changed != 1 {
		t.Errorf("%d of them change something: %+v", changed, results)
	}
}

func TestAnOverrideSurvivesAReload(t *testing.T) {
	const file = "services: [{name: a, timeout: %s, variants: [{model: m/1}, {name: canary, model: m/2}], traffic: {weights: {stable: %d, canary: 1}}}]"
	f := startFile(t, fmt.Sprintf(file, "1s", 99999))
	_, err := f.client.SetTraffic(t.Context(), "a", overrideBy(t, "0", "1", "1h"))
	must(t, err)
	whoAnswers := func() string {
		_, _, version, body := f.ask(t, http.DefaultClient, "a")
		if version == "" {
			t.Error(body)
		}
		return version
	}
	for _, text := range []string{fmt.Sprintf(file, "2s", 99999), fmt.Sprintf(file, "2s", 99998), fmt.Sprintf(file, "3s", 99997)} {
		f.reload(t, text)
		if who := whoAnswers(); who != "2" {
			t.Errorf("version %s answers under the override", who)
		}
	}
	now, err := f.client.ServiceTraffic(t.Context(), "a")
	must(t, err)
	if now.Override == nil || now.Source != "override" || now.PolicyVersion != 4 { // file, set, and the file's weights twice
		t.Errorf("%+v", now)
	}
	_, err = f.client.ClearTraffic(t.Context(), "a", api.TrafficClear{By: "ada", Why: "done"})
	must(t, err)
	if now, err = f.client.ServiceTraffic(t.Context(), "a"); err != nil || now.Weights["stable"].String() != "99997" {
		t.Errorf("the file's weights: %+v, %v", now, err)
	}
	if who := whoAnswers(); who != "1" {
		t.Errorf("version %s answers by the file", who)
	}
	http.DefaultClient.CloseIdleConnections()
}
