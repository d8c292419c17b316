package event

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Keys is a ring of secret keys: the first signs, all verify. It does not change; replicas share the file it came from.
type Keys struct{ ring []key }

const (
	keySize = 32 // bytes of a key
	maxKeys = 16 // in a ring: each that bears a token's key id costs a check
)

// key is one key, made ready to sign tokens.
type key struct {
	id           byte
	secret       [keySize]byte
	inner, outer [sha256.BlockSize]byte // of HMAC (RFC 2104)
}

// What the keys' parts are for, so that none is used for two things.
const (
	forTokens = "serin decision token 1"
	forIDs    = "serin key id 1"
)

func newKey(secret [keySize]byte) key {
	k := key{secret: secret, id: derive(secret, forIDs)[0]}
	copy(k.inner[:], derive(secret, forTokens))
	k.outer = k.inner
	for i := range k.inner {
		k.inner[i] ^= 0x36
		k.outer[i] ^= 0x5c
	}
	return k
}

func derive(secret [keySize]byte, purpose string) []byte {
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// NewKeys makes a ring of 1 to 16 keys of 32 bytes. The first signs.
func NewKeys(secrets ...[keySize]byte) (*Keys, error) {
	if len(secrets) == 0 || len(secrets) > maxKeys {
		return nil, fault.Invalidf("%d keys are not 1 to %d", len(secrets), maxKeys)
	}
	k := &Keys{}
	for i, secret := range secrets {
		if secret == [keySize]byte{} {
			return nil, fault.Invalidf("key %d is empty", i+1)
		}
		k.ring = append(k.ring, newKey(secret))
	}
	return k, nil
}

// Secrets returns 32 bytes for each key, the first key's first, which depend on the purpose and tell nothing of the keys nor of the
// secrets of another purpose: for cookies, or to hash units.
func (k *Keys) Secrets(purpose string) [][]byte {
	secrets := make([][]byte, len(k.ring))
	for i := range k.ring {
		secrets[i] = derive(k.ring[i].secret, "serin secret 1 "+purpose)
	}
	return secrets
}

// sign returns the first 16 bytes of HMAC-SHA256 of text, which is at most maxToken long. It does not allocate: package hmac would.
func (k *key) sign(text []byte) (mac [macSize]byte) {
	var buffer [sha256.BlockSize + maxToken]byte
	n := copy(buffer[:], k.inner[:])
	n += copy(buffer[n:], text)
	sum := sha256.Sum256(buffer[:n])
	n = copy(buffer[:], k.outer[:])
	n += copy(buffer[n:], sum[:])
	sum = sha256.Sum256(buffer[:n])
	copy(mac[:], sum[:])
	return mac
}

// verify tells whether one of the keys with this id signed text, and whether there is such a key.
func (k *Keys) verify(id byte, text, mac []byte) (ok, known bool) {
	for i := range k.ring {
		if k.ring[i].id == id {
			known = true
			want := k.ring[i].sign(text)
			ok = ok || subtle.ConstantTimeCompare(want[:], mac) == 1
		}
	}
	return ok, known
}

// The key file is text: a comment begins with #, each other line is a key as keyWord and 32 bytes in base64.
const (
	keyWord = "key1"
	preface = `# Serin's keys. Who has them can forge feedback: keep them secret.
# The first key signs, all verify. Replicas share this file. For a new key put a line on top, restart all replicas, and remove
# the old line when no feedback signed with it is expected any more:
#   echo "key1 $(head -c 32 /dev/urandom | base64)"
`
)

// LoadKeys reads the ring from the file at path. If there is no such file it makes one with one key of 32 bytes from random, which
// only its owner may read. Of several processes that do so at once, one's key wins for all. A file that others may read, or that is
// not of this form, is Invalid.
func LoadKeys(path string, random io.Reader) (*Keys, error) {
	text, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKeys(path, random); err != nil {
			return nil, fault.New(kindOfFile(err), "make the key file: %w", err)
		}
		text, err = readKeys(path)
	}
	if err != nil {
		return nil, fault.New(kindOfFile(err), "read the key file: %w", err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fault.Invalidf("key file %s: %w", path, err).
			WithHint("restore it from a backup; or remove it for a new key, after which feedback with older tokens is not verified")
	}
	return keys, nil
}

func kindOfFile(err error) fault.Kind {
	if errors.Is(err, fs.ErrPermission) {
		return fault.Unavailable
	}
	return fault.KindOf(err)
}

func readKeys(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o027 != 0 {
		return nil, fault.Invalidf("%s has the mode %#o: others may read or change it", path, mode.Perm()).
			WithHint("chmod 600 %s", path)
	}
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err == nil && len(text) == most {
		err = fault.Invalidf("%s is too long to be a key file", path)
	}
	return text, err
}

func parseKeys(text []byte) (*Keys, error) {
	var secrets [][keySize]byte
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if fields[0] != keyWord || len(fields) != 2 {
			return nil, fmt.Errorf("line %d is not %q and a key", number, keyWord)
		}
		secret, err := base64.StdEncoding.Strict().DecodeString(fields[1])
		if err != nil || len(secret) != keySize {
			return nil, fmt.Errorf("line %d: the key is not %d bytes in base64", number, keySize) // which it is not to be shown
		}
		secrets = append(secrets, [keySize]byte(secret))
	}
	return NewKeys(secrets...)
}

// makeKeys makes the file whole or not at all, and does nothing if another process was faster.
func makeKeys(path string, random io.Reader) (err error) {
	var secret [keySize]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return err
	}
	var suffix [8]byte
	if _, err := io.ReadFull(rand.Reader, suffix[:]); err != nil {
		return err
	}
	temporary := path + "." + hex.EncodeToString(suffix[:])
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temporary)) }()
	_, err = f.WriteString(preface + keyWord + " " + base64.StdEncoding.EncodeToString(secret[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A link fails where a rename would replace what another process made and has begun to sign with.
	if err := os.Link(temporary, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
