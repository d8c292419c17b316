package event

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

// google/uuid is the oracle: it reads what we write as what RFC 9562 says.
func TestIDIsAUUIDOfVersion7(t *testing.T) {
	for range 1000 {
		id, err := NewID(at, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		u, err := uuid.Parse(id.String())
		if err != nil || [16]byte(u) != id || u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: %v, version %v, variant %v", id, err, u.Version(), u.Variant())
		}
		if got := id.Time(); !got.Equal(at.Truncate(time.Millisecond)) {
			t.Fatalf("made at %v, says %v", at, got)
		}
		again, err := ParseID(strings.ToUpper(id.String()))
		if err != nil || again != id {
			t.Fatalf("read back: %v, %v", again, err)
		}
	}
	example := mustID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f") // appendix A.6 of RFC 9562
	if want := time.Date(2022, 2, 22, 19, 22, 22, 0, time.UTC); !example.Time().Equal(want) {
		t.Errorf("the RFC's example says %v, not %v", example.Time(), want)
	}
}

func TestWhatIsNoIDIsInvalid(t *testing.T) {
	good := exampleID.String()
	for _, text := range []string{
		"", good[:35], good + "0", strings.ReplaceAll(good, "-", ""), "{" + good + "}", strings.Replace(good, "7abc", "4abc", 1),
		strings.Replace(good, "-8def", "-cdef", 1), strings.Replace(good, "0", "g", 1), strings.Replace(good, "-", "+", 1),
		strings.Repeat("0", 36), "00000000-0000-0000-0000-000000000000",
	} {
		if id, err := ParseID(text); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" || !id.IsZero() {
			t.Errorf("%q: %v, %v", text, id, err)
		}
	}
}

func TestIDsOfAGeneratorGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewGenerator(rand.Reader)
		now, last := at, ID{}
		for range 200 {
			now = now.Add(time.Duration(rapid.Int64Range(-5e6, 10e6).Draw(t, "step")))
			id, err := g.Next(now)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Compare(id[:], last[:]) <= 0 || id[6]>>4 != 7 || id[8]>>6 != 2 {
				t.Fatalf("%s after %s", id, last)
			}
			last = id
		}
	})
}

func TestIDsFollowAClockThatWasSet(t *testing.T) {
	g := NewGenerator(rand.Reader)
	for _, step := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour} {
		now := at.Add(step)
		id, err := g.Next(now)
		if err != nil || !id.Time().Equal(now.Truncate(time.Millisecond)) {
			t.Errorf("at %v the id says %v, %v", now, id.Time(), err)
		}
	}
}

func TestStepOfAnIDCarries(t *testing.T) {
	for from, want := range map[string]string{
		"019aa59c-c9bb-7abc-bfff-fffffffffffe": "019aa59c-c9bb-7abc-bfff-ffffffffffff",
		"019aa59c-c9bb-7abc-bfff-ffffffffffff": "019aa59c-c9bb-7abd-8000-000000000000",
		"019aa59c-c9bb-7fff-bfff-ffffffffffff": "019aa59c-c9bc-7000-8000-000000000000",
	} {
		if got := mustID(from).plus(1); got != mustID(want) {
			t.Errorf("after %s comes %s, not %s", from, got, want)
		}
	}
}

func TestNoRandomBytesNoID(t *testing.T) {
	boom := errors.New("boom")
	if _, err := NewID(at, iotest.ErrReader(boom)); !errors.Is(err, boom) {
		t.Error(err)
	}
	if _, err := NewGenerator(iotest.ErrReader(boom)).Next(at); !errors.Is(err, boom) {
		t.Error(err)
	}
}

func TestOutcomeIDAndHashStayWhatTheyAre(t *testing.T) {
	// The first from an independent SHA-256 (sha256sum), the second from the test vectors of FNV-1a.
	if got, want := OutcomeID(exampleID, 2, "click"), "299f6c45cdeb0cbfc242ffe8f016c2cd"; got != want {
		t.Errorf("OutcomeID = %s, want %s", got, want)
	}
	for name, want := range map[string]uint64{"": 0xcbf29ce484222325, "a": 0xaf63dc4c8601ec8c, "foobar": 0x85944171f73967e8} {
		if got := Hash(name); got != want {
			t.Errorf("Hash(%q) = %x, want %x", name, got, want)
		}
	}
	if OutcomeID(exampleID, 2, "click") == OutcomeID(exampleID, 1, "click") || OutcomeID(exampleID, 2, "click") == OutcomeID(exampleID, 2, "like") {
		t.Error("the id does not depend on slot and kind")
	}
}

func TestReasonsHaveNames(t *testing.T) {
	for r := Weights; r <= ByHand; r++ {
		if got, err := ParseReason(r.String()); err != nil || got != r {
			t.Errorf("%v: %v, %v", r, got, err)
		}
	}
	if _, err := ParseReason("chance"); fault.KindOf(err) != fault.Invalid {
		t.Error(err)
	}
	if got := Reason(77).String() + ", " + Timeout.String() + ", " + ErrorClass(9).String(); got != "reason 77, timeout, class 9" {
		t.Error(got)
	}
}

func BenchmarkNextID(b *testing.B) {
	g := NewGenerator(rand.Reader)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Next(now); err != nil {
			b.Fatal(err)
		}
	}
}
