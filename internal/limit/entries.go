package limit

// find returns the entry of a key, 0 if there is none.
func (s *shard) find(k Key) int32 {
	if len(s.index) == 0 {
		return 0
	}
	i := s.index[s.bucket(k)]
	for i != 0 && s.entries[i].key != k {
		i = s.entries[i].next
	}
	return i
}

// bucket returns a key's place in the index. The lowest bits of a key have picked the shard.
func (s *shard) bucket(k Key) int { return int(uint64(k) / shards & uint64(len(s.index)-1)) }

// add makes an entry for a key that has none.
func (s *shard) add(r *rule, k Key) int32 {
	s.tidy()
	if s.tracked >= r.keys {
		s.makeRoom()
	}
	if s.tracked >= len(s.index) {
		s.spread()
	}
	i := s.free
	if i != 0 {
		s.free = s.entries[i].next
	} else {
		if len(s.entries) == 0 {
			s.entries = append(s.entries, entry{level: unused}) // none
		}
		i = int32(len(s.entries))
		s.entries = append(s.entries, entry{})
	}
	b := s.bucket(k)
	s.entries[i] = entry{key: k, next: s.index[b]}
	s.index[b] = i
	s.tracked++
	s.link(i, 0)
	return i
}

// remove forgets a key.
func (s *shard) remove(i int32) {
	e := &s.entries[i]
	s.forget(e)
	s.unlink(i)
	at := &s.index[s.bucket(e.key)]
	for *at != i {
		at = &s.entries[*at].next
	}
	*at = e.next
	*e = entry{next: s.free, level: unused}
	s.free = i
	s.tracked--
}

// spread doubles the index.
func (s *shard) spread() {
	s.index = make([]int32, max(8, 2*len(s.index)))
	for i := range s.entries {
		if e := &s.entries[i]; e.level != unused {
			b := s.bucket(e.key)
			e.next, s.index[b] = s.index[b], int32(i)
		}
	}
}

// tidy drops the longest silent of one level, and of another the next time, if nothing of it counts any more: so that each key that comes
// makes room for those that went.
func (s *shard) tidy() {
	for range 2 {
		s.hand = (s.hand + 1) % levels
		if i := s.levels[s.hand].oldest; i != 0 && s.entries[i].until <= s.now {
			s.remove(i)
		}
	}
}

// makeRoom forgets a key: one of which nothing counts any more if it comes across one, else one that has used the least.
func (s *shard) makeRoom() {
	least := int32(0)
	for _, l := range s.levels {
		if l.oldest == 0 {
			continue
		}
		if s.entries[l.oldest].until <= s.now {
			s.remove(l.oldest)
			return
		}
		if least == 0 {
			least = l.oldest
		}
	}
	s.gone++
	s.remove(least)
}

// link puts an entry into a level, as the one that asked last.
func (s *shard) link(i int32, level uint8) {
	l, e := &s.levels[level], &s.entries[i]
	e.level, e.older, e.newer = level, l.newest, 0
	if l.newest != 0 {
		s.entries[l.newest].newer = i
	} else {
		l.oldest = i
	}
	l.newest = i
}

// unlink takes an entry out of its level.
func (s *shard) unlink(i int32) {
	e := &s.entries[i]
	l := &s.levels[e.level]
	if e.older != 0 {
		s.entries[e.older].newer = e.newer
	} else {
		l.oldest = e.newer
	}
	if e.newer != 0 {
		s.entries[e.newer].older = e.older
	} else {
		l.newest = e.older
	}
}
