package disk

import (
	"io"

	"github.com/serin-ml/serin/internal/event"
)

// window reads a file in pieces.
type window struct {
	r     io.ReaderAt
	limit int64 // what is behind is not there
	buf   []byte
	from  int64 // the place of buf
}

const windowSize = 256 << 10

// at returns the n bytes at pos, or as many as there are before the limit. They are valid until the next call.
func (w *window) at(pos, n int64) ([]byte, error) {
	n = min(n, w.limit-pos)
	if n <= 0 {
		return nil, nil
	}
	if pos < w.from || pos+n > w.from+int64(len(w.buf)) {
		size := min(max(n, windowSize), w.limit-pos)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		w.buf, w.from = w.buf[:size], pos
		if read, err := w.r.ReadAt(w.buf, pos); err != nil {
			w.buf = w.buf[:0]
			if err == io.EOF && int64(read) < size {
				err = io.ErrUnexpectedEOF
			}
			if err != io.EOF {
				return nil, err
			}
			w.buf = w.buf[:read]
		}
	}
	return w.buf[pos-w.from : pos-w.from+n], nil
}

// next reads the group's header or the frame at pos. what says why there is none.
func (s *segment) next(w *window, pos int64) (it item, what string, err error) {
	it.pos = pos
	b, err := w.at(pos, groupHeader)
	if err != nil || len(b) == 0 {
		return it, "nothing is there", err
	}
	if b[0] == groupMark {
		g, ok := s.parseGroup(b, pos)
		switch {
		case !ok && len(b) < groupHeader:
			return it, "the head of a group is cut short", nil
		case !ok:
			return it, "the head of a group is wrong", nil
		}
		it.group, it.size = g, groupHeader
		return it, "", nil
	}
	size, head := frameSize(b)
	if size == 0 {
		return it, "the length of a record is wrong", nil
	}
	if b, err = w.at(pos, size); err != nil {
		return it, "", err
	}
	if int64(len(b)) < size {
		return it, "a record is cut short", nil
	}
	record, ok := s.parseFrame(b, head, pos)
	if !ok {
		return it, "the checksum of a record is wrong", nil
	}
	it.record, it.size = record, size
	return it, "", nil
}

// walk calls visit for each sound item from pos to w's limit, and flawed for each damage between them. It ends with the first error
// of either.
func (s *segment) walk(w *window, pos int64, visit func(item) error, flawed func(*event.DamageError) error) error {
	for pos < w.limit {
		it, what, err := s.next(w, pos)
		if err != nil {
			return err
		}
		next := pos + it.size
		if what == "" && it.record == nil && next+it.length > w.limit {
			what = "a group is cut short"
		} else if what != "" {
			if next, err = s.resync(w, pos); err != nil {
				return err
			}
		}
		if what != "" {
			err = flawed(s.damage(pos, s.offset(next), what))
		} else {
			err = visit(it)
		}
		if err != nil {
			return err
		}
		pos = next
	}
	return nil
}

// longestFound is the greatest frame that resync looks for: greater ones are found by their group. More would take long where
// much is damaged.
const longestFound = 4 << 10

// resync returns the first place behind pos where a sound record or group begins, w's limit if there is none.
func (s *segment) resync(w *window, pos int64) (int64, error) {
	for pos++; pos < w.limit; pos++ {
		b, err := w.at(pos, longestFound)
		if err != nil {
			return 0, err
		}
		if b[0] == groupMark {
			if g, ok := s.parseGroup(b, pos); ok && pos+groupHeader+g.length <= w.limit {
				return pos, nil
			}
			continue
		}
		size, head := frameSize(b)
		if size == 0 || size > int64(len(b)) {
			continue
		}
		if _, ok := s.parseFrame(b[:size], head, pos); ok {
			return pos, nil
		}
	}
	return w.limit, nil
}

// findGroup returns the first sound head of a group at pos or behind, ok false if there is none before w's limit.
func (s *segment) findGroup(w *window, pos int64) (it item, ok bool, err error) {
	for ; pos < w.limit; pos++ {
		b, err := w.at(pos, groupHeader)
		if err != nil {
			return item{}, false, err
		}
		if b[0] != groupMark {
			continue
		}
		if g, ok := s.parseGroup(b, pos); ok {
			return item{pos: pos, size: groupHeader, group: g}, true, nil
		}
	}
	return item{}, false, nil
}
