package measure

import "time"

// Clock measures how much time has passed in the log, by the times at which its records were written. The server's clock may step:
// a step forwards counts as little as a pause would, a step backwards not at all, so that neither makes everything expire at once.
// The same records give the same time, whoever reads them and whenever. The zero value is ready.
type Clock struct {
	Age  time.Duration // how much has passed
	Last time.Time     // the newest record since the last step backwards
}

const (
	pause    = 5 * time.Second  // more than that between two records counts as that
	stepBack = 60 * time.Second // records are late by less than that; more is a clock that was set back
)

// Tick hears of a record written at t.
func (c *Clock) Tick(t time.Time) {
	d := t.Sub(c.Last)
	switch {
	case c.Last.IsZero() || d < -stepBack:
		c.Last = t
	case d > 0:
		c.Age += min(d, pause)
		c.Last = t
	}
}
