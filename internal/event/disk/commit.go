package disk

import (
	"context"
	"hash/crc32"
	"runtime"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// commit is what one write and one fsync make durable: the records of all Appends that came while the commit before was under way.
// There is no goroutine for commits: of those who wait for one, whoever gets the turn writes it for all. So one that is alone
// waits for nobody, and nothing has to be stopped.
type commit struct {
	frames []byte   // whole but for what depends on the offset
	sums   []uint32 // of the bodies
	done   chan struct{}

	// Set before done is closed.
	base event.Offset // where frames begin
	err  error
}

func newCommit(memory *commit) *commit {
	c := &commit{done: make(chan struct{})}
	if memory != nil {
		c.frames, c.sums = memory.frames[:0], memory.sums[:0]
	}
	return c
}

func (c *commit) finish(err error) {
	c.err = err
	close(c.done)
}

// encoded is the records of one Append, made before anything is locked.
type encoded struct {
	bodies []byte
	ends   []int // of each in bodies
	sums   []uint32
}

// encode fails on a record that is not one or is too large.
func (e *encoded) encode(records []event.Record) error {
	e.bodies, e.ends, e.sums = e.bodies[:0], e.ends[:0], e.sums[:0]
	for i, r := range records {
		if r.Kind() == 0 {
			return fault.Invalidf("record %d of %d is not one of a kind", i+1, len(records))
		}
		begin := len(e.bodies)
		e.bodies = event.AppendRecord(e.bodies, r)
		if n := len(e.bodies) - begin; n > maxBody {
			return fault.Invalidf("record %d of %d, of kind %s, takes %d bytes; the log takes at most %d", i+1, len(records), r.Kind(), n, maxBody)
		}
		e.ends = append(e.ends, len(e.bodies))
		e.sums = append(e.sums, crc32.Checksum(e.bodies[begin:], castagnoli))
	}
	return nil
}

// add appends frames to the commit and returns where they end in it.
func (c *commit) add(e *encoded) int {
	begin := 0
	for i, end := range e.ends {
		flags := 0
		if len(c.sums) == 0 {
			flags = flagCommit
		}
		if i < len(e.ends)-1 {
			flags |= flagMore
		}
		c.frames = appendFrame(c.frames, e.bodies[begin:end], flags)
		c.sums = append(c.sums, e.sums[i])
		begin = end
	}
	return len(c.frames)
}

// Append implements event.Log.
func (l *Log) Append(ctx context.Context, records ...event.Record) (event.Offset, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if l.o.ReadOnly {
		return 0, fault.Conflictf("the log is open for reading only")
	}
	if len(records) == 0 {
		return l.End(), nil
	}
	e := l.encoders.Get().(*encoded)
	defer func() {
		if cap(e.bodies) <= keptMemory {
			l.encoders.Put(e)
		}
	}()
	if err := e.encode(records); err != nil {
		return 0, err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return 0, errClosed()
	}
	c := l.pending
	end := c.add(e)
	l.mu.Unlock()

	for {
		select {
		case <-c.done:
			if c.err != nil {
				return 0, c.err
			}
			return c.base + event.Offset(end), nil
		case l.turn <- struct{}{}:
			l.lead(c)
			<-l.turn
		case <-ctx.Done():
			return 0, ctx.Err() // the next commit writes it all the same
		}
	}
}

// lead writes what is pending, which is c, unless another has done so. The caller has the turn.
func (l *Log) lead(c *commit) {
	select {
	case <-c.done:
		return
	default:
	}
	runtime.Gosched() // those whom the commit before has just woken may join this one
	l.mu.Lock()
	l.pending = newCommit(l.spare)
	l.spare = nil
	l.mu.Unlock()
	err := l.w.write(l, c)
	c.finish(err)
	if cap(c.frames) <= keptMemory { // others may still read c.base and c.err, but never the frames
		l.spare = &commit{frames: c.frames, sums: c.sums}
	}
}

// keptMemory is up to which size, in bytes, the memory of a commit is used again.
const keptMemory = 4 << 20

// finishFrames fills in what depends on the offset and the time.
func (c *commit) finishFrames(base event.Offset, stamp int64) {
	c.base = base
	pos := 0
	for _, sum := range c.sums {
		pos += finish(c.frames[pos:], base+event.Offset(pos), stamp, sum)
	}
}
