// Command run is the two-minute tour: it imports the example model, serves it with bin/serin, asks it over two protocols, prints the
// answers beside the ones that XGBoost gave when the model was trained, and keeps serving until Ctrl-C. `make run` starts it from the
// project's root.
//
// With the argument ab it is an A/B test instead: two versions, a simulated public, and what Serin measured. `make ab` starts that.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	serin   = "bin/serin"
	example = "examples/installs"
	service = "installs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	what := run
	if len(os.Args) > 1 && os.Args[1] == "ab" {
		what = ab
	}
	if err := what(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	imported := exec.CommandContext(ctx, serin, "model", "import", service, filepath.Join(example, "model"))
	imported.Stdout, imported.Stderr = os.Stdout, os.Stderr
	if err := imported.Run(); err != nil {
		return fmt.Errorf("import of the example model: %w", err)
	}
	server, says, err := serve(ctx, nil, "--json")
	if err != nil {
		return err
	}
	if err := ask(ctx, says); err != nil && ctx.Err() == nil {
		return errors.Join(err, server.Process.Signal(os.Interrupt), server.Wait())
	}
	return server.Wait()
}

// serve starts a server, which is asked to stop when ctx ends, and returns it and what it says of itself.
func serve(ctx context.Context, env []string, args ...string) (*exec.Cmd, *bufio.Reader, error) {
	server := exec.Command(serin, append([]string{"serve"}, args...)...) //nolint:noctx // it stops by the signal below, not by being killed
	server.Stderr = os.Stderr
	server.Env = env
	// In a group of its own, so that Ctrl-C reaches it once, through this process: a second signal would end it at once.
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := server.Start(); err != nil {
		return nil, nil, err
	}
	context.AfterFunc(ctx, func() { _ = server.Process.Signal(os.Interrupt) })
	return server, bufio.NewReader(out), nil
}

// ask waits until the server says that it is ready, and compares its answers with XGBoost's.
func ask(ctx context.Context, serverSays *bufio.Reader) error {
	base, _, err := ready(serverSays)
	if err != nil {
		return err
	}
	rows, golden, err := examples()
	if err != nil {
		return err
	}
	fmt.Printf("\n%4s  %-12s %-12s %-12s\n", "row", "XGBoost", "Seldon v1", "Open Inference v2")
	wrong := 0
	for i, row := range rows {
		seldon, err := overSeldon(ctx, base, row)
		if err != nil {
			return err
		}
		v2, err := overOpenInference(ctx, base, row)
		if err != nil {
			return err
		}
		verdict := "same"
		if !agree(seldon, golden[i]) || !agree(v2, golden[i]) {
			verdict = "DIFFERENT"
			wrong++
		}
		fmt.Printf("%4d  %-12.9g %-12.9g %-12.9g  %s\n", i, golden[i], seldon, v2, verdict)
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d answers differ from XGBoost's", wrong, len(rows))
	}
	fmt.Printf("\nAll %d answers are XGBoost's, over both protocols. Still serving at %s; try:\n\n", len(rows), base)
	fmt.Printf("  curl %s/v2/models/%s\n  bin/serin model list\n\nCtrl-C stops it.\n", base, service)
	return nil
}

// ready reads the server's lines until one says that every service is ready, and returns the addresses of its data and
// control planes.
func ready(r *bufio.Reader) (base, control string, err error) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return "", "", errors.New("the server stopped before it was ready")
		}
		var event struct {
			Event, HTTP, Control string
		}
		if json.Unmarshal(line, &event) != nil {
			continue
		}
		switch event.Event {
		case "listening":
			host, port, err := net.SplitHostPort(event.HTTP)
			if err != nil {
				return "", "", err
			}
			if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
				host = "localhost"
			}
			base, control = "http://"+net.JoinHostPort(host, port), "http://"+event.Control
		case "ready":
			return base, control, nil
		}
	}
}

// examples reads rows.csv and what XGBoost answered to them. An empty cell is a missing value.
func examples() (rows [][]*float64, golden []float64, err error) {
	f, err := os.Open(filepath.Join(example, "rows.csv"))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	for _, record := range records[1:] {
		row := make([]*float64, len(record))
		for i, cell := range record {
			if v, err := strconv.ParseFloat(cell, 64); err == nil && !math.IsNaN(v) {
				row[i] = &v
			}
		}
		rows = append(rows, row)
	}
	expected, err := os.Open(filepath.Join(example, "rows.expected.jsonl"))
	if err != nil {
		return nil, nil, err
	}
	defer expected.Close()
	for d := json.NewDecoder(expected); ; {
		var line struct{ Prediction float64 }
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("rows.expected.jsonl: %w", err)
		}
		golden = append(golden, line.Prediction)
	}
	if len(rows) == 0 || len(rows) != len(golden) {
		return nil, nil, fmt.Errorf("%d rows, but %d expected answers", len(rows), len(golden))
	}
	return rows, golden, nil
}

func overSeldon(ctx context.Context, base string, row []*float64) (float64, error) {
	var answer struct {
		Data struct{ Ndarray []float64 }
	}
	question := map[string]any{"data": map[string]any{"ndarray": [][]*float64{row}}}
	err := post(ctx, base+"/seldon/default/"+service+"/api/v1.0/predictions", question, &answer)
	if err == nil && len(answer.Data.Ndarray) != 1 {
		err = fmt.Errorf("seldon answered %d numbers to one row", len(answer.Data.Ndarray))
	}
	if err != nil {
		return 0, err
	}
	return answer.Data.Ndarray[0], nil
}

func overOpenInference(ctx context.Context, base string, row []*float64) (float64, error) {
	var answer struct {
		Outputs []struct{ Data []float64 }
	}
	question := map[string]any{"inputs": []any{map[string]any{"name": "input", "datatype": "FP32", "shape": []int{1, len(row)}, "data": row}}}
	err := post(ctx, base+"/v2/models/"+service+"/infer", question, &answer)
	if err == nil && (len(answer.Outputs) != 1 || len(answer.Outputs[0].Data) != 1) {
		err = errors.New("open inference did not answer with one number to one row")
	}
	if err != nil {
		return 0, err
	}
	return answer.Outputs[0].Data[0], nil
}

func post(ctx context.Context, url string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, answer)
}

// agree holds an answer to 1e-6 relative of XGBoost's float32.
func agree(got, want float64) bool { return math.Abs(got-want) <= 1e-6*math.Abs(want) }
