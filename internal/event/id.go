package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// ID is a UUID of version 7 (RFC 9562): 48 bits of milliseconds since 1970, then random bits. IDs of later milliseconds are greater.
// The zero ID names nothing.
type ID [16]byte

// NewID makes an ID of the time and of random bytes. It fails only if random does.
func NewID(now time.Time, random io.Reader) (ID, error) {
	var bits [10]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return ID{}, noRandom(err)
	}
	return makeID(now, bits), nil
}

func noRandom(err error) error { return fault.Internalf("make an id: no random bytes: %w", err) }

func makeID(now time.Time, bits [10]byte) (id ID) {
	copy(id[6:], bits[:])
	id.setMillis(uint64(now.UnixMilli()))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (id *ID) setMillis(ms uint64) {
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
}

func (id ID) millis() uint64 {
	return uint64(binary.BigEndian.Uint16(id[0:]))<<32 | uint64(binary.BigEndian.Uint32(id[2:]))
}

// Time returns when the ID was made, to the millisecond, in UTC.
func (id ID) Time() time.Time { return time.UnixMilli(int64(id.millis())).UTC() }

// IsZero tells whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the usual form of 36 characters, in lower case.
func (id ID) String() string {
	var text [36]byte
	return string(id.AppendText(text[:0]))
}

// AppendText appends the usual form to dst.
func (id ID) AppendText(dst []byte) []byte {
	from := 0
	for _, to := range [...]int{4, 6, 8, 10, 16} {
		if from > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[from:to])
		from = to
	}
	return dst
}

// MarshalText returns the usual form.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(make([]byte, 0, 36)), nil }

// UnmarshalText reads the usual form.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// ParseID reads the form that String writes, in either case. Anything but a UUID of version 7 is Invalid.
func ParseID(text string) (ID, error) {
	id, ok := parseUUID(text)
	if !ok || id[6]>>4 != 7 || id[8]>>6 != 2 {
		return ID{}, fault.Invalidf("%.80q is no decision id", text).
			WithHint("a decision id is the UUID that Serin sent with its answer, such as 01890a5d-ac96-774b-bcce-b302099a8057")
	}
	return id, nil
}

// parseUUID reads any UUID in its usual form, in either case.
func parseUUID(text string) (id [16]byte, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return id, false
	}
	at := 0
	for i := range id {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		high, low := nibbles[text[at]], nibbles[text[at+1]]
		if high|low > 15 {
			return id, false
		}
		id[i] = high<<4 | low
		at += 2
	}
	return id, true
}

// nibbles gives the value of each hexadecimal digit, 0xff for other bytes.
var nibbles = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xff
	}
	for i, digit := range "0123456789abcdef" {
		table[digit] = byte(i)
	}
	for i, digit := range "ABCDEF" {
		table[digit] = byte(10 + i)
	}
	return table
}()

// Generator makes IDs that grow from one to the next, also within a millisecond. Use NewGenerator; its methods may be called at the
// same time.
type Generator struct {
	mu     sync.Mutex
	random io.Reader
	buffer [640]byte // random bytes, read ahead: a call of the system for each id would cost more than all the rest
	unused int       // bytes at the end of buffer
	last   ID
}

// NewGenerator returns a Generator that draws from random, a block at a time.
func NewGenerator(random io.Reader) *Generator { return &Generator{random: random} }

// clockSlack is how far a clock may go back without the ids doing so. One that went further was set: ids follow it.
const clockSlack = 10_000 // milliseconds

// Next returns an ID greater than the one before, unless the clock went back by more than ten seconds. It fails only if the source
// of random bytes does.
func (g *Generator) Next(now time.Time) (ID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unused < 10 {
		if _, err := io.ReadFull(g.random, g.buffer[:]); err != nil {
			return ID{}, noRandom(err)
		}
		g.unused = len(g.buffer)
	}
	id := makeID(now, [10]byte(g.buffer[len(g.buffer)-g.unused:]))
	g.unused -= 10
	if ms, last := id.millis(), g.last.millis(); ms <= last && last-ms <= clockSlack {
		// Method 2 of RFC 9562, section 6.2: the last id plus a random step, which keeps the next one hard to guess.
		id = g.last.plus(1 + uint64(binary.BigEndian.Uint32(id[12:])))
	}
	g.last = id
	return id, nil
}

// plus adds step to the 62 random bits at the end, and a carry to the 12 before and to the milliseconds.
func (id ID) plus(step uint64) ID {
	const mask = 1<<62 - 1
	low := binary.BigEndian.Uint64(id[8:])&mask + step
	binary.BigEndian.PutUint64(id[8:], low&mask|1<<63)
	if low <= mask {
		return id
	}
	high := binary.BigEndian.Uint16(id[6:])&0xfff + 1
	binary.BigEndian.PutUint16(id[6:], high&0xfff|0x7000)
	if high > 0xfff {
		id.setMillis(id.millis() + 1)
	}
	return id
}

// OutcomeID returns the id of an outcome whose caller gave none: 32 hexadecimal digits that depend on the decision, the slot and the
// kind alone, so that what is sent twice counts once.
func OutcomeID(decision ID, slot uint8, kind string) string {
	text := make([]byte, 0, 64)
	text = append(text, "serin outcome 1\x00"...)
	text = append(text, decision[:]...)
	text = append(text, slot)
	text = append(text, kind...)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Hash returns the 64-bit FNV-1a hash of a name, by which a token names services, variants and arms.
func Hash(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h ^= uint64(name[i])
		h *= 1099511628211
	}
	return h
}
