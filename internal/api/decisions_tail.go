package api

import (
	"context"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// DecisionLister lists decisions as Client does.
type DecisionLister interface {
	Decisions(ctx context.Context, service, after string, limit int) ([]Decision, error)
}

// tailOverlap is how far behind the newest decision a Tail looks again: an id is made when a request comes and read when it was
// answered, so that a slow one turns up behind quick ones that came later.
const tailOverlap = 10 * time.Second

// Tail follows decisions as they turn up: each once, by id but for those that turn up late. Start it.
type Tail struct {
	Service string // only those of this service; empty: all

	after  string // the id from which on to look
	newest time.Time
	seen   map[string]struct{} // the decisions after that id which are not new
}

// Start returns the last n decisions, at most 1000.
func (t *Tail) Start(ctx context.Context, from DecisionLister, n int) ([]Decision, error) {
	list, err := from.Decisions(ctx, t.Service, "", max(n, 1))
	if err != nil {
		return nil, err
	}
	t.seen = map[string]struct{}{}
	last := ""
	for _, d := range list {
		t.note(d)
		last = d.ID
	}
	if err := t.move(); err != nil {
		return nil, err
	}
	if n == 0 {
		list = nil
	}
	// What the window held before is not new, whether it was among the last n or not; what came after the last one is.
	window, err := t.Next(ctx, from)
	for _, d := range window {
		if d.ID > last {
			list = append(list, d)
		}
	}
	return list, err
}

// Next returns the decisions that turned up since the last call, oldest first.
func (t *Tail) Next(ctx context.Context, from DecisionLister) (list []Decision, err error) {
	for after := t.after; ; {
		page, err := from.Decisions(ctx, t.Service, after, decisionsMost)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if _, old := t.seen[d.ID]; !old {
				list = append(list, d)
			}
			after = d.ID
		}
		if len(page) < decisionsMost {
			break
		}
	}
	for _, d := range list {
		t.note(d)
	}
	return list, t.move()
}

func (t *Tail) note(d Decision) {
	t.seen[d.ID] = struct{}{}
	if d.At.After(t.newest) {
		t.newest = d.At
	}
}

// move lets the next look begin some time before the newest decision, and forgets the older ones.
func (t *Tail) move() error {
	begin := time.UnixMilli(0)
	if !t.newest.IsZero() {
		begin = t.newest.Add(-tailOverlap)
	}
	id, err := event.NewID(begin, zeros{})
	if err != nil {
		return err
	}
	t.after = id.String()
	for id := range t.seen {
		if id <= t.after {
			delete(t.seen, id)
		}
	}
	return nil
}

// zeros are no random bytes: the id of a time that is the smallest.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
