package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
)

// TestKillLosesNothingAcknowledged kills a server with SIGKILL at random instants while models are imported and aliases moved
// through it. Whatever was acknowledged is there afterwards, undamaged, and the next server starts on it. SERIN_KILLS sets the rounds.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	rounds := 6
	if n, err := strconv.Atoi(os.Getenv("SERIN_KILLS")); err == nil {
		rounds = n
	}
	if testing.Short() {
		rounds = 2
	}
	dir, seed := t.TempDir(), uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	options := app.Options{DataDir: dir, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
	acknowledged, champion := map[int]float64{}, 0
	value := 0.0
	for range rounds {
		server := exec.Command(os.Args[0], "serve", "--data-dir", dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--control", "127.0.0.1:0")
		server.Args[0] = "serin"
		server.Path = filepath.Join(t.TempDir(), "serin")
		if err := os.Symlink(os.Args[0], server.Path); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		client := app.Server(dir)
		// It lives until a moment after the first import that is acknowledged, as a busy machine may take long to start; and not for ever.
		killed, first := time.AfterFunc(time.Minute, func() { _ = server.Process.Kill() }), true
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = server.Wait()
		}()
		for alive := true; alive; {
			select {
			case <-ended:
				alive = false
			default:
				value++
				imported, err := client.Import(t.Context(), "m", api.ImportOptions{By: "test"}, stump(value))
				if err != nil {
					continue // it is dead, or does not listen yet
				}
				acknowledged[imported.Version.Number] = value
				if first {
					killed.Reset(time.Duration(random.IntN(400)) * time.Millisecond)
					first = false
				}
				moved, err := client.MoveAlias(t.Context(), "m", "champion", api.AliasChange{To: strconv.Itoa(imported.Version.Number), By: "test"})
				if err == nil {
					champion = moved.To
				}
			}
		}
		<-ended
		check(t, options, acknowledged, champion)
	}
	if len(acknowledged) < rounds {
		t.Errorf("only %d imports were acknowledged in %d rounds: the test does not test", len(acknowledged), rounds)
	}
	t.Logf("%d rounds, %d imports acknowledged", rounds, len(acknowledged))
}

// check reads the directory without a server.
func check(t *testing.T, o app.Options, acknowledged map[int]float64, champion int) {
	t.Helper()
	if len(acknowledged) == 0 {
		return
	}
	ctx := context.Background()
	reader, err := app.Reader(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	model, err := reader.Model(ctx, "m")
	if err != nil {
		t.Fatal(err)
	}
	have := map[int]bool{}
	for _, v := range model.All {
		have[v.Number] = true
	}
	for number := range acknowledged {
		if !have[number] {
			t.Errorf("version %d was acknowledged and is lost", number)
		}
	}
	if at := model.Aliases["champion"]; at < champion {
		t.Errorf("the champion was moved to %d and is at %d", champion, at)
	}
	if report, err := reader.Verify(ctx, nil); err != nil || len(report.Damage) > 0 {
		t.Errorf("damage: %v, %v", report.Damage, err)
	}
}

// stump is a model that answers every row with a value.
func stump(value float64) []api.Source {
	file := fmt.Sprintf(`{"learner":{"attributes":{},"feature_names":[],"gradient_booster":{"model":{"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},
		"tree_info":[0],"trees":[{"left_children":[-1],"right_children":[-1],"split_indices":[0],"split_conditions":[%v],"default_left":[0],"split_type":[0],
		"categories":[],"categories_nodes":[],"categories_segments":[],"categories_sizes":[],"tree_param":{"num_nodes":"1","size_leaf_vector":"0"}}]},"name":"gbtree"},
		"learner_model_param":{"base_score":"0","num_class":"0","num_feature":"2","num_target":"1"},"objective":{"name":"reg:squarederror"}},"version":[3,2,0]}`, value)
	return []api.Source{{Path: "model.json", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(file)), nil }}}
}
