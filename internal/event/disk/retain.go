package disk

import (
	"context"
	"slices"

	"github.com/serin-ml/serin/internal/event"
)

// Retention is what Retain did.
type Retention struct {
	Segments int   // removed
	Bytes    int64 // of these
	// Held is how many bytes should go by age or size, but are still needed: somebody who reads has fallen far behind.
	Held   int64
	Oldest event.Offset // where the log begins now
}

// Retain removes the oldest segments while the log is larger than MaxBytes, and those whose last record is older than MaxAge; whole
// segments, never the last one, and none that is still Needed. Age is counted by a clock that nobody sets, for as long as the log is
// open: setting the system's clock removes nothing. Call it now and then.
func (l *Log) Retain(ctx context.Context) (r Retention, err error) {
	l.retaining.Lock()
	defer l.retaining.Unlock()
	needed := l.o.Needed()
	for {
		r.Oldest = l.Start()
		if err := done(ctx, "remove old segments"); err != nil {
			return r, err
		}
		l.mu.Lock()
		segments := l.snapshot()
		l.mu.Unlock()
		if len(segments) < 2 || !l.expired(segments) {
			return r, nil
		}
		if segments[0].end > needed {
			r.Held = l.held(segments)
			return r, nil
		}
		// First from the list: who finds the file gone looks there why.
		l.mu.Lock()
		l.segments = slices.Delete(l.segments, 0, 1)
		l.mu.Unlock()
		if err := l.files.remove(segments[0].name()); err != nil {
			l.mu.Lock()
			l.segments = slices.Insert(l.segments, 0, segments[0])
			l.mu.Unlock()
			return r, classify(err, "remove old segments")
		}
		r.Segments++
		r.Bytes += segments[0].place(segments[0].end)
		// One after the other: a crash must not bring back one that is older than one that stays away.
		if err := l.files.syncDir(); err != nil {
			return r, classify(err, "remove old segments")
		}
	}
}

// expired tells whether the first of the segments should go.
func (l *Log) expired(segments []segment) bool {
	return l.o.MaxBytes > 0 && bytesOf(segments) > l.o.MaxBytes || l.o.MaxAge > 0 && l.age(&segments[0]) > l.o.MaxAge
}

// held returns how many bytes would go if nobody needed them.
func (l *Log) held(segments []segment) (bytes int64) {
	for len(segments) > 1 && l.expired(segments) {
		bytes += segments[0].place(segments[0].end)
		segments = segments[1:]
	}
	return bytes
}
