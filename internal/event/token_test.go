package event

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

func secretOf(b byte) [keySize]byte { return [keySize]byte(bytes.Repeat([]byte{b}, keySize)) }

func ringOf(tb testing.TB, bs ...byte) *Keys {
	tb.Helper()
	var secrets [][keySize]byte
	for _, b := range bs {
		secrets = append(secrets, secretOf(b))
	}
	k, err := NewKeys(secrets...)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// oneChoice is the token of typical's decision.
func oneChoice() Token {
	return Token{
		Decision: exampleID, At: exampleID.Time(), Service: Hash("sentiment"), Epoch: 3, Variant: Hash("stable"), PolicyVersion: 17,
		Propensity: 0.8,
	}
}

func ranking() Token {
	t := oneChoice()
	t.Variant, t.Propensity = 0, 1
	for i := range MaxSlots {
		t.Slots = append(t.Slots, TokenSlot{Arm: Hash(string(rune('a' + i))), Propensity: 1 / float32(i+2)})
	}
	return t
}

func TestTokensOfVersion1AreReadAndWritten(t *testing.T) {
	keys := ringOf(t, 1, 2)
	for name, want := range map[string]Token{"token": oneChoice(), "token-ranking": ranking()} {
		text := AppendToken(nil, keys, want)
		raw, err := base64.RawURLEncoding.DecodeString(string(text))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".1.hex", raw)
		got, err := ParseToken(string(text), keys)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if n := len(AppendToken(nil, keys, oneChoice())); n != 83 {
		t.Errorf("one choice takes %d characters, not 83", n)
	}
}

// The oracle is package hmac, on the key that derive gives by the same package.
func TestTokenIsSignedWithHMAC(t *testing.T) {
	secret := secretOf(7)
	raw, err := base64.RawURLEncoding.DecodeString(string(AppendToken(nil, ringOf(t, 7), ranking())))
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte("serin decision token 1"))
	h = hmac.New(sha256.New, h.Sum(nil))
	h.Write(raw[:len(raw)-16])
	if want := h.Sum(nil)[:16]; !bytes.Equal(raw[len(raw)-16:], want) {
		t.Errorf("signed %x, want %x", raw[len(raw)-16:], want)
	}
}

func TestTokenIsReadAsItWasWritten(t *testing.T) {
	keys := ringOf(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		want := Token{
			Decision: anyID().Draw(t, "id"), At: time.UnixMilli(rapid.Int64Range(0, 1<<48-1).Draw(t, "ms")).UTC(),
			Service: rapid.Uint64().Draw(t, "service"), Epoch: rapid.Uint32().Draw(t, "epoch"), Variant: rapid.Uint64().Draw(t, "variant"),
			PolicyVersion: rapid.Uint64().Draw(t, "policy"), Propensity: rapid.Float32().Draw(t, "propensity"),
		}
		for range rapid.IntRange(0, MaxSlots).Draw(t, "slots") {
			want.Slots = append(want.Slots, TokenSlot{rapid.Uint64().Draw(t, "arm"), rapid.Float32().Draw(t, "propensity")})
		}
		got, err := ParseToken(string(AppendToken(nil, keys, want)), keys)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSlotsBeyondTheLastAreLeftOut(t *testing.T) {
	keys := ringOf(t, 1)
	long := ranking()
	long.Slots = append(long.Slots, TokenSlot{Arm: 1})
	long.PolicyVersion, long.Epoch = math.MaxUint64, math.MaxUint32
	got, err := ParseToken(string(AppendToken(nil, keys, long)), keys)
	if err != nil || len(got.Slots) != MaxSlots {
		t.Errorf("%d slots, %v", len(got.Slots), err)
	}
}

func TestEveryChangeOfATokenIsSeen(t *testing.T) {
	keys := ringOf(t, 1)
	for _, token := range []Token{oneChoice(), ranking()} {
		good := string(AppendToken([]byte(nil), keys, token))
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \n\r."
		for i := range len(good) {
			for _, c := range alphabet {
				if bad := good[:i] + string(c) + good[i+1:]; bad != good {
					mustRefuse(t, bad, keys)
				}
			}
			mustRefuse(t, good[:i], keys)
			mustRefuse(t, good[i+1:], keys)
			mustRefuse(t, good[:i]+good[i+1:], keys)
			for _, c := range "A\n\r= " {
				mustRefuse(t, good[:i]+string(c)+good[i:], keys)
			}
			if i > 0 && good[i] != good[i-1] {
				mustRefuse(t, good[:i-1]+good[i:i+1]+good[i-1:i]+good[i+1:], keys)
			}
		}
		mustRefuse(t, good+"\n", keys)
		mustRefuse(t, good+"=", keys)
		mustRefuse(t, good+good, keys)
	}
}

func mustRefuse(t *testing.T, text string, keys *Keys) {
	t.Helper()
	token, err := ParseToken(text, keys)
	if fault.KindOf(err) != fault.Invalid || err == nil || fault.HintOf(err) == "" || !cmp.Equal(token, Token{}) {
		t.Errorf("%q: %+v, %v", text, token, err)
	}
}

// A token of one service or decision does not pass for that of another, and to bring it twice makes one outcome.
func TestReplayedTokenSaysWhatItAlwaysDid(t *testing.T) {
	keys := ringOf(t, 1)
	text := string(AppendToken(nil, keys, oneChoice()))
	first, err := ParseToken(text, keys)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ParseToken(text, keys)
	if err != nil {
		t.Fatal(err)
	}
	if first.Service != Hash("sentiment") || first.Service == Hash("banners") {
		t.Errorf("service %x", first.Service)
	}
	if a, b := OutcomeID(first.Decision, 0, "click"), OutcomeID(second.Decision, 0, "click"); a != b {
		t.Errorf("two outcomes: %s and %s", a, b)
	}
	other := oneChoice()
	other.Decision = other.Decision.plus(1)
	spliced, one := AppendToken(nil, keys, other), []byte(text)
	copy(spliced[:40], one[:40]) // the ids of one decision, the signature of the other
	mustRefuse(t, string(spliced), keys)
}

func TestKeysRotate(t *testing.T) {
	old, both, young, stranger := ringOf(t, 1), ringOf(t, 2, 1), ringOf(t, 2), ringOf(t, 3)
	signedOld, signedBoth := string(AppendToken(nil, old, oneChoice())), string(AppendToken(nil, both, oneChoice()))
	for _, tt := range []struct {
		text string
		keys *Keys
		ok   bool
	}{
		{signedOld, old, true}, {signedOld, both, true}, {signedOld, young, false}, {signedOld, stranger, false},
		{signedBoth, both, true}, {signedBoth, young, true}, {signedBoth, old, false},
	} {
		if _, err := ParseToken(tt.text, tt.keys); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt, err)
		}
	}
	if _, err := ParseToken(signedOld, stranger); !strings.Contains(err.Error(), "not in the ring") {
		t.Errorf("a stranger says %v", err)
	}
}

func TestKeysWithOneIDAreAllTried(t *testing.T) {
	var twins [2]byte
	first := map[byte]byte{}
	for b := byte(1); b > 0 && twins[0] == 0; b++ { // 255 keys of 256 ids
		id := newKey(secretOf(b)).id
		if a, ok := first[id]; ok {
			twins = [2]byte{a, b}
		}
		first[id] = b
	}
	if twins[0] == 0 {
		t.Fatal("no two keys share an id")
	}
	for _, b := range twins {
		if _, err := ParseToken(string(AppendToken(nil, ringOf(t, b), oneChoice())), ringOf(t, twins[:]...)); err != nil {
			t.Errorf("key %d of %v: %v", b, twins, err)
		}
	}
}

func TestTokensOfOneChoiceDoNotAllocate(t *testing.T) {
	keys := ringOf(t, 1, 2)
	dst := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { dst = AppendToken(dst[:0], keys, oneChoice()) }); n != 0 {
		t.Errorf("AppendToken: %v allocations", n)
	}
	text := string(dst)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseToken(text, keys); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("ParseToken: %v allocations", n)
	}
}

func TestKeyFileIsMadeOnceForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	made, err := LoadKeys(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := LoadKeys(path, strings.NewReader("")) // which has no bytes for another
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseToken(string(AppendToken(nil, made, oneChoice())), again); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("besides the key file there is %v", left)
	}
}

func TestReplicasThatStartAtOnceShareOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	results := make(chan *Keys)
	for range 8 {
		go func() {
			k, err := LoadKeys(path, rand.Reader)
			if err != nil {
				t.Error(err)
			}
			results <- k
		}()
	}
	first := <-results
	for range 7 {
		if k := <-results; k == nil || first == nil || k.ring[0].secret != first.ring[0].secret {
			t.Error("two keys")
		}
	}
}

func TestKeyFileSaysWhatIsWrongWithIt(t *testing.T) {
	good := "key1 " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{5}, 32)) + "\n"
	for _, tt := range []struct {
		name, text, want string
		mode             os.FileMode
	}{
		{"fine", "# a\n\n  " + good + good, "", 0o600},
		{"a group may read", good, "", 0o640},
		{"all may read", good, "others may read", 0o604},
		{"a group may write", good, "others may read or change", 0o620},
		{"empty", "", "0 keys", 0o600},
		{"only comments", "# nothing\n", "0 keys", 0o600},
		{"another word", good + "key9 abc\n", "line 2", 0o600},
		{"short", "key1 c2VjcmV0\n", "line 1: the key is not 32 bytes", 0o600},
		{"no base64", "key1 !!!\n", "line 1", 0o600},
		{"a field more", "key1 a b\n", "line 1", 0o600},
		{"zeros", "key1 " + base64.StdEncoding.EncodeToString(make([]byte, 32)), "key 1 is empty", 0o600},
		{"many", strings.Repeat(good, 17), "17 keys", 0o600},
		{"huge", strings.Repeat("#\n", 40_000), "too long", 0o600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadKeys(path, rand.Reader)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("%v: %v", fault.KindOf(err), err)
			}
			if len(tt.text) < 60_000 && fault.HintOf(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestNoKeyWithoutRandomBytes(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadKeys(filepath.Join(dir, "keys"), strings.NewReader("short")); err == nil {
		t.Error("a key was made")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("there is %v", left)
	}
}

func TestSecretsDependOnKeyAndPurpose(t *testing.T) {
	keys := ringOf(t, 1, 2)
	cookies, units := keys.Secrets("cookie"), keys.Secrets("unit")
	seen := map[string]bool{}
	for _, s := range append(cookies, units...) {
		if len(s) != 32 || seen[string(s)] {
			t.Errorf("%x", s)
		}
		seen[string(s)] = true
	}
	golden(t, "secrets.1.hex", bytes.Join(append(cookies, units...), nil))
}

func FuzzParseToken(f *testing.F) {
	keys := ringOf(f, 1, 2)
	f.Add(string(AppendToken(nil, keys, oneChoice())))
	f.Add(string(AppendToken(nil, keys, ranking())))
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text, keys)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v: %v", fault.KindOf(err), err)
			}
		} else if again := string(AppendToken(nil, keys, token)); again != text {
			t.Errorf("%q and %q are one token", text, again)
		}
		signed, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil && len(signed) > 2 && len(signed) < maxToken { // what a holder of the key might sign
			_, _ = parseSigned(signed)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	keys := ringOf(b, 1, 2)
	dst := make([]byte, 0, 512)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendToken(dst[:0], keys, oneChoice())
		}
	})
	text := string(AppendToken(nil, keys, oneChoice()))
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseToken(text, keys); err != nil {
				b.Fatal(err)
			}
		}
	})
}
