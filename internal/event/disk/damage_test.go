package disk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
	"github.com/serin-ml/serin/internal/fault"
)

// smallLog is a log of 3 segments with 10 outcomes, some of them in one group, closed or as a kill leaves it.
func smallLog(t *testing.T, clean bool) image {
	t.Helper()
	dir := t.TempDir()
	l := open(t, dir, fixed(Options{SegmentBytes: 400}))
	for _, n := range [][]int{{0, 1}, {2}, {3, 4, 5}, {6}, {7, 8}, {9}} {
		var records []event.Record
		for _, i := range n {
			records = append(records, eventtest.Outcome(0, i))
		}
		if _, err := l.Append(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
	img := imageOf(t, dir)
	if clean {
		closed(t, l)
		img = imageOf(t, dir)
	}
	if len(img) != 3 {
		t.Fatalf("%d segments", len(img))
	}
	return img
}

// changes calls try with each way to harm one file, and what it did.
func changes(img image, try func(what string, changed image, cut bool)) {
	names := img.names()
	for k, name := range names {
		b := img[name]
		last := k == len(names)-1
		for i := range b {
			at := fmt.Sprintf("%s byte %d of %d ", name, i, len(b))
			edit := func(what string, f func(c []byte)) {
				c := bytes.Clone(b)
				if f(c); !bytes.Equal(c, b) {
					try(at+what, img.with(name, c), false)
				}
			}
			edit("flipped", func(c []byte) { c[i] ^= 1 << (i % 8) })
			edit("inverted", func(c []byte) { c[i] ^= 0xff })
			edit("zeroed", func(c []byte) { c[i] = 0 })
			if i > 0 {
				edit("swapped with the one before", func(c []byte) { c[i], c[i-1] = c[i-1], c[i] })
			}
			try(at+"missing", img.with(name, slices.Delete(bytes.Clone(b), i, i+1)), last)
			try(at+"and on missing", img.with(name, bytes.Clone(b[:i])), last)
		}
	}
}

// TestEveryChangedByteIsDetected harms a log in every place. Whatever is read is what was written and where it was written, what is
// missing is reported, and only behind the last write may something be cut off.
func TestEveryChangedByteIsDetected(t *testing.T) {
	for name, clean := range map[string]bool{"closed": true, "as a kill leaves it": false} {
		t.Run(name, func(t *testing.T) {
			img := smallLog(t, clean)
			dir := t.TempDir()
			count := 0
			changes(img, func(what string, changed image, truncated bool) {
				count++
				changed.put(t, dir)
				l, err := Open(dir, fixed(Options{SegmentBytes: 400}))
				if err != nil {
					if fault.KindOf(err) != fault.Conflict { // the version of a header
						t.Errorf("%s: Open: %v", what, err)
					}
					return
				}
				defer abandon(l)
				found := l.Opening()
				report, err := l.Verify(context.Background())
				if err != nil {
					t.Fatalf("%s: Verify: %v", what, err)
				}
				numbers, damage := survey(t, l)
				reported := len(found.Damage) > 0 || len(report.Damage) > 0
				// Without the closing mark, a log that lost whole writes at its end looks as after a kill. That is what the mark is for.
				if !reported && found.Cut == nil && found.Clean == clean && (clean || !truncated) {
					t.Errorf("%s: not detected, %+v", what, found)
				}
				if found.Cut != nil && !truncated {
					t.Errorf("%s: %+v was cut off", what, *found.Cut)
				}
				if !slices.IsSorted(numbers) || len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
					t.Errorf("%s: read %v", what, numbers)
				}
				if len(numbers) < 10 && len(damage) == 0 && !truncated {
					t.Errorf("%s: only %v are read, without an error", what, numbers)
				}
				for _, d := range append(report.Damage, damage...) {
					if d.File == "" || d.Next < d.At || !strings.Contains(d.Error(), "damaged at offset") {
						t.Errorf("%s: %+v", what, d)
					}
				}
				whole := []int{0, 2, 3, 6, 7, 9, 10} // after each append
				if truncated && (!slices.Equal(numbers, upTo(len(numbers))) || len(damage) == 0 && !slices.Contains(whole, len(numbers))) {
					t.Errorf("%s: read %v", what, numbers)
				}
				if _, err := l.Append(context.Background(), eventtest.Outcome(0, 100)); err != nil {
					t.Errorf("%s: then Append: %v", what, err)
				}
				if after, _ := survey(t, l); len(after) != len(numbers)+1 || after[len(numbers)] != 100 {
					t.Errorf("%s: then %v is read, %v before", what, after, numbers)
				}
			})
			t.Logf("%d changes", count)
		})
	}
}

func TestOneDamagedRecordCostsOneRecord(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	var records []event.Record
	for i := range 10 {
		records = append(records, eventtest.Outcome(0, i))
	}
	if _, err := l.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	_, offsets := eventtest.ReadAll(t, l, 0, 100)
	add(t, l, 10, 12)
	closed(t, l)
	file := filepath.Join(dir, fileName(0))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 1, 20} { // the length, the kind, the rest
		harmed := bytes.Clone(b)
		place := int(offsets[4]) + headerSize + at
		harmed[place] ^= 0x10
		if err := os.WriteFile(file, harmed, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, Options{})
		numbers, damage := survey(t, l)
		if want := slices.Delete(upTo(12), 4, 5); !slices.Equal(numbers, want) {
			t.Errorf("byte %d: read %v", at, numbers)
		}
		if len(damage) != 1 || damage[0].At != offsets[4] || damage[0].Next != offsets[5] || damage[0].File != fileName(0) || damage[0].Byte != int64(offsets[4])+headerSize {
			t.Errorf("byte %d: %s, with records at %v", at, describe(damage), offsets)
		}
		end := l.End()
		add(t, l, 12, 13)
		if names := imageOf(t, dir).names(); !slices.Equal(names, []string{fileName(0), fileName(end)}) {
			t.Errorf("byte %d: a damaged segment is written to: %v", at, names)
		}
		if err := os.Remove(filepath.Join(dir, fileName(end))); err != nil {
			t.Fatal(err)
		}
		closed(t, l)
	}
}

func TestSegmentsThatAreMissingOrSwappedAreReported(t *testing.T) {
	img := smallLog(t, true)
	names := img.names()
	for what, changed := range map[string]image{
		"the second is missing":       img.with(names[1], nil),
		"the second is the third":     img.with(names[1], img[names[2]]),
		"the last is the first":       img.with(names[2], img[names[0]]),
		"the first is empty":          img.with(names[0], []byte{}),
		"the last is empty":           img.with(names[2], []byte{}),
		"the first is zeros":          img.with(names[0], make([]byte, len(img[names[0]]))),
		"the second has more":         img.with(names[1], append(bytes.Clone(img[names[1]]), "more"...)),
		"the second ends with zeros":  img.with(names[1], append(bytes.Clone(img[names[1]][:150]), make([]byte, len(img[names[1]])-150)...)),
		"the last ends with rubbish":  img.with(names[2], append(bytes.Clone(img[names[2]]), "not zeros, and not a part of a group"...)),
		"a group is there twice":      img.with(names[2], append(bytes.Clone(img[names[2]]), img[names[2]][headerSize:]...)),
		"two records changed places":  img.with(names[0], swapped(img[names[0]])),
		"the headers' salt is others": img.with(names[0], append(bytes.Clone(img[names[1]][:0]), foreign(t, img[names[0]])...)),
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			changed.put(t, dir)
			l := open(t, dir, Options{SegmentBytes: 400})
			report, err := l.Verify(t.Context())
			if err != nil || len(report.Damage) == 0 {
				t.Errorf("Verify: %+v, %v", report, err)
			}
			if l.Opening().Cut != nil {
				t.Errorf("cut off: %+v", l.Opening().Cut)
			}
			numbers, damage := survey(t, l)
			if !slices.IsSorted(numbers) || len(slices.Compact(numbers)) < len(numbers) || len(numbers) < 10 && len(damage) == 0 && what != "the last is empty" {
				t.Errorf("read %v; %s", numbers, describe(damage))
			}
			t.Logf("%v; %s", numbers, describe(report.Damage))
		})
	}
}

// swapped exchanges the first two frames of a segment, which are of one length.
func swapped(b []byte) []byte {
	size, _ := frameSize(b[headerSize+groupHeader:])
	first := headerSize + groupHeader
	second := first + int(size)
	c := bytes.Clone(b)
	copy(c[first:second], b[second:])
	copy(c[second:], b[first:second])
	return c
}

// foreign gives a segment headers of the same base and another salt, as the segment of another log has them.
func foreign(t *testing.T, b []byte) []byte {
	t.Helper()
	var s segment
	if s.parseHeaders(b) || s.lost {
		t.Fatal("no header")
	}
	s.salt++
	return append(s.appendHeaders(nil), b[headerSize:]...)
}

func TestLaterVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	add(t, l, 0, 1)
	closed(t, l)
	file := filepath.Join(dir, fileName(0))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := segment{base: 0}
	s.parseHeaders(b)
	header := s.appendHeaders(nil)
	header[8] = segmentVersion + 1
	copy(b, resum(header))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "later version") || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}
