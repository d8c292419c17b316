package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// tallies count what was answered, by service, epoch, policy, variant, version and bucket of units. They are split, so that requests seldom wait for
// each other.
type tallies struct {
	shards [tallyShards]tallyShard
	mu     sync.Mutex
	from   time.Time // when the counting of this interval began

	firsts atomic.Uint64 // units that had their first error in this interval
}

const tallyShards = 8

// pressing is how many first errors are not kept back until the second is over: a variant that fails is to be found soon.
const pressing = 5

// press tells whether what was counted should be written now.
func (t *tallies) press() bool { return t.firsts.Load() >= pressing }

type tallyShard struct {
	mu    sync.Mutex
	cells map[cellKey]*event.Tally
	erred map[erredKey]map[uint64]struct{} // of each epoch of a service, the units that had an error
	_     [32]byte                         // apart from its neighbours in the cache
}

// cellKey names a tally by what lives as long as it does.
type cellKey struct {
	variant *Variant
	live    *Live
	epoch   uint32
	policy  uint64 // the version of the policy whose weights decided
	bucket  uint8
}

// erredKey names an epoch of a service, as the log does: a reload makes the service anew, and its units had their errors all the same.
type erredKey struct {
	service string
	epoch   uint32
}

// mostErred bounds the units whose first error is remembered, in each shard and epoch. Beyond, first errors are not counted.
const mostErred = 1 << 16

// keyed is a tally and its key.
type keyed struct {
	key cellKey
	*event.Tally
}

// add counts one answered request.
func (t *tallies) add(d *decision, status int, took time.Duration) {
	key := cellKey{d.assigned, d.own, 0, 0, d.bucket}
	if d.policy != nil {
		key.epoch, key.policy = d.policy.Epoch, d.policy.Version
	}
	if d.reason == event.Match || d.reason == event.ByHand {
		key.policy = 0 // who is sent to a variant is not to be compared with those who are drawn
	}
	s := &t.shards[d.bucket%tallyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	cell := s.cells[key]
	if cell == nil {
		cell = &event.Tally{Service: d.service.Name(), Epoch: key.epoch, PolicyVersion: key.policy, Variant: d.assigned.Name(), Bucket: d.bucket}
		if d.own != nil {
			cell.Version = d.own.Digest
		}
		if s.cells == nil {
			s.cells = map[cellKey]*event.Tally{}
		}
		s.cells[key] = cell
	}
	if d.limited { // it was never to be answered
		cell.Limited++
		return
	}
	cell.Requests++
	if d.fellBack {
		cell.Fallbacks++
	}
	if d.shed { // no fault of the variant's
		cell.Shed++
		return
	}
	if class, failed := classOfError(status, d); failed {
		cell.Errors[class]++
		if class != event.Client && class != event.Gone && s.first(d, key.epoch) {
			cell.FirstErrors++
			t.firsts.Add(1)
		}
		return
	}
	us := took.Microseconds()
	cell.Micros += uint64(max(us, 0))
	cell.Latency.Add(float64(us))
	for _, c := range d.counts {
		predicted(cell, c.label, c.rows)
	}
}

// What a model predicts may be any text. A tally has to stay a record that the log takes: with one that it refuses, no other would be
// written either.
const (
	mostLabels  = 1000 // told apart in one tally; others are counted under ""
	longestText = 128  // bytes of a label that are kept
)

// predicted counts n predictions of a class.
func predicted(cell *event.Tally, label string, n uint64) {
	if cell.Labels == nil {
		cell.Labels = map[string]uint64{}
	}
	label = label[:min(len(label), longestText)]
	if _, there := cell.Labels[label]; !there && len(cell.Labels) >= mostLabels {
		label = ""
	}
	cell.Labels[label] += n
}

// first tells whether this is the first error of the request's unit in its epoch. Who is nobody in particular has a first error each time. Who
// keeps, by a cookie of mode plain, what was drawn by other weights has none: first errors fall on variants as the weights say, by which they
// are judged, only of those whom these have drawn.
func (s *tallyShard) first(d *decision, epoch uint32) bool {
	if d.policy == nil || !d.choice.Unit.Known() {
		return true
	}
	if d.choice.Propensity != d.policy.Share(d.choice.Variant) {
		return false
	}
	key, unit := erredKey{d.service.Name(), epoch}, event.Hash(string(d.unit[:d.unitLen]))
	units := s.erred[key]
	if _, seen := units[unit]; seen || len(units) >= mostErred {
		return false
	}
	if units == nil {
		if s.erred == nil {
			s.erred = map[erredKey]map[uint64]struct{}{}
		}
		units = map[uint64]struct{}{}
		s.erred[key] = units
	}
	units[unit] = struct{}{}
	return true
}

// classOfError says who failed, if the status says that somebody did, or if the assigned variant did and another answer stood in for its
// own. Who waits for less time than the service promises has gone, and says nothing of the variant.
func classOfError(status int, d *decision) (class event.ErrorClass, failed bool) {
	switch {
	case d.hurried:
		return event.Gone, true
	case d.timedOut, d.failure == tooLate:
		return event.Timeout, true
	case d.failure != none:
		return event.Server, true
	case status == statusGone:
		return event.Gone, true
	case status >= 500:
		return event.Server, true
	case status >= 400:
		return event.Client, true
	}
	return 0, false
}

// take ends the interval at now, and returns what was counted in it.
func (t *tallies) take(now time.Time) []keyed {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.firsts.Store(0)
	var all []keyed
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		cells := s.cells
		s.cells = nil
		s.forget()
		s.mu.Unlock()
		for key, cell := range cells {
			if cell.From.IsZero() {
				cell.From = t.from
			}
			cell.To = now
			all = append(all, keyed{key, cell})
		}
	}
	t.from = now
	return all
}

// requests returns how many requests wait to be written.
func (t *tallies) requests() (n uint64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, cell := range s.cells {
			n += cell.Requests
		}
		s.mu.Unlock()
	}
	return n
}

// forget drops the units of epochs that have ended: of those that a later one of the same service follows.
func (s *tallyShard) forget() {
	latest := make(map[string]uint32, len(s.erred))
	for key := range s.erred {
		latest[key.service] = max(latest[key.service], key.epoch)
	}
	for key := range s.erred {
		if key.epoch < latest[key.service] {
			delete(s.erred, key)
		}
	}
}

// giveBack merges tallies that could not be written with what was counted since.
func (t *tallies) giveBack(taken []keyed) {
	for _, k := range taken {
		s := &t.shards[k.key.bucket%tallyShards]
		s.mu.Lock()
		if s.cells == nil {
			s.cells = map[cellKey]*event.Tally{}
		}
		if cell := s.cells[k.key]; cell != nil {
			merge(k.Tally, cell)
		}
		s.cells[k.key] = k.Tally // which keeps the earlier beginning
		s.mu.Unlock()
	}
}

// merge adds from to into.
func merge(into, from *event.Tally) {
	into.Requests += from.Requests
	into.Fallbacks += from.Fallbacks
	into.Limited += from.Limited
	into.Shed += from.Shed
	into.FirstErrors += from.FirstErrors
	for i := range into.Errors {
		into.Errors[i] += from.Errors[i]
	}
	into.Micros += from.Micros
	into.Latency.Merge(&from.Latency)
	for label, n := range from.Labels {
		predicted(into, label, n)
	}
}
