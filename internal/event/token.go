package event

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Token is what an answer says of its decision, signed, so that whoever brings it back with an outcome need not be trusted and no row
// of the decision need be found. Names are told by their Hash.
type Token struct {
	Decision      ID
	At            time.Time // of the decision, to the millisecond, in UTC
	Service       uint64    // Hash of the service's or experiment's name
	Epoch         uint32
	Variant       uint64 // Hash of the assigned variant's name; 0 for a ranking
	PolicyVersion uint64
	Propensity    float32
	Slots         []TokenSlot // of a ranking: the arms by slot, at most MaxSlots
}

// TokenSlot is one place of a ranking.
type TokenSlot struct {
	Arm        uint64 // Hash of the arm's name
	Propensity float32
}

// MaxSlots is how many slots a token holds.
const MaxSlots = 20

// A token of version 1 is, in base64 for URLs without padding: a byte 1, the key's id (1 byte), the decision's id (16), milliseconds
// since 1970 (6), the service's hash (8), the epoch (uvarint), the variant's hash (8), the policy's version (uvarint), the propensity
// (float32), for each slot the arm's hash (8) and propensity (float32), and the first 16 bytes of HMAC-SHA256 over all of that.
// Numbers are big-endian. One choice takes 62 bytes, which are 83 characters.
const (
	tokenVersion = 1
	macSize      = 16
	slotSize     = 8 + 4
	leastToken   = 1 + 1 + 16 + 6 + 8 + 1 + 8 + 1 + 4
	maxToken     = leastToken + binary.MaxVarintLen32 - 1 + binary.MaxVarintLen64 - 1 + MaxSlots*slotSize + macSize
)

var tokenText = base64.RawURLEncoding.Strict()

// AppendToken appends the text form of t to dst, signed with the first key. It does not allocate beyond what dst needs. Slots after
// the first MaxSlots are left out: an outcome of such a slot cannot be verified.
func AppendToken(dst []byte, k *Keys, t Token) []byte {
	var buffer [maxToken]byte
	b := append(buffer[:0], tokenVersion, k.ring[0].id)
	b = append(b, t.Decision[:]...)
	ms := uint64(t.At.UnixMilli())
	b = binary.BigEndian.AppendUint16(b, uint16(ms>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(ms))
	b = binary.BigEndian.AppendUint64(b, t.Service)
	b = binary.AppendUvarint(b, uint64(t.Epoch))
	b = binary.BigEndian.AppendUint64(b, t.Variant)
	b = binary.AppendUvarint(b, t.PolicyVersion)
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(t.Propensity))
	for _, s := range t.Slots[:min(len(t.Slots), MaxSlots)] {
		b = binary.BigEndian.AppendUint64(b, s.Arm)
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(s.Propensity))
	}
	mac := k.ring[0].sign(b)
	b = append(b, mac[:]...)
	return tokenText.AppendEncode(dst, b)
}

// ParseToken reads what AppendToken wrote with any of the keys. All else is Invalid; no part of a token is believed before its
// signature is. The same token may come again: what is counted once is the outcome, by its id. It is for the caller to see that
// Service is the one asked.
func ParseToken(text string, k *Keys) (Token, error) {
	var chars [(maxToken*8 + 5) / 6]byte
	if len(text) > len(chars) {
		return Token{}, badToken("it is longer than any token")
	}
	if strings.ContainsAny(text, "\r\n") { // which package base64 would pass over
		return Token{}, badToken("it has a line break")
	}
	var buffer [maxToken]byte
	n, err := tokenText.Decode(buffer[:], chars[:copy(chars[:], text)])
	switch {
	case err != nil:
		return Token{}, badToken("it is not base64 for URLs without padding")
	case n == 0:
		return Token{}, badToken("it is empty")
	case buffer[0] != tokenVersion:
		return Token{}, badToken("it is of a version that this program does not know")
	case n < leastToken+macSize:
		return Token{}, badToken("it is cut short")
	}
	signed, mac := buffer[:n-macSize], buffer[n-macSize:n]
	switch ok, known := k.verify(signed[1], signed, mac); {
	case !known:
		return Token{}, badToken("it is signed with a key that is not in the ring")
	case !ok:
		return Token{}, badToken("its signature is wrong")
	}
	return parseSigned(signed)
}

func badToken(what string) error {
	return fault.Invalidf("the decision token is not valid: %s", what).
		WithHint("send the token as it came in the header Serin-Decision, or the decision's id without a token")
}

// parseSigned reads what a key signed, hence what AppendToken wrote.
func parseSigned(b []byte) (t Token, err error) {
	d := decoder{b: b, at: 2}
	t.Decision = d.id()
	t.At = time.UnixMilli(int64(d.fixed(2)<<32 | d.fixed(4))).UTC()
	t.Service = d.fixed(8)
	t.Epoch = uint32(d.upTo(math.MaxUint32))
	t.Variant = d.fixed(8)
	t.PolicyVersion = d.uvarint()
	t.Propensity = math.Float32frombits(uint32(d.fixed(4)))
	if rest := len(b) - d.at; rest%slotSize != 0 || rest > MaxSlots*slotSize {
		d.fail("no whole number of slots")
	} else if rest > 0 {
		t.Slots = make([]TokenSlot, rest/slotSize)
	}
	for i := range t.Slots {
		t.Slots[i] = TokenSlot{Arm: d.fixed(8), Propensity: math.Float32frombits(uint32(d.fixed(4)))}
	}
	if d.problem != "" {
		return Token{}, badToken("what is signed is no token") // not d.problem: with it, all of b would move to the heap
	}
	return t, nil
}

// fixed reads a big-endian number of n bytes.
func (d *decoder) fixed(n uint64) (v uint64) {
	for _, b := range d.bytes(n) {
		v = v<<8 | uint64(b)
	}
	return v
}
