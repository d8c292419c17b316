package sqlite

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

func TestEverySlotEntryIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []slotEntry
		want := map[event.ID]slotEntry{}
		repeated, wantRepeated := map[event.Offset]bool{}, map[event.Offset]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "entries") {
			id := idAt(start, rapid.IntRange(0, 30).Draw(t, "id"))
			e := entryOf(id, remembered{
				rapid.Uint64().Draw(t, "known"), rapid.Uint8().Draw(t, "bucket"), event.Offset(rapid.Uint64Range(0, 1<<62).Draw(t, "place")),
			})
			entries = append(entries, e)
			if _, seen := want[id]; seen {
				wantRepeated[e.place] = true
			} else {
				want[id] = e
			}
		}
		half := rapid.IntRange(0, len(entries)).Draw(t, "half")
		first := appendSlot(nil, mergeSlot(nil, entries[:half], repeated))
		old, err := parseSlot(first)
		if err != nil {
			t.Fatal(err)
		}
		body := appendSlot(nil, mergeSlot(old, entries[half:], repeated))
		if diff := cmp.Diff(wantRepeated, repeated); diff != "" {
			t.Fatalf("repeated (-want +got): %s", diff)
		}
		for id, e := range want {
			if r, found, err := findInSlot(body, id); err != nil || !found || r != e.remembered {
				t.Fatalf("%v: %+v, %v %v; want %+v", id, r, found, err, e.remembered)
			}
		}
		if _, found, err := findInSlot(body, idAt(start, 99)); found || err != nil {
			t.Fatalf("what is not there: %v, %v", found, err)
		}
		if again, err := parseSlot(body); err != nil || len(again) != len(want) {
			t.Fatalf("%d of %d, %v", len(again), len(want), err)
		}
	})
}

// The form is a contract: version 2 reads as it was written, and version 1 without buckets.
func TestSlotVersionsAreKept(t *testing.T) {
	entries := mergeSlot(nil, []slotEntry{entryOf(idAt(start, 1), remembered{300, 7, 70}), entryOf(idAt(start, 0), remembered{1, 63, 1000})}, nil)
	const golden = "0202007000957c4a7fb979379e007000aaf894fe72f36e3c01ac023f07d00fc30e"
	old, err := hex.DecodeString("0102007000957c4a7fb979379e007000aaf894fe72f36e3c01ac02d00fc30e")
	if err != nil {
		t.Fatal(err)
	}
	was := slices.Clone(entries)
	for i := range was {
		was[i].bucket = measure.NoBucket
	}
	if got, err := parseSlot(old); err != nil || !cmp.Equal(was, got, cmp.AllowUnexported(slotEntry{}, remembered{})) {
		t.Errorf("version 1 reads as %v, %v", got, err)
	}
	if r, found, err := findInSlot(old, idAt(start, 1)); err != nil || !found || r != (remembered{300, measure.NoBucket, 70}) {
		t.Errorf("found in version 1: %+v, %v, %v", r, found, err)
	}
	body, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(appendSlot(nil, entries)); got != golden {
		t.Errorf("written: %s", got)
	}
	if got, err := parseSlot(body); err != nil || !cmp.Equal(entries, got, cmp.AllowUnexported(slotEntry{}, remembered{})) {
		t.Errorf("read: %v, %v", got, err)
	}
	for n := range body {
		if _, err := parseSlot(body[:n]); err == nil {
			t.Errorf("cut to %d bytes it reads", n)
		}
	}
	body[0]++
	if _, err := parseSlot(body); err == nil {
		t.Error("version 3 reads")
	}
}

func FuzzSlot(f *testing.F) {
	f.Add(appendSlot(nil, nil), []byte("0123456789abcdef"))
	f.Add(appendSlot(nil, mergeSlot(nil, []slotEntry{entryOf(idAt(start, 1), remembered{300, 5, 70}), entryOf(idAt(start, 2), remembered{1, 6, 9})}, nil)), idBytes(idAt(start, 2)))
	f.Fuzz(func(t *testing.T, body, key []byte) {
		var id event.ID
		copy(id[:], key)
		r, found, findErr := findInSlot(body, id)
		entries, err := parseSlot(body)
		if err != nil {
			return
		}
		if findErr != nil {
			t.Fatalf("it parses, but nothing is found in it: %v", findErr)
		}
		for _, e := range entries {
			if bytes.Equal(e.rest[:], id[idHead:]) && !found {
				t.Fatal("an entry was not found")
			}
			if found && bytes.Equal(e.rest[:], id[idHead:]) && e.remembered != r {
				t.Fatalf("found %+v, not %+v", r, e.remembered)
			}
		}
		if again, err := parseSlot(appendSlot(nil, entries)); err != nil || !cmp.Equal(again, entries, cmp.AllowUnexported(slotEntry{}, remembered{})) {
			t.Fatalf("it does not survive writing: %v", err)
		}
	})
}

func idBytes(id event.ID) []byte { return id[:] }

func TestSlotsHold256Milliseconds(t *testing.T) {
	at := time.UnixMilli(start.UnixMilli() &^ 255)
	if a, b := slotOf(idAt(at, 1)), slotOf(idAt(at.Add(255*time.Millisecond), 2)); a != b {
		t.Errorf("%d and %d", a, b)
	}
	if a, b := slotOf(idAt(at, 1)), slotOf(idAt(at.Add(256*time.Millisecond), 1)); a+1 != b {
		t.Errorf("%d and %d", a, b)
	}
}
