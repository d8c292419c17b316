package proxy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Run checks the instances, compares them (see Outlier) and looks their names up, until ctx is done. It is called once, and returns nil
// when all that it started has ended. An upstream works without it but for these three; of instances that were taken out by checks
// nothing is known any more once it ends.
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
	<-ctx.Done()
	return nil
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
