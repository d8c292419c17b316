package disk

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Read implements event.Log. From an offset behind the end, as a consumer has it whose log lost its tail, it is a *event.DamageError
// whose Next is the end; from one that is not where a record begins, Invalid.
func (l *Log) Read(ctx context.Context, from event.Offset, max int, use func(at event.Offset, r event.Record) error) (event.Offset, error) {
	l.mu.Lock()
	segments, end := l.snapshot(), l.End()
	l.mu.Unlock()
	if from == end {
		return from, nil
	} else if from > end {
		return from, &event.DamageError{At: end, Next: end, What: "the log ends here, before the offset to read from: its tail is lost"}
	}
	if from < segments[0].base {
		return from, &event.GoneError{From: from, Oldest: segments[0].base}
	}
	i, found := slices.BinarySearchFunc(segments, from, func(s segment, at event.Offset) int { return cmp.Compare(s.base, at) })
	if !found {
		i--
	}
	next := from
	for ; i < len(segments) && max > 0; i++ {
		r := reading{ctx: ctx, s: &segments[i], from: next, next: next, left: max, use: use}
		err := l.readSegment(&r)
		next, max = r.next, r.left
		if errors.Is(err, errEnough) {
			break
		}
		if !r.using && errors.Is(err, fs.ErrNotExist) && l.Start() > next { // retention was here meanwhile
			return next, &event.GoneError{From: next, Oldest: l.Start()}
		}
		if err != nil {
			return next, err
		}
	}
	return next, nil
}

// reading is what one Read does in one segment.
type reading struct {
	ctx        context.Context
	s          *segment
	from, next event.Offset
	left       int
	use        func(event.Offset, event.Record) error
	using      bool // the error is use's
}

var errEnough = errors.New("as many as wanted")

func (l *Log) readSegment(r *reading) error {
	if r.s.lost {
		return r.s.damage(0, r.s.end, r.s.problem)
	}
	err := l.within(r.s, func(w *window) error {
		if err := r.s.walk(w, r.s.place(r.from), r.visit, r.flawed(w)); err != nil {
			return err
		}
		if r.next = r.s.offset(w.limit); r.next < r.s.end {
			return r.s.damage(w.limit, r.s.end, "the file ends before the next segment begins")
		}
		return nil
	})
	if err == nil || r.using || errors.Is(err, errEnough) {
		return err
	}
	if _, ok := errors.AsType[*event.DamageError](err); ok {
		return err
	}
	return classify(err, "read the log")
}

func (r *reading) visit(it item) error {
	if it.record == nil {
		r.next = r.s.offset(it.pos + it.size)
		return done(r.ctx, "read the log")
	}
	if r.left == 0 {
		return errEnough
	}
	at := r.s.offset(it.pos)
	r.next = at
	behind := r.s.offset(it.pos + it.size)
	record, err := event.ParseRecord(it.record)
	if err != nil {
		return r.s.damage(it.pos, behind, err.Error())
	}
	if err := r.use(at, record); err != nil {
		r.using = true
		return err
	}
	r.next = behind
	r.left--
	return nil
}

// flawed tells damage from an offset that is not where a record begins.
func (r *reading) flawed(w *window) func(*event.DamageError) error {
	return func(d *event.DamageError) error {
		if d.At == r.from {
			inside := false
			err := r.s.walk(w, headerSize, func(it item) error {
				if place := r.s.place(r.from); it.pos >= place {
					return errEnough
				} else if it.pos+it.size > place {
					inside = true
				}
				return nil
			}, func(*event.DamageError) error { return nil })
			if err != nil && !errors.Is(err, errEnough) {
				return err
			}
			if inside {
				return fault.Invalidf("offset %d of the log is not where a record begins", r.from).
					WithHint("go on from an offset that the log gave, or from 0")
			}
		}
		r.next = d.At
		return d
	}
}

// Seek returns an offset with no record before it that was appended, or whose decision was made, at t or later: where to begin to
// look for them. Records behind it may be older. It reads a few places of one segment, however long the log. A log's time is the
// server's clock, but where that goes back, the log's stands still.
func (l *Log) Seek(ctx context.Context, t time.Time) (event.Offset, error) {
	ms := t.UnixMilli()
	l.mu.Lock()
	segments := l.snapshot()
	l.mu.Unlock()
	if len(segments) == 0 {
		return l.End(), nil
	}
	s := &segments[0]
	for i := range segments { // all that is in the ones before is older than one that was made before t
		if !segments[i].lost && segments[i].made < ms {
			s = &segments[i]
		}
	}
	if s.lost {
		return s.base, nil
	}
	found := s.end
	err := l.within(s, func(w *window) error {
		low, high := int64(headerSize), w.limit // no group before low is late enough; the first one at high is, or there is none
		for high-low > windowSize {
			if err := done(ctx, "search the log"); err != nil {
				return err
			}
			it, ok, err := s.findGroup(w, low+(high-low)/2)
			switch {
			case err != nil:
				return err
			case !ok || it.pos >= high || it.ms >= ms:
				high = low + (high-low)/2
			default:
				low = it.pos + it.size + it.length
			}
		}
		for {
			it, ok, err := s.findGroup(w, low)
			if err != nil || !ok {
				return err
			}
			if it.ms >= ms {
				found = s.offset(it.pos)
				return nil
			}
			low = it.pos + it.size + it.length
		}
	})
	return found, classify(err, "search the log")
}
