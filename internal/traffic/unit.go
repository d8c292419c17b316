package traffic

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Unit is who a request comes from: what is assigned to a variant and counted as one. It is comparable.
type Unit struct {
	origin origin
	text   string   // what the request says of itself; "" for a unit that is an id
	id     [16]byte // of the sticky cookie, of a request alone, or instead of a long text
}

type origin uint8

const (
	alone  origin = iota // the request says nothing: a unit for this request and no other
	told                 // by a header, another's cookie, the query or the address
	sticky               // by the sticky cookie
)

// MaxUnit is the longest text, in bytes, that is a unit itself; a longer one stands as the first 16 bytes of its SHA-256.
const MaxUnit = 128

// Known tells whether the same unit may come again: false for one that was made up for a single request.
func (u Unit) Known() bool { return u.origin != alone }

// textUnit is a unit that the request tells.
func textUnit(text string) Unit {
	if len(text) <= MaxUnit {
		return Unit{origin: told, text: text}
	}
	sum := sha256.Sum256([]byte(text))
	return Unit{origin: told, id: [16]byte(sum[:])}
}

// newID is an id of 128 random bits.
func newID(random Random) (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], random.Uint64())
	binary.LittleEndian.PutUint64(id[8:], random.Uint64())
	return id
}

// hash is the unit's hash under a key.
func (u *Unit) hash(k hashKey) uint64 {
	if u.text != "" {
		return sipText(k, u.text)
	}
	return sipID(k, &u.id)
}

// digest is the keyed hash of a unit: HMAC-SHA256, of which 16 bytes are kept.
func (k *Keys) digest(u Unit) [16]byte {
	if u.text == "" {
		sum := k.unit.mac(u.id[:])
		return [16]byte(sum[:])
	}
	var text [MaxUnit]byte
	sum := k.unit.mac(append(text[:0], u.text...))
	return [16]byte(sum[:])
}

// AppendUnit appends u as it is written down, at most MaxUnit bytes: the keyed hash in 32 hexadecimal digits. Where the policy records
// plainly it is the unit's text, if that is text. A unit of a request alone is random already and is not hashed again.
func (p *Policy) AppendUnit(dst []byte, u Unit) []byte {
	plain := p.sticky != nil && p.sticky.Record == RecordPlain
	if plain && u.text != "" && utf8.ValidString(u.text) {
		return append(dst, u.text...)
	}
	id := u.id
	if u.Known() && (!plain || u.text != "") {
		id = p.keys.digest(u)
	}
	return hex.AppendEncode(dst, id[:])
}

// Buckets is the number of buckets that units fall into.
const Buckets = 64

// Bucket returns the bucket, 0 to 63, of a unit as AppendUnit writes it, so that whoever reads the log finds the same. It is the top
// six bits of SipHash-2-4 under the first 16 bytes of the SHA-256 of "serin bucket v1": independent of every assignment.
func Bucket[Text string | []byte](written Text) uint8 {
	return uint8(sipText(hashKey{bucketKey0, bucketKey1}, string(written)) >> 58)
}

// The key of Bucket, written out; a test derives it again.
const (
	bucketKey0 = 0x630ed4b8f373555b
	bucketKey1 = 0x4bdda88f3566d7b2
)

// source is where the text of a unit is found, read from "header:NAME", "cookie:NAME", "query:NAME" or "client". The zero value
// finds nothing.
type source struct{ kind, name string }

func parseSource(text string) source {
	kind, name, _ := strings.Cut(text, ":")
	if kind == fromHeader {
		name = http.CanonicalHeaderKey(name)
	}
	return source{kind, name}
}

// The kinds of sources.
const (
	fromHeader = "header"
	fromCookie = "cookie"
	fromQuery  = "query"
	fromClient = "client"
)

func (s source) find(f Facts) string {
	switch s.kind {
	case fromHeader:
		return f.Header(s.name)
	case fromCookie:
		return f.Cookie(s.name)
	case fromQuery:
		return f.Query(s.name)
	case fromClient:
		return f.Client()
	default:
		return ""
	}
}
