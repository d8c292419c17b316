package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

// clock is a wall clock that tests set and a monotonic one that goes on by itself.
type clock struct {
	wall    time.Time
	elapsed time.Duration
}

func newClock() *clock { return &clock{wall: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)} }

func (c *clock) pass(d time.Duration) { c.wall, c.elapsed = c.wall.Add(d), c.elapsed+d }

func (c *clock) options(o Options) Options {
	o.Now = func() time.Time { return c.wall }
	o.Elapsed = func() time.Duration { return c.elapsed }
	return o
}

// fixed gives options under which the same calls write the same bytes, and nothing is flushed to the disk.
func fixed(o Options) Options {
	o = newClock().options(o)
	o.Random = rand.NewChaCha8([32]byte{1})
	o.flush = func(*os.File) error { return nil }
	return o
}

// add appends outcomes with the given numbers, alone.
func add(tb testing.TB, l *Log, from, to int) {
	tb.Helper()
	for i := from; i < to; i++ {
		if _, err := l.Append(context.Background(), eventtest.Outcome(0, i)); err != nil {
			tb.Fatal(err)
		}
	}
}

// survey reads the whole log, and goes on behind damage.
func survey(tb testing.TB, l *Log) (numbers []int, damage []*event.DamageError) {
	tb.Helper()
	from := l.Start()
	for {
		next, err := l.Read(context.Background(), from, 7, func(_ event.Offset, r event.Record) error {
			_, n, err := eventtest.Writer(r)
			numbers = append(numbers, n)
			return err
		})
		d, damaged := errors.AsType[*event.DamageError](err)
		switch {
		case damaged:
			damage = append(damage, d)
			if d.Next < next || d.Next == from && len(damage) > 1000 {
				tb.Fatalf("damage at %d goes on from %d", d.At, d.Next)
			}
			next = d.Next
		case err != nil:
			tb.Fatal(err)
		case next == from:
			return numbers, damage
		}
		from = next
	}
}

func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

// image is the files of a folder.
type image map[string][]byte

func imageOf(tb testing.TB, dir string) image {
	tb.Helper()
	img := image{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if img[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			tb.Fatal(err)
		}
	}
	return img
}

func (img image) names() []string {
	var names []string
	for name := range img {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// put makes the folder hold exactly the image. It writes over what is there: a file that is made anew, or emptied first, costs a
// flush of some file systems.
func (img image) put(tb testing.TB, dir string) {
	tb.Helper()
	there := imageOf(tb, dir)
	for name := range there {
		if _, ok := img[name]; !ok {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	for name, b := range img {
		if old, ok := there[name]; ok && bytes.Equal(old, b) {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			tb.Fatal(err)
		}
		_, err = f.WriteAt(b, 0)
		if err := errors.Join(err, f.Truncate(int64(len(b))), f.Close()); err != nil {
			tb.Fatal(err)
		}
	}
}

func (img image) with(name string, b []byte) image {
	changed := image{}
	for n, old := range img {
		changed[n] = old
	}
	if changed[name] = b; b == nil {
		delete(changed, name)
	}
	return changed
}

// failing is an Options.Before that fails what it is told to.
type failing struct {
	fail func(op, name string, size int) (int, error)
}

func (f *failing) before(op, name string, size int) (int, error) {
	if f.fail == nil {
		return 0, nil
	}
	allowed, err := f.fail(op, name, size)
	if err != nil {
		err = &fs.PathError{Op: op, Path: name, Err: err}
	}
	return allowed, err
}

func describe(damage []*event.DamageError) string {
	var lines []string
	for _, d := range damage {
		lines = append(lines, fmt.Sprintf("%d-%d %s:%d %s", d.At, d.Next, d.File, d.Byte, d.What))
	}
	return strings.Join(lines, "; ")
}

// resum gives the first header a right checksum.
func resum(header []byte) []byte {
	n := oneHeader - crcSize
	binary.LittleEndian.PutUint32(header[n:], crc32.Checksum(header[:n], castagnoli))
	return header
}

// abandon lets go of a log's files as a crash would.
func abandon(l *Log) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	if l.active != nil {
		l.active.Close()
	}
	l.files.root.Close()
}
