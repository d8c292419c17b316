package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/serin-ml/serin/internal/load"
)

// remote is a server in a process of its own, so that what the generator costs is not in its figures.
type remote struct {
	command    *exec.Cmd
	workers    []int // processes that it has started and that do its work
	http, grpc string
	control    string
	busiest    float64 // of what other processes took in a turn, in processors
	failed     int     // requests
}

// launch starts a server that tells where it listens in a line of JSON, {"http": ..., "grpc": ...}, and waits for that. What else it says
// on its standard output is read and left.
func launch(command *exec.Cmd) (s *remote, err error) {
	s = &remote{command: command}
	if command.Stderr == nil {
		command.Stderr = os.Stderr
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	for s.http == "" {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s says nowhere to ask it: %w", command.Path, err), s.stop())
		}
		var at struct{ HTTP, GRPC, Control string }
		if err := json.Unmarshal(line, &at); err == nil {
			s.http, s.grpc, s.control = at.HTTP, at.GRPC, at.Control
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // until the process ends
	return s, nil
}

// ready waits until an address of the server answers 200.
func (s *remote) ready(ctx context.Context, path string) error {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := fetch(ctx, client, http.MethodGet, "http://"+s.http+path, "")
		if err == nil || time.Since(begin) > time.Minute {
			return err
		}
	}
}

// stop has the server end as it does in service, and ends it if it does not.
func (s *remote) stop() error {
	if err := s.command.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	impatient := time.AfterFunc(20*time.Second, func() { _ = s.command.Process.Kill() })
	defer impatient.Stop()
	_ = s.command.Wait() // whose exit code says nothing here: Python ends an interrupt with an error
	return nil
}

// processorTime is how long all threads of the server and its workers have run.
func (s *remote) processorTime() (used time.Duration) {
	const process = 2 // of the clocks of a process, the scheduler's
	for _, pid := range s.processes() {
		used += clock(int32(^pid<<3 | process))
	}
	return used
}

// processes are the server's.
func (s *remote) processes() []int { return append([]int{s.command.Process.Pid}, s.workers...) }

// resident is the resident memory of the server and its workers in MB. What they share is counted in each.
func (s *remote) resident() (sum float64, err error) {
	for _, pid := range s.processes() {
		mb, err := resident(pid)
		if err != nil {
			return 0, err
		}
		sum += mb
	}
	return sum, nil
}

// turn is what a run of the generator showed.
type turn struct {
	effort            // of a request: processor time of the server, and by the clock, one over requests a second
	p50, p99  float64 // seconds
	requests  int
	failed    int
	lag       float64 // the 99th percentile of how late the generator was, seconds
	untrusted []string
	problems  string // what failed
}

// ask runs the generator against the server.
func (s *remote) ask(ctx context.Context, o load.Options) (t turn, err error) {
	used := s.processorTime()
	r, err := load.Run(ctx, o)
	if err != nil {
		return t, err
	}
	if r.Requests == 0 || r.Rate == 0 {
		return t, fmt.Errorf("%s: nothing was answered: %v", o.URL, r.Problems)
	}
	cpu := (s.processorTime() - used).Seconds()
	s.busiest = max(s.busiest, r.Machine.Others-cpu/r.Elapsed.Seconds())
	return turn{
		effort: effort{cpu / float64(r.Requests), 1 / r.Rate}, p50: r.Latency.P50.Seconds(), p99: r.Latency.P99.Seconds(),
		requests: r.Requests, failed: r.Failed, lag: r.Lag.P99.Seconds(), untrusted: r.Invalid, problems: problems(r.Problems),
	}, nil
}

// fewFailed is how large a part of a turn's requests may fail. On a machine that others keep busy a request may miss a service's time limit.
const fewFailed = 0.001

// answered is ask where all but a few have to be answered. Those are counted, and told by noise.
func (s *remote) answered(ctx context.Context, o load.Options) (turn, error) {
	t, err := s.ask(ctx, o)
	s.failed += t.failed
	if err == nil && float64(t.failed) > fewFailed*float64(t.requests) {
		err = fmt.Errorf("%s: %d of %d requests failed: %s", o.URL, t.failed, t.requests, t.problems)
	}
	return t, err
}

// rounds has every side ask once a round, each round another first, and returns the turns of each. A round before the others, of which
// nothing is kept, warms up.
func rounds(what string, n int, sides ...func() (turn, error)) ([][]turn, error) {
	fmt.Fprintf(os.Stderr, "bench: %s, %d rounds\n", what, n)
	turns := make([][]turn, len(sides))
	for round := range n + 1 {
		for i := range sides {
			at := (round + i) % len(sides)
			t, err := sides[at]()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			if round > 0 {
				turns[at] = append(turns[at], t)
			}
		}
	}
	return turns, nil
}

// middle is the median turn, of each figure for itself.
func middle(turns []turn) (m turn) {
	m.cpu = median(each(turns, func(t turn) float64 { return t.cpu }))
	m.elapsed = median(each(turns, func(t turn) float64 { return t.elapsed }))
	m.p50 = median(each(turns, func(t turn) float64 { return t.p50 }))
	m.p99 = median(each(turns, func(t turn) float64 { return t.p99 }))
	return m
}

// more is the median of what a round of one took more than the same round of another, in seconds of processor time.
func more(than, by []turn) float64 {
	extra := make([]float64, len(by))
	for i := range extra {
		extra[i] = by[i].cpu - than[i].cpu
	}
	return median(extra)
}

// noise tells how much other work there was at worst, and what failed.
func noise(all ...*remote) string {
	busiest, failed := 0.0, 0
	for _, s := range all {
		busiest = max(busiest, s.busiest)
		failed += s.failed
	}
	text := fmt.Sprintf("Other processes took at most %.2f of a processor in a turn.", busiest)
	if failed > 0 {
		text += fmt.Sprintf(" %d requests failed.", failed)
	}
	return text
}

// met says whether a figure reaches what it is to reach.
func met(ok bool) string {
	if ok {
		return "met"
	}
	return "**missed**"
}
