package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/event"
)

// Any record is found while the log is open, also beside a write that is not whole, and nothing changes.
func TestPeekFindsWhatReadFinds(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, fixed(Options{SegmentBytes: 2000}))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	add(t, l, 0, 100)
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d segments, %v", len(files), err)
	}
	last := files[len(files)-1]
	f, err := os.OpenFile(last, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{groupMark, flagGroup, 200, 0, 0, 0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	seen := 0
	if _, err := l.Read(ctx, 0, 1000, func(at event.Offset, want event.Record) error {
		got, err := Peek(ctx, dir, at)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("at %d: %v\n%s", at, err, diff)
		}
		seen++
		return nil
	}); err != nil || seen != 100 {
		t.Errorf("%d records, %v", seen, err)
	}
	if after, err := os.ReadFile(last); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed, %v", err)
	}
	if _, err := Peek(ctx, dir, l.End()); err == nil {
		t.Error("behind the end there is a record")
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := Peek(ctx, dir, 0); !errors.Is(err, event.ErrGone) {
		t.Errorf("what is removed: %v", err)
	}
	if _, err := Peek(ctx, t.TempDir(), 0); !errors.Is(err, event.ErrGone) {
		t.Errorf("no log: %v", err)
	}
}
