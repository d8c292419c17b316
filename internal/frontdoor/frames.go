package frontdoor

import "encoding/binary"

// frames follows the frames that one client of h2 sends (RFC 9113, section 4), as far as it takes to see a flood: frames that ask for
// nothing and cost the server something, and headers that do not end. net/http bounds what it remembers of such clients, but goes on
// reading and answering them.
//
// A client runs into debt with frames that ask for nothing, and gets out of it by asking, and with time. The prices let any honest client
// pass: one that cancels every request (76 a second, and 150 at once, which is more than may be open), one that sends a PING with each of them, as gRPC's clients do to
// measure the way, or 500 PINGs a second.
type frames struct {
	head   [frameHead]byte
	have   int  // bytes of head
	left   int  // bytes of the payload to come
	kind   byte // of the frame whose payload is to come
	block  bool // a header block has begun, and no frame has ended it
	blocks int  // that have begun
	size   int  // bytes of that block, so far as told
	debt   int
	since  int64 // until when time has been counted against it: nanoseconds
}

// Types and flags of frames (RFC 9113, section 6).
const (
	dataFrame         = 0
	headersFrame      = 1
	resetFrame        = 3
	settingsFrame     = 4
	pingFrame         = 6
	goawayFrame       = 7
	updateFrame       = 8
	continuationFrame = 9

	endStream  = 1
	endHeaders = 4

	frameHead = 9
)

const (
	mostDebt    = 2000
	perSecond   = 1000 // is forgiven
	nanoseconds = 1_000_000_000
)

// cost is what a frame adds to the debt of its client.
func cost(kind, flags byte, length int) int {
	empty := length == 0 && flags&endStream == 0
	switch {
	case kind == headersFrame:
		return -4
	case kind == resetFrame:
		return 17
	case kind == settingsFrame:
		return 20
	case kind == pingFrame:
		return 2
	case kind == dataFrame && empty, kind == continuationFrame:
		return 5
	case kind == dataFrame, kind == updateFrame, kind == goawayFrame:
		return 0
	}
	return 1 // PRIORITY, and what nobody knows
}

// scan says whether p may pass, which has come at a time. A header block may have no more than most bytes.
func (f *frames) scan(p []byte, now int64, most int) bool {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		p = p[n:]
		if f.have += n; f.have < frameHead {
			return true
		}
		f.have = 0
		f.left = int(f.head[0])<<16 | int(binary.BigEndian.Uint16(f.head[1:]))
		f.kind = f.head[3]
		if !f.take(f.head[4], now, most) {
			return false
		}
	}
	return true
}

// take takes the head of a frame.
func (f *frames) take(flags byte, now int64, most int) bool {
	if forgiven := (now - f.since) / (nanoseconds / perSecond); forgiven > 0 {
		f.debt -= int(min(forgiven, mostDebt))
		f.since = now
	}
	f.debt = max(f.debt, 0) + cost(f.kind, flags, f.left)
	switch f.kind {
	case headersFrame:
		f.block, f.size = flags&endHeaders == 0, f.left
		f.blocks++
	case continuationFrame:
		f.block = flags&endHeaders == 0
		f.size += f.left
	}
	return f.debt <= mostDebt && (f.kind != headersFrame && f.kind != continuationFrame || f.size <= most)
}

// waits tells which header block has begun and has not ended: its number, or 0.
func (f *frames) waits() int {
	if f.block || f.left > 0 && (f.kind == headersFrame || f.kind == continuationFrame) {
		return f.blocks
	}
	return 0
}
