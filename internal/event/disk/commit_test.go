package disk

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
	"github.com/serin-ml/serin/internal/fault"
)

// slow is a log whose second fsync, that of the first commit behind the segment's header, waits until it is let go.
func slow(t *testing.T) (l *Log, syncs *int, begun, letGo chan struct{}) {
	m := newMemory(1)
	syncs, begun, letGo = new(int), make(chan struct{}), make(chan struct{})
	m.before = func(op, _ string) error {
		if op != "sync" {
			return nil
		}
		if *syncs++; *syncs == 2 {
			close(begun)
			<-letGo
		}
		return nil
	}
	return open(t, Options{FS: m, Now: clock()}), syncs, begun, letGo
}

// joined waits until the commit to come has so many records.
func joined(l *Log, n int) {
	for {
		l.mu.Lock()
		have := len(l.pending.sums)
		l.mu.Unlock()
		if have >= n {
			return
		}
		runtime.Gosched()
	}
}

func TestAppendsOfOneTimeAreOneCommit(t *testing.T) {
	l, syncs, begun, letGo := slow(t)
	var all sync.WaitGroup
	add := func(id string) {
		all.Go(func() {
			if end, err := l.Append(t.Context(), eventtest.Outcome(id)); err != nil || l.End() < end {
				t.Errorf("%s: %d, %v", id, end, err)
			}
		})
	}
	add("first")
	<-begun
	if end := l.End(); end != 0 {
		t.Errorf("before the fsync the end is %d", end)
	}
	for i := range 50 {
		add(fmt.Sprint(i))
	}
	joined(l, 50)
	close(letGo)
	all.Wait()
	if *syncs != 3 {
		t.Errorf("%d times fsync, want 3: the header, the first, and all others", *syncs)
	}
	if got, _, err := eventtest.ReadAll(t.Context(), l, 0); err != nil || len(got) != 51 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

func TestWhoeverWaitsMayLeave(t *testing.T) {
	l, _, begun, letGo := slow(t)
	first := make(chan error)
	go func() {
		_, err := l.Append(t.Context(), eventtest.Outcome("first"))
		first <- err
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := l.Append(ctx, eventtest.Outcome("left"))
		left <- err
	}()
	joined(l, 1)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) { // while the disk is still busy
		t.Errorf("got %v", err)
	}
	close(letGo)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := l.Append(t.Context(), eventtest.Outcome("then")); err != nil { // nobody waits for what was left
		t.Error(err)
	}
	got, _, err := eventtest.ReadAll(t.Context(), l, 0)
	if err != nil || got[len(got)-1].ID() != "then" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	l, _, begun, letGo := slow(t)
	results := make(chan error, 2)
	add := func(id string) {
		_, err := l.Append(t.Context(), eventtest.Outcome(id))
		results <- err
	}
	go add("first")
	<-begun
	go add("second")
	joined(l, 1)
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	close(letGo)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for range 2 { // one was under way; the other came before Close or was refused
		if err := <-results; err != nil && fault.KindOf(err) != fault.Unavailable {
			t.Error(err)
		}
	}
	if _, err := l.Append(t.Context(), eventtest.Outcome("late")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("after Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func TestReadOnlyLogChangesNothing(t *testing.T) {
	for _, closed := range []bool{true, false} {
		all, want := smallLog(t, closed)
		last := segmentName(want[8].At - headerSize)
		for name, fs := range map[string]files{"whole": all, "torn": all.with(last, append(slices.Clone(all[last]), "torn"...)).with(temporary, []byte("x"))} {
			m := fs.memory()
			m.before = func(op, name string) error {
				if op != "open" && op != "read" && op != "size" && op != "list" {
					t.Errorf("%s of %s", op, name)
				}
				return nil
			}
			l, err := Open(Options{FS: m, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := eventtest.ReadAll(t.Context(), l, 0)
			if err != nil || len(got) != len(want) {
				t.Errorf("%s: %d records, %v", name, len(got), err)
			}
			if _, err := l.Append(t.Context(), eventtest.Outcome("a")); fault.KindOf(err) != fault.Conflict {
				t.Errorf("append: %v", err)
			}
			if trimmed, err := l.Trim(); err != nil || trimmed.Segments > 0 {
				t.Errorf("trim: %+v, %v", trimmed, err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestReadOnlyLogFollowsNoTrim opens it while the other process removes its oldest files.
func TestReadOnlyLogFollowsNoTrim(t *testing.T) {
	m := newMemory(1)
	_, _, all := hourly(t, m, Retain{}, nil)
	opened := 0
	m.before = func(op, name string) error {
		if _, ok := parseSegmentName(name); ok && op == "open" {
			if opened++; opened <= 3 { // as other as the first three are opened, they have just gone
				delete(m.names, segmentName(all[opened-1].At-headerSize))
			}
		}
		return nil
	}
	l, err := Open(Options{FS: m, ReadOnly: true})
	if err != nil || l.Oldest() != all[3].At-headerSize {
		t.Fatalf("%v, from %d", err, l.Oldest())
	}
	delete(m.names, segmentName(l.Oldest()))
	if _, err := l.Read(t.Context(), l.Oldest(), 1, nil); !errors.Is(err, event.ErrGone) {
		t.Errorf("got %v", err)
	}
}

func TestFolderIsMadeIfTheOneAboveIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if _, err := Open(Options{Dir: dir, ReadOnly: true}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("read only: %v", err)
	}
	l := open(t, Options{Dir: dir})
	if _, err := l.Append(t.Context(), eventtest.Outcome("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(dir, "absent", "log"), Now: time.Now}); fault.KindOf(err) != fault.NotFound || strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestFilesOfVersion1AreReadAndWritten holds the files of a small log, in hexadecimal digits, against those in testdata.
func TestFilesOfVersion1AreReadAndWritten(t *testing.T) {
	m := newMemory(1)
	l := open(t, Options{FS: m, SegmentBytes: 500, Now: clock()})
	records := eventtest.Records()
	if _, err := l.Append(t.Context(), records[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), records[1:]...); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), eventtest.Outcome("next")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	golden := files{}
	for name, content := range m.files() {
		path := filepath.Join("testdata", "v1", name+".hex")
		if *update {
			if err := os.WriteFile(path, fmt.Appendf(nil, "%x\n", content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if golden[name], err = hex.DecodeString(strings.TrimSpace(string(text))); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(golden[name], content) {
			t.Errorf("%s is written as %x", name, content)
		}
	}
	l = open(t, Options{FS: golden.memory(), Now: clock()})
	got, _, err := eventtest.ReadAll(t.Context(), l, 0)
	if r := l.Recovered(); err != nil || len(got) != len(records)+1 || !r.Clean || len(golden) != 3 {
		t.Fatalf("%d records of %d files, %v, %+v", len(got), len(golden), err, r)
	}
	for i, r := range records {
		if !eventtest.Same(got[i].Record, r) {
			t.Errorf("record %d is %+v", i, got[i].Record)
		}
	}
}
