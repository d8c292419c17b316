package gateway

import (
	"net/http"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/shadow"
)

// Shadows takes copies of requests to variants whose answers nobody gets; *shadow.Mirror has it. Neither call ever waits.
type Shadows interface {
	// Adopt hears of a lane before its first copy.
	Adopt(l *shadow.Lane)
	// Retire hears of a lane that no service has any more.
	Retire(l *shadow.Lane)
	// Offer takes a copy in, and all that it holds, or counts why it does not.
	Offer(l *shadow.Lane, c *shadow.Copy)
	// Drop counts a request that was drawn and is not copied.
	Drop(l *shadow.Lane, c *shadow.Copy, why event.Drop)
}

// ShadowHeaders are the fields that requests to shadows carry, with the value true, so that who gets them can tell them from live ones.
var ShadowHeaders = [...]string{"Serin-Shadow", "X-Shadow"}

// ShadowOptions are the settings of one shadow of a service.
type ShadowOptions struct {
	Lane shadow.LaneOptions // its Variant is one of the service's variants; its Service is filled in

	// Of requests that are passed on, the methods that are copied. A prediction always may be.
	Methods []string

	// What is asked in place of the variant's own, so that copies share neither connections nor limits with live requests. Nil: the variant's
	// own, as for a model in-process. A Model over an upstream sets ShadowHeaders itself.
	Upstream Upstream      // of a variant that requests are passed on to
	Model    predict.Model // of a variant that is spoken to in a dialect
}

// shadowed is a shadow of a running service.
type shadowed struct {
	lane    *shadow.Lane
	variant *Variant
	options ShadowOptions
}

// relayLanes tells who takes copies of the lanes that there are now, and of those that are no more.
func (g *Gateway) relayLanes(before, now []*Service) {
	if g.options.Shadows == nil {
		return
	}
	kept := map[*Service]bool{}
	for _, s := range now {
		kept[s] = true
		for _, shadow := range s.shadows {
			g.options.Shadows.Adopt(shadow.lane)
		}
	}
	for _, s := range before {
		if kept[s] {
			continue
		}
		for _, shadow := range s.shadows {
			g.options.Shadows.Retire(shadow.lane)
		}
	}
}

// Mirror copies a share of the requests, from 0 to 1, to the shadow of that variant from now on; below 0 it is the share of its settings. It
// tells whether there is such a shadow.
func (s *Service) Mirror(variant string, share float64) bool {
	for _, to := range s.shadows {
		if to.variant.Name() != variant {
			continue
		}
		if share < 0 {
			share = to.options.Lane.Share
		}
		to.lane.SetShare(share)
		return true
	}
	return false
}

// draws tells whether a decision is copied to the shadow. What it has answered itself is not: it would be compared with itself.
func (s *shadowed) draws(d *decision) bool { return s.variant != d.answered && s.lane.Draws(d.id) }

// flush sends what has been written of an answer over HTTP/1, which is all of it, before anything is copied. Over h2 and gRPC an answer ends
// when its handler does: it waits for the copying of a body of a prediction's size, and for nothing else.
func (b *buffers) flush() {
	if b.http.r == nil || b.http.r.ProtoMajor != 1 {
		return
	}
	if _, told := b.http.w.Header()["Content-Length"]; told { // without it, what is flushed becomes chunks
		_ = http.NewResponseController(b.http.w).Flush() // who cannot has sent it already, or has nobody who reads
	}
}

// addShadows makes the lanes. A shadow of no variant is left out: the configuration was checked.
func (s *Service) addShadows(all []ShadowOptions) {
	for _, o := range all {
		at := slices.IndexFunc(s.variants, func(v *Variant) bool { return v.Name() == o.Lane.Variant })
		if at < 0 {
			continue
		}
		o.Lane.Service = s.Name()
		s.shadows = append(s.shadows, &shadowed{lane: shadow.NewLane(o.Lane), variant: s.variants[at], options: o})
	}
}

// copied is a decision as a copy tells it.
func (d *decision) copied(failed bool) shadow.Copy {
	c := shadow.Copy{Decision: d.id, At: d.at, Bucket: d.bucket, Lean: 1, Failed: failed, Primary: d.answered.Name()}
	if d.live != nil {
		c.PrimaryVersion = d.live.Digest
	}
	unit := d.unit[:d.unitLen]
	if d.unitLen == 0 { // nobody: a unit for this request alone
		unit = d.id[:]
	}
	if event.Hash(string(unit))&leanBit != 0 {
		c.Lean = -1
	}
	return c
}

// leanBit is the bit of a unit's hash that gives it a sign.
const leanBit = 1 << 40

// of returns the capture, if it takes the decision with that id; nil if not, or if there is none.
func (c *Capture) of(id event.ID) *Capture {
	if c == nil || !c.draws(id) {
		return nil
	}
	return c
}
