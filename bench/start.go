package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// startRounds is how often each server is started.
const startRounds = 11

// started is what one start showed.
type started struct {
	millis   float64 // from exec to the first 200 of its readiness address
	ready    float64 // resident MB once ready
	answered float64 // resident MB after a hundred answers
}

// start measures exec to ready, and resident memory, with a 10 MB model: Serin against Python with xgboost and http.server.
func start(ctx context.Context) error {
	model, err := trained(ctx, "xgboost", "served", "model.json")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "serin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	imported := exec.CommandContext(ctx, serin, "model", "import", "m", model, "--data-dir", dir)
	imported.Stderr = os.Stderr
	if err := imported.Run(); err != nil {
		return err
	}
	row := "[" + strings.TrimSuffix(strings.Repeat("0.5,", 56), ",") + "]"
	var ours, theirs []started
	for range startRounds {
		addr, err := freeAddress()
		if err != nil {
			return err
		}
		s, err := once(ctx, exec.CommandContext(ctx, serin, "serve", "--data-dir", dir, "--http", addr, "--grpc", "127.0.0.1:0", "--control", "127.0.0.1:0"),
			"http://"+addr+"/readyz", "http://"+addr+"/v2/models/m/infer", `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,56],"data":`+row+`}]}`)
		if err != nil {
			return fmt.Errorf("serin: %w", err)
		}
		ours = append(ours, s)
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return err
		}
		s, err = once(ctx, exec.CommandContext(ctx, python("xgboost"), "bench/rival.py", model, port), "http://"+addr+"/", "http://"+addr+"/", "["+row+"]")
		if err != nil {
			return fmt.Errorf("rival: %w", err)
		}
		theirs = append(theirs, s)
	}
	info, err := os.Stat(model)
	if err != nil {
		return err
	}
	fmt.Printf("\n## Exec to ready (model of %.1f MB JSON, 370 trees of depth 8; medians of %d interleaved starts)\n\n", float64(info.Size())/1e6, startRounds)
	fmt.Println("| what | Serin | Python, xgboost, http.server | ratio | to reach |\n|---|---|---|---|---|")
	line := func(what, unit, target string, of func(started) float64) {
		a, b := median(each(ours, of)), median(each(theirs, of))
		fmt.Printf("| %s | %.0f %s | %.0f %s | %.2f | %s |\n", what, a, unit, b, unit, a/b, target)
	}
	line("exec to ready", "ms", "≤ 150 ms", func(s started) float64 { return s.millis })
	line("resident when ready", "MB", "≤ 80 MB", func(s started) float64 { return s.ready })
	line("resident after 100 answers", "MB", "≤ 80 MB", func(s started) float64 { return s.answered })
	return nil
}

// once starts cmd, waits for ready to answer 200, asks a hundred times, and stops it.
func once(ctx context.Context, cmd *exec.Cmd, ready, ask, body string) (s started, err error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // its exit code says nothing here: Python ends an interrupt with an error
		_ = cmd.Wait()
	}()
	for fetch(ctx, client, http.MethodGet, ready, "") != nil {
		if time.Since(begin) > 30*time.Second {
			return s, errors.New("not ready within 30 s")
		}
		time.Sleep(500 * time.Microsecond)
	}
	s.millis = time.Since(begin).Seconds() * 1000
	if s.ready, err = resident(cmd.Process.Pid); err != nil {
		return s, err
	}
	for range 100 {
		if err := fetch(ctx, client, http.MethodPost, ask, body); err != nil {
			return s, err
		}
	}
	s.answered, err = resident(cmd.Process.Pid)
	return s, err
}

func fetch(ctx context.Context, c *http.Client, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, text.String())
	}
	return nil
}

// resident returns a process's resident memory in MB, as Linux counts it.
func resident(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			return kb * 1024 / 1e6, nil
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // only to learn a free port
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// each returns a figure of each run.
func each[R any](runs []R, of func(R) float64) []float64 {
	values := make([]float64, len(runs))
	for i, s := range runs {
		values[i] = of(s)
	}
	return values
}
