package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/shadow"
)

// Log is where a Recorder writes; event.Log has it.
type Log interface {
	Append(ctx context.Context, records ...event.Record) (event.Offset, error)
}

// RecorderOptions are what a Recorder needs. Log, Now and Logger are required.
type RecorderOptions struct {
	Log     Log
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: counted, but shown nowhere
	Queue   int                   // decisions that may wait to be written; 0 means DefaultQueue
	Ticks   <-chan time.Time      // when to write; nil: every flushEvery
	Capture *Capturer             // keeps the bodies of some; nil: of none
	Shadows *shadow.Mirror        // whose comparisons are written as tallies are; nil: there are no shadows
	Written func()                // called whenever tallies have been written, or were to be; nil: nobody hears
}

// DefaultQueue is how many decisions may wait: where they are written at the next look once a quarter of it is full, that is enough for
// 60,000 requests a second.
const DefaultQueue = 16384

const (
	flushEvery  = 200 * time.Millisecond // the queue of decisions is looked at
	tallyTicks  = 5                      // ticks between two writes of all that there is, at most: a second
	flushAtEnd  = 5 * time.Second        // how long the last write may take
	maxDecision = 1024                   // decisions in one write
)

// Recorder writes down what the gateway answers. Tallies are exact: they are appended every second, or sooner where several users had an
// error, and merged and tried again when that fails, so that a crash costs the last second alone. Decisions are detail: they wait in a
// bounded queue, and those that find no room, or cannot be written, are dropped and counted. Neither ever holds up an answer. Both are
// written together, so that requests wait for a processor once a second and not more often, unless decisions come so fast that there would
// be no room.
type Recorder struct {
	options RecorderOptions
	tallies tallies
	queue   chan event.Decision
	dropped *prometheus.CounterVec
	written prometheus.Counter
	failing atomic.Bool
}

// NewRecorder makes a recorder. It writes while Run runs.
func NewRecorder(o RecorderOptions) *Recorder {
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	r := &Recorder{
		options: o, queue: make(chan event.Decision, o.Queue),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_decisions_dropped_total",
			Help: "Decisions that were not written down: for want of room in the queue, or because the log could not be written. Tallies count them all the same.",
		}, []string{"why"}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_decisions_written_total", Help: "Decisions written to the log.",
		}),
	}
	for _, why := range []string{"queue", "log"} {
		r.dropped.WithLabelValues(why)
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(r.dropped, r.written)
	}
	if o.Written == nil {
		r.options.Written = func() {}
	}
	r.tallies.from = o.Now()
	return r
}

// done takes down one answered request.
func (r *Recorder) done(d *decision, status int, took time.Duration) {
	r.tallies.add(d, status, took)
	if record := d.record(status, took); d.bodies.dialect == "" || !r.options.Capture.take(d, record) {
		r.put(record)
	}
}

// put has a decision written, if there is room.
func (r *Recorder) put(d event.Decision) {
	select {
	case r.queue <- d:
	default:
		r.dropped.WithLabelValues("queue").Inc()
	}
}

// Run writes until ctx ends, and then what is left, for a few seconds at most.
func (r *Recorder) Run(ctx context.Context) error {
	writing, giveUp := outlive(ctx, flushAtEnd)
	defer giveUp()
	ticks := r.options.Ticks
	if ticks == nil {
		ticker := time.NewTicker(flushEvery)
		defer ticker.Stop()
		ticks = ticker.C
	}
	captured := make(chan struct{})
	go func() {
		defer close(captured)
		r.options.Capture.run(ctx, r.put)
	}()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			err := r.writeTallies(writing) // before the detail, for which there may be no time
			<-captured                     // its last decisions are in the queue
			r.writeDecisions(writing)
			r.writeDisagreements(writing)
			if err != nil {
				return fmt.Errorf("%d requests that were answered are in no tally: %w", r.tallies.requests(), err)
			}
			return nil
		case <-ticks:
		}
		all := n%tallyTicks == 0
		if all || len(r.queue) >= r.options.Queue/4 {
			r.writeDecisions(writing)
		}
		if all || r.tallies.press() {
			r.writeDisagreements(writing)
			err := r.writeTallies(writing)
			switch failing := err != nil; {
			case failing && !r.failing.Swap(true):
				r.options.Logger.Error("tallies cannot be written; they are kept and tried again every second", "error", err)
			case !failing && r.failing.Swap(false):
				r.options.Logger.Info("tallies are written again")
			}
			r.options.Written()
		}
	}
}

// outlive returns a context that ends some time after ctx does. An append that has begun is written though nobody waits for it any more:
// whoever left it, and wrote the same again, would count twice. So the end of ctx ends none, and what ends with the context that
// outlive returns is not written again: it refuses every append from then on.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-timer.C:
			end()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); end() }
}

// writeDecisions writes what waits in the queue. What comes meanwhile waits for the next time: tallies have their turn first.
func (r *Recorder) writeDecisions(ctx context.Context) {
	for waiting := len(r.queue); waiting > 0; {
		decisions := make([]event.Decision, min(waiting, maxDecision))
		batch := make([]event.Record, len(decisions))
		for i := range batch {
			decisions[i] = <-r.queue // nobody else takes from it
			batch[i].Decision = &decisions[i]
		}
		waiting -= len(batch)
		if _, err := r.options.Log.Append(ctx, batch...); err != nil {
			r.dropped.WithLabelValues("log").Add(float64(len(batch)))
			return
		}
		r.written.Add(float64(len(batch)))
	}
}

// writeTallies writes what was counted since the last time. What cannot be written is merged with what comes.
func (r *Recorder) writeTallies(ctx context.Context) error {
	now := r.options.Now()
	taken, compared := r.tallies.take(now), r.options.Shadows.Take(now)
	if len(taken)+len(compared.Records) == 0 {
		return nil
	}
	records := make([]event.Record, len(taken), len(taken)+len(compared.Records))
	for i := range taken {
		records[i].Tally = taken[i].Tally
	}
	if _, err := r.options.Log.Append(ctx, append(records, compared.Records...)...); err != nil {
		r.tallies.giveBack(taken)
		r.options.Shadows.GiveBack(compared)
		return err
	}
	return nil
}

// writeDisagreements writes those of shadows that wait, as far as that goes.
func (r *Recorder) writeDisagreements(ctx context.Context) {
	records := r.options.Shadows.Details()
	if len(records) == 0 {
		return
	}
	if _, err := r.options.Log.Append(ctx, records...); err != nil {
		r.options.Shadows.Lost(len(records))
	}
}
