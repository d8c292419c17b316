package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/serin-ml/serin/internal/event"
)

// fakeLog keeps records in memory. An offset is an index.
type fakeLog struct {
	mu      sync.Mutex
	records []event.Record
	appends int
	fail    error
	panics  bool
	written bool          // a failing append writes all the same
	gate    chan struct{} // append waits until it is closed; nil: it does not
}

func (l *fakeLog) Append(ctx context.Context, records ...event.Record) (event.Offset, error) {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return 0, ctx.Err() // the write goes on, as in a real log
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends++
	if l.panics {
		panic("a bug in a log")
	}
	if l.fail == nil || l.written {
		for _, r := range records {
			bytes := event.AppendRecord(nil, r)
			kept, err := event.ParseRecord(bytes)
			if err != nil {
				return 0, err
			}
			l.records = append(l.records, kept)
		}
	}
	return event.Offset(len(l.records)), l.fail
}

func (l *fakeLog) End() event.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return event.Offset(len(l.records))
}

// all returns the outcomes in the log with that id, any id if it is "".
func (l *fakeLog) all(id string) (list []event.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Outcome != nil && (id == "" || r.Outcome.ID == id) {
			list = append(list, *r.Outcome)
		}
	}
	return list
}

// fakeTelemetry has read a log as far as it was told to.
type fakeTelemetry struct {
	log       *fakeLog
	applied   atomic.Uint64
	decisions map[event.ID]event.Decision
	fail      error
	lookups   atomic.Int64
}

func (f *fakeTelemetry) Outcome(ctx context.Context, id string) (event.Outcome, bool, error) {
	f.lookups.Add(1)
	if f.fail != nil || ctx.Err() != nil {
		return event.Outcome{}, false, errors.Join(f.fail, ctx.Err())
	}
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	for _, r := range f.log.records[:f.applied.Load()] {
		if r.Outcome != nil && r.Outcome.ID == id {
			return *r.Outcome, true, nil
		}
	}
	return event.Outcome{}, false, nil
}

func (f *fakeTelemetry) Decision(_ context.Context, id event.ID) (event.Decision, bool, error) {
	d, found := f.decisions[id]
	return d, found, f.fail
}

func (f *fakeTelemetry) Applied() event.Offset { return event.Offset(f.applied.Load()) }

func (f *fakeTelemetry) catchUp() { f.applied.Store(uint64(f.log.End())) }

func newIngest(recent int) (*Ingest, *fakeLog, *fakeTelemetry) {
	log := &fakeLog{}
	telemetry := &fakeTelemetry{log: log, decisions: map[event.ID]event.Decision{}}
	return ingestOf(log, telemetry, recent), log, telemetry
}

func ingestOf(log *fakeLog, telemetry *fakeTelemetry, recent int) *Ingest {
	return NewIngest(IngestOptions{Log: log, Telemetry: telemetry, Logger: slog.New(slog.DiscardHandler), Recent: recent})
}
