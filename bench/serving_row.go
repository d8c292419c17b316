package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/serin-ml/serin/internal/load"
)

// oneRow measures a prediction over HTTP, in three dialects.
func oneRow(ctx context.Context, q *questions, s, b *remote) error {
	model, err := modelTime(ctx, q)
	if err != nil {
		return err
	}
	ways := []struct {
		name    string
		dialect load.Dialect
		bare    string
		read    func([]byte) (float64, error)
		most    float64 // beyond bare and the model, seconds
	}{
		{"v2, JSON", load.V2, "v2", readJSON, 8e-6},
		{"Seldon, JSON", load.Seldon, "seldon", readJSON, 8e-6},
		{"v2, binary tensors", load.V2Binary, "v2", readRaw, 5e-6},
	}
	var sides []func() (turn, error)
	for _, w := range ways {
		url, err := w.dialect.URL("http://"+s.http, "m")
		if err != nil {
			return err
		}
		o, err := q.options(w.dialect, url)
		if err != nil {
			return err
		}
		if err := q.verified(ctx, s, o, w.read); err != nil {
			return err
		}
		sides = append(sides, asker(ctx, s, o, url), asker(ctx, b, o, "http://"+b.http+"/"+w.bare), asker(ctx, b, o, "http://"+b.http+"/model/"+w.bare))
	}
	turns, err := rounds("one row over HTTP", servingRounds, sides...)
	if err != nil {
		return err
	}
	fmt.Printf("\n### One row over HTTP, %d connections in a closed loop\n\n", inFlight)
	fmt.Println("| what | CPU a request | requests/s | p99 | beyond bare and the model | to reach |\n|---|---|---|---|---|---|")
	for i, w := range ways {
		ours, bare, asking := turns[3*i], turns[3*i+1], turns[3*i+2]
		beyond := more(bare, ours) - model
		line(w.name+": Serin", middle(ours), duration(beyond), fmt.Sprintf("≤ %s, %s", duration(w.most), met(beyond <= w.most)))
		line(w.name+": bare, the same decoder and a constant answer", middle(bare), "", "")
		line(w.name+": the same, the model asked too", middle(asking), duration(more(bare, asking)-model), "")
	}
	fmt.Printf("\nThe model alone, on this thread, takes %s for a row. %s\n", duration(model), noise(s, b))
	return nil
}

// asker returns a side that asks a server.
func asker(ctx context.Context, s *remote, o load.Options, url string) func() (turn, error) {
	o.URL = url
	return func() (turn, error) { return s.answered(ctx, o) }
}

// line prints a row of a table of turns.
func line(what string, t turn, beyond, target string) {
	fmt.Printf("| %s | %s | %.0f | %s | %s | %s |\n", what, duration(t.cpu), 1/t.elapsed, duration(t.p99), beyond, target)
}

// modelTime is what the model takes for one row, in this process: seconds.
func modelTime(ctx context.Context, q *questions) (float64, error) {
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(q.whole))
	took, err := duel("the model alone", oneRowRounds, batches, side{run: func(turn int) error {
		for i := range batch {
			if _, err := q.ask(ctx, &q.each[q.whole[order[(turn*batch+i)%len(order)]]]); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	return took[0] / batch, nil
}

// calls measures a prediction over gRPC against a call that does nothing.
func calls(ctx context.Context, q *questions, s, b *remote) error {
	url, err := load.V2GRPC.URL("grpc://"+s.grpc, "m")
	if err != nil {
		return err
	}
	o, err := q.options(load.V2GRPC, url)
	if err != nil {
		return err
	}
	if err := q.verified(ctx, s, o, readRaw); err != nil {
		return err
	}
	empty := load.Options{InFlight: inFlight, Duration: servingTurn}
	turns, err := rounds("one row over gRPC", servingRounds, asker(ctx, s, o, url), asker(ctx, b, empty, "grpc://"+b.grpc+bareRPC))
	if err != nil {
		return err
	}
	ours, bare := middle(turns[0]), middle(turns[1])
	fmt.Printf("\n### One row over gRPC, %d calls in flight on 4 connections\n\n", inFlight)
	fmt.Println("| what | CPU a request | requests/s | p99 | requests/s to the empty call's | to reach |\n|---|---|---|---|---|---|")
	ratio := bare.elapsed / ours.elapsed
	line("Serin, `ModelInfer` with raw contents", ours, fmt.Sprintf("%.2f", ratio), "≥ 0.75, "+met(ratio >= 0.75))
	line("grpc-go, a method that takes and gives nothing", bare, "", "")
	fmt.Printf("\n%s\n", noise(s, b))
	return nil
}
