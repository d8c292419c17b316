package proxy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Run checks the instances, compares them (see Outlier), looks their names up and knocks at those that were not there, until ctx is done.
// It is called once, and returns nil when all that it started has ended. An upstream works without it but for these four; of instances that
// were taken out by checks nothing is known any more once it ends.
func (u *Upstream) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer u.forgetChecks()
	defer all.Wait()
	if o := u.o.Outlier; o != nil {
		all.Go(func() { every(ctx, o.Interval, u.sweep) })
	}
	if u.o.Resolve > 0 {
		for _, name := range u.names() {
			all.Go(func() { u.follow(ctx, name) })
		}
	}
	if u.o.Check != nil {
		all.Go(func() { u.checkAll(ctx) })
	}
	every(ctx, knockTime, func() { u.knock(ctx, &all) })
	return nil
}

// knocker opens a connection and closes it again. *transport is one.
type knocker interface {
	knock(ctx context.Context) error
}

// knock implements knocker.
func (t *transport) knock(ctx context.Context) error {
	c, err := t.dialer.tcp.DialContext(ctx, "tcp", t.dialer.address)
	if err == nil {
		c.Close()
	}
	return err
}

// knockTime is how often knock is called, and how long it may take to open a connection.
const knockTime = time.Second

// knock sees whether those that were put aside because no connection could be made are there again. If so they need not wait to be tried:
// one that is started anew answers requests within a second or two, and not when FailTimeout or its ejection is over.
func (u *Upstream) knock(ctx context.Context, all *sync.WaitGroup) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, in := range u.all {
		door, ok := in.x.(knocker)
		if !ok || !in.aside || in.check == fails || in.lost != Down || in.knocked {
			continue
		}
		in.knocked = true
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, knockTime)
			defer cancel()
			err := door.knock(ctx)
			u.mu.Lock()
			defer u.mu.Unlock()
			in.knocked = false
			if err == nil && in.aside && in.lost == Down && in.retry != never {
				in.retry = min(in.retry, u.clock())
				u.rank()
			}
		})
	}
}

// every calls do every so often until ctx is done.
func every(ctx context.Context, often time.Duration, do func()) {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// checkAll has every instance checked for as long as it is one.
func (u *Upstream) checkAll(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	checked := map[*instance]context.CancelFunc{}
	for {
		u.mu.Lock()
		now := slices.Clone(u.all)
		u.mu.Unlock()
		for in, end := range checked {
			if !slices.Contains(now, in) {
				end()
				delete(checked, in)
			}
		}
		for _, in := range now {
			if checked[in] == nil {
				ctx, end := context.WithCancel(ctx)
				checked[in] = end
				all.Go(func() { u.checkOne(ctx, in) })
			}
		}
		select {
		case <-ctx.Done():
			for _, end := range checked {
				end()
			}
			return
		case <-u.changed:
		}
	}
}

// checkOne checks an instance over and over.
func (u *Upstream) checkOne(ctx context.Context, in *instance) {
	c := u.o.Check
	u.checked(ctx, in, c.ask(ctx, u.o.Now, in))
	every(ctx, c.Every, func() { u.checked(ctx, in, c.ask(ctx, u.o.Now, in)) })
}
