package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/load"
	"github.com/serin-ml/serin/internal/tensor"
)

const (
	servingRounds = 9
	servingTurn   = 1500 * time.Millisecond
	inFlight      = 64
)

// serving measures whole servers, each in a process of its own, over connections.
func serving(ctx context.Context) (err error) {
	path, err := trained(ctx, "xgboost", "xgboost", "xgboost.json")
	if err != nil {
		return err
	}
	asked, err := newQuestions(ctx, path)
	if err != nil {
		return err
	}
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	s, err := launchSerin(ctx, dir, path)
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	b, err := launch(exec.CommandContext(ctx, program, bareCommand, path))
	if err != nil {
		return err
	}
	defer func() { _ = b.stop() }()
	fmt.Printf("\n## Serving (XGBoost model of 500 trees, 56 inputs, one row a request)\n")
	for _, part := range []func(context.Context, *questions, *remote, *remote) error{oneRow, calls} {
		if err := part(ctx, asked, s, b); err != nil {
			return err
		}
	}
	if err := againstMLServer(ctx, asked, s, dir, path); err != nil {
		return err
	}
	if err := steady(ctx, asked, s); err != nil {
		return err
	}
	return swaps(ctx, asked, s, dir, path)
}

// launchSerin imports the model as m and serves it.
func launchSerin(ctx context.Context, dir, model string) (*remote, error) {
	data := filepath.Join(dir, "data")
	imported := exec.CommandContext(ctx, serin, "model", "import", "m", model, "--data-dir", data)
	imported.Stderr = os.Stderr
	if err := imported.Run(); err != nil {
		return nil, err
	}
	const anyPort = "127.0.0.1:0"
	s, err := launch(exec.CommandContext(ctx, serin, "serve", "--json", "--data-dir", data, "--http", anyPort, "--grpc", anyPort, "--control", anyPort))
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx, "/readyz"); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// questions are the rows that servers are asked for, and what the model says of each.
type questions struct {
	*contestant[float32]
	whole   []int // rows of which no number is missing: not every server takes those that lack some
	answers []float32
}

func newQuestions(ctx context.Context, path string) (*questions, error) {
	c, err := newContestant[float32](ctx, path)
	if err != nil {
		return nil, err
	}
	q := &questions{contestant: c}
	all, err := c.ask(ctx, &c.all)
	if err != nil {
		return nil, err
	}
	for row := range c.each {
		missing := false
		for _, v := range c.rows[row*features : (row+1)*features] {
			missing = missing || v != v
		}
		if !missing {
			q.whole = append(q.whole, row)
			q.answers = append(q.answers, all[row])
		}
	}
	if len(q.whole) < 100 {
		return nil, fmt.Errorf("%s.rows: only %d rows are whole", path, len(q.whole))
	}
	return q, nil
}

// options are those of a run that asks a server in a dialect, in a closed loop.
func (q *questions) options(d load.Dialect, url string) (o load.Options, err error) {
	o = load.Options{URL: url, InFlight: inFlight, Duration: servingTurn}
	for _, row := range q.whole {
		x := tensor.New(q.Signature().Inputs[0].Name, []int{1, features}, q.rows[row*features:(row+1)*features])
		p, err := d.Payload("m", &x, nil)
		if err != nil {
			return o, err
		}
		o.Payloads = append(o.Payloads, p)
	}
	return o, nil
}

// verified asks a server every question once and holds its answers against the model's.
func (q *questions) verified(ctx context.Context, s *remote, o load.Options, read func(body []byte) (float64, error)) error {
	o.Duration, o.Count, o.InFlight = 0, len(o.Payloads), 1
	o.Verify = func(payload, _ int, body []byte) error {
		got, err := read(body)
		if want := float64(q.answers[payload]); err == nil && math.Abs(got-want) > toleranceXGBoost {
			err = fmt.Errorf("the model says %v, the server %v", want, got)
		}
		return err
	}
	t, err := s.answered(ctx, o)
	if err == nil && (t.requests != len(o.Payloads) || t.failed > 0) {
		err = fmt.Errorf("%s: of %d questions %d were asked and %d failed", o.URL, len(o.Payloads), t.requests, t.failed)
	}
	return err
}

// readJSON reads the number of an answer of Open Inference or Seldon.
func readJSON(body []byte) (float64, error) {
	var answer struct {
		Outputs []struct{ Data []float64 }
		Data    struct{ Tensor struct{ Values []float64 } }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, err
	}
	if len(answer.Outputs) == 1 {
		answer.Data.Tensor.Values = answer.Outputs[0].Data
	}
	if len(answer.Data.Tensor.Values) != 1 {
		return 0, fmt.Errorf("the answer %.200s holds no number", body)
	}
	return answer.Data.Tensor.Values[0], nil
}

// readRaw reads a number that an answer ends in.
func readRaw(body []byte) (float64, error) {
	if len(body) < 4 {
		return 0, fmt.Errorf("the answer %q holds no number", body)
	}
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(body[len(body)-4:]))), nil
}
