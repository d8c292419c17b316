package disk

import (
	"errors"
	"io/fs"
	"log/slog"

	"github.com/serin-ml/serin/internal/event"
)

// writer is the end of the log. It belongs to whoever has the turn.
type writer struct {
	file   File // nil: the next commit begins a new segment
	base   event.Offset
	pos    int64 // in file, behind the last durable frame
	stamp  int64 // the largest so far
	marked bool  // the mark of Close is there; it has to go before anything is written
}

// write makes c durable, or leaves the log as it was.
func (w *writer) write(l *Log, c *commit) error {
	if err := w.prepare(l); err != nil {
		return classify(err, "append to the log")
	}
	w.tick(l)
	c.finishFrames(w.base+event.Offset(w.pos), w.stamp)
	if _, err := w.file.WriteAt(c.frames, w.pos); err != nil {
		w.cut(l)
		return classify(err, "append to the log")
	}
	if err := w.file.Sync(); err != nil {
		w.poison(l, err)
		return classify(err, "append to the log")
	}
	w.pos += int64(len(c.frames))
	l.end.Store(uint64(w.base) + uint64(w.pos))
	return nil
}

// tick takes the time. Stamps never go back, though the clock may: a search by time then begins earlier than it need, never later.
func (w *writer) tick(l *Log) { w.stamp = max(w.stamp, l.o.Now().UnixNano()) }

// prepare sees to it that there is a file to write to.
func (w *writer) prepare(l *Log) error {
	if w.marked {
		if err := l.fs.Remove(markName); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := l.fs.Sync(); err != nil { // a mark that came back after a crash would hide what follows it
			return err
		}
		w.marked = false
	}
	if w.file != nil && w.pos >= l.o.SegmentBytes {
		w.leave()
	}
	if w.file != nil {
		return nil
	}
	w.tick(l)
	return w.begin(l)
}

// leave ends the segment.
func (w *writer) leave() {
	_ = w.file.Close() // all that counts is durable
	w.file = nil
}

// begin begins a segment behind the last durable record.
func (w *writer) begin(l *Log) error {
	s := segment{base: l.End(), stamp: w.stamp}
	f, err := l.create(segmentName(s.base), header{s.base, s.stamp}.encode(segmentMagic))
	if err != nil {
		return err
	}
	w.file, w.base, w.pos = f, s.base, headerSize
	l.segmentsMu.Lock()
	defer l.segmentsMu.Unlock()
	if n := len(l.segments); n > 0 && l.segments[n-1].base == s.base {
		return nil // the one before failed with its first commit; it had nothing that was acknowledged
	}
	l.segments = append(l.segments, s)
	return nil
}

// cut takes what a write left that failed. It is durable before anything else is written, so that no crash brings back pieces of it
// among later frames. A file that cannot be cut is left.
func (w *writer) cut(l *Log) {
	err := w.file.Truncate(w.pos)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		w.poison(l, err)
	}
}

// poison leaves a file of which nothing is known behind pos. The next segment begins there, so that what may be behind it is not
// of the log.
func (w *writer) poison(l *Log, err error) {
	l.o.Log.Error("a file of the log failed; the log goes on in a new one", slog.String("file", segmentName(w.base)),
		slog.Int64("byte", w.pos), slog.Any("error", err))
	w.leave()
}
