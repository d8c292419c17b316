package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// OutcomeLog is where an Ingest writes; event.Log has it.
type OutcomeLog interface {
	Log
	End() event.Offset
}

// Telemetry is what has been read from the log so far.
type Telemetry interface {
	// Outcome returns the first outcome with that id.
	Outcome(ctx context.Context, id string) (o event.Outcome, found bool, err error)
	// Decision returns the decision with that id.
	Decision(ctx context.Context, id event.ID) (d event.Decision, found bool, err error)
	// Applied returns up to where the log has been read: the others know of everything before it.
	Applied() event.Offset
}

// IngestOptions are what an Ingest needs. Log, Telemetry and Logger are required.
type IngestOptions struct {
	Log       OutcomeLog
	Telemetry Telemetry
	Logger    *slog.Logger
	Metrics   prometheus.Registerer // nil: counted, but shown nowhere
	Recent    int                   // outcomes kept in memory at most until the telemetry knows them; 0 means DefaultRecent
}

// DefaultRecent is how many outcomes are kept until the telemetry knows them: some 30 MB, and a second of them at the rate at which
// the telemetry reads.
const DefaultRecent = 1 << 17

// Ingest takes outcomes in: the first with an id wins, and it is acknowledged when it is durable. It may be used by many at once.
//
// Whether an id came before is known from three places, asked in this order. Ids on their way to the disk are reserved: whoever brings
// one of them waits for what becomes of it. Those that are durable, but that the telemetry has not read yet, are remembered. All others
// the telemetry knows, at the start only once it has read the log up to where it ended then.
type Ingest struct {
	options  IngestOptions
	start    event.Offset // where the log ended when this began
	outcomes *prometheus.CounterVec

	mu      sync.Mutex
	entries map[string]*entry
	oldest  []placed // entries that are not pending, about in the order of their places
	failure error    // of the last write; nil: it succeeded
}

// entry is one outcome that the telemetry may not know.
type entry struct {
	state    entryState
	value    fingerprint
	at       event.Offset // the telemetry knows it, or that it never was, once it has read this far
	queued   event.Offset // its last place in the queue, if isQueued
	isQueued bool
	doubt    *event.Outcome // in doubt: what may have been written
	done     chan struct{}  // closed when it is not pending any more; nil: nobody waits
}

type entryState uint8

const (
	pending entryState = iota // on its way to the disk
	durable
	inDoubt // its write failed, which does not say that nothing was written
)

// placed is a place in the queue of entries to forget.
type placed struct {
	at    event.Offset
	id    string
	entry *entry
}

// verdict says what became of an outcome.
type verdict uint8

const (
	undecided verdict = iota
	accepted
	duplicate // the same came before
	conflict  // another one with this id came before
)

// String returns the verdict as answers and metrics tell it.
func (v verdict) String() string {
	return [...]string{"undecided", "accepted", "duplicate", "conflict"}[v]
}

// NewIngest makes an Ingest for a log that is open already.
func NewIngest(o IngestOptions) *Ingest {
	if o.Recent <= 0 {
		o.Recent = DefaultRecent
	}
	in := &Ingest{
		options: o, start: o.Log.End(), entries: map[string]*entry{},
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_outcomes_total",
			Help: "Outcomes that came back, by what became of them: accepted, duplicate, conflict, refused (malformed, or with a token that does not verify) or failed (not written down, and not acknowledged).",
		}, []string{"service", "kind", "status"}),
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(in.outcomes)
	}
	return in
}

// claim is an entry that a call of add has reserved.
type claim struct {
	entry   *entry
	outcome *event.Outcome
	verdict *verdict    // of the outcome; nil if it is another's, in doubt until now
	known   bool        // the telemetry knows the id
	first   fingerprint // with this value
}

// add writes down those of the outcomes that are new, all in one append, and says what became of each. When it returns without an error,
// those accepted are durable, and so is what the others repeat or contradict. After an error nothing is acknowledged, though some may
// have been written down: to add all of them again is right. The outcomes must not change any more.
//
// To wait for another's outcome while holding ids that others wait for could be for ever. So nobody waits while holding any: first all
// ids that are free are settled, then those that others held are looked at again.
func (in *Ingest) add(ctx context.Context, outcomes []event.Outcome) ([]verdict, error) {
	if in.options.Telemetry.Applied() < in.start {
		return nil, fault.Unavailablef("the server has just started and is still reading what it was told before").
			WithHint("send it again in a second; if this lasts, the server's log says what it cannot read")
	}
	verdicts := make([]verdict, len(outcomes))
	for {
		claims, held, err := in.reserve(outcomes, verdicts)
		if err == nil {
			err = in.write(ctx, claims)
		}
		if err != nil {
			return nil, err
		}
		if held == nil {
			return verdicts, nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return nil, fault.Unavailablef("another outcome with the same id is still being written down").WithHint("send it again")
		}
	}
}

// reserve claims the ids that are free among those of undecided outcomes, and decides those that are remembered. If any is held, by
// another or by an outcome before it, it returns what is closed when that one is settled.
func (in *Ingest) reserve(outcomes []event.Outcome, verdicts []verdict) (claims []claim, held <-chan struct{}, err error) {
	applied := in.options.Telemetry.Applied()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.forget(applied)
	for i := range outcomes {
		o := &outcomes[i]
		if verdicts[i] != undecided {
			continue
		}
		value := fingerprintOf(o)
		e := in.entries[o.ID]
		switch {
		case e == nil && len(in.entries) >= in.options.Recent && in.failure == nil:
			in.release(claims)
			return nil, nil, fault.Unavailablef("outcomes come faster than they are read back").WithHint("send it again in a second")
		case e == nil:
			e = &entry{value: value}
			in.entries[o.ID] = e
			claims = append(claims, claim{entry: e, outcome: o, verdict: &verdicts[i]})
		case e.state == durable:
			verdicts[i] = compare(value, e.value)
		case e.state == inDoubt && e.value == value:
			e.state = pending
			claims = append(claims, claim{entry: e, outcome: o, verdict: &verdicts[i]})
		case e.state == inDoubt:
			// The first wins, also if its client has not come back: it is written down once more, and settles what came after it.
			e.state = pending
			claims = append(claims, claim{entry: e, outcome: e.doubt})
			fallthrough
		default:
			held = e.wait()
		}
	}
	return claims, held, nil
}

// write settles claims: those that the telemetry knows, and the rest by an append.
func (in *Ingest) write(ctx context.Context, claims []claim) (err error) {
	if len(claims) == 0 {
		return nil
	}
	var end event.Offset
	asked := false
	defer func() { in.finish(claims, asked, end, err) }() // also when something panics: others wait
	records := make([]event.Record, 0, len(claims))
	for i := range claims {
		c := &claims[i]
		first, found, err := in.options.Telemetry.Outcome(ctx, c.outcome.ID)
		switch {
		case err != nil && ctx.Err() != nil:
			return errGone
		case err != nil:
			in.options.Logger.ErrorContext(ctx, "outcomes cannot be looked up", "error", err)
			return fault.Unavailablef("whether the outcome came before cannot be told now").WithHint("send it again in a second")
		case found:
			c.known, c.first = true, fingerprintOf(&first)
		default:
			records = append(records, event.Record{Outcome: c.outcome})
		}
	}
	asked = true
	if len(records) == 0 {
		return nil
	}
	err = errNotWritten
	// However long it takes: whoever stopped waiting could not know what becomes of the records.
	end, failure := in.options.Log.Append(context.WithoutCancel(ctx), records...)
	switch changed := in.note(failure); {
	case changed && failure != nil:
		in.options.Logger.ErrorContext(ctx, "outcomes cannot be written down; clients are told to send them again", "error", failure)
	case changed:
		in.options.Logger.InfoContext(ctx, "outcomes are written down again")
	}
	switch {
	case errors.Is(failure, event.ErrFull):
		err = errFull
	case failure == nil:
		err = nil
	}
	return err
}

var (
	errFull       = &statusError{http.StatusInsufficientStorage, fault.Unavailablef("the disk of the log is full; nothing is acknowledged").WithHint("send it again when there is room")}
	errNotWritten = fault.Unavailablef("it could not be written down; nothing is acknowledged").WithHint("send it again")
)

// note keeps how the last append went, and tells whether the one before went otherwise: a full disk fails all, and is worth one message.
func (in *Ingest) note(failure error) (changed bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	changed = (failure == nil) != (in.failure == nil)
	in.failure = failure
	return changed
}

// finish settles the entries of claims and decides what they were claimed for. If asked is false, the log was not asked.
func (in *Ingest) finish(claims []claim, asked bool, end event.Offset, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !asked {
		in.release(claims)
		return
	}
	for i := range claims {
		c := &claims[i]
		v := accepted
		switch {
		case c.known:
			v = compare(c.entry.value, c.first)
			delete(in.entries, c.outcome.ID) // the telemetry is asked again, should it come again
			c.entry.wake()
		case err != nil:
			in.doubt(c)
		default:
			in.settle(c, durable, end)
		}
		if c.verdict != nil {
			*c.verdict = v
		}
	}
}

// release gives back claims of which nothing was written.
func (in *Ingest) release(claims []claim) {
	for i := range claims {
		c := &claims[i]
		if c.entry.doubt != nil {
			in.settle(c, inDoubt, c.entry.at) // as it was
			continue
		}
		delete(in.entries, c.outcome.ID)
		c.entry.wake()
	}
}

// doubt remembers what a failed append may yet have written. The next record that becomes durable settles it: the log has it before
// that one, or not at all. Where there is no more room it is forgotten, so that a full disk does not fill the memory.
func (in *Ingest) doubt(c *claim) {
	if len(in.entries) > in.options.Recent {
		delete(in.entries, c.outcome.ID)
		c.entry.wake()
		return
	}
	c.entry.doubt = c.outcome
	in.settle(c, inDoubt, in.options.Log.End()+1)
}

func (in *Ingest) settle(c *claim, s entryState, at event.Offset) {
	e := c.entry
	e.state, e.at = s, at
	if s == durable {
		e.doubt = nil
	}
	if !e.isQueued || e.queued != at { // what fails again and again has one place
		e.isQueued, e.queued = true, at
		in.oldest = append(in.oldest, placed{at, c.outcome.ID, e})
	}
	e.wake()
}

// forget removes what the telemetry knows by now.
func (in *Ingest) forget(applied event.Offset) {
	n := 0
	for ; n < len(in.oldest) && in.oldest[n].at <= applied; n++ {
		p := &in.oldest[n]
		if p.entry.state != pending && p.entry.at == p.at && in.entries[p.id] == p.entry {
			delete(in.entries, p.id)
		}
		if p.entry.queued == p.at {
			p.entry.isQueued = false
		}
		*p = placed{} // the slice keeps its array for a while
	}
	in.oldest = in.oldest[n:]
}

// wait returns what is closed when e is not pending any more.
func (e *entry) wait() <-chan struct{} {
	if e.done == nil {
		e.done = make(chan struct{})
	}
	return e.done
}

func (e *entry) wake() {
	if e.done != nil {
		close(e.done)
		e.done = nil
	}
}

// fingerprint stands for what makes two outcomes with one id the same: decision, slot, kind and value. What the client's clock said, and
// how the decision was proved, may differ.
type fingerprint [16]byte

func fingerprintOf(o *event.Outcome) fingerprint {
	var buffer [256]byte // room for most without allocating
	b := append(buffer[:0], o.Decision[:]...)
	b = append(b, o.Slot, byte(len(o.Kind)))
	b = append(b, o.Kind...)
	if o.IsText {
		b = append(append(b, 't'), o.Text...)
	} else {
		b = binary.BigEndian.AppendUint64(append(b, 'n'), math.Float64bits(o.Number))
	}
	sum := sha256.Sum256(b)
	return fingerprint(sum[:16])
}

// compare tells what an outcome is beside the first with its id.
func compare(value, first fingerprint) verdict {
	if value == first {
		return duplicate
	}
	return conflict
}
