package disk

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
	"github.com/serin-ml/serin/internal/fault"
)

// FuzzOpen opens a folder whose only segment holds any bytes behind a sound header, or any bytes at all.
func FuzzOpen(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "segment.1.hex"))
	if err != nil {
		f.Fatal(err)
	}
	sound, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound, false)
	f.Add(sound[headerSize:], true)
	f.Add(sound[:len(sound)-groupHeader], false)
	f.Fuzz(func(t *testing.T, b []byte, headed bool) {
		if headed {
			b = append(bytes.Clone(sound[:headerSize]), b...)
		}
		dir := t.TempDir()
		image{fileName(0): b}.put(t, dir)
		l, err := Open(dir, fixed(Options{}))
		if err != nil {
			if fault.KindOf(err) != fault.Conflict {
				t.Fatal(err)
			}
			return
		}
		defer abandon(l)
		count := func() (n int) {
			from := l.Start()
			for {
				next, err := l.Read(context.Background(), from, 10, func(event.Offset, event.Record) error { n++; return nil })
				if d, ok := err.(*event.DamageError); ok { //nolint:errorlint // it is returned as it is
					if next = d.Next; next <= from && len(b) >= headerSize && next != l.End() {
						t.Fatalf("damage at %d goes on from %d: %v", from, next, err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if next == from {
					return n
				}
				from = next
			}
		}
		before := count()
		report, err := l.Verify(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var counted uint64
		for _, n := range report.Records {
			counted += n
		}
		if counted != uint64(before) {
			t.Fatalf("%d records are verified, %d read", counted, before)
		}
		if _, err := l.Append(context.Background(), eventtest.Outcome(0, 0)); err != nil {
			t.Fatal(err)
		}
		if after := count(); after != before+1 {
			t.Fatalf("%d records, then %d", before, after)
		}
	})
}
