package disk

import (
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

// open opens a log that is closed with the test.
func open(t testing.TB, o Options) *Log {
	t.Helper()
	if o.Now == nil {
		o.Now = time.Now
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLogSuite(t *testing.T) {
	for name, o := range map[string]Options{
		"one segment":  {},
		"many of them": {SegmentBytes: 300},
	} {
		t.Run(name, func(t *testing.T) {
			eventtest.Run(t, eventtest.Options{
				Open: func(t *testing.T) event.Log {
					o.Dir = t.TempDir()
					o.Retain.Bytes = 100 << 10
					return open(t, o)
				},
				Reopen: func(t *testing.T, l event.Log) event.Log {
					if err := l.(*Log).Close(); err != nil {
						t.Fatal(err)
					}
					again := open(t, Options{Dir: o.Dir, SegmentBytes: o.SegmentBytes, Retain: o.Retain})
					if r := again.Recovered(); !r.Clean || len(r.Damage) > 0 {
						t.Errorf("after closing it: %+v", r)
					}
					return again
				},
				Trim: func(t *testing.T, l event.Log) {
					if name == "one segment" {
						t.Skip("the last segment is never removed")
					}
					if trimmed, err := l.(*Log).Trim(); err != nil || trimmed.Segments == 0 {
						t.Fatalf("%+v, %v", trimmed, err)
					}
				},
			})
		})
	}
}
