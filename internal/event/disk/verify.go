package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/serin-ml/serin/internal/event"
)

// Report is what Verify found.
type Report struct {
	Segments int
	Bytes    int64 // of all segments
	Records  map[event.Kind]uint64
	Unknown  uint64               // of Records, those of a kind or version that this program does not know
	Damage   []*event.DamageError // by offset; of much damage, the first maxDamage places
	More     uint64               // places beyond those
}

const maxDamage = 1000

// Verify reads the whole log and tells all that is wrong in it. It fails only if it cannot read. Appends may go on meanwhile.
func (l *Log) Verify(ctx context.Context) (Report, error) {
	l.mu.Lock()
	segments := l.snapshot()
	l.mu.Unlock()
	r := Report{Segments: len(segments), Bytes: bytesOf(segments), Records: map[event.Kind]uint64{}}
	for i := range segments {
		last := i == len(segments)-1
		err := l.verifySegment(ctx, &segments[i], last, &r)
		if errors.Is(err, fs.ErrNotExist) && l.Start() > segments[i].base {
			continue // retention was here meanwhile
		}
		if err != nil {
			return r, classify(err, "verify the log")
		}
	}
	return r, nil
}

func (r *Report) damaged(d *event.DamageError) error {
	if len(r.Damage) < maxDamage {
		r.Damage = append(r.Damage, d)
	} else {
		r.More++
	}
	return nil
}

func (l *Log) verifySegment(ctx context.Context, s *segment, last bool, r *Report) error {
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
	if _, err := f.ReadAt(header, 0); err != nil && int64(len(header)) > 0 {
		return err
	}
	s.problem = ""
	s.parseHeaders(header)
	if last {
		size = min(size, s.place(s.end)) // what is being written now
	}
	for _, d := range s.outside(size) {
		_ = r.damaged(d)
	}
	if s.lost {
		return nil
	}
	w := l.windowOn(f, s.limit(size))
	defer l.release(w)
	return s.walk(w, headerSize, func(it item) error {
		if it.record == nil {
			return done(ctx, "verify the log")
		}
		record, err := event.ParseRecord(it.record)
		if err != nil {
			return r.damaged(s.damage(it.pos, s.offset(it.pos+it.size), err.Error()))
		}
		r.Records[record.Kind()]++
		if record.Unknown != nil {
			r.Unknown++
		}
		return nil
	}, r.damaged)
}
