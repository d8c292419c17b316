package event

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/stat"
)

func appendComparison(dst []byte, c *Comparison) []byte {
	dst = appendTime(dst, c.From, epoch0)
	dst = appendTime(dst, c.To, c.From)
	for _, text := range [...]string{c.Service, c.Shadow, c.ShadowVersion, c.Primary, c.PrimaryVersion, c.Rule} {
		dst = appendString(dst, text)
	}
	for _, n := range c.Drops {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, n := range c.Unpaired {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Buckets)))
	for i := range c.Buckets {
		b := &c.Buckets[i]
		dst = append(dst, b.Bucket)
		dst = binary.AppendUvarint(dst, b.Pairs)
		dst = binary.AppendUvarint(dst, b.Agreed)
		dst = binary.AppendVarint(dst, b.Lean)
		dst = binary.AppendVarint(dst, b.Micros)
		dst = appendFloat(dst, b.Overlap)
		dst = binary.AppendUvarint(dst, b.Scored)
		dst = appendFloat(dst, b.Score)
	}
	dst = binary.AppendUvarint(dst, c.ScoreSame)
	for _, s := range [...]*stat.Sketch{&c.PrimaryLatency, &c.ShadowLatency, &c.ScoreAbove, &c.ScoreBelow} {
		dst = appendSketch(dst, s)
	}
	return dst
}

// appendSketch appends the length of a sketch's own form and that form, which is left out of an empty one.
func appendSketch(dst []byte, s *stat.Sketch) []byte {
	start := len(dst)
	if s.Count() > 0 {
		dst, _ = s.AppendBinary(dst) // it fails only beyond 2^53 values, which no interval has
	}
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(dst)-start))
	return slices.Insert(dst, start, length[:n]...)
}

func (d *decoder) sketch(s *stat.Sketch) {
	n := d.uvarint()
	b := d.bytes(n)
	if n == 0 || b == nil {
		return
	}
	if s.UnmarshalBinary(b) != nil || s.Count() == 0 { // an empty one has no form here
		d.fail("a sketch is wrong")
	}
}

func (d *decoder) comparison() *Comparison {
	r := &Comparison{From: d.time(epoch0)}
	r.To = d.time(r.From)
	for _, text := range [...]*string{&r.Service, &r.Shadow, &r.ShadowVersion, &r.Primary, &r.PrimaryVersion, &r.Rule} {
		*text = d.string()
	}
	for i := range r.Drops {
		r.Drops[i] = d.uvarint()
	}
	for i := range r.Unpaired {
		r.Unpaired[i] = d.uvarint()
	}
	for n := d.upTo(math.MaxUint8 + 1); n > 0 && d.problem == ""; n-- { // each has its own number: a claim of more is not believed
		b := ComparisonBucket{
			Bucket: d.byte(), Pairs: d.uvarint(), Agreed: d.uvarint(), Lean: d.varint(), Micros: d.varint(), Overlap: d.float(),
			Scored: d.uvarint(), Score: d.float(),
		}
		if last := len(r.Buckets) - 1; last >= 0 && r.Buckets[last].Bucket >= b.Bucket {
			d.fail("its buckets are out of order")
		}
		r.Buckets = append(r.Buckets, b)
	}
	r.ScoreSame = d.uvarint()
	for _, s := range [...]*stat.Sketch{&r.PrimaryLatency, &r.ShadowLatency, &r.ScoreAbove, &r.ScoreBelow} {
		d.sketch(s)
	}
	return r
}

func appendDisagreement(dst []byte, r *Disagreement) []byte {
	dst = append(dst, r.Decision[:]...)
	dst = appendTime(dst, r.At, r.Decision.Time())
	for _, text := range [...]string{
		r.Service, r.Shadow, r.ShadowVersion, r.Primary, r.PrimaryVersion, r.Rule, r.PrimaryLabel, r.ShadowLabel, r.Where, r.PrimaryAnswer, r.ShadowAnswer,
	} {
		dst = appendString(dst, text)
	}
	for _, n := range [...]uint64{uint64(r.PrimaryStatus), uint64(r.ShadowStatus), uint64(r.PrimaryMicros), uint64(r.ShadowMicros)} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, v := range [...]float64{r.PrimaryScore, r.ShadowScore, r.Difference, r.Overlap} {
		dst = appendFloat(dst, v)
	}
	return dst
}

func (d *decoder) disagreement() *Disagreement {
	r := &Disagreement{Decision: d.id()}
	r.At = d.time(r.Decision.Time())
	for _, text := range [...]*string{
		&r.Service, &r.Shadow, &r.ShadowVersion, &r.Primary, &r.PrimaryVersion, &r.Rule, &r.PrimaryLabel, &r.ShadowLabel, &r.Where, &r.PrimaryAnswer, &r.ShadowAnswer,
	} {
		*text = d.string()
	}
	r.PrimaryStatus, r.ShadowStatus = uint16(d.upTo(math.MaxUint16)), uint16(d.upTo(math.MaxUint16))
	r.PrimaryMicros, r.ShadowMicros = uint32(d.upTo(math.MaxUint32)), uint32(d.upTo(math.MaxUint32))
	for _, v := range [...]*float64{&r.PrimaryScore, &r.ShadowScore, &r.Difference, &r.Overlap} {
		*v = d.float()
	}
	return r
}
