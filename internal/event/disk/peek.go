package disk

import (
	"context"
	"os"

	"github.com/serin-ml/serin/internal/event"
)

// Peek returns the record at an offset, which must be one that the log gave, of the log in the folder dir. It opens that one file and
// changes nothing, so that it may be asked beside whoever writes the log. What retention has removed is a *event.GoneError.
func Peek(ctx context.Context, dir string, at event.Offset) (record event.Record, err error) {
	var o Options
	o.fill()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return record, classify(err, "read the log")
	}
	defer root.Close()
	l := &Log{o: o, files: files{root, o.Before, o.flush}}
	l.windows.New = func() any { return &window{} }
	entries, err := l.files.list() // by offset
	if err != nil {
		return record, classify(err, "read the log")
	}
	for _, e := range entries {
		base, ok := parseFileName(e.Name())
		switch {
		case !ok:
		case base > at && len(l.segments) == 0:
			return record, &event.GoneError{From: at, Oldest: base}
		case len(l.segments) == 0 || base <= at:
			l.segments = []segment{{base: base}}
		case len(l.segments) == 1:
			l.segments = append(l.segments, segment{base: base}) // where the one before ends
		}
	}
	if len(l.segments) == 0 {
		return record, &event.GoneError{From: at}
	}
	if err := l.readHeader(0); err != nil {
		return record, classify(err, "read the log")
	}
	r := reading{ctx: ctx, s: &l.segments[0], from: at, next: at, left: 1, use: func(_ event.Offset, r event.Record) error {
		record = r
		return errEnough // what comes behind it may be half written
	}}
	if err := l.readSegment(&r); err != nil && record.Kind() == 0 {
		return record, err
	}
	if record.Kind() == 0 {
		return record, &event.DamageError{At: at, Next: at, What: "the log ends here, before the record that was looked for"}
	}
	return record, nil
}
