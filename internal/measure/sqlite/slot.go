package sqlite

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
)

// A slot is what is remembered of all decisions whose ids begin with the same five bytes, which is 256 ms of time: for each the rest
// of its id, what is known of it (a row of the table known), the bucket of its unit, and its place in the log. It takes some 16 bytes a
// decision, and finding one reads one row.
//
// The form is the version, 2; the number of decisions as a uvarint; the rests of the ids, 11 bytes each, in ascending order; the rows
// of known, uvarints; the buckets, a byte each; the places as zigzag varints, each told from the one before. Version 1, which is read, has
// no buckets.

const (
	slotVersion  = 2
	slotVersion1 = 1
	idHead       = 5
	idRest       = len(event.ID{}) - idHead
)

// slotOf returns the slot in which a decision is found.
func slotOf(id event.ID) int64 {
	return int64(id[0])<<32 | int64(binary.BigEndian.Uint32(id[1:idHead]))
}

// slotEntry is one decision in a slot.
type slotEntry struct {
	rest [idRest]byte
	remembered
}

// remembered is what a slot says of a decision.
type remembered struct {
	known  uint64
	bucket uint8 // measure.NoBucket where it is not known
	place  event.Offset
}

func entryOf(id event.ID, r remembered) slotEntry {
	e := slotEntry{remembered: r}
	copy(e.rest[:], id[idHead:])
	return e
}

// mergeSlot adds entries, in the order of the log, to those of a slot: of two with the same id the first stays, and the place of the
// other is noted as repeated. It sorts added, which is nearly in order, as ids grow.
func mergeSlot(old, added []slotEntry, repeated map[event.Offset]bool) []slotEntry {
	slices.SortStableFunc(added, compareEntries)
	kept := make([]slotEntry, 0, len(old)+len(added))
	for _, e := range added {
		n := 0
		for n < len(old) && compareEntries(old[n], e) <= 0 {
			n++
		}
		kept = append(kept, old[:n]...)
		old = old[n:]
		if len(kept) > 0 && kept[len(kept)-1].rest == e.rest {
			repeated[e.place] = true
			continue
		}
		kept = append(kept, e)
	}
	return append(kept, old...)
}

func compareEntries(a, b slotEntry) int { return bytes.Compare(a.rest[:], b.rest[:]) }

func appendSlot(dst []byte, entries []slotEntry) []byte {
	dst = binary.AppendUvarint(append(dst, slotVersion), uint64(len(entries)))
	for i := range entries {
		dst = append(dst, entries[i].rest[:]...)
	}
	for i := range entries {
		dst = binary.AppendUvarint(dst, entries[i].known)
	}
	for i := range entries {
		dst = append(dst, entries[i].bucket)
	}
	last := event.Offset(0)
	for i := range entries {
		dst = binary.AppendVarint(dst, int64(entries[i].place-last))
		last = entries[i].place
	}
	return dst
}

func slotDamaged(what string) error {
	return fault.Internalf("a slot of decisions in telemetry.db is damaged: %s", what).
		WithHint("stop the server, move telemetry.db away and start it again: the file is made anew from the log")
}

// slotHeader returns how many decisions there are, how many bytes of buckets, and what follows.
func slotHeader(body []byte) (n, buckets int, rest []byte, err error) {
	if len(body) == 0 || body[0] != slotVersion && body[0] != slotVersion1 {
		return 0, 0, nil, slotDamaged("its version is not known")
	}
	count, size := binary.Uvarint(body[1:])
	if size <= 0 || count > uint64(len(body)/idRest) {
		return 0, 0, nil, slotDamaged("it claims more decisions than it holds")
	}
	if body[0] == slotVersion {
		buckets = int(count)
	}
	return int(count), buckets, body[1+size:], nil
}

// parseSlot reads what appendSlot wrote, to be merged.
func parseSlot(body []byte) ([]slotEntry, error) {
	n, buckets, b, err := slotHeader(body)
	if err != nil {
		return nil, err
	}
	if len(b) < n*idRest {
		return nil, slotDamaged("it is cut short")
	}
	entries := make([]slotEntry, n)
	for i := range entries {
		copy(entries[i].rest[:], b[i*idRest:])
		if i > 0 && bytes.Compare(entries[i-1].rest[:], entries[i].rest[:]) >= 0 {
			return nil, slotDamaged("its ids are out of order")
		}
	}
	b = b[n*idRest:]
	for i := range entries {
		known, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, slotDamaged("it is cut short")
		}
		entries[i].known, entries[i].bucket, b = known, measure.NoBucket, b[size:]
	}
	if len(b) < buckets {
		return nil, slotDamaged("it is cut short")
	}
	for i := range buckets {
		entries[i].bucket = b[i]
	}
	b = b[buckets:]
	last := event.Offset(0)
	for i := range entries {
		delta, size := binary.Varint(b)
		if size <= 0 {
			return nil, slotDamaged("it is cut short")
		}
		last += event.Offset(delta)
		entries[i].place, b = last, b[size:]
	}
	if len(b) > 0 {
		return nil, slotDamaged("more follows than belongs to it")
	}
	return entries, nil
}

// findInSlot returns what is remembered of one decision, without taking the slot apart.
func findInSlot(body []byte, id event.ID) (r remembered, found bool, err error) {
	n, buckets, b, err := slotHeader(body)
	if err != nil {
		return r, false, err
	}
	if len(b) < n*idRest {
		return r, false, slotDamaged("it is cut short")
	}
	rest := id[idHead:]
	i := sort.Search(n, func(i int) bool { return bytes.Compare(b[i*idRest:(i+1)*idRest], rest) >= 0 })
	if i == n || !bytes.Equal(b[i*idRest:(i+1)*idRest], rest) {
		return r, false, nil
	}
	b = b[n*idRest:]
	for k := range n {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return r, false, slotDamaged("it is cut short")
		}
		if k == i {
			r.known = v
		}
		b = b[size:]
	}
	if len(b) < buckets {
		return r, false, slotDamaged("it is cut short")
	}
	r.bucket = measure.NoBucket
	if buckets > 0 {
		r.bucket = b[i]
	}
	b = b[buckets:]
	for range i + 1 {
		delta, size := binary.Varint(b)
		if size <= 0 {
			return r, false, slotDamaged("it is cut short")
		}
		r.place, b = r.place+event.Offset(delta), b[size:]
	}
	return r, true, nil
}
