package proxy

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// ask checks an instance once. Nil is a pass.
func (c *Check) ask(ctx context.Context, now func() time.Time, in *instance) error {
	deadline := now().Add(c.Timeout)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var a Answer
	if err := in.x.exchange(ctx, &Request{Method: http.MethodGet, Target: c.Path, Header: checkHeader(), Deadline: deadline, Safe: true}, &a); err != nil {
		return err
	}
	defer a.Close()
	if a.Status < c.Status.From || a.Status > c.Status.To {
		return fmt.Errorf("%s answered %d, and %d to %d is well", c.Path, a.Status, c.Status.From, c.Status.To)
	}
	return nil
}

// checkHeader is what a check says of itself, for the logs of instances.
func checkHeader() http.Header { return http.Header{"User-Agent": {"serin-check"}} }

// checked takes note of a check.
func (u *Upstream) checked(ctx context.Context, in *instance, err error) {
	if ctx.Err() != nil { // it says nothing: the check was ended from here
		return
	}
	c := u.o.Check
	u.mu.Lock()
	if err != nil {
		in.good, in.bad = 0, in.bad+1
		if in.check != fails && in.bad >= c.Unhealthy {
			in.check = fails
			in.why = fmt.Sprintf("%d checks in a row failed, the last: %v", in.bad, err)
		}
	} else {
		in.good, in.bad = in.good+1, 0
		if in.check == unsaid || in.good >= c.Healthy {
			in.check = passes
		}
		if in.aside && in.check == passes { // it need not wait to be tried
			in.retry = min(in.retry, u.clock())
			u.rank()
		}
	}
	u.settle(in, false)
	told := u.told()
	u.mu.Unlock()
	u.tell(told)
}

// forgetChecks takes back what checks said: nobody looks any more.
func (u *Upstream) forgetChecks() {
	u.mu.Lock()
	for _, in := range u.all {
		in.check, in.good, in.bad = unsaid, 0, 0
	}
	u.settleAll()
	told := u.told()
	u.mu.Unlock()
	u.tell(told)
}
