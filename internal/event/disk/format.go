package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/event"
)

// A segment is a file, named by the offset at which it begins: 20 digits and ".log". Numbers are little-endian.
//
//	file    header header group...
//	header  "serinlog", version (1 byte), 3 bytes of zero, base offset (8), log's time of making in ms (8), salt (4), CRC (4)
//	group   mark 1, flags (1 byte), length of the frames (4), log's time in ms (6), CRC (4), frame...
//	frame   length of the record (uvarint, at least 2), record, CRC (4)
//
// The header is there twice, because nothing can be read without the salt. A group is what one write and one fsync made durable; the
// next is written only after that. The offset of a byte is the base plus its place behind the headers. Each CRC is CRC-32C and begins
// from a mix of offset and salt, so that bytes in another place or of another segment do not pass, and nobody who may choose what a
// record holds can write what passes for another.
const (
	segmentVersion = 1
	oneHeader      = 36
	headerSize     = 2 * oneHeader
	groupHeader    = 16
	groupMark      = 1 // which no frame begins with
	crcSize        = 4

	flagGroup   = 0x40 // set in all groups, so that a lost sector is told from a header
	flagClosing = 0x01 // the log was closed here in good order; no frames

	// MaxRecord is the greatest length of a record's binary form, in bytes.
	MaxRecord = 1 << 20
	// MaxGroup is the greatest length of what one Append may write, in bytes.
	MaxGroup = 32 << 20

	leastRecord = 2                       // kind and version
	maxFrame    = 3 + MaxRecord + crcSize // the length takes three bytes from 16 KiB on
)

const (
	magic     = "serinlog"
	extension = ".log"
	unready   = ".new" // of a segment whose header is not durable yet
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func fileName(base event.Offset) string { return fmt.Sprintf("%020d%s", uint64(base), extension) }

func parseFileName(name string) (event.Offset, bool) {
	digits, ok := strings.CutSuffix(name, extension)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return event.Offset(n), err == nil
}

// segment is what is known of one file.
type segment struct {
	base    event.Offset
	made    int64  // the log's time when it was made, in ms
	salt    uint32 // of the checksums
	end     event.Offset
	aged    int64  // the monotonic time at which its last record was written, in ms since Open; negative if before
	lost    bool   // both headers are damaged: nothing can be read
	problem string // of one of the headers, "" if there is none
}

func (s *segment) name() string                  { return fileName(s.base) }
func (s *segment) place(at event.Offset) int64   { return int64(at-s.base) + headerSize }
func (s *segment) offset(pos int64) event.Offset { return s.base + event.Offset(pos-headerSize) }

// limit returns where the groups end in a file of the given size.
func (s *segment) limit(size int64) int64 { return max(min(size, s.place(s.end)), headerSize) }

// seed is what the checksum of what begins at a place begins from.
func (s *segment) seed(pos int64) uint32 {
	at := uint64(s.offset(pos))
	return uint32(at) ^ uint32(at>>32)*0x9e3779b1 ^ s.salt
}

func (s *segment) damage(pos int64, next event.Offset, what string) *event.DamageError {
	return &event.DamageError{At: s.offset(max(pos, headerSize)), Next: next, File: s.name(), Byte: pos, What: what}
}

func (s *segment) appendHeaders(dst []byte) []byte {
	for range 2 {
		from := len(dst)
		dst = append(dst, magic...)
		dst = append(dst, segmentVersion, 0, 0, 0)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.base))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.made))
		dst = binary.LittleEndian.AppendUint32(dst, s.salt)
		dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
	}
	return dst
}

// parseHeaders reads both headers and keeps the first sound one. later says that a later version wrote the file.
func (s *segment) parseHeaders(b []byte) (later bool) {
	sound := false
	for copy := range 2 {
		from := copy * oneHeader
		if len(b) < from+oneHeader {
			s.problem = "the header is cut short"
			break
		}
		h := b[from : from+oneHeader]
		n := oneHeader - crcSize
		switch {
		case crc32.Checksum(h[:n], castagnoli) != binary.LittleEndian.Uint32(h[n:]), string(h[:8]) != magic:
			s.problem = "a header's checksum is wrong"
		case h[8] != segmentVersion:
			return true
		case binary.LittleEndian.Uint64(h[12:]) != uint64(s.base):
			s.problem = "the file has the name of another segment"
		case !sound:
			sound = true
			s.made = int64(binary.LittleEndian.Uint64(h[20:]))
			s.salt = binary.LittleEndian.Uint32(h[28:])
		}
	}
	s.lost = !sound
	return false
}

// seal fills in a group's header, at the beginning of group, and its checksums. The group will be at pos.
func (s *segment) seal(group []byte, pos, ms int64, flags byte) {
	frames := group[groupHeader:]
	group[0], group[1] = groupMark, flagGroup|flags
	binary.LittleEndian.PutUint32(group[2:], uint32(len(frames)))
	binary.LittleEndian.PutUint16(group[6:], uint16(ms))
	binary.LittleEndian.PutUint32(group[8:], uint32(ms>>16))
	n := groupHeader - crcSize
	binary.LittleEndian.PutUint32(group[n:], crc32.Update(s.seed(pos), castagnoli, group[:n]))
	for at := 0; at < len(frames); {
		length, n := binary.Uvarint(frames[at:])
		n += at + int(length)
		binary.LittleEndian.PutUint32(frames[n:], crc32.Update(s.seed(pos+groupHeader+int64(at)), castagnoli, frames[at:n]))
		at = n + crcSize
	}
}

// appendFrame appends a record with its length in front and room for the checksum behind.
func appendFrame(dst []byte, r event.Record) []byte {
	from := len(dst)
	dst = append(dst, 0, 0) // the length of most records takes two bytes
	dst = event.AppendRecord(dst, r)
	length := len(dst) - from - 2
	var head [binary.MaxVarintLen64]byte
	if n := binary.PutUvarint(head[:], uint64(length)); n == 2 {
		copy(dst[from:], head[:n])
	} else {
		dst = append(dst, head[:n]...) // for the room; where they are is overwritten
		copy(dst[from+n:], dst[from+2:from+2+length])
		copy(dst[from:], head[:n])
		dst = dst[:from+n+length]
	}
	return append(dst, 0, 0, 0, 0)
}

// item is a group's header or a frame.
type item struct {
	pos    int64
	size   int64  // in the file; of a group, of its header alone
	record []byte // nil for a group
	group
}

// group is what a group's header says.
type group struct {
	ms      int64 // the log's time
	length  int64 // of its frames
	closing bool
}

// parseGroup reads the header of a group at pos, if there is a sound one.
func (s *segment) parseGroup(b []byte, pos int64) (group, bool) {
	const n = groupHeader - crcSize
	if len(b) < groupHeader || b[0] != groupMark || b[1]&^flagClosing != flagGroup ||
		crc32.Update(s.seed(pos), castagnoli, b[:n]) != binary.LittleEndian.Uint32(b[n:]) {
		return group{}, false
	}
	return group{
		ms:      int64(binary.LittleEndian.Uint16(b[6:])) | int64(binary.LittleEndian.Uint32(b[8:]))<<16,
		length:  int64(binary.LittleEndian.Uint32(b[2:])),
		closing: b[1]&flagClosing != 0,
	}, true
}

// frameSize returns the size of the frame that begins with b and how much of it is the length's, 0 if no frame begins so.
func frameSize(b []byte) (size int64, head int) {
	length, head := binary.Uvarint(b[:min(len(b), binary.MaxVarintLen32)])
	if head <= 0 || length < leastRecord || length > MaxRecord {
		return 0, 0
	}
	return int64(head) + int64(length) + crcSize, head
}

// parseFrame reads the frame that is all of b, at pos.
func (s *segment) parseFrame(b []byte, head int, pos int64) (record []byte, ok bool) {
	n := len(b) - crcSize
	return b[head:n], crc32.Update(s.seed(pos), castagnoli, b[:n]) == binary.LittleEndian.Uint32(b[n:])
}
