package disk

import (
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

func open(tb testing.TB, dir string, o Options) *Log {
	tb.Helper()
	l, err := Open(dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

func closed(tb testing.TB, l *Log) {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
}

func TestLogSuite(t *testing.T) {
	for name, o := range map[string]Options{"large segments": {}, "small segments": {SegmentBytes: 700}} {
		t.Run(name, func(t *testing.T) {
			dirs := map[event.Log]string{}
			opened := func(t *testing.T, dir string) event.Log {
				l := open(t, dir, o)
				dirs[l] = dir
				return l
			}
			eventtest.RunLog(t, eventtest.Harness{
				Open: func(t *testing.T) event.Log { return opened(t, t.TempDir()) },
				Reopen: func(t *testing.T, l event.Log) event.Log {
					closed(t, l.(*Log))
					again := opened(t, dirs[l]).(*Log)
					if found := again.Opening(); !found.Clean || found.Cut != nil || len(found.Damage) > 0 {
						t.Errorf("opened again: %+v", found)
					}
					return again
				},
			})
		})
	}
}
