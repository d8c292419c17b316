package disk

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
	"github.com/serin-ml/serin/internal/fault"
)

// files are the contents of a folder by name.
type files map[string][]byte

func (m *memory) files() files {
	all := files{}
	for name, f := range m.names {
		all[name] = slices.Clone(f.now)
	}
	return all
}

func (fs files) memory() *memory {
	m := newMemory(1)
	for name, b := range fs {
		f := &inode{now: slices.Clone(b), durable: slices.Clone(b)}
		m.names[name], m.durable[name] = f, f
	}
	return m
}

// with returns the files with another content for one of them; nil: without it.
func (fs files) with(name string, content []byte) files {
	all := maps.Clone(fs)
	if all[name] = content; content == nil {
		delete(all, name)
	}
	return all
}

// smallLog writes three segments of four records, the last two of each in one Append.
func smallLog(t testing.TB, closed bool) (files, []eventtest.Read) {
	m := newMemory(1)
	l := open(t, Options{FS: m, SegmentBytes: 250, Now: clock()})
	for i := range 9 {
		records := []event.Record{eventtest.Outcome(fmt.Sprint("record ", i))}
		if i%3 == 2 {
			records = append(records, eventtest.Outcome(fmt.Sprint("record ", i, "b")))
		}
		if _, err := l.Append(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
	if closed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := eventtest.ReadAll(t.Context(), l, 0)
	if err != nil || len(all) != 12 || len(l.segments) != 3 {
		t.Fatalf("%d records in %d segments, %v", len(all), len(l.segments), err)
	}
	return m.files(), all
}

// found is what is seen of a log that was damaged.
type found struct {
	recovered Recovered
	report    Report
	read      []eventtest.Read
	end       event.Offset
}

// examine opens a log, verifies it and reads it past all damage. What Read and Verify say must agree, and a log that is opened again
// must be the same.
func examine(t *testing.T, what string, fs files) (got found, err error) {
	t.Helper()
	m := fs.memory()
	l, err := Open(Options{FS: m, SegmentBytes: 250, Now: clock()})
	if err != nil {
		return got, err
	}
	got.recovered, got.end = l.Recovered(), l.End()
	if got.report, err = l.Verify(t.Context()); err != nil {
		t.Fatalf("%s: verify: %v", what, err)
	}
	var met []*event.DamageError
	for from := l.Oldest(); ; {
		all, next, err := eventtest.ReadAll(t.Context(), l, from)
		got.read = append(got.read, all...)
		if damage, ok := errors.AsType[*event.DamageError](err); ok {
			if damage.At < next || damage.At > next+headerSize || damage.Next <= next || damage.Next > l.End() || damage.File == "" || damage.What == "" {
				t.Fatalf("%s: at %d of %d: %+v", what, next, l.End(), damage)
			}
			met, from = append(met, damage), damage.Next
			continue
		}
		if err != nil || next != l.End() {
			t.Fatalf("%s: reading ends at %d of %d: %v", what, next, l.End(), err)
		}
		break
	}
	inRecords := slices.DeleteFunc(slices.Clone(got.report.Damage), func(d *event.DamageError) bool { return d.Byte < headerSize && d.Next <= d.At+headerSize })
	if len(met) != len(inRecords) || got.report.Records != uint64(len(got.read)) {
		t.Errorf("%s: reading %d records meets %v, the report of %d has %v", what, len(got.read), met, got.report.Records, inRecords)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("%s: close: %v", what, err)
	}
	again, err := Open(Options{FS: m, Now: clock()})
	if err != nil {
		t.Fatalf("%s: again: %v", what, err)
	}
	if report, err := again.Verify(t.Context()); err != nil || report.Records != got.report.Records || len(report.Damage) != len(got.report.Damage) || again.Recovered().Cut > 0 {
		t.Errorf("%s: opened again: %+v, %v; it was %+v", what, report, err, got.report)
	}
	return got, nil
}

// check says whether the damage was found and nothing false was read. at most so many records may be lost, and each must be in a place
// that was reported or cut.
func (got found) check(t *testing.T, what string, want []eventtest.Read, most int) {
	t.Helper()
	if len(got.recovered.Damage)+len(got.report.Damage) == 0 && got.recovered.Cut == 0 {
		t.Errorf("%s: it was not noticed", what)
	}
	left := got.read
	lost := 0
	for _, w := range want {
		if len(left) > 0 && left[0].At == w.At && eventtest.Same(left[0].Record, w.Record) {
			left = left[1:]
			continue
		}
		lost++
		reported := got.recovered.Cut > 0 && w.At >= got.recovered.CutAt
		for _, d := range got.report.Damage {
			reported = reported || w.At >= d.At && w.At < d.Next
		}
		if !reported {
			t.Errorf("%s: %s at %d is lost and not in %v", what, w.ID(), w.At, got.report.Damage)
		}
	}
	if len(left) > 0 {
		t.Errorf("%s: %s at %d was read, which is not what was written", what, left[0].ID(), left[0].At)
	}
	if lost > most {
		t.Errorf("%s: %d records are lost", what, lost)
	}
}

func TestEveryDamagedByteOfAClosedLogIsReported(t *testing.T) {
	all, want := smallLog(t, true)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		content := all[name]
		for i := range content {
			for _, b := range []byte{content[i] ^ 1, content[i] ^ 0x80, ^content[i], 0} {
				if b == content[i] {
					continue
				}
				what := fmt.Sprintf("byte %d of %s is %#x in place of %#x", i, name, b, content[i])
				changed := slices.Clone(content)
				changed[i] = b
				got, err := examine(t, what, all.with(name, changed))
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				if got.check(t, what, want, 1); got.recovered.Cut > 0 {
					t.Errorf("%s: %d bytes are cut", what, got.recovered.Cut)
				}
			}
			what := fmt.Sprintf("%s is cut at %d of %d", name, i, len(content))
			got, err := examine(t, what, all.with(name, content[:i]))
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			if got.check(t, what, want, 4); got.end != want[11].At+event.Offset(len(all[segmentName(0)]))-want[3].At {
				t.Errorf("%s: the log ends at %d", what, got.end)
			}
		}
	}
}

// TestEveryDamagedByteOfACrashedLogIsReported has no mark of where the log ends: damage in the last commit is a torn tail.
func TestEveryDamagedByteOfACrashedLogIsReported(t *testing.T) {
	all, want := smallLog(t, false)
	lastCommit := want[10].At
	for _, name := range slices.Sorted(maps.Keys(all)) {
		base, _ := parseSegmentName(name)
		content := all[name]
		for i := range content {
			what := fmt.Sprintf("byte %d of %s is changed", i, name)
			changed := slices.Clone(content)
			changed[i] ^= 4
			got, err := examine(t, what, all.with(name, changed))
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			torn := base+event.Offset(i) >= lastCommit
			if got.check(t, what, want, map[bool]int{false: 1, true: 2}[torn]); torn != (got.recovered.Cut > 0) || torn && got.recovered.CutAt != lastCommit {
				t.Errorf("%s: %d bytes are cut from %d", what, got.recovered.Cut, got.recovered.CutAt)
			}
			if base != want[8].At-headerSize {
				continue
			}
			what = fmt.Sprintf("%s is cut at %d of %d", name, i, len(content))
			if got, err = examine(t, what, all.with(name, content[:i])); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			for j, r := range got.read {
				if !eventtest.Same(r.Record, want[j].Record) || r.At != want[j].At {
					t.Errorf("%s: record %d is %s at %d", what, j, r.ID(), r.At)
				}
			}
			if len(got.read) == 11 {
				t.Errorf("%s: half an Append is there", what)
			}
		}
	}
}

func TestRecordsAndFilesInOtherPlacesAreNoticed(t *testing.T) {
	all, want := smallLog(t, true)
	names := slices.Sorted(maps.Keys(all))[:3]
	first := all[names[0]]
	for i := range 3 {
		for j := i + 1; j < 4; j++ { // records 0 and 1 have one size, 2 and 3 another, for they do not begin or end an Append alike
			a, b := int(want[i].At), int(want[j].At)
			size := min(b-a, len(first)-b, int(want[i+1].At)-a)
			swapped := slices.Clone(first)
			copy(swapped[a:a+size], first[b:b+size])
			copy(swapped[b:b+size], first[a:a+size])
			what := fmt.Sprintf("%d bytes at %d and %d are swapped", size, a, b)
			got, err := examine(t, what, all.with(names[0], swapped))
			if err != nil {
				t.Fatal(err)
			}
			got.check(t, what, want, 2)
			doubled := slices.Clone(first)
			copy(doubled[b:b+size], first[a:a+size])
			what = fmt.Sprintf("%d bytes at %d are also at %d", size, a, b)
			if got, err = examine(t, what, all.with(names[0], doubled)); err != nil {
				t.Fatal(err)
			}
			got.check(t, what, want, 1)
		}
		for j := i + 1; j < 3; j++ {
			what := fmt.Sprintf("segments %d and %d are swapped", i, j)
			got, err := examine(t, what, all.with(names[i], all[names[j]]).with(names[j], all[names[i]]))
			if err != nil {
				t.Fatal(err)
			}
			got.check(t, what, want, 8)
		}
		if i > 0 { // that the oldest is absent looks like retention
			what := fmt.Sprintf("segment %d is absent", i)
			got, err := examine(t, what, all.with(names[i], nil))
			if err != nil {
				t.Fatal(err)
			}
			got.check(t, what, want, 4)
		}
	}
}

func TestOffsetsThatTheLogDidNotGiveAreInvalid(t *testing.T) {
	all, want := smallLog(t, true)
	l := open(t, Options{FS: all.memory(), Now: clock()})
	valid := map[event.Offset]bool{}
	for _, r := range want {
		valid[r.At] = true
	}
	for at := event.Offset(0); at < l.End(); at++ {
		var got []eventtest.Read
		_, err := l.Read(t.Context(), at, 1, func(at event.Offset, r event.Record) error {
			got = append(got, eventtest.Read{At: at, Record: r})
			return nil
		})
		i := slices.IndexFunc(want, func(r eventtest.Read) bool { return r.At >= at })
		switch inHeader := i%4 == 0 && want[i].At-at <= headerSize; {
		case i >= 0 && (valid[at] || inHeader):
			if err != nil || len(got) != 1 || got[0].At != want[i].At {
				t.Errorf("from %d: %v, %v", at, got, err)
			}
		case fault.KindOf(err) != fault.Invalid || len(got) > 0:
			t.Errorf("from %d, which is no record's: %v, %v", at, got, err)
		}
	}
}

func TestLaterFormatIsRefusedAndNotTouched(t *testing.T) {
	all, _ := smallLog(t, true)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h, _, err := parseHeader(all[name], string(all[name][:7]), name)
		if err != nil {
			t.Fatal(err)
		}
		later := append(h.encodeVersion(string(all[name][:7]), version+1), all[name][headerSize:]...)
		m := all.with(name, later).memory()
		if _, err := Open(Options{FS: m, Now: clock()}); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(m.names[name].now, later) {
			t.Errorf("%s was changed", name)
		}
	}
}
