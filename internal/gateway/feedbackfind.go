package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/traffic"
)

// asker finds the decisions that the items of one request are about.
type asker struct {
	*feedback
	services *table
	facts    traffic.Facts
	now      time.Time
	service  *Service // that the path names; nil: none
}

func (f *feedback) asker(facts traffic.Facts) *asker {
	return &asker{feedback: f, services: f.gateway.services.Load(), facts: facts, now: f.gateway.options.Now()}
}

// outcome makes of an item the outcome to write down. It returns the name of the service, as far as it is one of ours.
func (a *asker) outcome(ctx context.Context, item *feedbackItem, o *event.Outcome) (service string, err error) {
	*o = event.Outcome{
		ID: item.id, Slot: item.slot, Kind: item.kind, Text: item.text, IsText: item.isText, At: item.at, ReceivedAt: a.now,
		Number: item.number + 0, // which makes -0 the 0 that it equals
	}
	asked := a.service
	if item.service != "" {
		if asked, err = a.services.named(item.service); err != nil {
			return "", err
		}
	}
	switch {
	case item.token != "":
		err = a.byToken(ctx, item.token, asked, o)
	case item.decision != "":
		err = a.byID(ctx, item.decision, asked, o)
	default:
		return a.byCookie(asked, o)
	}
	if err != nil {
		return "", err
	}
	if o.ID == "" {
		o.ID = event.OutcomeID(o.Decision, o.Slot, o.Kind)
	}
	if a.services.byName[o.Service] == nil {
		return "", nil // of a service that is gone
	}
	return o.Service, nil
}

// byToken takes over what a token says, which is true.
func (a *asker) byToken(ctx context.Context, text string, asked *Service, o *event.Outcome) error {
	keys := a.gateway.options.Keys
	if keys == nil {
		return fault.Invalidf("this server signs no tokens")
	}
	t, err := event.ParseToken(text, keys)
	if err != nil {
		return err
	}
	if asked != nil && asked.hash != t.Service {
		return ofAnother(asked)
	}
	o.Decision, o.DecidedAt, o.Verified = t.Decision, t.At, true
	o.Epoch, o.PolicyVersion, o.Propensity = t.Epoch, t.PolicyVersion, float64(t.Propensity)
	if n := len(t.Slots); n > 0 {
		if int(o.Slot) < n {
			o.Propensity = float64(t.Slots[o.Slot].Propensity)
		} else if n < event.MaxSlots {
			return fault.Invalidf("slot %d is not one of the %d of the decision; the first is 0", o.Slot, n)
		} else {
			o.Verified = false // the token had no room for it
		}
	}
	for _, s := range a.services.list {
		if s.hash != t.Service {
			continue
		}
		for _, v := range s.variants {
			if v.hash == t.Variant {
				o.Service, o.Variant = s.Name(), v.Name()
				return nil
			}
		}
	}
	// What it names by hashes is gone, or is none of the gateway's. The decision's record has the names.
	if d, found := a.decision(ctx, t.Decision); found {
		o.Service, o.Variant, o.Version, o.Unit = d.Service, d.Assigned, d.Version, d.Unit
	}
	return nil
}

// byID takes over what is known of a decision. One that is not known yet, or not any more, is for those to find who measure.
func (a *asker) byID(ctx context.Context, text string, asked *Service, o *event.Outcome) (err error) {
	if o.Decision, err = event.ParseID(text); err != nil {
		return err
	}
	d, found := a.decision(ctx, o.Decision)
	if !found {
		return nil
	}
	if asked != nil && asked.Name() != d.Service {
		return ofAnother(asked)
	}
	o.DecidedAt, o.Service, o.Epoch, o.Variant, o.Version = d.At, d.Service, d.Epoch, d.Assigned, d.Version
	o.PolicyVersion, o.Propensity, o.Unit, o.ByHand = d.PolicyVersion, d.Propensity, d.Unit, d.Reason == event.ByHand
	for _, s := range d.Slots {
		if s.Slot == o.Slot {
			o.Propensity = s.Propensity
		}
	}
	return nil
}

func ofAnother(asked *Service) error {
	return fault.Invalidf("the decision is of another service than %q", asked.Name())
}

// decision looks a decision up. It is no error if that fails: those who measure look again.
func (a *asker) decision(ctx context.Context, id event.ID) (event.Decision, bool) {
	d, found, err := a.ingest.options.Telemetry.Decision(ctx, id)
	if err != nil {
		a.gateway.options.Log.DebugContext(ctx, "a decision cannot be looked up", "decision", id, "error", err)
	}
	return d, found && err == nil
}

// byCookie attributes an outcome to the variant that answers whoever sends it: by the unit that the request tells or its sticky cookie
// proves, or because there is but one.
//
// Without an id of its own it is taken for a repeat of another with the same value, from the same unit or else address, in the same
// minute of the server's clock.
func (a *asker) byCookie(s *Service, o *event.Outcome) (service string, err error) {
	if s == nil {
		if s = a.services.byDefault; s == nil {
			return "", fault.Invalidf("which answer this is about is not said").
				WithHint("send the token that came with the answer in the header %s, or name the service", TokenHeader)
		}
	}
	o.Attributed = true
	policy := s.Policy()
	who, known := "", false
	if policy == nil {
		o.Service, o.Variant, o.Propensity = s.Name(), s.variants[0].Name(), 1
	} else {
		var unit traffic.Unit
		if unit, known = policy.UnitOf(a.facts); known {
			who = string(policy.AppendUnit(nil, unit))
		}
		chance := &chance{}
		c := policy.Pick(a.facts, chance)
		switch {
		case known && !chance.asked, !known && c.Propensity == 1:
			o.Service, o.Epoch, o.Variant = s.Name(), policy.Epoch, policy.Variants[c.Variant].Name
			o.PolicyVersion, o.Propensity = policy.Version, c.Propensity
		case !known:
			return s.Name(), fault.Invalidf("which of the %d variants of the service %q answered is not known", len(s.variants), s.Name()).
				WithHint("send the token that came with the answer in the header %s, or the cookies", TokenHeader)
		default: // the variant that it was with gets nobody any more, and where it goes next is open: of the service's answers, but whose is unknown
		}
		o.Unit, o.ByHand = who, c.ByHand
	}
	if o.ID == "" {
		if !known {
			who = a.facts.Client()
		}
		o.ID = a.windowID(s.Name(), who, known, o)
	}
	return s.Name(), nil
}

// chance is a source of random bits for a choice that must not depend on any.
type chance struct{ asked bool }

// Uint64 implements traffic.Random.
func (c *chance) Uint64() uint64 {
	c.asked = true
	return 0
}

// window is how long what repeats itself without an id counts once.
const window = time.Minute

// windowID returns the id of an outcome that is attributed: 32 hexadecimal digits of an HMAC, as an address is easily guessed.
func (a *asker) windowID(service, who string, isUnit bool, o *event.Outcome) string {
	text := append(make([]byte, 0, 256), "serin attributed outcome 1\x00"...)
	text = binary.BigEndian.AppendUint64(text, uint64(a.now.Unix()/int64(window/time.Second)))
	for _, part := range [...]string{service, who, o.Kind, o.Text} {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	text = binary.BigEndian.AppendUint64(text, math.Float64bits(o.Number))
	text = append(text, o.Slot, bit(isUnit), bit(o.IsText))
	h := hmac.New(sha256.New, a.clients)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// clientKey returns the key of windowID: of the oldest key of the ring, so that a new one in front changes nothing.
func clientKey(k *event.Keys) []byte {
	if k == nil {
		return nil
	}
	secrets := k.Secrets("attributed outcomes")
	return secrets[len(secrets)-1]
}
