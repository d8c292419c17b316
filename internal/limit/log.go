package limit

// log is where the requests that a key had let through are kept: a ring of runs, the oldest first, in one of the shard's arenas.
type log struct {
	at           int32 // where the ring begins in its arena
	class        uint8 // which arena
	head, length uint8 // in runs
}

// arena holds the rings of one size. A free ring's first run says where the next free one is.
type arena struct {
	runs []uint32
	free uint32 // 0: none; the first ring is never used
}

func (s *shard) oldest(r *rule, e *entry) uint32 { return s.ring(r, &e.log)[e.head] }

func (s *shard) ring(r *rule, l *log) []uint32 {
	return s.logs[l.class].runs[l.at:][:r.sizes[l.class]]
}

// trim drops what is out of the window.
func (s *shard) trim(r *rule, e *entry) {
	if e.length == 0 {
		return
	}
	ring, tick := s.ring(r, &e.log), r.tick(s.now)
	for e.length > 0 && r.age(ring[e.head], tick) >= r.span {
		e.used -= r.requests(ring[e.head])
		e.length--
		if e.head++; int(e.head) == len(ring) {
			e.head = 0
		}
	}
}

// push keeps one request more. The log has been trimmed.
func (s *shard) push(r *rule, e *entry) {
	tick := r.tick(s.now)
	e.used++
	e.until = max(e.until, (s.now/r.unit+int64(r.span))*r.unit)
	if e.length > 0 && r.shift > 0 {
		ring := s.ring(r, &e.log)
		if last := &ring[(int(e.head)+int(e.length)-1)%len(ring)]; r.age(*last, tick) == 0 {
			*last++
			return
		}
	}
	if e.at == 0 {
		e.log = log{at: s.rent(r, 0)}
	} else if int(e.length) == r.sizes[e.class] {
		s.grow(r, &e.log)
	}
	ring := s.ring(r, &e.log)
	ring[(int(e.head)+int(e.length))%len(ring)] = r.run(tick)
	e.length++
}

// grow moves a full log to a larger ring.
func (s *shard) grow(r *rule, l *log) {
	larger := log{class: l.class + 1, length: l.length}
	larger.at = s.rent(r, int(larger.class))
	from, to := s.ring(r, l), s.ring(r, &larger)
	n := copy(to, from[l.head:])
	copy(to[n:], from[:l.head])
	s.giveBack(l)
	*l = larger
}

// rent returns where a free ring of a class begins.
func (s *shard) rent(r *rule, class int) int32 {
	if s.logs == nil {
		s.logs = make([]arena, len(r.sizes))
	}
	a := &s.logs[class]
	size := r.sizes[class]
	if at := a.free; at != 0 {
		a.free = a.runs[at]
		return int32(at)
	}
	if len(a.runs) == 0 {
		a.runs = append(a.runs, make([]uint32, size)...)
	}
	at := len(a.runs)
	a.runs = append(a.runs, make([]uint32, size)...)
	return int32(at)
}

func (s *shard) giveBack(l *log) {
	a := &s.logs[l.class]
	a.runs[l.at] = a.free
	a.free = uint32(l.at)
}

// forget makes an entry one of a key that has asked nothing.
func (s *shard) forget(e *entry) {
	if e.at != 0 {
		s.giveBack(&e.log)
	}
	e.log, e.used, e.tat, e.until = log{}, 0, 0, 0
}
