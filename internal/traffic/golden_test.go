package traffic

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/testenv"
)

func TestSipHashGivesThePublishedVectors(t *testing.T) {
	var message, key []byte
	for i := range 16 {
		key = append(key, byte(i))
	}
	lines(t, "siphash-2-4.txt", func(fields []string) {
		want, err := hex.DecodeString(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := sipText(keyOf(key), string(message)); got != binary.LittleEndian.Uint64(want) {
			t.Errorf("%d bytes: %016x, want %s read from the right", len(message), got, fields[0])
		}
		if len(message) == 16 && sipID(keyOf(key), (*[16]byte)(message)) != binary.LittleEndian.Uint64(want) {
			t.Error("an id hashes otherwise than its bytes")
		}
		message = append(message, byte(len(message)))
	})
	if len(message) != 64 {
		t.Fatalf("%d vectors, want 64", len(message))
	}
}

func TestMACIsHMACSHA256(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "secret")
		key := newMACKey(secret)
		message := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "message")
		h := hmac.New(sha256.New, secret)
		h.Write(message)
		if got := key.mac(message); !bytes.Equal(got[:], h.Sum(nil)) {
			t.Fatalf("%x", got)
		}
	})
}

func TestBucketKeyIsDerivedAsItSays(t *testing.T) {
	sum := sha256.Sum256([]byte("serin bucket v1"))
	if keyOf(sum[:]) != (hashKey{bucketKey0, bucketKey1}) {
		t.Errorf("%x", keyOf(sum[:]))
	}
}

// The golden files fix what replicas, restarts and later versions must agree on. testdata/oracle.py made them, which knows the
// formats' description and none of this code.

func TestAssignmentsAreThoseOfTheGoldenFile(t *testing.T) {
	var p *Policy
	units := 0
	lines(t, "assignment.golden", func(fields []string) {
		if fields[0] == "policy" {
			p = policy(t, strings.Join(fields[4:], " "), func(_ *Spec, o *Options) {
				o.Service, o.Epoch = fields[1], uint32(number(t, fields[2]))
			})
			if got := hex.EncodeToString(p.Salt[:]); got != fields[3] {
				t.Errorf("the salt is %s, want %s", got, fields[3])
			}
			return
		}
		units++
		c := p.Pick(user(fields[1]), random(1))
		second := p.PickAmong(c, SetOf(c.Variant))
		written := string(p.AppendUnit(nil, c.Unit))
		got := []string{"unit", fields[1], p.Variants[c.Variant].Name, p.Variants[second.Variant].Name, written, strconv.Itoa(int(Bucket(written)))}
		if strings.Join(got, "\t") != strings.Join(fields, "\t") {
			t.Errorf("%s %d:\ngot  %q\nwant %q", p.Service, p.Epoch, got, fields)
		}
	})
	if units != 225 {
		t.Fatalf("%d units in the golden file", units)
	}
}

func TestCookiesAreThoseOfTheGoldenFile(t *testing.T) {
	rings := []*Keys{testKeys(t, firstSecret, secondSecret), testKeys(t, secondSecret, firstSecret)}
	cookies := 0
	lines(t, "cookies.golden", func(f []string) {
		cookies++
		signs := rings[(cookies-1)/18]
		id := [16]byte(unhex(t, f[2]))
		if f[0] == "unit" {
			if got := string(signs.appendUnitCookie(nil, id, f[1])); got != f[3] {
				t.Errorf("cookie %s, want %s", got, f[3])
			}
			for _, k := range rings {
				got, ok, current := k.parseUnitCookie(f[3], f[1])
				if !ok || got != id || current != (k == signs) {
					t.Errorf("%s: %x %t %t", f[3], got, ok, current)
				}
			}
			return
		}
		propensity, err := strconv.ParseFloat(f[6], 64)
		if err != nil {
			t.Fatal(err)
		}
		want := ticket{byHand: f[3] == "1", service: sipText(hashKey{}, f[4]), epoch: uint32(number(t, f[5])), propensity: propensity, id: id}
		if got := string(signs.appendTicket(nil, want, f[1], f[7])); got != f[8] {
			t.Errorf("ticket %s, want %s", got, f[8])
		}
		for _, k := range rings {
			got, ok, current := k.parseTicket(f[8], f[1], f[7])
			if !ok || got != want || current != (k == signs) {
				t.Errorf("%s: %+v %t %t", f[8], got, ok, current)
			}
		}
	})
	if cookies != 36 {
		t.Fatalf("%d cookies in the golden file", cookies)
	}
}

func TestGoldenFilesAreWhatPythonComputes(t *testing.T) {
	python := testenv.Python(t, "xgboost") // any will do: the oracle needs the standard library alone
	for _, name := range []string{"assignment", "cookies"} {
		got, err := exec.Command(python, "testdata/oracle.py", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("testdata/" + name + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s.golden differs from what the oracle prints", name)
		}
	}
}

func TestExponentialStaysInItsBounds(t *testing.T) {
	for _, tt := range []struct{ hash, want uint64 }{
		{math.MaxUint64, 16}, // u = 1 - 2^-53
		{0, uint64(math.Ldexp(53*math.Ln2, 57))},
		{1 << 63, uint64(math.Ldexp(math.Ln2, 57))},
	} {
		if got := exponential(tt.hash); !near(float64(got), float64(tt.want), float64(tt.want)*1e-9) {
			t.Errorf("%x: %d, want %d", tt.hash, got, tt.want)
		}
	}
}

func TestTheLowerBoundIsOne(t *testing.T) {
	r := random(1)
	for i := range uint64(million) {
		for _, hash := range []uint64{r.Uint64(), i << 12, ^(i << 12), ^uint64(0) - r.Uint64()>>(i%64)} {
			if time, bound := exponential(hash), atLeast(hash); bound > time || hash>>63 == 1 && bound < time/2 {
				t.Fatalf("%x: at least %d, but %d", hash, bound, time)
			}
		}
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
