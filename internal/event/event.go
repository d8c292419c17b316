// Package event is the log in which everything meets: what Serin answered (decisions, and exact tallies of them) and what came back
// (outcomes). It holds the records with their binary form, the ids and the signed tokens that tie an outcome to its decision, and Log,
// the interface to what keeps them. Package eventtest tests a Log; event/disk is one.
//
// Names are those of CONTRACTS: a variant's name is that of a slot such as "stable", a version is the digest of a model.
package event

import (
	"context"
	"errors"
	"fmt"
)

// Offset is a place in a log. Places grow, not always by one. A consumer keeps the one to go on from; it makes none up but 0, where
// every log begins.
type Offset uint64

// Log is an append-only sequence of records. All methods may be called at the same time.
type Log interface {
	// Append writes all records or none, and returns when they are durable, with the offset behind them. An error of the kind
	// Unavailable that wraps ErrFull means that the disk is full. After an error other than Invalid the records may yet turn up
	// after a crash; to append them again is right, as outcomes carry an id. A done ctx ends the wait, not a write that has begun.
	Append(ctx context.Context, records ...Record) (Offset, error)

	// Read calls use for each durable record from the offset on, at most max, and returns the offset to go on from, which is behind
	// the last record that use took without an error. It returns early, without an error, at the end of the log, or where it is
	// convenient: only next == from says that there is no more. A damaged record is a *DamageError. From an offset that
	// retention has removed, the error is a *GoneError. An error of use is returned as it is.
	Read(ctx context.Context, from Offset, max int, use func(at Offset, r Record) error) (next Offset, err error)

	// End returns the offset behind the last durable record.
	End() Offset
}

// ErrFull says that there is no room for more records.
var ErrFull = errors.New("the disk of the log is full")

// ErrGone says that what was asked for is removed because of its age or for want of room.
var ErrGone = errors.New("removed by retention")

// GoneError is the error of a Read from an offset whose records are removed. errors.Is(err, ErrGone) holds for it.
type GoneError struct {
	From   Offset // what was asked for
	Oldest Offset // where the log begins now
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("offset %d of the log is %v; the oldest is %d", e.From, ErrGone, e.Oldest)
}

// Unwrap returns ErrGone.
func (e *GoneError) Unwrap() error { return ErrGone }

// DamageError tells what is wrong in a log that was once written well. Its records are lost; those from Next on are not. Whoever
// may decide to do without them goes on from Next.
type DamageError struct {
	At   Offset // where the damage begins
	Next Offset // where sound records go on; the end of the log, if nowhere
	File string // the file's name within the log's folder; "" if the log has no files
	Byte int64  // the place in that file
	What string // what is wrong there
}

func (e *DamageError) Error() string {
	where := ""
	if e.File != "" {
		where = fmt.Sprintf(" (%s, byte %d)", e.File, e.Byte)
	}
	return fmt.Sprintf("the log is damaged at offset %d%s: %s", e.At, where, e.What)
}
