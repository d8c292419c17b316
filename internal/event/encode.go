package event

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// version is the one in which records of each kind are written, but for tallies, whose second one tells the policy version. A reader knows
// them and all before.
const (
	version      = 1
	tallyVersion = 2
)

// latest returns the version that records of a kind are written in.
func latest(k Kind) byte {
	if k == KindTally {
		return tallyVersion
	}
	return version
}

// Flags of a decision.
const (
	isRank = 1 << iota
	answeredAsAssigned
	hasScore
	hasSlots
	hasRequestID
	hasPayload
	hasUpstream
	isAlone // programs that do not know it take the unit for one that may come back
)

// Flags of an outcome.
const (
	isText = 1 << iota
	isVerified
	isAttributed
	isByHand
)

// AppendRecord appends the binary form of r to dst: a byte for the kind, one for the version, and the body. It does not allocate
// beyond what dst needs, but for a tally of more than 32 labels. A record without a Kind has no binary form that ParseRecord would take.
func AppendRecord(dst []byte, r Record) []byte {
	switch {
	case r.Decision != nil:
		return appendDecision(append(dst, byte(KindDecision), version), r.Decision)
	case r.Tally != nil:
		return appendTally(append(dst, byte(KindTally), tallyVersion), r.Tally)
	case r.Outcome != nil:
		return appendOutcome(append(dst, byte(KindOutcome), version), r.Outcome)
	case r.Comparison != nil:
		return appendComparison(append(dst, byte(KindComparison), version), r.Comparison)
	case r.Disagreement != nil:
		return appendDisagreement(append(dst, byte(KindDisagreement), version), r.Disagreement)
	case r.Unknown != nil:
		return append(append(dst, byte(r.Unknown.Kind), r.Unknown.Version), r.Unknown.Body...)
	}
	return append(dst, 0, 0)
}

// ParseRecord reads the binary form of one record, which is all of b and is not kept. A kind or version that it does not know gives
// an Unknown; what does not follow its version's form is Invalid.
func ParseRecord(b []byte) (Record, error) {
	if len(b) < 2 || b[0] == 0 || b[1] == 0 {
		return Record{}, fault.Invalidf("a record does not begin with its kind and version")
	}
	var r Record
	d := decoder{b: b, at: 2}
	kind := Kind(b[0])
	switch {
	case b[1] > latest(kind), kind > KindDisagreement:
		return Record{Unknown: &Unknown{Kind: kind, Version: b[1], Body: slices.Clone(b[2:])}}, nil
	case kind == KindDecision:
		r.Decision = d.decision()
	case kind == KindTally:
		r.Tally = d.tally(b[1])
	case kind == KindOutcome:
		r.Outcome = d.outcome()
	case kind == KindComparison:
		r.Comparison = d.comparison()
	case kind == KindDisagreement:
		r.Disagreement = d.disagreement()
	}
	if d.at < len(b) {
		d.fail("more follows than belongs to it")
	}
	if d.problem != "" {
		return Record{}, fault.Invalidf("a record of kind %s, version %d, is wrong at byte %d of %d: %s", kind, b[1], d.at, len(b), d.problem)
	}
	return r, nil
}

func appendDecision(dst []byte, d *Decision) []byte {
	flags := byte(0)
	for _, f := range [...]struct {
		set bool
		bit byte
	}{
		{d.Rank, isRank}, {d.Answered == d.Assigned, answeredAsAssigned}, {!math.IsNaN(d.Score), hasScore}, {len(d.Slots) > 0, hasSlots},
		{d.RequestID != "", hasRequestID}, {d.Payload != "", hasPayload}, {d.UpstreamMicros > 0, hasUpstream}, {d.Alone, isAlone},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	dst = append(dst, flags, byte(d.Reason))
	dst = append(dst, d.ID[:]...)
	dst = appendTime(dst, d.At, d.ID.Time())
	dst = appendString(dst, d.Service)
	dst = binary.AppendUvarint(dst, uint64(d.Epoch))
	dst = binary.AppendUvarint(dst, d.PolicyVersion)
	dst = binary.AppendUvarint(dst, d.Generation)
	dst = appendString(dst, d.Unit)
	dst = appendString(dst, d.Assigned)
	dst = appendString(dst, d.Version)
	dst = appendFloat(dst, d.Propensity)
	dst = binary.AppendUvarint(dst, uint64(d.Status))
	dst = binary.AppendUvarint(dst, uint64(d.Micros))
	dst = appendString(dst, d.Label)
	if flags&answeredAsAssigned == 0 {
		dst = appendString(dst, d.Answered)
	}
	if flags&hasScore != 0 {
		dst = appendFloat(dst, d.Score)
	}
	if flags&hasRequestID != 0 {
		dst = appendString(dst, d.RequestID)
	}
	if flags&hasPayload != 0 {
		dst = appendString(dst, d.Payload)
	}
	if flags&hasUpstream != 0 {
		dst = binary.AppendUvarint(dst, uint64(d.UpstreamMicros))
	}
	if flags&hasSlots == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.Slots)))
	for _, s := range d.Slots {
		dst = append(dst, s.Slot, s.Position)
		dst = appendString(dst, s.Arm)
		dst = appendFloat(dst, s.Propensity)
	}
	return dst
}

func (d *decoder) decision() *Decision {
	flags, reason := d.byte(), Reason(d.byte())
	r := &Decision{Rank: flags&isRank != 0, Alone: flags&isAlone != 0, Reason: reason, Score: math.NaN()}
	r.ID = d.id()
	r.At = d.time(r.ID.Time())
	r.Service = d.string()
	r.Epoch = uint32(d.upTo(math.MaxUint32))
	r.PolicyVersion = d.uvarint()
	r.Generation = d.uvarint()
	r.Unit = d.string()
	r.Assigned = d.string()
	r.Version = d.string()
	r.Propensity = d.float()
	r.Status = uint16(d.upTo(math.MaxUint16))
	r.Micros = uint32(d.upTo(math.MaxUint32))
	r.Label = d.string()
	r.Answered = r.Assigned
	if flags&answeredAsAssigned == 0 {
		r.Answered = d.string()
	}
	if flags&hasScore != 0 {
		r.Score = d.float()
	}
	if flags&hasRequestID != 0 {
		r.RequestID = d.string()
	}
	if flags&hasPayload != 0 {
		r.Payload = d.string()
	}
	if flags&hasUpstream != 0 {
		r.UpstreamMicros = uint32(d.upTo(math.MaxUint32))
	}
	if flags&hasSlots == 0 {
		return r
	}
	const least = 4 // bytes of a slot: a claim of more slots than there are bytes for is not believed
	n := d.upTo(uint64(len(d.b)-d.at) / least)
	if n == 0 {
		d.fail("it has slots, but none follow")
		return r
	}
	r.Slots = make([]Slot, n)
	for i := range r.Slots {
		r.Slots[i] = Slot{Slot: d.byte(), Position: d.byte(), Arm: d.string(), Propensity: d.float()}
	}
	return r
}

func (d *decoder) id() (id ID) {
	copy(id[:], d.bytes(uint64(len(id))))
	return id
}

// epoch0 is what absolute times are told from.
var epoch0 = time.Unix(0, 0).UTC()

func appendTally(dst []byte, t *Tally) []byte {
	dst = appendTime(dst, t.From, epoch0)
	dst = appendTime(dst, t.To, t.From)
	dst = appendString(dst, t.Service)
	dst = binary.AppendUvarint(dst, uint64(t.Epoch))
	dst = binary.AppendUvarint(dst, t.PolicyVersion)
	dst = appendString(dst, t.Variant)
	dst = appendString(dst, t.Version)
	dst = append(dst, t.Bucket)
	for _, n := range [...]uint64{t.Requests, t.Fallbacks, t.Limited, t.Shed, t.FirstErrors, t.Micros} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, n := range t.Errors {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Labels)))
	var few [32]string // as many labels are sorted without allocating
	for _, label := range sortedKeys(few[:0], t.Labels) {
		dst = binary.AppendUvarint(appendString(dst, label), t.Labels[label])
	}
	if t.Latency.Count() == 0 {
		return dst // nothing follows: most tallies of a quiet bucket have no latency
	}
	dst, _ = t.Latency.AppendBinary(dst) // it fails only beyond 2^53 values, which no interval has
	return dst
}

func sortedKeys(keys []string, m map[string]uint64) []string {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (d *decoder) tally(version byte) *Tally {
	r := &Tally{}
	r.From = d.time(epoch0)
	r.To = d.time(r.From)
	r.Service = d.string()
	r.Epoch = uint32(d.upTo(math.MaxUint32))
	if version > 1 {
		r.PolicyVersion = d.uvarint()
	}
	r.Variant = d.string()
	r.Version = d.string()
	r.Bucket = d.byte()
	for _, n := range [...]*uint64{&r.Requests, &r.Fallbacks, &r.Limited, &r.Shed, &r.FirstErrors, &r.Micros} {
		*n = d.uvarint()
	}
	for i := range r.Errors {
		r.Errors[i] = d.uvarint()
	}
	const least = 2 // bytes of a label and its count
	if n := d.upTo(uint64(len(d.b)-d.at) / least); n > 0 {
		r.Labels = make(map[string]uint64, n)
		for range n {
			label := d.string()
			if _, twice := r.Labels[label]; twice {
				d.fail("a label is there twice")
			}
			r.Labels[label] = d.uvarint()
		}
	}
	if rest := d.bytes(uint64(len(d.b) - d.at)); len(rest) > 0 {
		if err := r.Latency.UnmarshalBinary(rest); err != nil {
			d.fail("its latencies cannot be read: " + err.Error())
		}
	}
	return r
}

func appendOutcome(dst []byte, o *Outcome) []byte {
	flags := byte(0)
	if o.IsText {
		flags |= isText
	}
	if o.Verified {
		flags |= isVerified
	}
	if o.Attributed {
		flags |= isAttributed
	}
	if o.ByHand {
		flags |= isByHand
	}
	dst = append(dst, flags, o.Slot)
	dst = append(dst, o.Decision[:]...)
	dst = appendString(dst, o.ID)
	dst = appendString(dst, o.Kind)
	dst = appendFloat(dst, o.Number)
	dst = appendString(dst, o.Text)
	dst = appendTime(dst, o.ReceivedAt, o.Decision.Time())
	dst = appendTime(dst, o.At, o.ReceivedAt)
	dst = appendTime(dst, o.DecidedAt, o.Decision.Time())
	dst = appendString(dst, o.Service)
	dst = binary.AppendUvarint(dst, uint64(o.Epoch))
	dst = appendString(dst, o.Variant)
	dst = appendString(dst, o.Version)
	dst = binary.AppendUvarint(dst, o.PolicyVersion)
	dst = appendFloat(dst, o.Propensity)
	return appendString(dst, o.Unit)
}

func (d *decoder) outcome() *Outcome {
	flags := d.byte()
	r := &Outcome{
		IsText: flags&isText != 0, Verified: flags&isVerified != 0, Attributed: flags&isAttributed != 0, ByHand: flags&isByHand != 0,
		Slot: d.byte(),
	}
	r.Decision = d.id()
	r.ID = d.string()
	r.Kind = d.string()
	r.Number = d.float()
	r.Text = d.string()
	r.ReceivedAt = d.time(r.Decision.Time())
	r.At = d.time(r.ReceivedAt)
	r.DecidedAt = d.time(r.Decision.Time())
	r.Service = d.string()
	r.Epoch = uint32(d.upTo(math.MaxUint32))
	r.Variant = d.string()
	r.Version = d.string()
	r.PolicyVersion = d.uvarint()
	r.Propensity = d.float()
	r.Unit = d.string()
	return r
}
