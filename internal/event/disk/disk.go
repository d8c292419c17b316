// Package disk keeps an event.Log in segment files. An offset is a place in the bytes of all segments, one behind the other: a segment
// is named by the offset at which it begins (its base), and ends where the next one begins. What its file holds beyond that is not of
// the log. So a record is found by its offset without an index.
//
// Appends that come at the same time are one commit: one write and one fsync. A record is acknowledged, and seen by readers, only
// behind that fsync. Each commit says in its first frame that all before it was durable. After a crash this tells a torn tail, the last
// commit, which nobody was promised and which is cut, from damage, which is reported and never cut. Close leaves a mark that
// says where the log ends, so that after it nothing is taken for a torn tail.
//
// A file whose fsync failed is never written again (the system may have dropped what it could not write, and say so only once): the
// log goes on in a new segment, which begins behind the last acknowledged record.
//
// One process writes at a time; the lock of the data directory sees to that.
package disk

import (
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Options say how a log is kept. Dir or FS is needed, and Now unless ReadOnly.
type Options struct {
	Dir          string // the log's folder; it is made if it is absent, the one above is not
	FS           FS     // in place of Dir, for tests; Close closes it
	SegmentBytes int64  // a segment that has grown to this is followed by a new one; 0: 64 MiB
	Now          func() time.Time
	Log          *slog.Logger // told of damage, repairs and what is removed; nil: nobody is
	Retain       Retain
	ReadOnly     bool // nothing is written, not even repairs, and End stays; another process may write meanwhile
}

// DefaultSegmentBytes is the size that a segment grows to unless Options say otherwise.
const DefaultSegmentBytes = 64 << 20

// Log is an event.Log in a folder.
type Log struct {
	o       Options
	fs      FS
	started time.Time // for retention: with its monotonic reading, so that steps of the clock expire nothing

	turn  chan struct{} // holds one element while somebody commits, or closes
	w     writer        // owned by whoever has the turn, as is spare
	spare *commit       // memory for a commit to come

	mu      sync.Mutex // guards the next two
	pending *commit    // what the next commit will write
	closed  bool

	segmentsMu sync.RWMutex // held for writing while files appear and go
	segments   []segment    // in order; the last one ends at end
	origin     event.Offset // where the log begins if there are no segments

	end      atomic.Uint64 // behind the last durable record
	cursors  sync.Pool     // of *cursor
	encoders sync.Pool     // of *encoded
	opened   Recovered
}

var _ event.Log = (*Log)(nil)

// segment is a file of the log. It ends at the base of the next one.
type segment struct {
	base  event.Offset
	stamp int64 // no stamp in it is below, none before it above
}

// Recovered says what Open found.
type Recovered struct {
	Clean  bool                 // the log was closed, or is new; else it ended in a crash
	Cut    int64                // bytes of the torn tail, which nobody was promised
	CutAt  event.Offset         // where they were
	Damage []*event.DamageError // in headers, in the last segment if it was read, and files that are too short; Verify finds all
}

// Open opens the log and repairs its end. Damage is no error: it is logged, Recovered has it, and Read tells whoever comes by.
func Open(o Options) (*Log, error) {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		folder, err := openFolder(o.Dir, !o.ReadOnly)
		if err != nil {
			return nil, classify(err, "open the folder of the log")
		}
		o.FS = folder
	}
	l := &Log{o: o, fs: o.FS, turn: make(chan struct{}, 1), pending: newCommit(nil)}
	l.cursors.New = func() any { return new(cursor) }
	l.encoders.New = func() any { return new(encoded) }
	if !o.ReadOnly {
		l.started = o.Now()
	}
	if err := l.recover(); err != nil {
		_ = l.fs.Close()
		return nil, err
	}
	return l, nil
}

// End implements event.Log.
func (l *Log) End() event.Offset { return event.Offset(l.end.Load()) }

// Oldest returns where the log begins: 0, unless retention has removed something.
func (l *Log) Oldest() event.Offset {
	l.segmentsMu.RLock()
	defer l.segmentsMu.RUnlock()
	return l.oldest()
}

func (l *Log) oldest() event.Offset {
	if len(l.segments) == 0 {
		return l.origin
	}
	return l.segments[0].base
}

// Recovered returns what Open found.
func (l *Log) Recovered() Recovered { return l.opened }

// Close waits for the commit under way, refuses what has not begun, and marks where the log ends. Reads that are under way may fail.
func (l *Log) Close() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	left := l.pending
	l.mu.Unlock()
	left.finish(errClosed())

	var err error
	if !l.o.ReadOnly && l.w.file == nil && !l.w.marked && len(l.segments) > 0 {
		err = classify(l.w.begin(l), "leave a file that failed") // what it holds behind the end must not come back
	}
	if err == nil && !l.o.ReadOnly && !l.w.marked {
		err = classify(l.replace(markName, header{l.End(), l.w.stamp}.encode(markMagic)), "mark the log's end")
	}
	if l.w.file != nil {
		_ = l.w.file.Close() // all that counts is durable
	}
	_ = l.fs.Close()
	return err
}

func errClosed() error { return fault.Unavailablef("the log is closed") }

// replace makes a file durable under its name, or leaves what had that name.
func (l *Log) replace(name string, content []byte) error {
	f, err := l.create(name, content)
	if err != nil {
		return err
	}
	return f.Close()
}

// create is replace, but leaves the file open.
func (l *Log) create(name string, content []byte) (File, error) {
	f, err := l.fs.Open(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.Rename(temporary, name)
	}
	if err == nil {
		err = l.fs.Sync()
	}
	if err != nil {
		_ = f.Close()
		_ = l.fs.Remove(temporary) // or Open does
		return nil, err
	}
	return f, nil
}
