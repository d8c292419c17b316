package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// A header begins each segment, and is all of the mark that Close leaves. It is, in little-endian order, a magic of 7 bytes, the
// format's version, an offset of 8 bytes, a stamp of 8 bytes, and the CRC-32C of all this.
type header struct {
	offset event.Offset // of a segment, its base; of the mark, the log's end
	stamp  int64        // Unix time in nanoseconds that no stamp before offset is above, and none behind it below
}

const (
	segmentMagic = "serlog\n"
	markMagic    = "serend\n"
	version      = 1
	headerSize   = 28
)

// castagnoli is only read; the standard library knows this very table and uses the processor's instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h header) encode(magic string) []byte { return h.encodeVersion(magic, version) }

func (h header) encodeVersion(magic string, version byte) []byte {
	b := append(make([]byte, 0, headerSize), magic...)
	b = append(b, version)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.offset))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.stamp))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseHeader reads what encode wrote. problem says what is wrong with it, "" if nothing. Only a sound header of another version is
// an error: it means a later Serin, not damage.
func parseHeader(b []byte, magic, file string) (h header, problem string, err error) {
	const sum = headerSize - 4
	switch {
	case len(b) < headerSize:
		return h, fmt.Sprintf("its header has %d of %d bytes", len(b), headerSize), nil
	case string(b[:len(magic)]) != magic:
		return h, "it does not begin as a file of the log does", nil
	case binary.LittleEndian.Uint32(b[sum:headerSize]) != crc32.Checksum(b[:sum], castagnoli):
		return h, "the checksum of its header is wrong", nil
	case b[len(magic)] != version:
		return h, "", fault.Invalidf("%s has version %d of the log's format; this program knows version %d", file, b[len(magic)], version).
			WithHint("use the Serin that wrote it, or a later one")
	}
	h.offset = event.Offset(binary.LittleEndian.Uint64(b[8:]))
	h.stamp = int64(binary.LittleEndian.Uint64(b[16:]))
	return h, "", nil
}

const (
	suffix    = ".log"
	temporary = "new.tmp" // what is being made; renamed when it is whole and durable
	markName  = "closed"
	digits    = 20 // of the largest offset
)

// segmentName names the segment with the base: in decimal, as errors print offsets, and padded, so that ls sorts them.
func segmentName(base event.Offset) string {
	return fmt.Sprintf("%0*d%s", digits, uint64(base), suffix)
}

func parseSegmentName(name string) (event.Offset, bool) {
	text, ok := strings.CutSuffix(name, suffix)
	if !ok || len(text) != digits {
		return 0, false
	}
	base, err := strconv.ParseUint(text, 10, 64)
	return event.Offset(base), err == nil && segmentName(event.Offset(base)) == name
}
