package store

import (
	"context"

	"github.com/serin-ml/serin/internal/fault"
)

// State keeps small documents under keys: what models, releases and runs remember. It is safe for concurrent use. A function
// given to it runs inside a transaction: it must not call the State itself, and must not keep its Reader or Tx.
type State interface {
	// View runs read on one unchanging snapshot and returns its error.
	View(ctx context.Context, read func(Reader) error) error
	// Update runs write as one serialisable transaction. If write returns nil, all it wrote is durable when Update returns nil; if
	// write fails, nothing changed, and its error is returned. A State opened for reading only is Unavailable.
	Update(ctx context.Context, write func(Tx) error) error
}

// Reader reads documents.
type Reader interface {
	// Get returns the document at key; NotFound if there is none.
	Get(key string) (Doc, error)
	// Scan calls found with each document whose key begins with prefix ("" for all), in the byte order of keys, until it
	// returns an error, which Scan returns. found may read and write; a write behind the present key is not seen.
	Scan(prefix string, found func(Doc) error) error
}

// Tx reads and writes documents. It sees its own writes.
type Tx interface {
	Reader
	// Put stores value at key and returns its revision. was says what must be there: a revision, Absent or Any; anything else
	// there is Conflict.
	Put(key string, value []byte, was int64) (int64, error)
	// Delete removes the document at key; was is as for Put, and Any makes an absent document no error.
	Delete(key string, was int64) error
}

// Doc is a document: a value that says itself which version of its format it is in.
type Doc struct {
	Key      string
	Revision int64 // grows with every change in the whole State, from 1; equal revisions of a key mean equal values
	Value    []byte
}

// What Put and Delete may expect in place of a revision.
const (
	Absent int64 = 0  // no document
	Any    int64 = -1 // whatever is there
)

// MaxKey is the greatest length of a key in bytes, MaxValue that of a document.
const (
	MaxKey   = 512
	MaxValue = 8 << 20
)

// CheckKey tells whether adapters take key: 1 to MaxKey bytes of ASCII without spaces and control characters, so that the order of
// keys is the same everywhere. Otherwise it is Invalid.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fault.Invalidf("a key of %d bytes; 1 to %d are allowed", len(key), MaxKey)
	}
	return checkBytes(key)
}

// CheckPrefix is CheckKey for a prefix, which may be empty.
func CheckPrefix(prefix string) error {
	if len(prefix) > MaxKey {
		return fault.Invalidf("a prefix of %d bytes; %d are allowed", len(prefix), MaxKey)
	}
	return checkBytes(prefix)
}

func checkBytes(key string) error {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return fault.Invalidf("key %q holds byte 0x%02x at %d; only visible ASCII is allowed", key, key[i], i)
		}
	}
	return nil
}

// CheckValue tells whether adapters take a document of this size. A larger one is Invalid: it belongs in Blobs.
func CheckValue(key string, value []byte) error {
	if len(value) > MaxValue {
		return fault.Invalidf("document %s has %d bytes; at most %d are allowed", key, len(value), MaxValue)
	}
	return nil
}

// CheckRevision is the rule of Put's was: it compares it with the revision there is, 0 for none.
func CheckRevision(key string, was, is int64) error {
	switch {
	case was == Any || was == is:
		return nil
	case is == Absent:
		return fault.Conflictf("document %s is gone", key).WithHint("read it again, and decide anew")
	case was == Absent:
		return fault.Conflictf("document %s exists already", key).WithHint("read it, and decide anew")
	}
	return fault.Conflictf("document %s changed meanwhile", key).WithHint("read it again, and decide anew")
}
