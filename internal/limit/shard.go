package limit

import (
	"sync"
	"time"
)

// shard is a part of a limiter's keys. Places in it are numbers, of which 0 is none, so that the collector finds no pointers to follow.
type shard struct {
	mu      sync.Mutex
	now     int64
	entries []entry
	free    int32 // the first of the entries that are free
	tracked int
	index   []int32 // the first entry of each bucket; there are a power of two
	levels  [levels]list
	hand    int // the level whose oldest entry is looked at next
	logs    []arena
	gone    uint64 // entries that were forgotten before their time
}

// entry is what is known of a key.
type entry struct {
	key   Key
	until int64 // when nothing of it counts any more
	tat   int64 // of GCRA, the theoretical arrival time
	older int32 // neighbours in its level
	newer int32
	next  int32 // in its bucket; of a free entry, the next free one
	log
	used  uint32 // requests in the log
	level uint8
}

// levels tell how much of its limit a key has used, up to all of it in the last. The keys of one level are in the order in which they asked
// last. What a key has used becomes less as time passes, its level only as it asks again.
const levels = 16

const unused = levels // the level of a free entry

type list struct{ oldest, newest int32 }

// ask is Take, or Peek where nothing is to be counted.
func (s *shard) ask(r *rule, k Key, at time.Duration, count bool) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = max(s.now, int64(at))
	i := s.find(k)
	switch {
	case i != 0:
	case count:
		i = s.add(r, k)
	default:
		return Verdict{Allowed: true, Remaining: int(r.most)}
	}
	e := &s.entries[i]
	if e.until <= s.now {
		s.forget(e)
	}
	var v Verdict
	if r.gcra {
		v = s.pass(r, e, count)
	} else {
		v = s.slide(r, e, count)
	}
	if count {
		s.unlink(i)
		s.link(i, r.level(v))
	}
	return v
}

// slide holds a key to so many requests in any window.
func (s *shard) slide(r *rule, e *entry, count bool) Verdict {
	s.trim(r, e)
	v := Verdict{Allowed: e.used < r.most}
	if v.Allowed && count {
		s.push(r, e)
	}
	v.Remaining = int(r.most - e.used)
	if e.length > 0 {
		v.Reset = time.Duration(r.leaves(s.oldest(r, e), s.now))
	}
	return v
}

// pass holds a key to a rate.
func (s *shard) pass(r *rule, e *entry, count bool) Verdict {
	tat, v := r.pass(e.tat, s.now, count)
	if tat == e.tat {
		return v
	}
	e.tat = tat
	if r.logged {
		s.trim(r, e)
		s.push(r, e)
	}
	e.until = max(e.until, tat)
	return v
}

// count adds up the shard's keys, and drops those of which nothing counts any more.
func (s *shard) count(r *rule, at time.Duration, c *Counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = max(s.now, int64(at))
	for i := range s.entries {
		e := &s.entries[i]
		switch {
		case e.level == unused:
		case e.until <= s.now:
			s.remove(int32(i))
		case r.above > 0:
			if s.trim(r, e); e.used > r.above {
				c.Above++
			}
		}
	}
	if s.tracked == 0 { // what a flood took is given back
		s.entries, s.index, s.logs, s.free = nil, nil, nil, 0
	}
	c.Keys += s.tracked
	c.Forgotten += s.gone
}
