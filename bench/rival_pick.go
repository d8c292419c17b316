package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"net/http"
	"time"
)

// pickByHash is what one writes first: the user's hash, modulo 100, falls to a variant.
func pickByHash(r *http.Request) (int, error) { return fall(r.Header.Get(userHeader)), nil }

func fall(user string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user)) // it never fails
	return variantOf(int(h.Sum32() % 100))
}

// variantOf is to which variant a number of 0 to 99 falls.
func variantOf(bucket int) int {
	for i, share := range shares {
		if bucket -= share; bucket < 0 {
			return i
		}
	}
	return 0
}

// signer signs a user's name with the time into a cookie, and picks by it, as packages for sessions do.
type signer struct{ key []byte }

func (s signer) mac(message []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(message)
	return h.Sum(nil)
}

func (s signer) sign(user string) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))
	b = append(b, user...)
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b)...))
}

var errSignature = errors.New("the cookie's signature is wrong")

func (s signer) pick(r *http.Request) (int, error) {
	c, err := r.Cookie(stickyCookie)
	if err != nil {
		return 0, err
	}
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || len(b) < 8+sha256.Size {
		return 0, errSignature
	}
	signed, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, s.mac(signed)) {
		return 0, errSignature
	}
	return fall(string(signed[8:])), nil
}
