package gateway

import (
	"encoding/binary"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/payload"
)

// Capture says which bodies of a service are kept, and how much of them.
type Capture struct {
	Share  float64           // of the decisions, from 0 to 1
	Bytes  int               // kept of each body at most; at most payload.MaxBody
	Redact *payload.Redactor // nil: nothing is redacted
	Limits payload.Limits
}

// draws tells whether the decision with that id is captured. The answer depends on the id and the share alone, so that it can be found out
// again, and is independent of who was assigned: it hashes otherwise than traffic does. What a smaller share draws, a larger one does too.
func (c *Capture) draws(id event.ID) bool {
	h := mix(binary.BigEndian.Uint64(id[:8]) ^ captureSalt)
	h = mix(binary.BigEndian.Uint64(id[8:]) ^ h)
	return float64(h>>11) < c.Share*(1<<53)
}

// captureSalt sets this hash apart from any other of the same id.
const captureSalt = 0x5e3f_9c1d_7a24_b86b

// mix is the finalizer of MurmurHash3 (Appleby): every bit of x changes every bit of the result with probability near a half.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// bodies are those of a decision that is drawn. They share the request's buffers.
type bodies struct {
	dialect           string // "" if it is not drawn
	request, response []byte
	whole             bool // the request was read to its end
}

// sample notes the bodies of an answered request, if its service captures and its decision is drawn.
func (b *buffers) sample(dialect string, status int) {
	d := &b.decision
	if d.assigned == nil || d.service.options.Capture == nil || !d.service.options.Capture.draws(d.id) {
		return
	}
	d.bodies.dialect, d.bodies.request, d.bodies.response = dialect, b.body, b.out
	if status == statusGone {
		d.bodies.response = nil // nobody got it
	}
}
