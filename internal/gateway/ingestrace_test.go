package gateway

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
)

func TestOneOf64AtOnceIsAccepted(t *testing.T) {
	in, log, telemetry := newIngest(0)
	stop := make(chan struct{})
	var reader, writers sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				telemetry.catchUp()
			}
		}
	})
	const rounds = 200
	var counts [4]atomic.Int64
	start := make(chan struct{})
	for n := range 64 {
		writers.Go(func() {
			<-start
			for round := range rounds {
				for _, v := range mustAdd(t, in, outcome(fmt.Sprint(round), float64(n%2))) {
					counts[v].Add(1)
				}
			}
		})
	}
	close(start)
	writers.Wait()
	close(stop)
	reader.Wait()
	a, d, c := counts[accepted].Load(), counts[duplicate].Load(), counts[conflict].Load()
	if a != rounds || d != 31*rounds || c != 32*rounds || len(log.records) != rounds {
		t.Errorf("%d accepted, %d duplicates, %d conflicts, %d stored", a, d, c, len(log.records))
	}
}

// Whatever is repeated, contradicted, batched, lost, cut off and restarted: what is acknowledged is in the log, and one value for each id.
func TestAnyInterleavingStoresOneOutcomeForEachID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, log, telemetry := newIngest(0)
		failed := false
		holds := func(id string, value float64, v verdict) {
			all := log.all(id)
			if len(all) == 0 {
				t.Fatalf("%v, and nothing is stored", v)
			}
			if same := all[0].Number == value; same != (v != conflict) {
				t.Fatalf("%v of %v, but %v is stored", v, value, all[0].Number)
			}
			for _, o := range all {
				if o.Number != all[0].Number {
					t.Fatalf("two values are stored")
				}
			}
			if len(all) > 1 && !failed {
				t.Fatalf("stored %d times", len(all))
			}
		}
		type told struct {
			id    string
			value float64
			v     verdict
		}
		var history []told
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				var outcomes []event.Outcome
				for range rapid.IntRange(1, 4).Draw(t, "items") {
					outcomes = append(outcomes, outcome(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id"), float64(rapid.IntRange(0, 2).Draw(t, "value"))))
				}
				verdicts, err := in.add(context.Background(), outcomes)
				if err != nil {
					if log.fail == nil && telemetry.Applied() >= in.start {
						t.Fatalf("refused for no reason: %v", err)
					}
					return
				}
				for i, v := range verdicts {
					history = append(history, told{outcomes[i].ID, outcomes[i].Number, v})
				}
			},
			"read": func(t *rapid.T) {
				telemetry.applied.Store(rapid.Uint64Range(telemetry.applied.Load(), uint64(log.End())).Draw(t, "to"))
			},
			"fail": func(t *rapid.T) {
				log.fail, log.written, failed = io.ErrShortWrite, rapid.Bool().Draw(t, "written"), true
			},
			"mend":     func(*rapid.T) { log.fail = nil },
			"restart":  func(*rapid.T) { in = ingestOf(log, telemetry, 0) },
			"catch up": func(*rapid.T) { telemetry.catchUp() },
			"": func(*rapid.T) {
				seen := map[string]bool{}
				for _, h := range history {
					holds(h.id, h.value, h.v)
					if h.v == accepted && seen[h.id] {
						t.Fatalf("%s is accepted twice", h.id)
					}
					seen[h.id] = seen[h.id] || h.v == accepted
				}
			},
		})
	})
}

// Many at once, with failures in between: the same promise.
func TestConcurrentRepeatsAndFailuresKeepOneValue(t *testing.T) {
	in, log, telemetry := newIngest(0)
	var group sync.WaitGroup
	var mu sync.Mutex
	values := map[string]float64{} // acknowledged
	for n := range 16 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range 500 {
				switch random.IntN(20) {
				case 0:
					log.mu.Lock()
					log.fail, log.written = io.ErrShortWrite, random.IntN(2) == 0
					log.mu.Unlock()
				case 1, 2, 3:
					log.mu.Lock()
					log.fail = nil
					log.mu.Unlock()
				case 4:
					telemetry.catchUp()
				}
				outcomes := []event.Outcome{
					outcome(fmt.Sprint(random.IntN(100)), float64(random.IntN(3))), outcome(fmt.Sprint(random.IntN(100)), float64(random.IntN(3))),
				}
				verdicts, err := in.add(t.Context(), outcomes)
				mu.Lock()
				for i := range verdicts {
					o := &outcomes[i]
					if err != nil || verdicts[i] == conflict {
						continue
					}
					if v, known := values[o.ID]; known && v != o.Number {
						t.Errorf("%s: %v and %v are both acknowledged", o.ID, v, o.Number)
					}
					values[o.ID] = o.Number
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(values) < 50 {
		t.Errorf("only %d ids were acknowledged", len(values))
	}
	for id, value := range values {
		for _, o := range log.all(id) {
			if o.Number != value {
				t.Errorf("%s: %v is stored, %v acknowledged", id, o.Number, value)
			}
		}
	}
}
