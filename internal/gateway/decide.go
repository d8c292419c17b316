package gateway

import (
	"math"
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// TokenHeader carries the token of the decision that an answer is; feedback brings it back.
const TokenHeader = "Serin-Decision"

// decision is what is decided for one request, and what became of it.
type decision struct {
	id         event.ID
	at         time.Time
	service    *Service
	policy     *traffic.Policy // nil: the service has none
	choice     traffic.Choice
	assigned   *Variant    // that was to answer
	own        *Live       // its version; nil: it had none ready
	answered   *Variant    // that does
	live       *Live       // its version
	tried      traffic.Set // variants that have been asked
	pinned     bool        // the request names its version: no other answers it
	reason     event.Reason
	propensity float64
	unit       [traffic.MaxUnit]byte // as it is written down
	unitLen    int
	bucket     uint8
	token      string
	requestID  string // the client's own
	timedOut   bool
	hurried    bool          // timed out, by a time of the caller's own that is shorter than the service's
	shed       bool          // refused, for there was no room
	limited    bool          // refused, for its client had asked too often
	failure    failure       // how the assigned variant failed, whoever answered then
	fellBack   bool          // the fallback answered
	upstream   time.Duration // how long upstreams took of it
	bodies     bodies        // to be captured
	put        bool          // the model was asked
	response   *tensor.Response

	label  string // of a single row
	score  float64
	counts []classCount
}

// random draws for those requests that tell nothing of whom they come from.
type random func() uint64

// Uint64 implements traffic.Random.
func (r random) Uint64() uint64 { return r() }

// decide picks who answers c, and sets the cookies and the token of the answer. A version that the path pins picks the variant that has
// it. Where the one that is to answer has no version ready, another does, by the weights of those that have.
func (g *Gateway) decide(d *decision, c *call, pinned string) error {
	s := d.service
	var named *Variant
	var err error
	if pinned != "" {
		if named, d.live, err = s.pinned(pinned); err != nil {
			return err // nobody is assigned: no variant is to blame
		}
	}
	d.at, d.score = c.at, math.NaN() // until there is one
	if d.id, err = g.ids.Next(d.at); err != nil {
		return err
	}
	d.policy = s.Policy()
	d.choice = traffic.Choice{Propensity: 1}
	d.reason = event.Weights
	if d.policy != nil {
		d.choice = d.policy.Pick(c.facts, random(g.options.Random))
		d.unitLen = len(d.policy.AppendUnit(d.unit[:0], d.choice.Unit))
		d.bucket = traffic.Bucket(d.unit[:d.unitLen])
		if named == nil {
			d.policy.SetCookies(c.header, d.choice, c.secure)
		}
	} else {
		d.bucket = traffic.Bucket(d.id[:]) // nobody: a unit for this request alone
	}
	switch d.choice.Reason {
	case traffic.ByMatch:
		d.reason = event.Match
	case traffic.ByHand:
		d.reason = event.ByHand
	case traffic.ByWeights, traffic.ByFailover:
	}
	if d.choice.ByHand {
		d.reason = event.ByHand
	}
	d.assigned = s.variants[d.choice.Variant]
	d.propensity = d.choice.Propensity
	if named != nil {
		d.assigned, d.reason, d.propensity, d.pinned = named, event.Match, 1, true
	} else {
		d.live = d.assigned.Live()
	}
	d.answered, d.own = d.assigned, d.live
	if d.live == nil || s.options.Failover && !d.assigned.available() {
		if d.failOver() {
			g.metrics.failedOver(d.assigned, unready)
		}
		if d.live != d.own || d.live == nil {
			d.failure = unready
		}
	}
	g.sign(d, c.header)
	if d.live == nil {
		return notReady(s)
	}
	return nil
}

// pinned returns the variant that has the version a path names. It is an error where others are ready and none has it; that none is
// ready is told as ever.
func (s *Service) pinned(version string) (*Variant, *Live, error) {
	if len(s.variants) > 1 && !s.options.Pinned {
		return nil, nil, fault.NotFoundf("service %q shares its traffic between versions; none can be named", s.Name()).
			WithHint("leave the version out of the path; `pinned: true` in serin.yaml lets calls name one")
	}
	for _, v := range s.variants {
		if live := v.Live(); live != nil && live.number() == version {
			return v, live, nil
		}
	}
	if live := s.Live(); live != nil {
		return nil, nil, notThisVersion(version, live)
	}
	return nil, nil, nil
}

// sign puts the token on the answer. A request that a limit refuses has none: nothing was answered that feedback could judge.
func (g *Gateway) sign(d *decision, to http.Header) {
	if g.options.Keys == nil || d.limited {
		return
	}
	t := event.Token{
		Decision: d.id, At: d.at, Service: d.service.hash, Variant: d.assigned.hash, Propensity: float32(d.propensity),
	}
	if d.policy != nil {
		t.Epoch, t.PolicyVersion = d.policy.Epoch, d.policy.Version
	}
	var text [128]byte
	d.token = string(event.AppendToken(text[:0], g.options.Keys, t))
	to[TokenHeader] = []string{d.token} // canonical already
}

// record is the decision as it is written down.
func (d *decision) record(status int, took time.Duration) event.Decision {
	r := event.Decision{
		ID: d.id, At: d.at, Service: d.service.Name(), Unit: string(d.unit[:d.unitLen]), RequestID: d.requestID,
		Assigned: d.assigned.Name(), Answered: d.answered.Name(), Reason: d.reason, Propensity: d.propensity,
		Status: uint16(status), Micros: micros(took), UpstreamMicros: micros(d.upstream), Label: d.label[:min(len(d.label), longestText)], Score: d.score,
	}
	if d.policy != nil {
		r.Epoch, r.PolicyVersion, r.Alone = d.policy.Epoch, d.policy.Version, !d.choice.Unit.Known()
	}
	switch {
	case d.fellBack:
		r.Answered = answeredByFallback
	case d.live != nil:
		r.Version = d.live.Digest
	}
	return r
}

// micros returns a duration in microseconds, as far as a record holds it.
func micros(took time.Duration) uint32 {
	return uint32(min(max(took.Microseconds(), 0), 1<<32-1))
}
