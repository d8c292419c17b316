package main

import (
	"bufio"
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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
)

// public is users who ask a server and say how it went, and all that they were told.
type public struct {
	mu        sync.Mutex
	heard     *sync.Cond     // an answer came
	attempts  int            // predictions asked for
	answers   []time.Time    // when each was answered
	told      map[string]int // outcomes that were acknowledged: their numbers, by id
	tried     map[string]int // outcomes that were sent
	surprises []string
}

// forget begins a round: no answer has been heard in it.
func (p *public) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = nil
}

// await waits until n answers have been heard.
func (p *public) await(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.answers) < n {
		p.heard.Wait()
	}
}

// visit asks and gives feedback until ctx ends.
func (p *public) visit(ctx context.Context, address string, writer, round int) {
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		p.mu.Lock()
		p.attempts++
		p.mu.Unlock()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/api/v1.0/predictions", strings.NewReader(`{"data":{"ndarray":[[1,2]]}}`))
		if err != nil {
			return
		}
		r.Header.Set("X-User", fmt.Sprint("user-", (writer*31+n)%97))
		answer, err := client.Do(r)
		if err != nil {
			continue // the server is dead
		}
		answer.Body.Close()
		p.mu.Lock()
		p.answers = append(p.answers, time.Now())
		p.heard.Broadcast()
		p.mu.Unlock()
		id := fmt.Sprintf("outcome-%d-%d-%d", round, writer, n)
		p.tell(ctx, client, address, answer.Header.Get("Serin-Decision"), id, n)
		if n%3 == 0 {
			p.tell(ctx, client, address, answer.Header.Get("Serin-Decision"), id, n) // clients that did not hear an answer repeat
		}
	}
}

// tell sends one outcome.
func (p *public) tell(ctx context.Context, client *http.Client, address, token, id string, n int) {
	p.mu.Lock()
	p.tried[id] = n
	p.mu.Unlock()
	body := fmt.Sprintf(`{"token": %q, "id": %q, "reward": %d}`, token, id, n)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/feedback", strings.NewReader(body))
	if err != nil {
		return
	}
	answer, err := client.Do(r)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch answer.StatusCode {
	case http.StatusOK:
		p.told[id] = n
	case http.StatusServiceUnavailable: // the telemetry still reads the log
	default:
		p.surprises = append(p.surprises, answer.Status)
	}
}

// startServer runs a server of its own on dir until it is signalled, and returns the address of its data plane.
func startServer(t *testing.T, dir, config string) (*exec.Cmd, string) {
	t.Helper()
	server := exec.Command(os.Args[0], "serve", "--json", "--config", config, "--data-dir", dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--control", "127.0.0.1:0")
	server.Args[0] = "serin"
	server.Path = filepath.Join(t.TempDir(), "serin")
	if err := os.Symlink(os.Args[0], server.Path); err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill() })
	lines := bufio.NewScanner(out)
	address := ""
	for lines.Scan() {
		var line struct {
			HTTP     string            `json:"http"`
			Services []json.RawMessage `json:"services"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		if address = max(address, line.HTTP); line.Services != nil {
			return server, address
		}
	}
	t.Fatalf("the server ended before it was ready: %v", server.Wait())
	return nil, ""
}

// howOften says how often a test does what it does: as often as the variable says, else less in short runs and more in CI.
func howOften(t *testing.T, variable string, usual, ci, short int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(variable))
	switch {
	case err == nil:
		return n
	case testing.Short():
		return short
	case os.Getenv("CI") == "true":
		return ci
	}
	return usual
}

// TestKillLosesNoOutcomeAndCountsEachOnce kills a server under load at random instants, 16 clients asking and giving feedback. No outcome
// that was acknowledged is lost or counted twice, and the tallies are what the clients saw, but for what was answered in the last three
// seconds before a kill (tallies are written every second). Every fifth server, and the last, is stopped in good order, and then nothing
// is missing. SERIN_KILLS sets the rounds.
func TestKillLosesNoOutcomeAndCountsEachOnce(t *testing.T) {
	rounds := howOften(t, "SERIN_KILLS", 5, 25, 2)
	dir := t.TempDir()
	options := app.Options{DataDir: dir, Create: true, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
	config := filepath.Join(t.TempDir(), "serin.yaml")
	if err := os.WriteFile(config, []byte("services: [{name: m, variants: [{model: m/1}, {name: canary, model: m/2}], traffic: {weights: {stable: 3, canary: 1}, sticky: {unit: \"header:X-User\"}}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	importStumps(t, options)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := &public{told: map[string]int{}, tried: map[string]int{}}
	p.heard = sync.NewCond(&p.mu)
	least := 0
	for round := range rounds {
		p.forget()
		server, address := startServer(t, dir, config)
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for w := range 16 {
			writers.Go(func() { p.visit(ctx, address, w, round) })
		}
		p.await(1)
		time.Sleep(time.Duration(1000+random.IntN(3000)) * time.Millisecond) // how long it lives, which is what is drawn
		counted := time.Now()
		if round%5 == 4 || round == rounds-1 {
			stop()
			writers.Wait()
			_ = server.Process.Signal(os.Interrupt)
		} else {
			counted = counted.Add(-3 * time.Second)
			_ = server.Process.Kill()
		}
		_ = server.Wait()
		stop()
		writers.Wait()
		for _, at := range p.answers {
			if !at.After(counted) {
				least++
			}
		}
	}
	server, _ := startServer(t, dir, config) // which has read the log to its end when it stops
	_ = server.Process.Signal(os.Interrupt)
	if err := server.Wait(); err != nil {
		t.Errorf("the last server: %v", err)
	}
	p.check(t, options, least)
}

func importStumps(t *testing.T, o app.Options) {
	t.Helper()
	control, err := app.Writer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	for value := range 2 {
		if _, err := control.Import(t.Context(), "m", api.ImportOptions{By: "test"}, stump(float64(value))); err != nil {
			t.Fatal(err)
		}
	}
}

// ask answers a question in SQL with its only row.
func ask(t *testing.T, o app.Options, sql string) []any {
	t.Helper()
	reader, err := app.Reader(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	result, err := reader.Query(t.Context(), api.Statement{SQL: sql})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Rows) != 1 {
		t.Fatalf("%s: %v", sql, result.Rows)
	}
	return result.Rows[0]
}

// check compares what the clients were told with what the telemetry has.
func (p *public) check(t *testing.T, o app.Options, least int) {
	t.Helper()
	for _, s := range p.surprises {
		t.Errorf("feedback was answered with %s", s)
	}
	reader, err := app.Reader(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	have := map[string]int{}
	for last := ""; ; {
		const page = 50_000
		result, err := reader.Query(t.Context(), api.Statement{SQL: "select id, number from outcomes where id > '" + last + "' order by id", Limit: page})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range result.Rows {
			id, n := fmt.Sprint(row[0]), whole(t, row[1])
			if _, twice := have[id]; twice {
				t.Errorf("outcome %s is there twice", id)
			}
			if tried, known := p.tried[id]; !known || tried != n {
				t.Errorf("outcome %s with %v was never sent", id, n)
			}
			have[id], last = n, id
		}
		if len(result.Rows) < page {
			break
		}
	}
	for id, n := range p.told {
		if got, there := have[id]; !there || got != n {
			t.Errorf("outcome %s was acknowledged with %d and is %d, %v", id, n, got, there)
		}
	}
	sums := ask(t, o, "select sum(requests), sum(rewards), sum(reward_sum) from variant_minutes")
	requests, rewards, reward := whole(t, sums[0]), whole(t, sums[1]), whole(t, sums[2])
	if requests < least || requests > p.attempts {
		t.Errorf("%d requests are tallied; clients saw %d answers that must be, and asked %d times", requests, least, p.attempts)
	}
	// Those whose decision was lost with the last moments before a kill wait a minute for it, and then count by their tokens.
	told := ask(t, o, "select count(*), sum(number), (select count(*) from outcomes where status not in ('counted', 'waiting')) from outcomes where status = 'counted'")
	if rewards != whole(t, told[0]) || reward != whole(t, told[1]) || whole(t, told[2]) != 0 {
		t.Errorf("%d rewards of %d are rolled up; counted are %v of %v, and %v neither count nor wait", rewards, reward, told[0], told[1], told[2])
	}
	if len(p.told) == 0 || least == 0 {
		t.Error("nothing was acknowledged: the test does not test")
	}
	t.Logf("%d asked, at least %d answered and tallied, %d tallied; %d outcomes sent, %d acknowledged, %d there", p.attempts, least, requests, len(p.tried), len(p.told), len(have))
}

func whole(t *testing.T, v any) int {
	t.Helper()
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
