package disk

import (
	"log/slog"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// Retain says what Trim may remove: whole segments, the oldest first, and never the last one.
type Retain struct {
	Age   time.Duration       // what is older may go; 0: nothing goes for its age
	Bytes int64               // what is beyond may go; 0: nothing goes for want of room
	Keep  func() event.Offset // what consumers still need begins here; nil: nobody needs anything
	// Max is the size that counts more than what consumers need; 0: there is none. It should leave room for one segment above Bytes.
	Max int64
}

// Trimmed says what Trim removed.
type Trimmed struct {
	Segments int
	Bytes    int64
	Oldest   event.Offset // where the log begins now
	Needed   event.Offset // from here on to Oldest, what was removed was still needed; Oldest, if nothing was
}

// Trim removes what Retain lets it, and is to be called from time to time. What a consumer still needs and Max made it remove is
// logged as an error. Steps of the clock while the process runs remove nothing, if Options.Now gives monotonic readings, as time.Now
// does.
func (l *Log) Trim() (Trimmed, error) {
	t := Trimmed{Oldest: l.Oldest()}
	t.Needed = t.Oldest
	if l.o.ReadOnly {
		return t, nil
	}
	now := l.started.Add(l.o.Now().Sub(l.started)).UnixNano()
	need := l.End()
	if l.o.Retain.Keep != nil {
		need = min(need, l.o.Retain.Keep())
	}
	var err error
	for err == nil {
		var more bool
		if more, err = l.trimOne(&t, now, need); !more {
			break
		}
	}
	t.Needed = min(max(t.Needed, need), t.Oldest)
	if t.Needed < t.Oldest {
		l.o.Log.Error("the log has reached its largest size: what consumers still needed is removed",
			slog.Uint64("from", uint64(t.Needed)), slog.Uint64("to", uint64(t.Oldest)))
	}
	if t.Segments > 0 {
		l.o.Log.Info("old files of the log are removed", slog.Int("files", t.Segments), slog.Int64("bytes", t.Bytes))
	}
	return t, classify(err, "remove an old file of the log")
}

// trimOne removes the oldest segment if it may go. It holds the lock, so that no reader looks for a file that is gone.
func (l *Log) trimOne(t *Trimmed, now int64, need event.Offset) (removed bool, err error) {
	l.segmentsMu.Lock()
	defer l.segmentsMu.Unlock()
	if len(l.segments) < 2 {
		return false, nil
	}
	s, next := l.segments[0], l.segments[1]
	r, size := l.o.Retain, int64(l.End()-s.base)
	old := r.Age > 0 && now-next.stamp > int64(r.Age) // no stamp in s is above that of next
	large := r.Bytes > 0 && size > r.Bytes
	if forced := r.Max > 0 && size > r.Max; !forced && (!old && !large || next.base > need) {
		return false, nil
	}
	if err := l.fs.Remove(segmentName(s.base)); err != nil {
		return false, err
	}
	l.segments = l.segments[1:]
	t.Segments, t.Bytes, t.Oldest = t.Segments+1, t.Bytes+int64(next.base-s.base), next.base
	return true, l.fs.Sync() // each for itself: a crash must not leave a hole in the middle
}
