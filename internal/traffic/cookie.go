package traffic

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"strconv"
)

// The cookie of mode signed, version 1, is 36 bytes in 48 characters of base64url: a byte 1, the key's id (3), the unit's id (16)
// and the MAC (16) of "unit", a zero byte, the 20 bytes before and the cookie's name. It is bound to its name and not to a service:
// two services that share a name share the unit, and since each has a salt of its own, a unit says nothing of any variant.
//
// Lengths are multiples of 3 so that no bits are left over and a cookie has one text only.
const (
	cookieVersion = 1
	unitBody      = 1 + keyIDSize + 16
	unitText      = (unitBody + macSize) / 3 * 4
)

// The ticket of mode plain, version 1, is 57 bytes in 76 characters of base64url: a byte 1, flags (1: by hand), the key's id (3), the
// hash of the service (8), and, the most significant byte first, the epoch (4) and the propensity as a float64 (8), then the unit's id
// (16) and the MAC (16) of "ticket", a zero byte, the 41 bytes before, the cookie's name, a zero byte and the variant's name.
const (
	ticketBody = 1 + 1 + keyIDSize + 8 + 4 + 8 + 16
	ticketText = (ticketBody + macSize) / 3 * 4
	flagByHand = 1
)

// ticketSuffix makes the name of the ticket's cookie of that of the variant's.
const ticketSuffix = "-sig"

// ticket proves that the server set the plain cookie, and keeps what was true then. A name alone proves nothing: anyone can write
// "canary" into a cookie, and whoever does so to look at it is no random user. So the server sets a second cookie beside it, signed
// for that name. A name that comes without a ticket, or with one that was signed for another name, was set by hand. It is honoured,
// and the ticket that the answer carries marks its unit, so that changing the name back does not make it random again.
type ticket struct {
	byHand     bool    // the first value was not the server's: the unit is marked for as long as its cookies live
	service    uint64  // a service of the same host may use the same name
	epoch      uint32  // in which it was drawn
	propensity float64 // with which it was drawn
	id         [16]byte
}

// appendUnitCookie appends the signed cookie of a unit.
func (k *Keys) appendUnitCookie(dst []byte, id [16]byte, name string) []byte {
	var buf [unitBody + macSize]byte
	b := append(buf[:0], cookieVersion)
	b = append(b, k.ring[0].id[:]...)
	b = append(b, id[:]...)
	var message [maxMessage]byte
	return base64.RawURLEncoding.AppendEncode(dst, k.sign(b, unitMessage(message[:0], b, name)))
}

// maxMessage has room for what a MAC covers when names are of usual length; longer ones allocate.
const maxMessage = 192

func unitMessage(dst, body []byte, name string) []byte {
	dst = append(append(dst, "unit\x00"...), body...)
	return append(dst, name...)
}

// parseUnitCookie returns the unit of a signed cookie, whether it is genuine, and whether the key that signs now has signed it.
func (k *Keys) parseUnitCookie(text, name string) (id [16]byte, ok, current bool) {
	var buf [unitBody + macSize]byte
	if !decode(buf[:], text) || buf[0] != cookieVersion {
		return id, false, false
	}
	var message [maxMessage]byte
	ok, current = k.verify(buf[1:1+keyIDSize], unitMessage(message[:0], buf[:unitBody], name), buf[unitBody:])
	if ok {
		id = [16]byte(buf[1+keyIDSize:])
	}
	return id, ok, current
}

// appendTicket appends the ticket for a variant in the cookie of the given name.
func (k *Keys) appendTicket(dst []byte, t ticket, name, variant string) []byte {
	var buf [ticketBody + macSize]byte
	flags := byte(0)
	if t.byHand {
		flags = flagByHand
	}
	b := append(buf[:0], cookieVersion, flags)
	b = append(b, k.ring[0].id[:]...)
	b = binary.BigEndian.AppendUint64(b, t.service)
	b = binary.BigEndian.AppendUint32(b, t.epoch)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(t.propensity))
	b = append(b, t.id[:]...)
	var message [maxMessage]byte
	return base64.RawURLEncoding.AppendEncode(dst, k.sign(b, ticketMessage(message[:0], b, name, variant)))
}

func ticketMessage(dst, body []byte, name, variant string) []byte {
	dst = append(append(dst, "ticket\x00"...), body...)
	dst = append(append(dst, name...), 0)
	return append(dst, variant...)
}

// parseTicket returns a ticket, whether it is genuine for that cookie and variant, and whether the key that signs now has signed it.
func (k *Keys) parseTicket(text, name, variant string) (t ticket, ok, current bool) {
	var buf [ticketBody + macSize]byte
	if !decode(buf[:], text) || buf[0] != cookieVersion || buf[1]&^flagByHand != 0 {
		return t, false, false
	}
	var message [maxMessage]byte
	ok, current = k.verify(buf[2:2+keyIDSize], ticketMessage(message[:0], buf[:ticketBody], name, variant), buf[ticketBody:])
	if !ok {
		return t, false, false
	}
	b := buf[2+keyIDSize:]
	t = ticket{
		byHand:     buf[1] == flagByHand,
		service:    binary.BigEndian.Uint64(b),
		epoch:      binary.BigEndian.Uint32(b[8:]),
		propensity: math.Float64frombits(binary.BigEndian.Uint64(b[12:])),
		id:         [16]byte(b[20:]),
	}
	return t, true, current
}

// decode fills dst from text, which must have exactly its length.
func decode(dst []byte, text string) bool {
	var buf [ticketText]byte
	if len(text) != base64.RawURLEncoding.EncodedLen(len(dst)) {
		return false
	}
	n, err := base64.RawURLEncoding.Decode(dst, buf[:copy(buf[:], text)])
	return err == nil && n == len(dst)
}

// SetCookies adds the Set-Cookie headers that keep c's unit, if there are any to set; secure tells whether the request came over TLS.
func (p *Policy) SetCookies(h http.Header, c Choice, secure bool) {
	if !c.setsCookie {
		return
	}
	attributes := "; Path=/; Max-Age=" + strconv.FormatInt(int64(p.sticky.MaxAge.Seconds()), 10) + "; HttpOnly; SameSite=Lax"
	if secure {
		attributes += "; Secure"
	}
	set := func(name string, value []byte) { h.Add("Set-Cookie", name+"="+string(value)+attributes) }
	name := p.sticky.Cookie
	if !p.plain() {
		set(name, p.keys.appendUnitCookie(nil, c.Unit.id, name))
		return
	}
	variant := p.Variants[c.Variant].Name
	t := ticket{byHand: c.ByHand, service: p.owner, epoch: p.Epoch, propensity: c.Propensity, id: p.ticketID(c.Unit)}
	set(name, []byte(variant))
	set(p.ticketCookie, p.keys.appendTicket(nil, t, name, variant))
}
