package measure

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// Sink keeps figures, and its own place in the log with them: both change in one transaction.
type Sink interface {
	// Place returns the generation that wrote last, and the offset to go on from.
	Place(ctx context.Context) (generation uint64, at event.Offset, err error)
	// Apply adds the records between two offsets. What was applied before, and what a stale generation brings, changes nothing.
	Apply(ctx context.Context, generation uint64, from, to event.Offset, batch []Item) error
	// Skip goes on behind records that are gone, and writes that down.
	Skip(ctx context.Context, generation uint64, to event.Offset, why string) error
}

// FollowerOptions tune a Follower. Zero values are the defaults.
type FollowerOptions struct {
	Generation uint64        // fences an earlier follower of the same sink; 0 is that of the sink
	Batch      int           // records a transaction, at most; default 8192
	Every      time.Duration // how often the log's end is looked at; default 250 ms
	// Wake ends the wait for the next look, for who knows that there is something to read; nil: nobody does. After an error it does not.
	Wake <-chan struct{}
	// Wait waits until the time is over, something comes over wake, or ctx is done; nil is a timer.
	Wait func(ctx context.Context, d time.Duration, wake <-chan struct{}) error
	// Now is the clock for Lag; nil is time.Now.
	Now func() time.Time
	// Stuck hears, once for each, of an error that Run has come upon, and nil when Run goes on behind it; nil: nobody hears.
	Stuck func(err error)
	// Skipped hears of damage in the log behind which the follower goes on; nil: nobody hears.
	Skipped func(damage *event.DamageError)
}

// Follower reads the log into a sink.
type Follower struct {
	log     event.Log
	sink    Sink
	options FollowerOptions

	mu  sync.Mutex
	lag Lag
}

// Lag says how far a Follower is.
type Lag struct {
	Applied event.Offset // all before it is in the sink
	End     event.Offset // of the log, when it was last looked at
	Since   time.Time    // when the follower was last at the end; zero: never
	Err     error        // why it does not go on; nil if it does
}

// The waits after an error: the first, and the longest.
const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// NewFollower makes a Follower. Run it.
func NewFollower(log event.Log, sink Sink, options FollowerOptions) *Follower {
	if options.Batch <= 0 {
		options.Batch = 8192
	}
	if options.Every <= 0 {
		options.Every = 250 * time.Millisecond
	}
	if options.Wait == nil {
		options.Wait = wait
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Skipped == nil {
		options.Skipped = func(*event.DamageError) {}
	}
	if options.Stuck == nil {
		options.Stuck = func(error) {}
	}
	return &Follower{log: log, sink: sink, options: options}
}

func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Lag returns how far the follower is.
func (f *Follower) Lag() Lag {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lag
}

// Run follows the log until ctx is done, and returns nil then. An error does not end it: it is shown in Lag and tried again, after a
// wait that doubles up to 30 s. Behind damage in the log it goes on, and writes down the gap.
func (f *Follower) Run(ctx context.Context) error {
	backoff, stuck := backoffFirst, ""
	for {
		pause, wake, told := f.options.Every, f.options.Wake, stuck
		err := f.CatchUp(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			f.note(func(l *Lag) { l.Err = err })
			pause, wake, stuck = backoff, nil, err.Error()
			backoff = min(2*backoff, backoffMost)
		case err == nil:
			backoff, stuck = backoffFirst, ""
		}
		if stuck != told {
			f.options.Stuck(err)
		}
		if err := f.options.Wait(ctx, pause, wake); err != nil {
			return nil //nolint:nilerr // the context is done, as it should be in the end
		}
	}
}

// CatchUp applies what the log holds now.
func (f *Follower) CatchUp(ctx context.Context) error {
	generation, at, err := f.sink.Place(ctx)
	if err != nil {
		return err
	}
	if f.options.Generation != 0 {
		generation = f.options.Generation
	}
	for {
		next, err := f.step(ctx, generation, at)
		if err != nil {
			return err
		}
		end := f.log.End()
		f.note(func(l *Lag) {
			l.Applied, l.End, l.Err = next, end, nil
			if next == at {
				l.Since = f.options.Now()
			}
		})
		if next == at {
			return nil
		}
		at = next
	}
}

// step applies one batch and returns where it ended.
func (f *Follower) step(ctx context.Context, generation uint64, at event.Offset) (event.Offset, error) {
	batch := make([]Item, 0, min(f.options.Batch, 1024))
	next, err := f.log.Read(ctx, at, f.options.Batch, func(at event.Offset, r event.Record) error {
		batch = append(batch, Item{At: at, Record: r})
		return nil
	})
	if gone, ok := errors.AsType[*event.GoneError](err); ok && gone.Oldest > at {
		why := fmt.Sprintf("retention had removed the records before offset %d", gone.Oldest)
		return gone.Oldest, f.sink.Skip(ctx, generation, gone.Oldest, why)
	}
	// What was read before an error, such as damage further on, is good.
	if next > at {
		if failed := f.sink.Apply(ctx, generation, at, next, batch); failed != nil {
			return at, failed
		}
		return next, nil
	}
	// What is damaged is lost; that what comes behind it should not count either would be worse. The gap is written down with its reason.
	if damage, ok := errors.AsType[*event.DamageError](err); ok && damage.Next > at {
		f.options.Skipped(damage)
		return damage.Next, f.sink.Skip(ctx, generation, damage.Next, damage.Error())
	}
	return at, err
}

func (f *Follower) note(change func(*Lag)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.lag)
}
