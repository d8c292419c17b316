package disk

import (
	"context"
	"io"
	"os"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// batch is what one write and one flush make durable, of all who came while the write before was under way.
type batch struct {
	buf     []byte // a group: room for its header, then frames
	members int
	done    chan struct{} // closed when it is written, or has failed
	base    event.Offset  // of buf[0]
	err     error
}

// Append implements event.Log. A record may be MaxRecord long, all of them MaxGroup. A ctx that is done while the write of others is
// waited for leaves it open whether the records are written.
func (l *Log) Append(ctx context.Context, records ...event.Record) (event.Offset, error) {
	if err := done(ctx, "append to the log"); err != nil {
		return 0, err
	}
	if len(records) == 0 {
		return l.End(), nil
	}
	w := l.windows.Get().(*window) // for its memory alone
	frames := w.buf[:0]
	for i, r := range records {
		if r.Kind() == 0 {
			l.windows.Put(w)
			return 0, fault.Invalidf("append to the log: record %d of %d has no kind, or several", i+1, len(records))
		}
		from := len(frames)
		frames = appendFrame(frames, r)
		if len(frames)-from > maxFrame || len(frames) > MaxGroup {
			l.windows.Put(w)
			return 0, fault.Invalidf("append to the log: record %d of %d makes it too long", i+1, len(records)).
				WithHint("a record may be %d bytes long, what is appended at once %d", MaxRecord, MaxGroup)
		}
	}
	b, behind, err := l.join(ctx, frames)
	if cap(frames) <= 1<<20 { // more is not kept for what may never come again
		w.buf = frames
	}
	l.windows.Put(w)
	if err != nil {
		return 0, err
	}
	if err := l.wait(ctx, b); err != nil {
		return 0, err
	}
	return b.base + event.Offset(behind), nil
}

// join adds the frames to the pending batch, and returns it and where in it they end.
func (l *Log) join(ctx context.Context, frames []byte) (*batch, int, error) {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return nil, 0, fault.Unavailablef("append to the log: it is closed")
		}
		b := l.pending
		if b == nil {
			b = &batch{buf: append(l.spare[:0], make([]byte, groupHeader)...), done: make(chan struct{})}
			l.spare, l.pending = nil, b
		}
		if b.members == 0 || len(b.buf)+len(frames) <= MaxGroup {
			b.buf = append(b.buf, frames...)
			b.members++
			behind := len(b.buf)
			l.mu.Unlock()
			return b, behind, nil
		}
		b.members++ // only to see it written
		l.mu.Unlock()
		_ = l.wait(ctx, b) // how it went is for its own members
		if err := done(ctx, "append to the log"); err != nil {
			return nil, 0, err
		}
	}
}

// wait returns when the batch is written, by this goroutine if no other is at it.
func (l *Log) wait(ctx context.Context, b *batch) error {
	select {
	case <-b.done:
		return b.err
	case l.turn <- struct{}{}:
		select {
		case <-b.done: // by the one before
		default:
			l.lead()
		}
		<-l.turn
		<-b.done
		return b.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-b.done:
		return b.err
	default:
	}
	if b.members--; b.members == 0 && l.pending == b {
		l.pending = nil // nobody else would write it
		return fault.Unavailablef("append to the log: %w", ctx.Err())
	}
	return fault.Unavailablef("append to the log: whether it is written is not known: %w", ctx.Err()).
		WithHint("send it again with the same id, which counts once")
}

// lead writes the pending batch, if there is one. The turn is held.
func (l *Log) lead() {
	l.mu.Lock()
	b := l.pending
	l.pending = nil
	l.mu.Unlock()
	if b == nil {
		return
	}
	b.err = classify(l.write(b.buf, 0), "append to the log")
	b.base = l.End() - event.Offset(len(b.buf))
	if cap(b.buf) <= 1<<20 {
		l.mu.Lock()
		l.spare = b.buf
		l.mu.Unlock()
	}
	close(b.done)
}

// write makes the group durable, or leaves the log as it was. The turn is held.
func (l *Log) write(group []byte, flags byte) error {
	if err := l.repair(); err != nil {
		return err
	}
	if l.active != nil && l.pos > headerSize && l.pos+int64(len(group)) > l.o.SegmentBytes && flags == 0 {
		l.letGo()
	}
	l.stamp = max(l.stamp, l.o.Now().UnixMilli())
	if l.active == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	s := l.last()
	s.seal(group, l.pos, l.stamp, flags)
	if n, err := l.active.WriteAt(group, l.pos); err != nil || n < len(group) {
		l.dirty = true
		if err == nil {
			err = io.ErrShortWrite
		}
		_ = l.repair() // if it fails, the next write tries again; the first error is the one to tell
		return err
	}
	if err := l.active.Sync(); err != nil {
		// The system may have forgotten that these pages are to be written: another Sync would succeed and lie. The segment ends
		// here, whatever follows in the file, and the next one begins.
		_ = l.active.Truncate(l.pos)
		l.letGo()
		return err
	}
	l.pos += int64(len(group))
	l.clean = flags&flagClosing != 0
	l.mu.Lock()
	l.segments[len(l.segments)-1].aged = l.o.Elapsed().Milliseconds()
	l.end.Add(uint64(len(group)))
	l.mu.Unlock()
	return nil
}

// last returns what is known of the last segment.
func (l *Log) last() segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[len(l.segments)-1]
}

// repair removes what a failed write may have left.
func (l *Log) repair() error {
	if !l.dirty {
		return nil
	}
	if err := l.active.Truncate(l.pos); err != nil {
		return err
	}
	if err := l.active.Sync(); err != nil {
		l.letGo()
		return err
	}
	l.dirty = false
	return nil
}

// letGo ends the segment that is appended to.
func (l *Log) letGo() {
	l.active.Close()
	l.active, l.dirty = nil, false
}

// begin makes the next segment, durable and with its name, to append to.
func (l *Log) begin() (err error) {
	s := segment{base: l.End(), made: l.stamp}
	if _, err := io.ReadFull(l.o.Random, l.salting[:]); err != nil {
		return err
	}
	for _, b := range l.salting {
		s.salt = s.salt<<8 | uint32(b)
	}
	temporary := s.name() + unready
	f, err := l.files.open(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			_ = l.files.remove(temporary) // what stays is overwritten by the next try, or removed by the next Open
		}
	}()
	if _, err := f.WriteAt(s.appendHeaders(nil), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := l.files.rename(temporary, s.name()); err != nil {
		return err
	}
	f.name = s.name()
	if err := l.files.syncDir(); err != nil {
		return err
	}
	s.aged = l.o.Elapsed().Milliseconds()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n > 0 && l.segments[n-1].base == s.base {
		l.segments[n-1] = s // which was given up before anything was durable in it
	} else {
		if n > 0 {
			l.segments[n-1].end = s.base
		}
		l.segments = append(l.segments, s)
	}
	l.active, l.pos = f, headerSize
	return nil
}
