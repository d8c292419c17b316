package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// recover finds the segments and where the log ends, and cuts off an unfinished write.
func (l *Log) recover() error {
	if err := l.findSegments(); err != nil {
		return err
	}
	opened := l.o.Now().UnixMilli()
	elapsed := l.o.Elapsed().Milliseconds()
	for i := range l.segments {
		if err := l.readHeader(i); err != nil {
			return err
		}
	}
	l.opening.Clean = len(l.segments) == 0
	if n := len(l.segments); n > 0 {
		if err := l.openLast(&l.segments[n-1]); err != nil {
			return err
		}
	}
	for i := range l.segments {
		last := l.stamp // the log's time when the segment was written last
		if i+1 < len(l.segments) {
			last = l.segments[i+1].made
		}
		l.segments[i].aged = elapsed - max(0, opened-last)
	}
	return nil
}

// findSegments lists the segment files by offset, and removes what was to become one.
func (l *Log) findSegments() error {
	entries, err := l.files.list() // in the order of names, which is that of offsets
	if err != nil {
		return err
	}
	for _, e := range entries {
		if base, ok := parseFileName(e.Name()); ok && !e.IsDir() {
			l.segments = append(l.segments, segment{base: base})
		} else if strings.HasSuffix(e.Name(), extension+unready) {
			if err := l.files.remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// readHeader reads the header of segment i, and holds its size against where the next one begins.
func (l *Log) readHeader(i int) error {
	s := &l.segments[i]
	f, err := l.files.open(s.name(), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.size()
	if err != nil {
		return err
	}
	header := make([]byte, min(size, headerSize))
	if _, err := f.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if s.parseHeaders(header) {
		return fault.Conflictf("%s was written by a later version of Serin", s.name()).
			WithHint("use that version, or restore the log that this one wrote")
	}
	if s.lost && i > 0 {
		s.made = l.segments[i-1].made
	}
	s.end = s.offset(max(size, headerSize))
	if i+1 < len(l.segments) {
		s.end = l.segments[i+1].base
	}
	l.opening.Damage = append(l.opening.Damage, s.outside(size)...)
	return nil
}

// outside tells what is wrong with the segment's header and with its size in bytes.
func (s *segment) outside(size int64) (damage []*event.DamageError) {
	if s.lost {
		return append(damage, s.damage(0, s.end, s.problem+", and so is its copy; nothing in the file can be read"))
	}
	if s.problem != "" {
		damage = append(damage, s.damage(0, s.base, s.problem+"; its copy is sound"))
	}
	switch want := s.place(s.end); {
	case size < want:
		damage = append(damage, s.damage(size, s.end, "the file ends before the next segment begins"))
	case size > want:
		damage = append(damage, s.damage(want, s.end, "the file goes on where the next segment begins; that rest was never acknowledged"))
	}
	return damage
}

// openLast reads the last segment, cuts off an unfinished write, and makes it the one to append to unless it is damaged.
func (l *Log) openLast(s *segment) error {
	l.stamp = s.made
	l.end.Store(uint64(s.end))
	if s.lost || s.end == s.base && s.problem != "" {
		return nil // a new file takes its place
	}
	f, err := l.files.open(s.name(), os.O_RDWR)
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			f.Close()
		}
	}()
	w := l.windowOn(f, s.place(s.end))
	defer l.release(w)

	var last item // the last group
	last.pos = headerSize
	var damage []*event.DamageError
	err = s.walk(w, headerSize, func(it item) error {
		if it.record == nil {
			last = it
			l.stamp = max(l.stamp, it.ms)
		}
		return nil
	}, func(d *event.DamageError) error {
		damage = append(damage, d)
		return nil
	})
	if err != nil {
		return err
	}
	size := w.limit
	if n := len(damage); n > 0 && damage[n-1].Byte >= last.pos {
		from := last.pos // of what the last write wrote
		if behind := last.pos + last.size + last.length; last.size > 0 && damage[n-1].Byte >= behind {
			from = behind
		}
		torn, err := s.torn(w, from, damage)
		if err != nil {
			return err
		}
		if torn {
			if err := f.Truncate(from); err != nil {
				return err
			}
			// Before anything takes its place: else a crash could mix both, which would look like damage.
			if err := f.Sync(); err != nil {
				return err
			}
			l.opening.Cut = &Cut{File: s.name(), Byte: from, Bytes: size - from, At: s.offset(from)}
			for n > 0 && damage[n-1].Byte >= from {
				n--
			}
			damage, size, last = damage[:n], from, item{}
		}
	}
	l.opening.Damage = append(l.opening.Damage, damage...)
	s.end = s.offset(size)
	l.end.Store(uint64(s.end))
	l.clean = last.closing && len(damage) == 0
	l.opening.Clean = l.clean
	if len(damage) == 0 { // a disk that has damaged a file is not trusted with more of it
		l.active, l.pos, keep = f, size, true
	}
	return nil
}

// sector is what a disk writes whole or not at all.
const sector = 512

// leastLost is how many zeros are taken for the part of a lost sector that the write had. With one alone, a lost sector is taken for
// damage, which is reported and loses nothing; the other mistake would cut off what was acknowledged.
const leastLost = 2

// torn tells whether what begins at from and goes to the end of the log is a write that a crash left unfinished: it is shorter than
// it says, or lacks a sector, which then reads as zeros. All else is damage to what was once whole.
func (s *segment) torn(w *window, from int64, damage []*event.DamageError) (bool, error) {
	b, err := w.at(from, groupHeader)
	if err != nil {
		return false, err
	}
	g, ok := s.parseGroup(b, from)
	if len(b) < groupHeader || ok && from+groupHeader+g.length > w.limit {
		return true, nil
	}
	for from < w.limit {
		n := min(sector-from%sector, w.limit-from)
		b, err := w.at(from, n)
		if err != nil {
			return false, err
		}
		if n >= leastLost && len(bytes.TrimLeft(b, "\x00")) == 0 && slices.ContainsFunc(damage, func(d *event.DamageError) bool {
			return d.Byte < from+n && s.place(d.Next) > from // a sound record may hold zeros
		}) {
			return true, nil
		}
		from += n
	}
	return false, nil
}

// age returns how long ago the segment was written last.
func (l *Log) age(s *segment) time.Duration {
	return l.o.Elapsed() - time.Duration(s.aged)*time.Millisecond
}
