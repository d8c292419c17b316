package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

// readPast reads a log to its end, past all damage.
func readPast(t *testing.T, l *Log) (all []eventtest.Read) {
	t.Helper()
	for from := l.Oldest(); ; {
		got, next, err := eventtest.ReadAll(t.Context(), l, from)
		all = append(all, got...)
		damage, ok := errors.AsType[*event.DamageError](err)
		if !ok {
			if err != nil || next != l.End() {
				t.Fatalf("reading ends at %d of %d: %v", next, l.End(), err)
			}
			return all
		}
		if from = damage.Next; from <= next {
			t.Fatalf("at %d: %+v", next, damage)
		}
	}
}

// FuzzSegment opens a log of any bytes as its first segment and as the mark of its end. Whatever can be read stays, and what is appended
// comes behind it.
func FuzzSegment(f *testing.F) {
	f.Fuzz(func(t *testing.T, segment, mark []byte) {
		fs := files{segmentName(0): segment}
		if len(mark) > 0 {
			fs[markName] = mark
		}
		if h, problem, err := parseHeader(mark, markMagic, markName); problem == "" && err == nil && (h.offset > 1<<40 || h.stamp < 0) {
			return // sound, and no log of ours
		}
		m := fs.memory()
		l, err := Open(Options{FS: m, Now: clock(), SegmentBytes: 1000})
		if err != nil {
			return
		}
		before := readPast(t, l)
		if report, err := l.Verify(t.Context()); err != nil || report.Records != uint64(len(before)) {
			t.Fatalf("%d are read, the report says %+v, %v", len(before), report, err)
		}
		if _, err := l.Seek(t.Context(), time.Unix(1_800_000_002, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), eventtest.Outcome("then")); err != nil {
			t.Fatal(err)
		}
		m.kill()
		again := open(t, Options{FS: m, Now: clock()})
		after := readPast(t, again)
		if len(after) != len(before)+1 || after[len(before)].ID() != "then" {
			t.Fatalf("%d records, and %d after one was appended", len(before), len(after))
		}
		if !slices.EqualFunc(before, after[:len(before)], func(a, b eventtest.Read) bool { return a.At == b.At && eventtest.Same(a.Record, b.Record) }) {
			t.Fatal("what was there is not what it was")
		}
	})
}

// TestSeedsOfTheFuzzerAreThere keeps FuzzSegment from starting with nothing.
func TestSeedsOfTheFuzzerAreThere(t *testing.T) {
	all, _ := smallLog(t, true)
	first := all[segmentName(0)]
	flipped := slices.Clone(first)
	flipped[200] ^= 1
	mark := header{event.Offset(len(first)), 1_800_000_004_000_000_000}.encode(markMagic)
	seeds := map[string][2][]byte{
		"whole": {first, nil}, "closed": {first, mark}, "short": {first[:len(first)-5], mark}, "torn": {first[:len(first)-5], nil},
		"flipped": {flipped, nil}, "header": {first[:headerSize], nil}, "zeros": {make([]byte, 300), nil},
	}
	checkSeeds(t, "FuzzSegment", seeds)
}

func checkSeeds(t *testing.T, target string, seeds map[string][2][]byte) {
	t.Helper()
	for name, seed := range seeds {
		path := filepath.Join("testdata", "fuzz", target, name)
		want := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n[]byte(%q)\n", seed[0], seed[1])
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(want), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("seed %s: %v; -update writes it anew", name, err)
		}
	}
}
