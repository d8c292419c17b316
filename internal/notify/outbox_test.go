package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/sqlite"
)

// people are a sender that remembers.
type people struct {
	name string
	mu   sync.Mutex
	got  []string
	fail error
}

func (p *people) Name() string { return p.name }

func (p *people) Send(_ context.Context, m notify.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.got = append(p.got, m.Key)
	return nil
}

func (p *people) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// clock is a time that is set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// failing is a State whose nth update from now on is not done: the process was killed before it.
type failing struct {
	store.State
	left int
}

var errKilled = errors.New("killed")

func (f *failing) Update(ctx context.Context, write func(store.Tx) error) error {
	if f.left == 0 {
		return errKilled
	}
	f.left--
	return f.State.Update(ctx, write)
}

func open(t *testing.T) store.State {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func outbox(state store.State, c *clock, senders ...notify.Sender) *notify.Outbox {
	return notify.New(notify.Options{State: state, Senders: senders, Log: slog.New(slog.DiscardHandler), Now: c.now})
}

func put(t *testing.T, state store.State, c *clock, keys ...string) {
	t.Helper()
	err := state.Update(t.Context(), func(tx store.Tx) error {
		for _, key := range keys {
			if err := notify.Put(tx, notify.Message{Key: key, At: c.now(), Subject: key}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachMessageIsToldOnce(t *testing.T) {
	state, c := open(t), &clock{at: time.Unix(1e9, 0)}
	ann, bob := &people{name: "ann"}, &people{name: "bob", fail: fault.Unavailablef("asleep")}
	o := outbox(state, c, ann, bob)
	put(t, state, c, "a/1", "a/2")
	put(t, state, c, "a/1")
	for range 3 {
		if err := o.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(ann.got, []string{"a/1", "a/2"}) || bob.got != nil {
		t.Errorf("ann got %q, bob %q", ann.got, bob.got)
	}
	bob.set(nil)
	c.add(time.Hour)
	if err := o.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, state, c, "a/1", "a/2") // they were told already
	if err := outbox(state, c, ann, bob).Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ann.got, []string{"a/1", "a/2"}) || !slices.Equal(bob.got, ann.got) {
		t.Errorf("ann got %q, bob %q", ann.got, bob.got)
	}
	told, err := notify.List(t.Context(), state, "a/")
	if err != nil || len(told) != 2 || told[0].Waiting || told[0].Senders["bob"].Tries != 2 {
		t.Errorf("%+v (%v)", told, err)
	}
}

// For an hour nobody can be told: tries come ever more seldom, and in the end everything is told, in order.
func TestAnHourWithoutAServer(t *testing.T) {
	state, c := open(t), &clock{at: time.Unix(1e9, 0)}
	tries := 0
	ann := &counting{people: people{name: "ann", fail: fault.Unavailablef("no route")}, tries: &tries}
	o := outbox(state, c, ann)
	put(t, state, c, "a/1", "a/2", "a/3")
	for range 3600 {
		c.add(time.Second)
		if err := o.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if tries < 30 || tries > 3*25 {
		t.Errorf("%d tries of three messages in an hour", tries)
	}
	ann.set(nil)
	c.add(5 * time.Minute)
	if err := o.Deliver(t.Context()); err != nil || !slices.Equal(ann.got, []string{"a/1", "a/2", "a/3"}) {
		t.Errorf("got %q (%v)", ann.got, err)
	}
}

type counting struct {
	people
	tries *int
}

func (c *counting) Send(ctx context.Context, m notify.Message) error {
	*c.tries++
	return c.people.Send(ctx, m)
}

func TestWhatIsRefusedForGoodIsGivenUp(t *testing.T) {
	state, c := open(t), &clock{at: time.Unix(1e9, 0)}
	tries := 0
	ann := &counting{people: people{name: "ann", fail: fault.Invalidf("nobody of that name")}, tries: &tries}
	put(t, state, c, "a")
	o := outbox(state, c, ann)
	for range 5 {
		c.add(time.Hour)
		if err := o.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	told, err := notify.List(t.Context(), state, "")
	if err != nil || tries != 1 || len(told) != 1 || told[0].Senders["ann"].Gone == "" {
		t.Errorf("%d tries, %+v (%v)", tries, told, err)
	}
}

// The process is killed before its nth write, for every n, and starts again: all is told, in order, and what is told twice is what was under
// way at the kill.
func TestAKillAtAnyWriteLosesNoMessage(t *testing.T) {
	for n := range 12 {
		state, c, ann := open(t), &clock{at: time.Unix(1e9, 0)}, &people{name: "ann"}
		keys := []string{"a/1", "a/2", "a/3", "a/4"}
		put(t, state, c, keys...)
		_ = outbox(&failing{state, n}, c, ann).Deliver(t.Context())
		before := len(ann.got)
		if err := outbox(state, c, ann).Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := slices.Compact(slices.Clone(ann.got)); !slices.Equal(got, keys) || len(ann.got) > len(keys)+1 {
			t.Errorf("killed at write %d, after %d: %q", n, before, ann.got)
		}
	}
}

func TestRunTellsAndStops(t *testing.T) {
	state, c := open(t), &clock{at: time.Unix(1e9, 0)}
	done := make(chan string, 10)
	o := notify.New(notify.Options{
		State: state, Log: slog.New(slog.DiscardHandler), Now: c.now, Every: time.Hour,
		Senders: []notify.Sender{sender(func(m notify.Message) error { done <- m.Key; return nil })},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	for i := range 3 {
		key := fmt.Sprint("k", i)
		put(t, state, c, key)
		o.Nudge()
		if got := <-done; got != key {
			t.Errorf("got %s", got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type sender func(notify.Message) error

func (s sender) Name() string { return "func" }

func (s sender) Send(_ context.Context, m notify.Message) error { return s(m) }

func TestOneLine(t *testing.T) {
	if got := notify.OneLine(" a\r\nBcc: b\tc\u2028d\x00 "); got != "a Bcc: b c d" {
		t.Errorf("%q", got)
	}
}

func TestSendersThatComeLaterAreToldWhatIsNotToldYet(t *testing.T) {
	first, second := &people{name: "first"}, &people{name: "second"}
	first.fail = fault.Unavailablef("nobody is there")
	state, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "serin.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	c := &clock{at: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	o := notify.New(notify.Options{State: state, Senders: []notify.Sender{first}, Log: slog.New(slog.DiscardHandler), Now: c.now})
	deliver := func() {
		t.Helper()
		if err := o.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.Update(t.Context(), func(tx store.Tx) error { return notify.Put(tx, notify.Message{Key: "a", At: c.now()}) }); err != nil {
		t.Fatal(err)
	}
	deliver()
	o.SetSenders([]notify.Sender{first, second})
	deliver()
	first.set(nil)
	c.add(time.Hour)
	deliver()
	deliver()
	if !slices.Equal(first.got, []string{"a"}) || !slices.Equal(second.got, []string{"a"}) {
		t.Errorf("the first got %v, the second %v", first.got, second.got)
	}
}

// slow is a sender that takes nothing until it is let.
type slow struct {
	people
	asked, let chan struct{}
}

func (s *slow) Send(ctx context.Context, m notify.Message) error {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	select {
	case <-s.let:
		return s.people.Send(ctx, m)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestASenderThatHangsKeepsNobodyElseWaiting(t *testing.T) {
	state, c := open(t), &clock{at: time.Unix(1e9, 0)}
	hangs, well := &slow{people{name: "hangs"}, make(chan struct{}, 1), make(chan struct{})}, &told{people{name: "well"}, make(chan string)}
	o := notify.New(notify.Options{State: state, Senders: []notify.Sender{hangs, well}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Every: time.Millisecond, Patience: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	put(t, state, c, "a")
	<-hangs.asked
	<-well.keys
	put(t, state, c, "b")
	if key := <-well.keys; key != "b" {
		t.Errorf("got %s", key)
	}
	close(hangs.let)
	for hangs.count() < 2 {
		runtime.Gosched()
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := well.count(); got != 2 {
		t.Errorf("well was told %d times", got)
	}
}

// told tells whom it was told of.
type told struct {
	people
	keys chan string
}

func (s *told) Send(ctx context.Context, m notify.Message) error {
	err := s.people.Send(ctx, m)
	s.keys <- m.Key
	return err
}

func (p *people) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got)
}

func TestAFullDiskTellsNobodyTwice(t *testing.T) {
	full, c, p := &failing{State: open(t)}, &clock{at: time.Unix(1e9, 0)}, &people{name: "p"}
	put(t, full.State, c, "a")
	o := outbox(full, c, p)
	for range 3 {
		if err := o.Deliver(t.Context()); !errors.Is(err, errKilled) {
			t.Errorf("got %v", err)
		}
	}
	full.left = 100
	if err := o.Deliver(t.Context()); err != nil {
		t.Error(err)
	}
	all, err := notify.List(t.Context(), full.State, "")
	if err != nil || len(all) != 1 || all[0].Waiting || p.count() != 1 {
		t.Errorf("told %d times: %+v, %v", p.count(), all, err)
	}
}
