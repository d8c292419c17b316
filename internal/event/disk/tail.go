package disk

import (
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/serin-ml/serin/internal/event"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// tail is what reading the last segment found.
type tail struct {
	last   int64 // where the last commit begins: all before it was durable
	good   int64 // behind the last whole Append that is to be kept
	stamp  int64 // the largest
	damage []*event.DamageError
}

// readTail reads the last segment, of which the first known bytes are known to have been durable. So is all that lies before a frame
// that begins a commit: what is bad there is damage. What is bad behind the last such frame is torn, and with it all that follows.
func (l *Log) readTail(s segment, known, size int64) (t tail, err error) {
	name := segmentName(s.base)
	f, err := l.fs.Open(name, os.O_RDONLY)
	if err != nil {
		return t, classify(err, "open "+name)
	}
	defer f.Close()
	c := l.cursors.Get().(*cursor)
	defer l.cursors.Put(c)
	c.reset(f, s, max(size, known))
	t.last, t.good = known, headerSize
	var bad []*event.DamageError // since the last frame that begins a commit
	for pos := int64(headerSize); pos < c.limit; {
		f, problem, err := c.frame(pos)
		if err != nil {
			return t, err
		}
		if problem != "" {
			d, err := c.damage(pos, problem)
			if err != nil {
				return t, err
			}
			bad = append(bad, d)
			pos = int64(d.Next - s.base)
			continue
		}
		if f.isCommit {
			t.damage, bad = append(t.damage, bad...), bad[:0]
			t.last, t.good, t.stamp = max(pos, known), pos, max(t.stamp, f.stamp)
		}
		pos += int64(f.size)
		if !f.hasMore && len(bad) == 0 {
			t.good = pos
		}
	}
	for _, d := range bad {
		if d.Byte < known {
			d.Next = min(d.Next, s.base+event.Offset(known))
			t.damage = append(t.damage, d)
		}
	}
	t.good = max(t.good, known)
	return t, nil
}

// resume makes the last segment the one to write to, without its torn end. Where that fails, a new one begins behind what is good.
func (l *Log) resume(s segment, t tail) {
	name := segmentName(s.base)
	f, err := l.fs.Open(name, os.O_RDWR)
	if err == nil {
		if err = rewrite(f, t.last, t.good); err == nil {
			err = f.Truncate(t.good)
		}
		if err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = l.fs.Sync() // the process before may have crashed between naming the file and that
		}
		if err != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		l.o.Log.Error("the last file of the log cannot be written; the log goes on in a new one", slog.String("file", name), slog.Any("error", err))
		return
	}
	l.w.file, l.w.base, l.w.pos = f, s.base, t.good
}

// rewrite writes the last commit again. If its fsync had failed before the crash, the system holds it for written, and an fsync now
// would do nothing.
func rewrite(f File, from, to int64) error {
	b := make([]byte, min(to-from, maxChunk))
	for ; from < to; from += int64(len(b)) {
		b = b[:min(to-from, int64(len(b)))]
		if _, err := f.ReadAt(b, from); err != nil {
			return err
		}
		if _, err := f.WriteAt(b, from); err != nil {
			return err
		}
	}
	return nil
}
