package disk

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/serin-ml/serin/internal/event"
)

// A frame is one record in a segment:
//
//	head   uvarint: the body's length times 4, plus flags
//	check  1 byte: of offset and head, so that a damaged length is noticed before it is followed
//	sum    4 bytes, little-endian: CRC-32C of body, offset, stamp and head, so that a sound frame in another place is noticed
//	stamp  8 bytes, little-endian, if isCommit: Unix time in nanoseconds
//	body   the record's binary form
//
// The sum begins with the body so that writers can compute most of it before they know the offset.
type frame struct {
	isCommit bool   // it begins a commit: all that is before it was durable before this was written
	hasMore  bool   // the next frame is of the same Append, which is there whole or not at all
	stamp    int64  // if isCommit
	body     []byte // not a copy
	size     int    // of the whole frame
}

const (
	flagCommit = 1
	flagMore   = 2
	flagBits   = 2

	minBody     = 2       // a record has its kind and version
	maxBody     = 1 << 20 // more is refused; a length beyond it is not believed
	checkSize   = 1
	sumSize     = 4
	stampSize   = 8
	maxHeadSize = 4 // of maxBody
	maxOverhead = maxHeadSize + checkSize + sumSize + stampSize
)

// What is wrong with a frame.
const (
	badHead  = "the length of a record is damaged"
	badSum   = "the checksum of a record is wrong"
	cutShort = "the file ends within a record"
)

// seal is the part of the sums that depends on the place: it returns the check and the sum of a frame whose body has bodySum. stamp
// is its bytes, or empty.
func seal(at event.Offset, head, stamp []byte, bodySum uint32) (check byte, sum uint32) {
	var buf [8 + stampSize + maxHeadSize]byte
	b := append(binary.LittleEndian.AppendUint64(buf[:0], uint64(at)), head...)
	check = byte(crc32.Update(0, castagnoli, b))
	b = append(append(b[:8], stamp...), head...)
	return check, crc32.Update(bodySum, castagnoli, b)
}

// appendFrame appends a frame whose check, sum and stamp are left for finish.
func appendFrame(dst, body []byte, flags int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(body)<<flagBits|flags))
	var blank [checkSize + sumSize + stampSize]byte
	n := checkSize + sumSize
	if flags&flagCommit != 0 {
		n += stampSize
	}
	return append(append(dst, blank[:n]...), body...)
}

// finish fills in what appendFrame left open in the frame at the beginning of b, and returns the frame's size.
func finish(b []byte, at event.Offset, stamp int64, bodySum uint32) int {
	head, n := binary.Uvarint(b)
	rest := b[n+checkSize+sumSize:]
	stamped := 0
	if head&flagCommit != 0 {
		stamped = stampSize
		binary.LittleEndian.PutUint64(rest, uint64(stamp))
	}
	check, sum := seal(at, b[:n], rest[:stamped], bodySum)
	b[n] = check
	binary.LittleEndian.PutUint32(b[n+checkSize:], sum)
	return n + checkSize + sumSize + stamped + int(head>>flagBits)
}

// parseHead reads the head of the frame that begins b and should be at the offset. It returns the sizes of head and of the whole
// frame, and what is wrong, "" if nothing is.
func parseHead(b []byte, at event.Offset) (n, size int, problem string) {
	head, n := binary.Uvarint(b[:min(len(b), maxHeadSize)])
	if n == 0 && len(b) < maxHeadSize || n > 0 && len(b) == n {
		return 0, 0, cutShort
	}
	length := head >> flagBits
	if n <= 0 || length < minBody || length > maxBody {
		return 0, 0, badHead
	}
	var buf [8 + maxHeadSize]byte
	if b[n] != byte(crc32.Update(0, castagnoli, append(binary.LittleEndian.AppendUint64(buf[:0], uint64(at)), b[:n]...))) {
		return 0, 0, badHead
	}
	size = n + checkSize + sumSize + int(length)
	if head&flagCommit != 0 {
		size += stampSize
	}
	return n, size, ""
}

// parseFrame reads the frame that begins b and should be at the offset. problem is "" if it is sound. size is set once the head is.
func parseFrame(b []byte, at event.Offset) (f frame, problem string) {
	n, size, problem := parseHead(b, at)
	f.size = size
	switch {
	case problem != "":
		return f, problem
	case size > len(b):
		return f, cutShort
	}
	f.isCommit, f.hasMore = b[0]&flagCommit != 0, b[0]&flagMore != 0
	rest := b[n+checkSize+sumSize : size]
	stamped := 0
	if f.isCommit {
		stamped = stampSize
		f.stamp = int64(binary.LittleEndian.Uint64(rest))
	}
	f.body = rest[stamped:]
	_, sum := seal(at, b[:n], rest[:stamped], crc32.Update(0, castagnoli, f.body))
	if sum != binary.LittleEndian.Uint32(b[n+checkSize:]) {
		return f, badSum
	}
	return f, ""
}
