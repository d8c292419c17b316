package load

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// lane carries one request at a time.
type lane interface {
	// ask sends a request and waits for its answer, or until the context ends. Body is good until the next call.
	ask(ctx context.Context, n int) (r result, body []byte)
	close()
}

// crew sends over lanes, each with a goroutine of its own that waits for its answer. One more thread sleeps until requests are due and
// wakes lanes for them. A lane that is done while more is due takes it at once.
type crew struct {
	run   *run
	desk  *desk
	lanes []lane
	now   func() time.Duration
	sleep func(time.Duration)

	mu    sync.Mutex
	idle  []int         // lanes that wait to be woken; the one that was busy last is at the end
	wake  []chan ticket // of each lane; closed when there is no more to do
	freed *sync.Cond    // a lane became idle, or ended
}

func newCrew(r *run, lanes []lane) *crew {
	c := &crew{run: r, desk: newDesk(r.o, 0, len(lanes)), lanes: lanes, now: r.now, sleep: sleep}
	c.freed = sync.NewCond(&c.mu)
	for i := range lanes {
		c.wake = append(c.wake, make(chan ticket, 1)) // room for a ticket, so that whoever hands it over does not wait
		c.idle = append(c.idle, i)
	}
	return c
}

func (c *crew) close() {
	for _, l := range c.lanes {
		l.close()
	}
}

func (c *crew) send(ctx context.Context) (busy float64) {
	asks, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	ended := make(chan struct{})
	var lanes, beside sync.WaitGroup
	for i := range c.lanes {
		lanes.Go(func() { c.work(asks, i) })
	}
	beside.Go(c.pace)
	beside.Go(func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			c.run.cutOff(c.desk.cut(c.now()))
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			giveUp()
		}
	})
	lanes.Wait()
	close(ended)
	beside.Wait()
	return 0
}

// pace wakes lanes when requests are due, until none will be. The thread ends with it.
func (c *crew) pace() {
	runtime.LockOSThread()
	precisely()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		due, more := c.desk.due()
		now := c.now()
		switch {
		case !more:
			for _, i := range c.idle {
				close(c.wake[i])
			}
			c.idle = nil
			return
		case due > now:
			c.mu.Unlock()
			c.sleep(min(due-now, sweep)) // the run may be cut short meanwhile
			c.mu.Lock()
		case len(c.idle) == 0:
			c.freed.Wait()
		default:
			last := len(c.idle) - 1
			if t, ok := c.desk.take(now); ok {
				c.wake[c.idle[last]] <- t
				c.idle = c.idle[:last]
			}
		}
	}
}

// next returns what a lane that has become free is to do: something that is due already, or what it will be woken for.
func (c *crew) next(i int) (ticket, bool) {
	c.mu.Lock()
	now := c.now()
	c.desk.release(now)
	t, ok := c.desk.take(now)
	_, more := c.desk.due()
	if !ok && more {
		c.idle = append(c.idle, i)
	}
	if !ok {
		c.freed.Signal()
	}
	c.mu.Unlock()
	if !ok && more {
		t, ok = <-c.wake[i]
	}
	return t, ok
}

// work carries requests over one lane.
func (c *crew) work(ctx context.Context, i int) {
	for t, ok := <-c.wake[i]; ok; t, ok = c.next(i) {
		c.carry(ctx, c.lanes[i], t)
	}
}

func (c *crew) carry(ctx context.Context, l lane, t ticket) {
	at := timing{sent: c.now()}
	left := c.run.o.Timeout - (at.sent - t.due)
	if left <= 0 {
		at.sent, at.done = notSent, at.sent
		c.run.enter(t, at, result{problem: noLane, example: "none of the requests in flight ended in time"}, nil)
		return
	}
	within, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	r, body := l.ask(within, t.n)
	at.done = c.now()
	switch {
	case r.problem != "" && ctx.Err() != nil:
		c.run.cutOffOne(t)
		return
	case r.problem != "" && at.done-t.due >= c.run.o.Timeout:
		r.problem, r.example = tooLate, "no answer in time"
	}
	c.run.enter(t, at, r, body)
}
