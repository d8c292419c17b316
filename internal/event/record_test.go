package event

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/stat"
)

var update = flag.Bool("update", false, "write the golden files anew")

// at is when the examples happen.
var at = time.Date(2026, 11, 21, 7, 30, 0, 123_456_789, time.UTC)

func mustID(text string) ID {
	id, err := ParseID(text)
	if err != nil {
		panic(err)
	}
	return id
}

var exampleID = mustID("019aa59c-c9bb-7abc-8def-0123456789ab")

const digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

// typical is what a service of two model variants writes for each request.
func typical() Decision {
	return Decision{
		ID: exampleID, At: exampleID.Time().Add(123_456), Service: "sentiment", Epoch: 3, PolicyVersion: 17, Generation: 1,
		Unit: "5f1c8a90b3d24e6789abcdef01234567", Assigned: "stable", Answered: "stable", Version: digest, Propensity: 0.8,
		Status: 200, Micros: 873, Label: "positive", Score: float64(float32(0.973)),
	}
}

// examples is one full record of each kind, by the name of its golden file.
func examples() map[string]Record {
	full := typical()
	full.Rank, full.RequestID, full.Answered, full.Reason = true, "0b6a9f9e-8c2c-4a5f-9d3d-7a1f6f1f2a3b", "fallback", Failover
	full.UpstreamMicros, full.Score, full.Payload, full.At = 401, 1.0/3, "p/17", at
	full.Slots = []Slot{{Slot: 0, Arm: "travel-cover", Position: 1, Propensity: 0.25}, {Slot: 1, Arm: "step", Position: 0, Propensity: 1e-3}}
	alone := typical()
	alone.Alone = true
	tally := &Tally{
		From: at, To: at.Add(time.Second), Service: "sentiment", Epoch: 3, PolicyVersion: 300, Variant: "canary", Version: digest, Bucket: 63, Requests: 1000,
		Fallbacks: 1, Limited: 2, Shed: 3, FirstErrors: 4, Errors: [NumClasses]uint64{5, 6, 7, 8}, Micros: 1 << 40,
		Labels: map[string]uint64{"negative": 400, "positive": 600},
	}
	for v := 100.0; v < 1e6; v *= 1.7 {
		tally.Latency.AddN(math.Round(v), 3)
	}
	return map[string]Record{
		"decision":       {Decision: ptr(typical())},
		"decision-full":  {Decision: &full},
		"decision-alone": {Decision: &alone},
		"decision-empty": {Decision: &Decision{Score: math.NaN()}},
		"tally":          {Tally: tally},
		"tally-empty":    {Tally: &Tally{}},
		"outcome": {Outcome: &Outcome{
			ID: OutcomeID(exampleID, 0, "click"), Decision: exampleID, Slot: 2, Kind: "click", Number: 1, At: at.Add(-time.Hour), ReceivedAt: at,
			Verified: true, DecidedAt: exampleID.Time(), Service: "sentiment", Epoch: 3, Variant: "stable", Version: digest, PolicyVersion: 17,
			Propensity: 0.8, Unit: "5f1c8a90b3d24e6789abcdef01234567",
		}},
		"comparison":       {Comparison: comparison()},
		"comparison-empty": {Comparison: &Comparison{}},
		"disagreement": {Disagreement: &Disagreement{
			Decision: exampleID, At: exampleID.Time().Add(123_456), Service: "sentiment", Shadow: "next", ShadowVersion: digest, Primary: "stable",
			PrimaryVersion: "1.4.0", Rule: "label", PrimaryStatus: 200, ShadowStatus: 200, PrimaryMicros: 873, ShadowMicros: 1020,
			PrimaryLabel: "positive", ShadowLabel: "négatif", PrimaryScore: 0.51, ShadowScore: 0.49, Difference: 0.49 - 0.51, Overlap: math.NaN(),
			Where: "prediction[0]", PrimaryAnswer: `{"prediction":[0.51]}`, ShadowAnswer: `{"prediction":[0.49]}`,
		}},
		"disagreement-empty": {Disagreement: &Disagreement{PrimaryScore: math.NaN(), ShadowScore: math.NaN(), Difference: math.NaN()}},
		"outcome-text":       {Outcome: &Outcome{ID: "a", Kind: "label", Text: "négatif", IsText: true, ReceivedAt: at, Attributed: true}},
		"outcome-empty":      {Outcome: &Outcome{}},
	}
}

// comparison is a full one.
func comparison() *Comparison {
	c := &Comparison{
		From: at, To: at.Add(time.Second), Service: "sentiment", Shadow: "next", ShadowVersion: digest, Primary: "stable", PrimaryVersion: "1.4.0",
		Rule: "numeric 1e-06", Drops: [NumDrops]uint64{1, 2, 3, 4, 5, 6, 7}, Unpaired: [NumUnpaired]uint64{8, 9, 10, 11, 12}, ScoreSame: 5,
		Buckets: []ComparisonBucket{{Bucket: 0, Pairs: 1}, {Bucket: 63, Pairs: 1000, Agreed: 990, Lean: -30, Micros: -123456, Overlap: 901.25, Scored: 7, Score: -1.0 / 3}},
	}
	for v := 100.0; v < 1e6; v *= 1.7 {
		c.PrimaryLatency.AddN(math.Round(v), 3)
		c.ShadowLatency.Add(math.Round(2 * v))
	}
	c.ScoreAbove.Add(0.25)
	c.ScoreBelow.AddN(1.0/3, 2)
	return c
}

func ptr[T any](v T) *T { return &v }

var same = cmp.Options{cmpopts.EquateNaNs()}

// golden compares got with a file of hexadecimal digits, 32 bytes a line.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		var text bytes.Buffer
		for from := 0; from < len(got); from += 32 {
			text.WriteString(hex.EncodeToString(got[from:min(from+32, len(got))]) + "\n")
		}
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s (%v):\ngot  %x\nwant %x", file, err, got, want)
	}
}

// TestRecordsAreReadAndWritten holds the binary form fast: what these files say was written to disks. The number is the version.
func TestRecordsAreReadAndWritten(t *testing.T) {
	for name, want := range examples() {
		b := AppendRecord(nil, want)
		golden(t, fmt.Sprintf("%s.%d.hex", name, b[1]), b)
		got, err := ParseRecord(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Tallies of version 1 do not say which policy decided.
func TestTalliesOfVersion1AreRead(t *testing.T) {
	for _, name := range []string{"tally", "tally-empty"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".1.hex"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		want := *examples()[name].Tally
		want.PolicyVersion = 0
		if got, err := ParseRecord(b); err != nil || cmp.Diff(Record{Tally: &want}, got, same) != "" {
			t.Errorf("%s (%v): %s", name, err, cmp.Diff(Record{Tally: &want}, got, same))
		}
	}
}

func TestTypicalDecisionTakesAtMost120Bytes(t *testing.T) {
	d := typical()
	if got := len(AppendRecord(nil, Record{Decision: &d})); got > 120 {
		t.Errorf("%d bytes", got)
	} else {
		t.Logf("%d bytes", got)
	}
	d.RequestID = "0b6a9f9e-8c2c-4a5f-9d3d-7a1f6f1f2a3b"
	if got := len(AppendRecord(nil, Record{Decision: &d})); got > 135 {
		t.Errorf("with the id of a client, %d bytes", got)
	}
}

func anyString() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[0-9a-f]{0,80}`),
		rapid.StringMatching(`sha256:[0-9a-f]{64}`),
		rapid.StringMatching(`[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
}

func anyFloat() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Float64(),
		rapid.Map(rapid.Float32(), func(f float32) float64 { return float64(f) }),
		rapid.Map(rapid.IntRange(0, 20_000), func(n int) float64 { return float64(n) / 10_000 }),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64, 1e-300, 6710.8863, 6710.8864}),
	)
}

func anyTime() *rapid.Generator[time.Time] {
	return rapid.OneOf(
		rapid.Just(time.Time{}),
		rapid.Map(rapid.Int64(), func(ns int64) time.Time { return time.Unix(0, ns).UTC() }),
		rapid.Custom(func(t *rapid.T) time.Time {
			return time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		}),
	)
}

func anyID() *rapid.Generator[ID] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) ID { return ID(b) })
}

func anyRecord() *rapid.Generator[Record] {
	return rapid.Custom(func(t *rapid.T) Record {
		text := func() string { return anyString().Draw(t, "text") }
		float := func() float64 { return anyFloat().Draw(t, "float") }
		when := func() time.Time { return anyTime().Draw(t, "time") }
		count := func() uint64 { return rapid.Uint64().Draw(t, "count") }
		truth := func() bool { return rapid.Bool().Draw(t, "flag") }
		short := func() uint8 { return rapid.Uint8().Draw(t, "small") }
		id := func() ID { return anyID().Draw(t, "id") }
		switch rapid.IntRange(1, 6).Draw(t, "kind") {
		case 1:
			d := Decision{
				ID: id(), At: when(), Rank: truth(), Service: text(), Epoch: uint32(count()), PolicyVersion: count(), Generation: count(),
				Unit: text(), RequestID: text(), Assigned: text(), Answered: text(), Version: text(), Reason: Reason(short()), Propensity: float(), Alone: truth(),
				Status: uint16(count()), Micros: uint32(count()), UpstreamMicros: uint32(count()), Label: text(), Score: float(), Payload: text(),
			}
			for range rapid.IntRange(0, 5).Draw(t, "slots") {
				d.Slots = append(d.Slots, Slot{short(), text(), short(), float()})
			}
			return Record{Decision: &d}
		case 2:
			y := Tally{
				From: when(), To: when(), Service: text(), Epoch: uint32(count()), PolicyVersion: count(), Variant: text(), Version: text(), Bucket: short(),
				Requests: count(), Fallbacks: count(), Limited: count(), Shed: count(), FirstErrors: count(),
				Errors: [NumClasses]uint64{count(), count(), count(), count()}, Micros: count(),
			}
			for range rapid.IntRange(0, 5).Draw(t, "values") {
				y.Latency.Add(math.Abs(float()))
			}
			if n := rapid.IntRange(0, 3).Draw(t, "labels"); n > 0 {
				y.Labels = map[string]uint64{}
				for range n {
					y.Labels[text()] = count()
				}
			}
			return Record{Tally: &y}
		case 3:
			return Record{Outcome: &Outcome{
				ID: text(), Decision: id(), Slot: short(), Kind: text(), Number: float(), Text: text(), IsText: truth(), At: when(),
				ReceivedAt: when(), Verified: truth(), DecidedAt: when(), Service: text(), Epoch: uint32(count()), Variant: text(),
				Version: text(), PolicyVersion: count(), Propensity: float(), Unit: text(), Attributed: truth(), ByHand: truth(),
			}}
		case 4:
			c := Comparison{
				From: when(), To: when(), Service: text(), Shadow: text(), ShadowVersion: text(), Primary: text(), PrimaryVersion: text(), Rule: text(),
				Drops: [NumDrops]uint64{count(), count()}, Unpaired: [NumUnpaired]uint64{count(), count()}, ScoreSame: count(),
			}
			for range rapid.IntRange(0, 3).Draw(t, "buckets") {
				number := short()
				*c.Bucket(number) = ComparisonBucket{number, count(), count(), int64(count()), int64(count()), float(), count(), float()}
			}
			for _, s := range []*stat.Sketch{&c.PrimaryLatency, &c.ShadowLatency, &c.ScoreAbove, &c.ScoreBelow} {
				for range rapid.IntRange(0, 3).Draw(t, "values") {
					s.Add(math.Abs(float()))
				}
			}
			return Record{Comparison: &c}
		case 5:
			return Record{Disagreement: &Disagreement{
				Decision: id(), At: when(), Service: text(), Shadow: text(), ShadowVersion: text(), Primary: text(), PrimaryVersion: text(), Rule: text(),
				PrimaryStatus: uint16(count()), ShadowStatus: uint16(count()), PrimaryMicros: uint32(count()), ShadowMicros: uint32(count()),
				PrimaryLabel: text(), ShadowLabel: text(), PrimaryScore: float(), ShadowScore: float(), Difference: float(), Overlap: float(),
				Where: text(), PrimaryAnswer: text(), ShadowAnswer: text(),
			}}
		default:
			return Record{Unknown: &Unknown{Kind(rapid.IntRange(int(KindDisagreement)+1, 255).Draw(t, "kind")), 1 + short()/2, rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "body")}}
		}
	})
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord().Draw(t, "record")
		prefix := []byte("before")
		b := AppendRecord(prefix, want)
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("AppendRecord changed what was there")
		}
		b = b[len(prefix):]
		got, err := ParseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.Kind() != want.Kind() {
			t.Fatalf("kind %v of %v", got.Kind(), want.Kind())
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatal(diff)
		}
		for i := 2; i < len(b) && want.Unknown == nil; i++ {
			cut, err := ParseRecord(b[:i])
			if err == nil && (cut.Tally == nil || cut.Tally.Latency.Count() > 0) { // the latencies of a tally end it, and may be left out
				t.Fatalf("cut to %d of %d bytes, it is still read", i, len(b))
			}
		}
	})
}

func TestLaterKindsAndVersionsAreKeptApart(t *testing.T) {
	for name, b := range map[string][]byte{
		"a later kind":                      {6, 1, 7, 8, 9},
		"a later version of a decision":     {byte(KindDecision), version + 1, 1},
		"a later version of a later kind":   {250, 250},
		"a later version of an empty tally": {byte(KindTally), 255},
	} {
		r, err := ParseRecord(b)
		if err != nil || r.Unknown == nil || r.Kind() != Kind(b[0]) || r.Unknown.Version != b[1] {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		if again := AppendRecord(nil, r); !bytes.Equal(again, b) {
			t.Errorf("%s: written again, it is %x, not %x", name, again, b)
		}
	}
}

func TestWhatIsNoRecordIsInvalid(t *testing.T) {
	decision := AppendRecord(nil, Record{Decision: ptr(typical())})
	tally := AppendRecord(nil, Record{Tally: &Tally{}})
	for name, b := range map[string][]byte{
		"nothing":                 nil,
		"a kind alone":            {1},
		"kind 0":                  {0, 1, 0},
		"version 0":               {1, 0, 0},
		"an empty record":         AppendRecord(nil, Record{}),
		"one byte more":           append(bytes.Clone(decision), 0),
		"latencies of nonsense":   append(bytes.Clone(tally), 99, 99),
		"many slots in few bytes": append(append([]byte{1, 1, hasSlots | answeredAsAssigned, 0}, make([]byte, 27)...), 0xff, 0xff, 0xff, 0xff, 0x0f),
	} {
		if r, err := ParseRecord(b); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestRecordWithSeveralFieldsHasNoKind(t *testing.T) {
	if k := (Record{Decision: &Decision{}, Outcome: &Outcome{}}).Kind(); k != 0 {
		t.Errorf("kind %v", k)
	}
	if k := (Record{}).Kind(); k != 0 {
		t.Errorf("kind %v", k)
	}
	if got := Kind(9).String(); got != "kind 9" {
		t.Error(got)
	}
}

func TestRecordsAreWrittenWithoutAllocating(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for name, r := range examples() {
		if n := testing.AllocsPerRun(100, func() { dst = AppendRecord(dst[:0], r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, r := range examples() {
		f.Add(AppendRecord(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v: %v", fault.KindOf(err), err)
			}
			return
		}
		again, err := ParseRecord(AppendRecord(nil, r))
		if err != nil {
			t.Fatalf("read, written, then: %v", err)
		}
		if diff := cmp.Diff(r, again, same); diff != "" {
			t.Error(diff)
		}
	})
}

func BenchmarkAppendRecord(b *testing.B) {
	dst := make([]byte, 0, 4096)
	for _, name := range []string{"decision", "outcome", "tally"} {
		r := examples()[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendRecord(dst[:0], r)
			}
			b.ReportMetric(float64(len(dst)), "bytes")
		})
	}
}

func BenchmarkParseRecord(b *testing.B) {
	for _, name := range []string{"decision", "outcome", "tally"} {
		text := AppendRecord(nil, examples()[name])
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRecord(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
