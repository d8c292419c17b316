package disk

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// recover finds the segments and where the log ends. It fails only if the file system does, or on files of a later version.
func (l *Log) recover() error {
	l.opened.Clean = true
	names, err := l.fs.List()
	if err != nil {
		return classify(err, "list the files of the log")
	}
	for _, name := range names {
		if base, ok := parseSegmentName(name); ok {
			l.segments = append(l.segments, segment{base: base})
		} else if name == temporary && !l.o.ReadOnly {
			_ = l.fs.Remove(name) // harmless where it cannot be: the next one replaces it
		}
	}
	slices.SortFunc(l.segments, func(a, b segment) int { return cmp.Compare(a.base, b.base) })
	mark, err := l.readMark()
	if err != nil {
		return err
	}
	sizes := make([]int64, 0, len(l.segments))
	for len(sizes) < len(l.segments) {
		size, err := l.recoverHeader(len(sizes))
		if l.o.ReadOnly && fault.KindOf(err) == fault.NotFound { // the process that writes has removed it, and all before it
			l.segments, sizes = l.segments[len(sizes)+1:], sizes[:0]
			continue
		}
		if err != nil {
			return err
		}
		sizes = append(sizes, size)
	}
	for i := range len(l.segments) - 1 {
		s, next := l.segments[i], l.segments[i+1]
		if short := s.base + event.Offset(sizes[i]); short < next.base {
			l.damaged(&event.DamageError{At: short, Next: next.base, File: segmentName(s.base), Byte: sizes[i], What: "the file is cut short"})
		}
	}
	if len(l.segments) == 0 {
		l.origin = mark.offset
		l.end.Store(uint64(mark.offset))
		l.w.stamp, l.w.marked = mark.stamp, mark.offset > 0
		return nil
	}
	return l.recoverTail(mark, sizes[len(sizes)-1])
}

func (l *Log) damaged(d *event.DamageError) {
	l.opened.Damage = append(l.opened.Damage, d)
	l.o.Log.Error("the log is damaged", slog.Uint64("offset", uint64(d.At)), slog.Uint64("next", uint64(d.Next)),
		slog.String("file", d.File), slog.Int64("byte", d.Byte), slog.String("what", d.What))
}

// readMark returns what Close left, zero if it left nothing or it is damaged: then the end is looked for as after a crash.
func (l *Log) readMark() (header, error) {
	f, err := l.fs.Open(markName, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return header{}, nil
	}
	if err != nil {
		return header{}, classify(err, "open "+markName)
	}
	defer f.Close()
	h, problem, err := readHeader(f, markMagic, markName)
	if problem != "" {
		l.damaged(&event.DamageError{File: markName, What: problem})
	}
	return h, err
}

func readHeader(f File, magic, name string) (header, string, error) {
	var b [headerSize]byte
	n, err := f.ReadAt(b[:], 0)
	if n < len(b) && err != nil && !isEOF(err) {
		return header{}, "", classify(err, "read "+name)
	}
	return parseHeader(b[:n], magic, name)
}

// recoverHeader reads the header of segment i and returns the file's size. A damaged header loses nothing: the name says as much.
func (l *Log) recoverHeader(i int) (int64, error) {
	s := &l.segments[i]
	name := segmentName(s.base)
	f, err := l.fs.Open(name, os.O_RDONLY)
	if err != nil {
		return 0, classify(err, "open "+name)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, classify(err, "read "+name)
	}
	h, problem, err := readHeader(f, segmentMagic, name)
	if err != nil {
		return 0, err
	}
	if i > 0 {
		s.stamp = l.segments[i-1].stamp
	}
	switch {
	case problem != "":
	case h.offset != s.base:
		problem = "its header is that of " + segmentName(h.offset)
	default:
		s.stamp = max(s.stamp, h.stamp)
	}
	if problem != "" {
		l.damaged(&event.DamageError{At: s.base, Next: s.base + headerSize, File: name, What: problem})
	}
	return size, nil
}

// recoverTail finds the end in the last segment, cuts what is torn, and goes on there or, if that cannot be, in a new segment.
func (l *Log) recoverTail(mark header, size int64) error {
	s := l.segments[len(l.segments)-1]
	known := int64(headerSize)
	if mark.offset >= s.base+headerSize {
		known = int64(mark.offset - s.base)
		l.w.stamp = mark.stamp
	}
	l.w.stamp = max(l.w.stamp, s.stamp)
	l.w.marked = mark.offset > 0
	l.opened.Clean = l.w.marked && mark.offset == s.base || known > headerSize && size == known
	t := tail{good: known, last: known}
	if size != known || known == headerSize {
		var err error
		if t, err = l.readTail(s, known, size); err != nil {
			return err
		}
	}
	for _, d := range t.damage {
		l.damaged(d)
	}
	l.w.stamp = max(l.w.stamp, t.stamp)
	l.end.Store(uint64(s.base) + uint64(t.good))
	if t.good == headerSize {
		l.end.Store(uint64(s.base)) // as if the segment were not there
	}
	if size > t.good {
		l.opened.Clean, l.opened.Cut, l.opened.CutAt = false, size-t.good, s.base+event.Offset(t.good)
	}
	if l.o.ReadOnly || size < t.good {
		return nil
	}
	if size > t.good {
		l.o.Log.Warn("the log ended in a crash; what was not acknowledged is cut", slog.String("file", segmentName(s.base)),
			slog.Int64("byte", t.good), slog.Int64("bytes", size-t.good))
	}
	l.resume(s, t)
	return nil
}
