package measure

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/event"
)

// list is a log and a sink of tallies that count 1, 2, 3, ...
type list struct {
	records int
	broken  error
	place   event.Offset
	sum     uint64
	gone    event.Offset
	skipped []event.Offset
}

func (l *list) Append(context.Context, ...event.Record) (event.Offset, error) { return 0, nil }
func (l *list) End() event.Offset                                             { return event.Offset(l.records) }

func (l *list) Read(_ context.Context, from event.Offset, most int, use func(event.Offset, event.Record) error) (event.Offset, error) {
	if from < l.gone {
		return from, &event.GoneError{From: from, Oldest: l.gone}
	}
	for ; from < event.Offset(l.records) && most > 0; most-- {
		if err := use(from, event.Record{Tally: &event.Tally{Requests: uint64(from) + 1}}); err != nil {
			return from, err
		}
		from++
	}
	return from, l.broken
}

func (l *list) Place(context.Context) (uint64, event.Offset, error) { return 1, l.place, nil }

func (l *list) Apply(_ context.Context, _ uint64, from, to event.Offset, batch []Item) error {
	if from != l.place {
		return errors.New("a gap")
	}
	for _, item := range batch {
		l.sum += item.Record.Tally.Requests
	}
	l.place = to
	return nil
}

func (l *list) Skip(_ context.Context, _ uint64, to event.Offset, _ string) error {
	l.place, l.skipped = to, append(l.skipped, to)
	return nil
}

func TestTheFollowerAppliesAllInBatches(t *testing.T) {
	l := &list{records: 100}
	f := NewFollower(l, l, FollowerOptions{Batch: 7, Now: func() time.Time { return noon }})
	if err := f.CatchUp(context.Background()); err != nil || l.sum != 5050 {
		t.Errorf("sum %d, %v", l.sum, err)
	}
	if diff := cmp.Diff(Lag{Applied: 100, End: 100, Since: noon}, f.Lag()); diff != "" {
		t.Error(diff)
	}
}

func TestTheFollowerGoesOnBehindWhatRetentionRemoved(t *testing.T) {
	l := &list{records: 10, gone: 5}
	if err := NewFollower(l, l, FollowerOptions{}).CatchUp(context.Background()); err != nil || l.sum != 6+7+8+9+10 {
		t.Errorf("sum %d, %v", l.sum, err)
	}
	if diff := cmp.Diff([]event.Offset{5}, l.skipped); diff != "" {
		t.Error(diff)
	}
}

func TestAWaitEndsWhenItIsWoken(t *testing.T) {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	if err := wait(context.Background(), time.Hour, wake); err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if err := wait(ended, time.Hour, wake); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}

func TestTheFollowerWaitsLongerAfterEachErrorAndRecovers(t *testing.T) {
	l := &list{records: 3, broken: errors.New("damaged")}
	ctx, cancel := context.WithCancel(context.Background())
	var waits []time.Duration
	var stuck []error
	var f *Follower
	woken := make(chan struct{})
	f = NewFollower(l, l, FollowerOptions{Stuck: func(err error) { stuck = append(stuck, err) }, Wake: woken, Wait: func(_ context.Context, d time.Duration, wake <-chan struct{}) error {
		waits = append(waits, d)
		if failing := len(waits) < 12; failing != (wake == nil) {
			t.Errorf("wait %d, failing %v: that it can be ended early is wrong", len(waits), failing)
		}
		switch len(waits) {
		case 11:
			if lag := f.Lag(); lag.Err == nil || lag.Applied != 3 || l.sum != 6 {
				t.Errorf("what was read before the damage counts: %+v, sum %d", lag, l.sum)
			}
			l.broken, l.records = nil, 4
		case 12:
			if lag := f.Lag(); lag.Err != nil || lag.Applied != 4 || l.sum != 10 {
				t.Errorf("afterwards: %+v, sum %d", lag, l.sum)
			}
			cancel()
			return ctx.Err()
		}
		return nil
	}})
	damage := l.broken
	if err := f.Run(ctx); err != nil {
		t.Error(err)
	}
	if len(stuck) != 2 || !errors.Is(stuck[0], damage) || stuck[1] != nil {
		t.Errorf("told of %v, want the damage once and its end", stuck)
	}
	const ms = time.Millisecond
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30000 * ms, 30000 * ms, 250 * ms}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Error(diff)
	}
}
