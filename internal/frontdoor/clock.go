package frontdoor

import (
	"net/http"
	"time"
)

// keepTime looks at all sessions from time to time: which of them have had their time, which have been idle for long enough to be put to
// rest, and whose handlers take long enough to see whether their clients are there yet. Timers of each connection would have to be set anew
// for each request.
func (s *Server) keepTime() {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-ticker.C:
			s.tick(now)
			s.look()
		}
	}
}

// tick moves the clock.
func (s *Server) tick(now time.Time) {
	s.clock.Store(int64(now.Sub(s.begin)))
	line := append(now.UTC().AppendFormat([]byte("Date: "), http.TimeFormat), "\r\n"...)
	s.date.Store(&line)
}

// look looks at all sessions.
func (s *Server) look() {
	now := s.clock.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sessions {
		c.look(now)
	}
}

// phase is what a session does.
type phase uint8

const (
	fresh   phase = iota // nothing was said yet
	heading              // the head of a request has begun to come
	bodying              // the handler runs, and the body has not come whole
	busy                 // the handler runs, and there is nothing to read
	watched              // the same, and somebody looks whether the client is there yet
	idle                 // it waits for another request
	resting              // it is to wait for another request at less cost
	rested               // it does
	spent                // its time is up
	phases
)

// word is a phase and since when, in one: sessions change it, and so does the server's clock.
func word(p phase, since int64) int64 { return since*int64(phases) + int64(p) }

// look is the clock's look at a session. Whoever changes the word of a session that reads has it wake up by a deadline in the past.
func (c *session) look(now int64) {
	was := c.word.Load()
	p, since := phase(was%int64(phases)), was/int64(phases)
	age, h := time.Duration(now-since), c.server.http
	had := func(limit time.Duration) bool { return limit > 0 && age >= limit }
	switch p {
	case fresh, heading:
		if had(headTime(h)) {
			c.change(was, word(spent, now))
		}
	case bodying:
		if had(h.ReadTimeout) && !c.ruled.Load() {
			c.change(was, word(spent, now))
		}
	case idle, rested:
		switch {
		case had(idleTime(h)):
			c.change(was, word(spent, now))
		case p == idle && age >= 2*c.server.every:
			c.change(was, word(resting, since))
		}
	case busy:
		if age >= 2*c.server.every {
			c.watch(was, since)
		}
	}
}

// change moves the session on and wakes up its reading, unless it has moved itself.
func (c *session) change(was, to int64) {
	if c.word.CompareAndSwap(was, to) {
		_ = c.conn.SetReadDeadline(past) // it may be closed
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// dismiss ends a session that waits for a request, and one that has never said anything for a while.
func (c *session) dismiss() {
	now := c.server.clock.Load()
	was := c.word.Load()
	switch p, since := phase(was%int64(phases)), was/int64(phases); {
	case p == idle, p == resting, p == rested, p == fresh && time.Duration(now-since) >= silent:
		c.change(was, word(spent, now))
	}
}

// headTime is as net/http has it.
func headTime(h *http.Server) time.Duration {
	if h.ReadHeaderTimeout != 0 {
		return h.ReadHeaderTimeout
	}
	return h.ReadTimeout
}

func idleTime(h *http.Server) time.Duration {
	if h.IdleTimeout != 0 {
		return h.IdleTimeout
	}
	return h.ReadTimeout
}
