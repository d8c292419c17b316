package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// The documents, their keys, and the version of their format:
//
//	notify/out/<key>    outDoc: a message that some sender has not taken yet
//	notify/sent/<key>   outDoc: one that all have taken, or given up; kept for keepSent
const (
	outPrefix  = "notify/out/"
	sentPrefix = "notify/sent/"
	outFormat  = 1
)

// outDoc is a message and how far it has come.
type outDoc struct {
	Format  int                `json:"format"`
	Message Message            `json:"message"`
	Senders map[string]*Handed `json:"senders"`
	Done    time.Time          `json:"done,omitzero"`
}

// Handed is how far a message has come with one sender.
type Handed struct {
	Tries int       `json:"tries"`
	Sent  time.Time `json:"sent,omitzero"`
	Gone  string    `json:"gone,omitempty"` // why it was given up
	Last  string    `json:"last,omitempty"` // the last error
	next  time.Time
}

func (h *Handed) over() bool { return !h.Sent.IsZero() || h.Gone != "" }

// Options are what an Outbox needs; State, Log and Now are required.
type Options struct {
	State    store.State
	Senders  []Sender
	Log      *slog.Logger
	Now      func() time.Time
	Retry    func(tries int) time.Duration // how long to wait after so many failures; nil: DefaultRetry
	Patience time.Duration                 // how long one try may take; 0 means DefaultPatience
	Every    time.Duration                 // how often to look for what somebody else has put; 0 means a second
}

// DefaultPatience is how long one try may take.
const DefaultPatience = 30 * time.Second

// GiveUp is how long a message is tried.
const GiveUp = 7 * 24 * time.Hour

// keepSent is how long what was told is kept.
const keepSent = 90 * 24 * time.Hour

// DefaultRetry waits 1 s after the first failure, twice as long after each further one, and 5 minutes at most.
func DefaultRetry(tries int) time.Duration {
	return min(time.Second<<min(max(tries-1, 0), 20), 5*time.Minute)
}

// Outbox delivers while Run runs.
type Outbox struct {
	options Options
	senders atomic.Pointer[[]Sender]
	nudge   chan struct{}
	waits   map[string]map[string]*Handed // by key and sender: what this process knows of tries
	swept   time.Time
}

// New makes an outbox.
func New(o Options) *Outbox {
	if o.Retry == nil {
		o.Retry = DefaultRetry
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	made := &Outbox{options: o, nudge: make(chan struct{}, 1), waits: map[string]map[string]*Handed{}}
	made.SetSenders(o.Senders)
	return made
}

// SetSenders lets others tell people from the next message on. What a sender of the same name has taken is not handed over again.
func (o *Outbox) SetSenders(senders []Sender) { o.senders.Store(&senders) }

// Put adds messages to be told, in the transaction of what they are about. A key that is there already, told or not, is left as it is: it is
// the same message.
func Put(tx store.Tx, messages ...Message) error {
	for _, m := range messages {
		_, err := tx.Get(sentPrefix + m.Key)
		if err == nil {
			continue // it was told
		}
		if fault.KindOf(err) != fault.NotFound {
			return err
		}
		body, err := json.Marshal(outDoc{Format: outFormat, Message: m})
		if err != nil {
			return fault.Internalf("write message %s: %w", m.Key, err)
		}
		if _, err := tx.Put(outPrefix+m.Key, body, store.Absent); err != nil && fault.KindOf(err) != fault.Conflict {
			return err
		}
	}
	return nil
}

// Nudge makes Run look at once.
func (o *Outbox) Nudge() {
	select {
	case o.nudge <- struct{}{}:
	default: // it will look anyway
	}
}

// Run delivers until ctx ends. What is left is delivered by whoever runs next.
func (o *Outbox) Run(ctx context.Context) error {
	ticker := time.NewTicker(o.options.Every)
	defer ticker.Stop()
	for {
		if err := o.Deliver(ctx); err != nil && ctx.Err() == nil {
			o.options.Log.Error("messages cannot be told", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.nudge:
		case <-ticker.C:
		}
	}
}

// Deliver hands over what is due now, in the order of the keys. The error is that of the state; senders' errors are kept with the messages.
func (o *Outbox) Deliver(ctx context.Context) error {
	docs, err := load(ctx, o.options.State, outPrefix)
	if err != nil {
		return err
	}
	senders := *o.senders.Load()
	for i := range docs {
		if ctx.Err() != nil {
			break // stopping: what is left is for whoever runs next
		}
		if err := o.deliver(ctx, senders, &docs[i]); err != nil {
			return err
		}
	}
	return o.sweep(ctx)
}

// deliver hands one message to those who have not taken it.
func (o *Outbox) deliver(ctx context.Context, senders []Sender, d *outDoc) error {
	now, changed := o.options.Now(), false
	known := o.waits[d.Message.Key]
	if known == nil {
		known = map[string]*Handed{}
		o.waits[d.Message.Key] = known
	}
	if d.Senders == nil {
		d.Senders = map[string]*Handed{}
	}
	for _, s := range senders {
		h := d.Senders[s.Name()]
		if h == nil {
			h = &Handed{}
			d.Senders[s.Name()] = h
		}
		if before := known[s.Name()]; before != nil {
			h.next = before.next
		}
		if h.over() || now.Before(h.next) {
			continue
		}
		changed = true
		o.try(ctx, s, d.Message, h, now)
		known[s.Name()] = h
		if ctx.Err() != nil && !h.over() {
			return nil // stopping: it does not count as a failure
		}
	}
	done := true
	for _, s := range senders {
		done = done && d.Senders[s.Name()].over()
	}
	switch {
	case done:
		delete(o.waits, d.Message.Key)
		d.Done = now
		return o.move(ctx, d)
	case changed:
		return o.write(ctx, outPrefix, d)
	}
	return nil
}

// try hands a message to one sender.
func (o *Outbox) try(ctx context.Context, s Sender, m Message, h *Handed, now time.Time) {
	bound, cancel := context.WithTimeout(ctx, o.options.Patience)
	defer cancel()
	h.Tries++
	err := s.Send(bound, m)
	log := o.options.Log.With("message", m.Key, "sender", s.Name(), "tries", h.Tries)
	switch {
	case err == nil:
		h.Sent, h.Last = now, ""
		log.Info("people were told", "subject", m.Subject)
	case fault.KindOf(err) == fault.Invalid:
		h.Gone = err.Error()
		log.Error("people cannot be told, and it is given up", "subject", m.Subject, "error", err, "hint", fault.HintOf(err))
	case now.Sub(m.At) > GiveUp:
		h.Gone = fmt.Sprintf("given up after %d tries: %v", h.Tries, err)
		log.Error("people could not be told for days, and it is given up", "subject", m.Subject, "error", err)
	default:
		h.Last, h.next = err.Error(), now.Add(o.options.Retry(h.Tries))
		log.Warn("people could not be told; it is tried again", "subject", m.Subject, "error", err, "at", h.next)
	}
}

// write keeps how far a message has come. What a sender took is kept even as the process stops, so that it is not told twice.
func (o *Outbox) write(ctx context.Context, prefix string, d *outDoc) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fault.Internalf("write message %s: %w", d.Message.Key, err)
	}
	return o.options.State.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		_, err := tx.Put(prefix+d.Message.Key, body, store.Any)
		return err
	})
}

// move puts a message with those that are told.
func (o *Outbox) move(ctx context.Context, d *outDoc) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fault.Internalf("write message %s: %w", d.Message.Key, err)
	}
	return o.options.State.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		if _, err := tx.Put(sentPrefix+d.Message.Key, body, store.Any); err != nil {
			return err
		}
		return tx.Delete(outPrefix+d.Message.Key, store.Any)
	})
}

// sweep forgets what was told long ago, once an hour.
func (o *Outbox) sweep(ctx context.Context) error {
	now := o.options.Now()
	if now.Sub(o.swept) < time.Hour && !now.Before(o.swept) {
		return nil
	}
	o.swept = now
	return o.options.State.Update(ctx, func(tx store.Tx) error {
		return tx.Scan(sentPrefix, func(doc store.Doc) error {
			var d outDoc
			if err := json.Unmarshal(doc.Value, &d); err != nil {
				return fault.Internalf("document %s is unreadable: %w", doc.Key, err)
			}
			if d.Done.IsZero() || now.Sub(d.Done) < keepSent {
				return nil
			}
			return tx.Delete(doc.Key, store.Any)
		})
	})
}

// Told is a message and how far it has come, by sender.
type Told struct {
	Message Message            `json:"message"`
	Waiting bool               `json:"waiting"`
	Senders map[string]*Handed `json:"senders"`
}

// List returns the messages whose keys begin with prefix, in the order of their keys.
func List(ctx context.Context, state store.State, prefix string) ([]Told, error) {
	var all []Told
	for _, where := range []string{sentPrefix, outPrefix} {
		docs, err := load(ctx, state, where+prefix)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			all = append(all, Told{Message: d.Message, Waiting: where == outPrefix, Senders: d.Senders})
		}
	}
	return all, nil
}

func load(ctx context.Context, state store.State, prefix string) (docs []outDoc, err error) {
	err = state.View(ctx, func(r store.Reader) error {
		docs = nil
		return r.Scan(prefix, func(doc store.Doc) error {
			var d outDoc
			if err := json.Unmarshal(doc.Value, &d); err != nil || d.Format != outFormat {
				return fault.Conflictf("document %s is of another format than this Serin's", doc.Key).WithHint("use the Serin that wrote it, or a newer one")
			}
			docs = append(docs, d)
			return nil
		})
	})
	return docs, err
}

// OneLine makes a text fit where there is one line: line ends and other control characters become blanks.
func OneLine(text string) string { return strings.Join(strings.FieldsFunc(text, notInLine), " ") }

func notInLine(r rune) bool { return r <= ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }
