package disk

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// Seek returns the offset of the first record that was appended at t or later, by the clock of the process that wrote it; the end of
// the log if there is none, and its beginning if all are. If the clock was ever set back, the offset may be an earlier one, never a later one:
// whoever reads on from it comes by all records appended at t or later. Those of one commit share a time.
func (l *Log) Seek(ctx context.Context, t time.Time) (event.Offset, error) {
	stamp := t.UnixNano()
	if first, last := time.Unix(0, 0), time.Unix(0, math.MaxInt64); t.Before(first) {
		stamp = 0 // UnixNano has no meaning for far times, which no record has
	} else if t.After(last) {
		stamp = math.MaxInt64
	}
	p, next, err := l.openTime(stamp)
	if err != nil || p == nil {
		return next, err
	}
	defer p.close()
	pos, err := p.seek(ctx, stamp)
	if err != nil || pos < 0 {
		return next, err
	}
	return p.at(pos), nil
}

// openTime opens the last segment that has a stamp below: what is looked for is there, or begins the next segment. If there is no such
// segment, it returns where the log begins.
func (l *Log) openTime(stamp int64) (p *part, next event.Offset, err error) {
	l.segmentsMu.RLock()
	defer l.segmentsMu.RUnlock()
	i, _ := slices.BinarySearchFunc(l.segments, stamp, func(s segment, stamp int64) int { return cmp.Compare(s.stamp, stamp) })
	if i == 0 {
		return nil, l.oldest(), nil
	}
	next = l.End()
	if i < len(l.segments) {
		next = l.segments[i].base
	}
	if l.End() <= l.segments[i-1].base {
		return nil, next, nil
	}
	p, err = l.openSegment(i - 1)
	return p, next, err
}

// linear is the number of bytes that are read through rather than searched.
const linear = 64 << 10

// seek returns where the first commit with the stamp or a later one begins, -1 if no commit of the segment has one.
func (c *cursor) seek(ctx context.Context, stamp int64) (int64, error) {
	low, high := int64(headerSize), c.limit // commits before low are earlier, those from high on are not
	for high-low > linear {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		middle := low + (high-low)/2
		pos, f, err := c.nextCommit(middle, high)
		switch {
		case err != nil:
			return 0, err
		case pos == high || f.stamp >= stamp:
			high = middle
		default:
			low = pos
		}
	}
	for low < c.limit {
		pos, f, err := c.nextCommit(low, c.limit)
		switch {
		case err != nil:
			return 0, err
		case pos == c.limit:
		case f.stamp >= stamp:
			return pos, nil
		}
		low = pos + int64(f.size)
	}
	return -1, nil
}

// nextCommit finds the first sound frame from pos on, but before high, that begins a commit. It returns high if there is none.
func (c *cursor) nextCommit(pos, high int64) (int64, frame, error) {
	for pos < high {
		f, problem, err := c.frame(pos)
		switch {
		case err != nil:
			return 0, f, err
		case problem == "" && f.isCommit:
			return pos, f, nil
		case problem == "":
			pos += int64(f.size)
		default:
			if pos, err = c.resync(pos); err != nil {
				return 0, f, err
			}
		}
	}
	return high, frame{}, nil
}
