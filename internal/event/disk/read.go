package disk

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Read implements event.Log. No lock is held while use runs; it may append.
func (l *Log) Read(ctx context.Context, from event.Offset, limit int, use func(at event.Offset, r event.Record) error) (event.Offset, error) {
	next := from
	for n := 0; n < limit; {
		p, err := l.open(next)
		if err != nil || p == nil {
			return next, err
		}
		var used int
		used, next, err = p.read(ctx, next, limit-n, use)
		p.close()
		if err != nil {
			return next, err
		}
		n += used
	}
	return next, nil
}

// part is an open segment.
type part struct {
	*cursor
	file File
	l    *Log
}

// open opens the segment that holds the offset; nil if that is the log's end. A file that is open can be read though retention
// removes it.
func (l *Log) open(at event.Offset) (*part, error) {
	l.segmentsMu.RLock()
	defer l.segmentsMu.RUnlock()
	end := l.End()
	switch oldest := l.oldest(); {
	case at < oldest:
		return nil, &event.GoneError{From: at, Oldest: oldest}
	case at > end:
		return nil, fault.Invalidf("offset %d is behind the end of the log, which is %d", at, end).
			WithHint("was the log replaced by an older copy? what was derived from it must then be derived anew, from offset %d", oldest)
	case at == end:
		return nil, nil
	}
	i, found := slices.BinarySearchFunc(l.segments, at, func(s segment, at event.Offset) int { return cmp.Compare(s.base, at) })
	if !found {
		i--
	}
	return l.openSegment(i)
}

// openSegment opens segment i. The caller holds segmentsMu.
func (l *Log) openSegment(i int) (*part, error) {
	s, end := l.segments[i], l.End()
	if i+1 < len(l.segments) {
		end = l.segments[i+1].base
	}
	name := segmentName(s.base)
	f, err := l.fs.Open(name, os.O_RDONLY)
	if l.o.ReadOnly && errors.Is(err, fs.ErrNotExist) { // the process that writes has removed it
		return nil, &event.GoneError{From: s.base, Oldest: end}
	}
	if err != nil {
		return nil, classify(err, "open "+name)
	}
	p := &part{cursor: l.cursors.Get().(*cursor), file: f, l: l}
	p.reset(f, s, int64(end)-int64(s.base))
	return p, nil
}

func (p *part) close() {
	_ = p.file.Close()
	p.cursor.file = nil
	p.l.cursors.Put(p.cursor)
}

// read is Read within one segment. used is how many records use has taken.
func (p *part) read(ctx context.Context, from event.Offset, limit int, use func(at event.Offset, r event.Record) error) (used int, next event.Offset, err error) {
	first := max(int64(from-p.base), headerSize)
	pos := first
	for next = from; used < limit && pos < p.limit; used++ {
		if err := ctx.Err(); err != nil {
			return used, next, err
		}
		r, size, err := p.record(pos)
		if damage, ok := errors.AsType[*event.DamageError](err); ok && pos == first && p.isWithinFrame(pos) {
			return 0, from, fault.Invalidf("offset %d is not where a record begins: %s", from, damage.What).
				WithHint("use only offsets that the log has given")
		}
		if err != nil {
			return used, next, err
		}
		if err := use(p.at(pos), r); err != nil {
			return used, next, err
		}
		pos += int64(size)
		next = p.at(pos)
	}
	return used, max(next, p.at(pos)), nil
}

// record reads the record at pos and returns how much its frame takes.
func (c *cursor) record(pos int64) (event.Record, int, error) {
	f, problem, err := c.frame(pos)
	if err != nil {
		return event.Record{}, 0, err
	}
	if problem != "" {
		d, err := c.damage(pos, problem)
		if err != nil {
			return event.Record{}, 0, err
		}
		return event.Record{}, 0, d
	}
	r, err := event.ParseRecord(f.body)
	if err != nil {
		d := &event.DamageError{At: c.at(pos), Next: c.at(pos + int64(f.size)), File: c.name, Byte: pos, What: err.Error()}
		return event.Record{}, 0, d
	}
	return r, f.size, nil
}

// isWithinFrame tells whether pos is in the middle of a sound frame, so that nothing is damaged but the caller's offset.
func (c *cursor) isWithinFrame(pos int64) bool {
	for at := int64(headerSize); at < pos; {
		f, problem, err := c.frame(at)
		switch {
		case err != nil:
			return false
		case problem == "":
			at += int64(f.size)
		default:
			if at, err = c.resync(at); err != nil {
				return false
			}
			continue
		}
		if at > pos {
			return true
		}
	}
	return false
}
