// Package notify tells people what happened, once. An Outbox keeps what is to be told in the state, written in the same transaction as what it
// is about, so that nothing that happened goes untold, and nothing is told that did not happen. It hands each message to every Sender until
// that one has taken it, with pauses that grow; each way of telling is an adapter (notify/email, notify/webhook) that passes
// notifytest.Run.
//
// Once means: a message that a sender took is not handed to it again. Between a sender's word and the writing down of it a crash can come; the
// message is then handed over a second time, with the same key, and both adapters put the key where whoever gets it can tell (Message-ID,
// Idempotency-Key).
package notify

import (
	"context"
	"time"
)

// Message is one thing to tell.
type Message struct {
	Key     string            `json:"key"` // names it for good, and orders it among others of its kind; visible ASCII
	At      time.Time         `json:"at"`  // when it happened
	Kind    string            `json:"kind"`
	Level   Level             `json:"level"`
	Subject string            `json:"subject"` // one line
	Text    string            `json:"text"`    // the whole story, in lines
	Fields  map[string]string `json:"fields,omitempty"`
	Link    string            `json:"link,omitempty"` // where more is to be seen
}

// Level says how much a message matters.
type Level string

// The levels.
const (
	Info    Level = "info"
	Good    Level = "good"
	Warning Level = "warning"
	Bad     Level = "bad"
)

// Sender tells people in one way. It is safe for concurrent use.
type Sender interface {
	// Name tells senders apart; what was handed over is kept by it.
	Name() string
	// Send hands a message over, and returns nil once it was taken. An Invalid error is for good: the message is given up. Any other may be
	// gone next time.
	Send(ctx context.Context, m Message) error
}
