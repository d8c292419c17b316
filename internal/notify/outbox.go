package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
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

// Outbox delivers while Run runs. Each sender has a line of its own: one that is slow keeps nobody else waiting.
type Outbox struct {
	options Options
	senders atomic.Pointer[[]Sender]
	nudge   chan struct{}
	swept   time.Time

	mu    sync.Mutex
	busy  map[string]bool               // by sender that is being handed messages: whether there may be more
	known map[string]map[string]*Handed // by sender and key: what this process knows of tries, written down or not
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
	made := &Outbox{options: o, nudge: make(chan struct{}, 1), busy: map[string]bool{}, known: map[string]map[string]*Handed{}}
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
	var handing sync.WaitGroup
	defer handing.Wait()
	ticker := time.NewTicker(o.options.Every)
	defer ticker.Stop()
	told := func(err error) {
		if err != nil && ctx.Err() == nil {
			o.options.Log.Error("messages cannot be told", "error", err)
		}
	}
	for {
		told(o.begin(ctx, &handing, told))
		select {
		case <-ctx.Done():
			return nil
		case <-o.nudge:
		case <-ticker.C:
		}
	}
}

// Deliver hands over what is due now, to each sender in the order of the keys, and waits until that is done. The error is that of the state;
// senders' errors are kept with the messages.
func (o *Outbox) Deliver(ctx context.Context) error {
	var handing sync.WaitGroup
	var mu sync.Mutex
	var first error
	err := o.begin(ctx, &handing, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		first = cmp.Or(first, err)
	})
	handing.Wait()
	return cmp.Or(err, first)
}

// begin lets every sender that is not at it yet be handed what is due, and does not wait for them.
func (o *Outbox) begin(ctx context.Context, handing *sync.WaitGroup, told func(error)) error {
	senders := *o.senders.Load()
	if err := o.sweep(ctx); err != nil {
		return err
	}
	if len(senders) == 0 {
		return o.settle(ctx)
	}
	for _, s := range senders {
		if !o.take(s.Name()) {
			continue
		}
		handing.Go(func() {
			for again := true; again; again = o.give(s.Name()) {
				if err := o.handAll(ctx, s); err != nil {
					told(err)
				}
			}
		})
	}
	return nil
}

// take begins a sender's turn. Where it has one, it is false, and what has come since is handed over at its end.
func (o *Outbox) take(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, busy := o.busy[name]
	o.busy[name] = busy
	return !busy
}

// give ends a sender's turn, unless there is another one to come.
func (o *Outbox) give(name string) (again bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if again = o.busy[name]; again {
		o.busy[name] = false
	} else {
		delete(o.busy, name)
	}
	return again
}

// settle puts away what waits where there is nobody to tell it.
func (o *Outbox) settle(ctx context.Context) error {
	docs, err := load(ctx, o.options.State, outPrefix)
	for i := range docs {
		if err == nil {
			err = o.write(ctx, docs[i].Message.Key, "", nil)
		}
	}
	return err
}

// handAll hands what is due to a sender, whose turn it is.
func (o *Outbox) handAll(ctx context.Context, s Sender) error {
	docs, err := load(ctx, o.options.State, outPrefix)
	if err != nil {
		return err
	}
	o.mu.Lock()
	before := o.known[s.Name()]
	known := make(map[string]*Handed, len(docs)) // without what is over
	for i := range docs {
		if h := before[docs[i].Message.Key]; h != nil {
			known[docs[i].Message.Key] = h
		}
	}
	o.known[s.Name()] = known
	o.mu.Unlock()
	for i := range docs {
		if ctx.Err() != nil {
			break // stopping: what is left is for whoever runs next
		}
		if err = o.hand(ctx, s, known, &docs[i]); err != nil {
			break // what was not written down is no more than this one, should the process end now
		}
	}
	return err
}

// hand hands one message to one sender, unless that is over or not due. What the sender took is remembered in known even where it cannot be
// written down, so that a full disk does not tell people again and again.
func (o *Outbox) hand(ctx context.Context, s Sender, known map[string]*Handed, d *outDoc) error {
	key, name, now := d.Message.Key, s.Name(), o.options.Now()
	written, h := d.Senders[name], known[key]
	if written != nil && written.over() {
		if o.over(d) { // who has not taken it is not asked any more
			return o.write(ctx, key, "", nil)
		}
		return nil
	}
	if h == nil {
		h = &Handed{}
		if written != nil {
			*h = *written
		}
		known[key] = h
	}
	if !h.over() {
		if now.Before(h.next) {
			return nil
		}
		o.try(ctx, s, d.Message, h, now)
		if ctx.Err() != nil && !h.over() {
			return nil // stopping: it does not count as a failure
		}
	}
	return o.write(ctx, key, name, h)
}

// over tells whether nobody is left to hand a message to.
func (o *Outbox) over(d *outDoc) bool {
	for _, s := range *o.senders.Load() {
		if h := d.Senders[s.Name()]; h == nil || !h.over() {
			return false
		}
	}
	return true
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

// write keeps how far a message has come with a sender, and puts it with those that are told once all are over. What a sender took is kept
// even as the process stops, so that it is not told twice.
func (o *Outbox) write(ctx context.Context, key, name string, h *Handed) error {
	return o.options.State.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		doc, err := tx.Get(outPrefix + key)
		gone := err != nil && fault.KindOf(err) == fault.NotFound // another sender was the last
		if gone {
			err = nil
		}
		if err != nil || gone {
			return err
		}
		d, err := decode(doc)
		if err != nil {
			return err
		}
		if d.Senders == nil {
			d.Senders = map[string]*Handed{}
		}
		if h != nil {
			d.Senders[name] = h
		}
		prefix := outPrefix
		if o.over(&d) {
			prefix = sentPrefix
			d.Done = o.options.Now()
			if err := tx.Delete(outPrefix+key, store.Any); err != nil {
				return err
			}
		}
		body, err := json.Marshal(d)
		if err != nil {
			return fault.Internalf("write message %s: %w", key, err)
		}
		_, err = tx.Put(prefix+key, body, store.Any)
		return err
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
			d, err := decode(doc)
			docs = append(docs, d)
			return err
		})
	})
	return docs, err
}

func decode(doc store.Doc) (d outDoc, err error) {
	if err := json.Unmarshal(doc.Value, &d); err != nil || d.Format != outFormat {
		return d, fault.Conflictf("document %s is of another format than this Serin's", doc.Key).WithHint("use the Serin that wrote it, or a newer one")
	}
	return d, nil
}

// OneLine makes a text fit where there is one line: line ends and other control characters become blanks.
func OneLine(text string) string { return strings.Join(strings.FieldsFunc(text, notInLine), " ") }

func notInLine(r rune) bool { return r <= ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }
