// Package shadow sends copies of requests to variants whose answers nobody gets, and compares those answers with the ones that clients got.
//
//	answer was sent ─► offer ─► queue of the lane ─► worker: ask the shadow ─► compare ─► ledger ─► the log, every second
//	                     └─ no room: dropped, counted with the reason
//
// A Lane is one shadow of one service. A Mirror works on all lanes. Nothing here ever waits for a shadow on behalf of a client: an offer
// takes a copy in or counts that it did not. Comparing is pure (Comparer), and so is what is counted (Ledger).
package shadow

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
)

// Question is a copied request.
type Question interface {
	// Ask asks the shadow by the end of ctx. It returns its answer and how long it took, measured as the primary's was. An error means that it
	// gave none.
	Ask(ctx context.Context) (a Answer, took time.Duration, err error)
	// Primary returns the answer that the client got.
	Primary() Answer
	// Texts returns both answers for people to look at, cut, as far as they may be kept; "" if they may not.
	Texts(shadow *Answer) (primary, other string)
}

// Copy is a request that a shadow is to answer too, and the answer that it had.
type Copy struct {
	Decision                ID
	At                      time.Time
	Bucket                  uint8 // of the unit
	Lean                    int8  // +1 or -1, by a hash of the unit: see event.ComparisonBucket
	Primary, PrimaryVersion string
	ShadowVersion           string

	Failed bool          // the primary gave no answer
	Took   time.Duration // the primary's answer

	Question Question
	Bytes    int64 // that the copy holds
}

// ID is a decision's.
type ID = event.ID

// MirrorOptions are what a Mirror needs. Now and Log are required.
type MirrorOptions struct {
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: counted, but shown nowhere
}

// Mirror asks shadows. It works while Run runs.
type Mirror struct {
	options MirrorOptions
	metrics metrics
	ledger  ledger

	mu     sync.Mutex
	starts []*Lane       // for each, a worker is to be started
	signal chan struct{} // holds one where there are starts
	closed bool
}

// NewMirror makes a Mirror.
func NewMirror(o MirrorOptions) *Mirror {
	m := &Mirror{options: o, metrics: newMetrics(o.Metrics), signal: make(chan struct{}, 1)}
	m.ledger.from = o.Now()
	return m
}

// Adopt makes the counters of a lane be there before they count: the first drop is an increase then, which alarms see.
func (m *Mirror) Adopt(l *Lane) { m.metrics.of(l) }

// Retire ends a lane whose service is no more as it was: what waits is dropped as the workers come by, and what is being asked ends by itself.
func (*Mirror) Retire(l *Lane) { l.retire() }

// Offer takes a copy in, or counts why it does not. It never waits. Whoever offers gives away what the copy holds.
func (m *Mirror) Offer(l *Lane, c *Copy) {
	start, why, ok := l.put(c)
	if !ok {
		m.drop(l, c, why)
		return
	}
	if start && !m.start(l) {
		m.work(stopped(), l) // which drops all that waits
	}
}

// Drop counts a request that was drawn and is not copied.
func (m *Mirror) Drop(l *Lane, c *Copy, why event.Drop) { m.drop(l, c, why) }

func (m *Mirror) drop(l *Lane, c *Copy, why event.Drop) {
	m.metrics.of(l).drops[why].Inc()
	m.ledger.drop(keyOf(l, c), why)
}

// start has a worker started. It is false once Run has ended.
func (m *Mirror) start(l *Lane) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.starts = append(m.starts, l)
	select {
	case m.signal <- struct{}{}:
	default: // there is one
	}
	return true
}

// stopped is a context that has ended.
func stopped() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// stopPatience is how long Run waits for shadows that do not heed the end of their time.
const stopPatience = 5 * time.Second

// Run asks shadows until ctx ends. Then it ends what is under way, and counts what waits as dropped. A shadow that does not heed its end is
// left after some seconds.
func (m *Mirror) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for ctx.Err() == nil {
		select {
		case <-m.signal:
			m.startAll(ctx, &workers)
		case <-ctx.Done():
		}
	}
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.startAll(ctx, &workers) // they drop what waits
	ended := make(chan struct{})
	go func() {
		workers.Wait()
		close(ended)
	}()
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		m.options.Log.Warn("a shadow does not stop; it is left behind")
	}
	return nil
}

func (m *Mirror) startAll(ctx context.Context, workers *sync.WaitGroup) {
	m.mu.Lock()
	starts := m.starts
	m.starts = nil
	m.mu.Unlock()
	for _, l := range starts {
		workers.Go(func() { m.work(ctx, l) })
	}
}
