// Package disk keeps an event.Log as segment files in a folder. One process has it open at a time (the data directory's lock sees to
// that).
//
// Records that are appended at the same time are written and flushed together: what is acknowledged is on the disk, and 64 writers pay
// for one flush. There is no goroutine behind it: of those who wait, one writes for all. Each record bears a checksum of what it holds
// and of where it is. Opening the log cuts off what a crash left unfinished at its end, which nobody was told is written, and nothing
// else: other damage is reported and kept, and the log goes on in a new segment.
package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Options are what app and tests may set. The zero value is ready to use.
type Options struct {
	// SegmentBytes is the size at which a segment is closed and a new one begun: 64 MiB by default.
	SegmentBytes int64

	// MaxAge and MaxBytes say what Retain removes; 0 removes nothing.
	MaxAge   time.Duration
	MaxBytes int64
	// Needed returns the offset from which on records are still to be read by somebody: Retain keeps them. By default nothing is.
	Needed func() event.Offset

	Now     func() time.Time     // the wall clock: time.Now by default
	Elapsed func() time.Duration // a clock that nobody sets, from any beginning: by default the system's monotonic clock
	Random  io.Reader            // for the salt of a segment: crypto/rand by default

	// Before is called before each call to the file system, with what it does (open, create, read, write, sync, truncate, rename,
	// remove, list, syncdir), to which file, and how many bytes. Its error takes the place of the call; of a write, as many bytes as
	// it returns are written all the same.
	Before func(op, name string, size int) (int, error)

	flush func(*os.File) error // (*os.File).Sync; a test that crashes nothing does without
}

func (o *Options) fill() {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.Needed == nil {
		o.Needed = func() event.Offset { return 1<<64 - 1 }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		began := time.Now()
		o.Elapsed = func() time.Duration { return time.Since(began) }
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.flush == nil {
		o.flush = (*os.File).Sync
	}
	if o.Before == nil {
		o.Before = func(string, string, int) (int, error) { return 0, nil }
	}
}

// Log is an event.Log on a folder.
type Log struct {
	o       Options
	files   files
	opening Opening
	end     atomic.Uint64 // behind the last durable record
	windows sync.Pool     // of *window

	mu       sync.Mutex
	segments []segment // by offset; the last one's end is l.end
	pending  *batch    // what the next write will write; nil if nothing waits
	spare    []byte    // memory for a batch
	closed   bool

	retaining sync.Mutex // held by Retain

	// turn is held by who writes, and with it what follows.
	turn    chan struct{}
	active  *file // what is appended to; nil if a new segment is to be made first
	pos     int64 // where
	dirty   bool  // a failed write may have left something at pos
	clean   bool  // the last thing in the log says that it was closed
	stamp   int64 // the log's time: the wall clock's, but it never goes back
	salting [4]byte
}

var _ event.Log = (*Log)(nil)

// Opening tells what Open found.
type Opening struct {
	Clean  bool                 // the log was closed in good order, or is new; else its last records may be lost if it was cut
	Cut    *Cut                 // an unfinished write at the end that was removed; nil if there was none
	Damage []*event.DamageError // what else is wrong in the headers and in the last segment; Verify looks everywhere
}

// Cut is an unfinished write, which nobody was told is durable, at the end of the log.
type Cut struct {
	File  string
	Byte  int64 // where in the file it began
	Bytes int64 // how much was removed
	At    event.Offset
}

// Open opens the log kept in the folder dir, which must exist, and reads its last segment to find where it ends. Nothing is written
// but to cut an unfinished write. It fails if files cannot be read or a later version of Serin wrote them; damage is no failure: see
// Opening. Close it after use.
func Open(dir string, o Options) (*Log, error) {
	o.fill()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, classify(err, "open the log")
	}
	l := &Log{o: o, files: files{root, o.Before, o.flush}, turn: make(chan struct{}, 1)}
	l.windows.New = func() any { return &window{} }
	if err := l.recover(); err != nil {
		if l.active != nil {
			l.active.Close()
		}
		root.Close()
		return nil, classify(err, "open the log")
	}
	return l, nil
}

// Opening tells what Open found.
func (l *Log) Opening() Opening { return l.opening }

// End implements event.Log.
func (l *Log) End() event.Offset { return event.Offset(l.end.Load()) }

// Start returns the oldest offset there is.
func (l *Log) Start() event.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return l.End()
	}
	return l.segments[0].base
}

// Bytes returns the size of all segments on the disk.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytesOf(l.snapshot())
}

func bytesOf(segments []segment) (total int64) {
	for i := range segments {
		total += segments[i].place(segments[i].end)
	}
	return total
}

// snapshot returns the segments as they are now; mu is held.
func (l *Log) snapshot() []segment {
	segments := slices.Clone(l.segments)
	if n := len(segments); n > 0 {
		segments[n-1].end = l.End()
	}
	return segments
}

// Close writes what is still pending and a mark that the log was closed in good order. Append then fails.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.lead()
	var err error
	if l.active != nil {
		if !l.clean {
			err = l.write(make([]byte, groupHeader), flagClosing)
		}
		if l.active != nil { // a failed write lets go of it
			err = errors.Join(err, l.active.Close())
			l.active = nil
		}
	}
	return classify(errors.Join(err, l.files.root.Close()), "close the log")
}

// windowOn returns a window on the file, whose memory release takes back.
func (l *Log) windowOn(f io.ReaderAt, limit int64) *window {
	w := l.windows.Get().(*window)
	w.r, w.limit, w.buf = f, limit, w.buf[:0]
	return w
}

func (l *Log) release(w *window) {
	w.r = nil
	l.windows.Put(w)
}

// within opens the segment's file, reading, for as long as use runs.
func (l *Log) within(s *segment, use func(*window) error) error {
	f, err := l.files.open(s.name(), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.size()
	if err != nil {
		return err
	}
	w := l.windowOn(f, s.limit(size))
	defer l.release(w)
	return use(w)
}

func done(ctx context.Context, doing string) error {
	if err := ctx.Err(); err != nil {
		return fault.Unavailablef("%s: %w", doing, err)
	}
	return nil
}
