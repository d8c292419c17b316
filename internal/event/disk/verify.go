package disk

import (
	"context"
	"errors"

	"github.com/serin-ml/serin/internal/event"
)

// Report is what Verify found.
type Report struct {
	Segments int
	Records  uint64 // sound ones
	From, To event.Offset
	Damage   []*event.DamageError // at most MaxDamage of them, in order
	More     int                  // damage beyond those
}

// MaxDamage is how many places a Report lists.
const MaxDamage = 1000

// Verify reads the whole log, as it is when the call begins, and reports each damaged place. An error is one of reading, not of what
// was read. What retention removes meanwhile is left out.
func (l *Log) Verify(ctx context.Context) (Report, error) {
	r := Report{From: l.Oldest(), To: l.End()}
	for at := r.From; at < r.To; {
		p, err := l.open(at)
		if gone, ok := errors.AsType[*event.GoneError](err); ok {
			at, r.From = gone.Oldest, gone.Oldest
			continue
		}
		if err != nil || p == nil {
			return r, err
		}
		r.Segments++
		end, err := p.verify(ctx, at, &r)
		p.close()
		if err != nil {
			return r, err
		}
		at = end
	}
	return r, nil
}

func (r *Report) add(d *event.DamageError) {
	if len(r.Damage) == MaxDamage {
		r.More++
		return
	}
	r.Damage = append(r.Damage, d)
}

// verify reads a segment, up to what was the end when Verify began, and returns where it ends.
func (p *part) verify(ctx context.Context, at event.Offset, r *Report) (event.Offset, error) {
	if at == p.base {
		h, problem, err := readHeader(p.file, segmentMagic, p.name)
		if err != nil {
			return 0, err
		}
		if problem == "" && h.offset != p.base {
			problem = "its header is that of " + segmentName(h.offset)
		}
		if problem != "" {
			r.add(&event.DamageError{At: p.base, Next: p.base + headerSize, File: p.name, What: problem})
		}
	}
	p.limit = min(p.limit, int64(r.To-p.base))
	pos := max(int64(at-p.base), headerSize)
	for pos < p.limit {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		_, size, err := p.record(pos)
		if damage, ok := errors.AsType[*event.DamageError](err); ok {
			r.add(damage)
			pos = int64(damage.Next - p.base)
			continue
		}
		if err != nil {
			return 0, err
		}
		r.Records++
		pos += int64(size)
	}
	return p.at(pos), nil
}
