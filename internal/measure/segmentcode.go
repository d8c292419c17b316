package measure

import (
	"encoding/binary"
	"math/bits"

	"github.com/serin-ml/serin/internal/fault"
)

// The forms in which segments are kept. Both begin with a byte 1, the version, and tell buckets by a bit set of those that have anything, 8
// bytes, little end first; all other numbers are uvarints, or zigzag varints where they may be negative.
//
//	counts:  version, buckets, for each: requests, failed, fallbacks, first errors, microseconds, length of the sketch (0: empty), sketch
//	minute:  version, buckets, for each: successful, labelled, correct; number of kinds, for each: length of the name, name, buckets, for
//	         each: number of values, whole and part of their sum
const segmentVersion = 1

// AppendBinary appends the form of the counts. It fails only for sketches of more than 2^53 values.
func (c *SegmentCounts) AppendBinary(dst []byte) (_ []byte, err error) {
	dst = append(dst, segmentVersion)
	at := len(dst)
	dst = append(dst, make([]byte, 8)...)
	var set uint64
	var sketch []byte
	for b := range c {
		cell := &c[b]
		n := cell.Latency.Count()
		if cell.Requests|cell.Failed|cell.Fallbacks|cell.FirstErrors|cell.Micros|n == 0 {
			continue
		}
		set |= 1 << b
		for _, v := range [...]uint64{cell.Requests, cell.Failed, cell.Fallbacks, cell.FirstErrors, cell.Micros} {
			dst = binary.AppendUvarint(dst, v)
		}
		sketch = sketch[:0]
		if n > 0 {
			if sketch, err = cell.Latency.AppendBinary(sketch); err != nil {
				return dst, err
			}
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(sketch))), sketch...)
	}
	binary.LittleEndian.PutUint64(dst[at:], set)
	return dst, nil
}

// MergeBinary adds counts in the form that AppendBinary writes. What has another form is Internal; what was read before is added then.
func (c *SegmentCounts) MergeBinary(data []byte) error {
	r := segmentReader{rest: data}
	set := r.begin()
	var cell CountsOfBucket
	for ; set != 0 && r.what == ""; set &= set - 1 {
		to := &c[bits.TrailingZeros64(set)]
		to.Requests += r.uvarint()
		to.Failed += r.uvarint()
		to.Fallbacks += r.uvarint()
		to.FirstErrors += r.uvarint()
		to.Micros += r.uvarint()
		sketch := r.bytes(r.uvarint())
		if len(sketch) == 0 {
			continue
		}
		if err := cell.Latency.UnmarshalBinary(sketch); err != nil {
			return fault.Internalf("the latencies of a segment in telemetry.db are damaged: %w", err)
		}
		to.Latency.Merge(&cell.Latency)
	}
	return r.end()
}

// AppendBinary appends the form of the minute.
func (m *SegmentMinute) AppendBinary(dst []byte) []byte {
	dst = append(dst, segmentVersion)
	at := len(dst)
	dst = append(dst, make([]byte, 8)...)
	var set uint64
	for b := range m.Cells {
		if c := &m.Cells[b]; c.Successful|c.Labelled|c.Correct != 0 {
			set |= 1 << b
			dst = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(dst, c.Successful), c.Labelled), c.Correct)
		}
	}
	binary.LittleEndian.PutUint64(dst[at:], set)
	dst = binary.AppendUvarint(dst, uint64(len(m.Kinds)))
	for i := range m.Kinds {
		k := &m.Kinds[i]
		dst = append(binary.AppendUvarint(dst, uint64(len(k.Kind))), k.Kind...)
		at, set = len(dst), 0
		dst = append(dst, make([]byte, 8)...)
		for b := range k.Cells {
			if c := &k.Cells[b]; c.N > 0 {
				set |= 1 << b
				dst = binary.AppendUvarint(binary.AppendVarint(binary.AppendUvarint(dst, c.N), c.Sum.Whole), c.Sum.Part)
			}
		}
		binary.LittleEndian.PutUint64(dst[at:], set)
	}
	return dst
}

// MergeBinary adds a minute in the form that AppendBinary writes. What has another form is Internal; what was read before is added then.
func (m *SegmentMinute) MergeBinary(data []byte) error {
	r := segmentReader{rest: data}
	for set := r.begin(); set != 0 && r.what == ""; set &= set - 1 {
		c := &m.Cells[bits.TrailingZeros64(set)]
		c.Successful += r.uvarint()
		c.Labelled += r.uvarint()
		c.Correct += r.uvarint()
	}
	kinds := r.uvarint()
	if kinds > MostKinds {
		r.what = "it claims more kinds than there may be"
	}
	for ; kinds > 0 && r.what == ""; kinds-- {
		to := m.kind(string(r.bytes(r.uvarint())), MostKinds)
		for set := r.set(); set != 0 && r.what == ""; set &= set - 1 {
			v := ValueSum{N: r.uvarint(), Sum: Fixed{Whole: r.varint(), Part: r.uvarint()}}
			if v.Sum.Part >= fixedOne {
				r.what = "a part of a sum is too large"
			} else if to != nil {
				c := &to.Cells[bits.TrailingZeros64(set)]
				c.N += v.N
				c.Sum.Add(v.Sum)
			}
		}
	}
	return r.end()
}

// segmentReader takes a form apart. After a problem it gives zero values; the first problem is kept.
type segmentReader struct {
	rest []byte
	what string
}

const cutShort = "it is cut short"

func (r *segmentReader) begin() (set uint64) {
	if len(r.rest) == 0 || r.rest[0] != segmentVersion {
		r.what = "its version is not known"
		return 0
	}
	r.rest = r.rest[1:]
	return r.set()
}

func (r *segmentReader) set() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *segmentReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || r.what != "" {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *segmentReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *segmentReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) || r.what != "" {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *segmentReader) fail() {
	if r.what == "" {
		r.what = cutShort
	}
}

func (r *segmentReader) end() error {
	if r.what == "" && len(r.rest) > 0 {
		r.what = "more follows than belongs to it"
	}
	if r.what == "" {
		return nil
	}
	return fault.Internalf("a segment in telemetry.db is damaged: %s", r.what).
		WithHint("stop the server, move telemetry.db away and start it again: the file is made anew from the log")
}
