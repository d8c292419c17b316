package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// deadline is a context that ends as its caller's does, or at a time. It is what context.WithDeadline makes, whose timer and channel cost more
// than some models take, but makes it only once somebody waits for its end: who asks from time to time whether it has ended is told by the
// clock.
type deadline struct {
	context.Context // the caller's
	at              time.Time
	once            sync.Once
	waited          atomic.Pointer[waited] // nil: nobody has waited
}

// waited is a deadline with its timer.
type waited struct {
	context.Context
	stop context.CancelFunc
}

// withDeadline returns a context that ends with its caller's, or at a time of the real clock. Who has it calls stop in the end.
func withDeadline(caller context.Context, at time.Time) *deadline {
	return &deadline{Context: caller, at: at}
}

// stop ends the context and frees what waits for it.
func (d *deadline) stop() {
	if w := d.waited.Load(); w != nil {
		w.stop()
	}
}

// wait returns the context that others wait for.
func (d *deadline) wait() context.Context {
	d.once.Do(func() {
		ctx, stop := context.WithDeadline(d.Context, d.at)
		d.waited.Store(&waited{ctx, stop})
	})
	return d.waited.Load()
}

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) {
	if at, ok := d.Context.Deadline(); ok && at.Before(d.at) {
		return at, true
	}
	return d.at, true
}

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} { return d.wait().Done() }

// Err implements context.Context.
func (d *deadline) Err() error { return d.errAt(time.Now()) }

// errAt is Err for those who know what time it is.
func (d *deadline) errAt(now time.Time) error {
	switch w := d.waited.Load(); {
	case w != nil:
		return w.Err()
	case d.Context.Err() != nil:
		return d.Context.Err()
	case now.Before(d.at):
		return nil
	}
	return d.wait().Err() // which has ended, and says so from now on
}

// Value implements context.Context. What waits for a context looks here for a way to do so without a goroutine.
func (d *deadline) Value(key any) any {
	if w := d.waited.Load(); w != nil {
		return w.Value(key)
	}
	return d.Context.Value(key)
}
