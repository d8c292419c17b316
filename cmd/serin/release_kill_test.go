package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
	"github.com/serin-ml/serin/internal/release"
)

// releasesToKill are releases whose steps go on by themselves: of upstreams that swap roles, of an upstream that hooks deploy, of one that
// fails, and of a model. Those of the second and the last have a lease that ends between one server and the next, now and then.
const releasesToKill = `
services:
  - {name: swap, path: /swap/, variants: [{name: stable, version: "1", upstream: %[1]q}, {name: canary, version: "2", upstream: %[2]q}], traffic: {weights: {stable: 1}}}
  - {name: hooks, path: /hooks/, variants: [{name: stable, version: "1", upstream: %[1]q}, {name: canary, version: "2", upstream: %[2]q}], traffic: {weights: {stable: 1}}}
  - {name: bad, path: /bad/, variants: [{name: stable, version: "1", upstream: %[1]q}, {name: canary, version: "2", upstream: %[3]q}], traffic: {weights: {stable: 1}}}
  - {name: m, variants: [{name: stable, model: "models:/m@champion"}, {name: canary, model: "models:/m@candidate"}], traffic: {weights: {stable: 1}}}
releases:
  - {name: swap, service: swap, candidate: canary, steps: [{setWeight: 10}, {pause: 300ms}, {setWeight: 35}, {pause: 300ms}, {setWeight: 80}, {pause: 300ms}]}
  - {name: hooks, service: hooks, candidate: canary, lease: 1s, steps: [{setWeight: 20}, {pause: 300ms}, {setWeight: 50}, {pause: 300ms}],
     hooks: {build: {exec: ["true"]}, deploy: {exec: ["true"]}, ready: {exec: ["true"]}, undo: {exec: ["true"]}}}
  - {name: bad, service: bad, candidate: canary, metrics: [{name: errors, max: 50%%}], steps: [{setWeight: 25}, {pause: 300ms}, {setWeight: 60}, {analysis: {}}]}
  - {name: m, service: m, candidate: canary, lease: 1s, steps: [{setWeight: 15}, {pause: 300ms}, {setWeight: 55}, {pause: 300ms}]}
notify:
  - {kind: webhook, url: %[4]q}
`

// killedLease is the shorter lease of releasesToKill.
const killedLease = time.Second

// killedReleases is a data directory whose server is killed again and again, and what people were told.
type killedReleases struct {
	dir, config string
	told        *toldPeople
	server      *exec.Cmd
	client      *api.Client
	seen        map[string]bool // releases that were looked at while they ran
}

// TestKillLosesNothingOfReleases kills servers with SIGKILL at 200 random instants in all, under load, a fifth of them while they start. After
// every start the weights are those of a step, or the candidate has nothing. In the end every release has come to its end, no journal has a
// gap or the same twice, and people were told of everything, once. SERIN_RELEASE_KILLS sets how often.
func TestKillLosesNothingOfReleases(t *testing.T) {
	t.Parallel()
	kills, chains := howOften(t, "SERIN_RELEASE_KILLS", 200, 200, 8), 4
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	good, next, bad := proxytest.Serve(t, nil), proxytest.Serve(t, nil), proxytest.Serve(t, proxytest.Status(http.StatusInternalServerError))
	for chain := range chains {
		t.Run(strconv.Itoa(chain), func(t *testing.T) {
			t.Parallel()
			k := &killedReleases{dir: t.TempDir(), config: filepath.Join(t.TempDir(), "serin.yaml"), told: tellPeople(t), seen: map[string]bool{}}
			k.client = app.Server(k.dir)
			config := fmt.Sprintf(releasesToKill, good.URL(), next.URL(), bad.URL(), k.told.url)
			if err := os.WriteFile(k.config, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			options := app.Options{DataDir: k.dir, Create: true, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
			importStumps(t, options)
			k.point(t, options)
			random := rand.New(rand.NewPCG(seed, uint64(chain)))
			for n := range kills / chains {
				if n%5 == 4 { // while it starts
					k.start(t)
					time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
				} else {
					k.live(t, time.Duration(random.IntN(1500))*time.Millisecond)
				}
				_ = k.server.Process.Kill()
				_ = k.server.Wait()
				if n%10 == 7 {
					time.Sleep(killedLease + 200*time.Millisecond) // so that a lease ends while nobody is there
				}
			}
			k.end(t)
		})
	}
}

// point lets the alias of the candidate name a version.
func (k *killedReleases) point(t *testing.T, o app.Options) {
	t.Helper()
	control, err := app.Writer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	if _, err := control.MoveAlias(t.Context(), "m", "candidate", api.AliasChange{To: "2", By: "test"}); err != nil {
		t.Fatal(err)
	}
}

// start starts a server, and returns a function that waits until it is ready and returns where it listens.
func (k *killedReleases) start(t *testing.T) (ready func() string) {
	t.Helper()
	k.server = exec.Command(os.Args[0], "serve", "--json", "--config", k.config, "--data-dir", k.dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--control", "127.0.0.1:0")
	k.server.Args[0] = "serin"
	k.server.Path = filepath.Join(t.TempDir(), "serin")
	if err := os.Symlink(os.Args[0], k.server.Path); err != nil {
		t.Fatal(err)
	}
	out, err := k.server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	k.server.Stderr = &said // read when it has ended
	if err := k.server.Start(); err != nil {
		t.Fatal(err)
	}
	process := k.server.Process
	t.Cleanup(func() { _ = process.Kill() })
	return func() string {
		address := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var line struct {
				HTTP     string            `json:"http"`
				Services []json.RawMessage `json:"services"`
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("%s: %v", lines.Bytes(), err)
			}
			if address = max(address, line.HTTP); line.Services != nil {
				return address
			}
		}
		err := k.server.Wait()
		t.Fatalf("the server ended before it was ready: %v\n%s", err, said.String())
		return ""
	}
}

// live lets a server live for a while, with users, and with a release of each service.
func (k *killedReleases) live(t *testing.T, long time.Duration) {
	t.Helper()
	address := k.start(t)()
	k.check(t)
	until := time.Now().Add(long)
	ctx, stop := context.WithDeadline(t.Context(), until)
	defer stop()
	k.begin(ctx, t)
	k.use(ctx, address)
	<-ctx.Done()
}

// use asks every service, some hundred times a second, until ctx ends.
func (k *killedReleases) use(ctx context.Context, address string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		askOnce(client, http.MethodGet, "http://"+address+"/"+[]string{"swap", "hooks", "bad"}[n%3]+"/", "", "X-User", fmt.Sprint("user-", n%97))
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// begin begins a release of each service that has none, as far as it can before ctx ends.
func (k *killedReleases) begin(ctx context.Context, t *testing.T) {
	t.Helper()
	all, err := k.client.Releases(ctx)
	if err != nil {
		return
	}
	running := map[string]bool{}
	for i := range all {
		running[all[i].Plan.Name] = running[all[i].Plan.Name] || !all[i].Over()
	}
	for _, name := range []string{"swap", "hooks", "bad", "m"} {
		if running[name] {
			continue
		}
		if name == "m" { // to the other version, which is loaded the next time
			if m, err := k.client.Model(ctx, "m"); err == nil && m.Aliases["champion"] == m.Aliases["candidate"] {
				_, _ = k.client.MoveAlias(ctx, "m", "candidate", api.AliasChange{To: strconv.Itoa(3 - m.Aliases["champion"]), By: "test"})
			}
		}
		_, _ = k.client.StartRelease(ctx, name, api.ReleaseStart{By: "test"})
	}
}

// check compares the weights of every service with its release. They may go on between one look and the next, so it looks until they do not.
func (k *killedReleases) check(t *testing.T) {
	t.Helper()
	all, err := k.client.Releases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Over() {
			continue
		}
		for {
			before, err := k.client.Release(t.Context(), all[i].ID)
			if err != nil {
				t.Fatal(err)
			}
			traffic, err := k.client.ServiceTraffic(t.Context(), before.Plan.Service)
			if err != nil {
				t.Fatal(err)
			}
			after, err := k.client.Release(t.Context(), all[i].ID)
			if err != nil {
				t.Fatal(err)
			}
			if before.Over() || after.Over() {
				break
			}
			if before.Seq != after.Seq {
				continue
			}
			k.seen[after.ID] = true
			has := 100 * traffic.Shares[after.Plan.Candidate]
			if rest := 100 * traffic.Shares[after.Plan.Stable]; !near(has+rest, 100) {
				t.Errorf("%s: both variants have %v%% and %v%%", after.ID, has, rest)
			}
			if !near(has, after.Percent) && !near(has, 0) || !ofPlan(&after.Plan, has) {
				t.Errorf("%s: at %s the candidate has %v%%", after.ID, after.StepName, has)
			}
			break
		}
	}
}

// near tells whether two percentages are the same.
func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

// ofPlan tells whether a share is that of a step, or none.
func ofPlan(p *release.Plan, percent float64) bool {
	for _, s := range p.Steps {
		if s.Kind == release.SetWeight && near(s.Percent, percent) {
			return true
		}
	}
	return near(percent, 0)
}

// end lets a last server live until every release has ended and everybody was told, and looks at all of it.
func (k *killedReleases) end(t *testing.T) {
	t.Helper()
	address := k.start(t)()
	ctx, stop := context.WithCancel(t.Context())
	users := make(chan struct{})
	go func() {
		defer close(users)
		k.use(ctx, address)
	}()
	expected := map[string]string{} // what people are to be told, by the message's key
	ended, kinds := 0, map[release.Phase]int{}
	waitFor(t, "every release ends", func() bool {
		all, err := k.client.Releases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		clear(kinds)
		ended = 0
		for i := range all {
			kinds[all[i].Phase]++
			if all[i].Over() {
				ended++
			}
		}
		return ended == len(all)
	})
	stop()
	<-users
	all, err := k.client.Releases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range all {
		one, err := k.client.Release(t.Context(), all[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		checkJournal(t, &one)
		for _, j := range one.Journal {
			if j.What == release.Restarted {
				taken++
			}
			if j.What.Announced() {
				expected[fmt.Sprintf("release/%s/%020d", one.ID, j.Seq)] = j.Sentence
			}
		}
		if want := map[bool]release.Phase{false: release.Promoted, true: release.RolledBack}[one.Plan.Name == "bad"]; one.Phase != want {
			t.Errorf("%s is %s, want %s: %s", one.ID, one.Phase, want, one.Reason)
		}
	}
	waitFor(t, "everybody is told", func() bool { return k.told.count() >= len(expected) })
	again := k.told.check(t, expected)
	if len(k.seen) == 0 || kinds[release.Promoted] == 0 || kinds[release.RolledBack] == 0 {
		t.Errorf("%d releases were looked at, and ended as %v: the test does not test", len(k.seen), kinds)
	}
	t.Logf("%d releases, %v, %d looked at after a start, %d times taken up after their lease; %d announcements, %d of them sent again by the next server", len(all), kinds, len(k.seen), taken, len(expected), again)
	_ = k.server.Process.Signal(os.Interrupt)
	if err := k.server.Wait(); err != nil {
		t.Errorf("the last server: %v", err)
	}
}

// checkJournal looks for gaps, for what stands there twice, and for what cannot be.
func checkJournal(t *testing.T, r *api.Release) {
	t.Helper()
	if len(r.Journal) != r.Seq {
		t.Errorf("%s: the journal has %d transitions of %d", r.ID, len(r.Journal), r.Seq)
	}
	order := map[release.Phase]int{release.Running: 0, release.Promoting: 1, release.RollingBack: 2, release.Promoted: 3, release.RolledBack: 3}
	once := map[string]int{}
	for i, j := range r.Journal {
		if j.Seq != i+1 || j.Release != r.ID {
			t.Errorf("%s: transition %d is %d of %s", r.ID, i+1, j.Seq, j.Release)
		}
		if swapped := j.Phase == release.Promoted && r.Plan.Model == "" && j.Percent == 100; !swapped && !ofPlan(&r.Plan, j.Percent) {
			t.Errorf("%s: transition %d gives the candidate %v%%", r.ID, j.Seq, j.Percent)
		}
		if i > 0 && order[j.Phase] < order[r.Journal[i-1].Phase] {
			t.Errorf("%s: transition %d goes from %s to %s", r.ID, j.Seq, r.Journal[i-1].Phase, j.Phase)
		}
		switch j.What {
		case release.Restarted, release.Held, release.Resumed, release.Failed, release.Effected, release.Approved: // may be again
		case release.Advance:
			once[j.Sentence]++
		case release.Start, release.Promote, release.RollBack, release.EndedWell, release.EndedBack:
			once[string(j.What)]++
		}
	}
	for what, n := range once {
		if n > 1 {
			t.Errorf("%s: %d times %s", r.ID, n, what)
		}
	}
	if last := r.Journal[len(r.Journal)-1]; last.What != release.EndedWell && last.What != release.EndedBack || once[string(release.Start)] != 1 {
		t.Errorf("%s: it begins %d times, and ends with %s", r.ID, once[string(release.Start)], last.What)
	}
}
