package load

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheLedgerTellsFailuresApart(t *testing.T) {
	o := ready(t, Options{Rate: 10, Count: 6, Payloads: []Payload{{Body: []byte("x")}, {Body: []byte("y")}},
		Verify: func(payload, _ int, body []byte) error {
			if payload == 1 && string(body) == "wrong" {
				return errShort
			}
			return nil
		}})
	r := newRun(o)
	at := func(due time.Duration) (ticket, timing) {
		return ticket{n: int(due / time.Second), due: due, measured: true}, timing{sent: due, done: due + time.Millisecond}
	}
	enter := func(second int, res result, body string) {
		ticket, timing := at(time.Duration(second) * time.Second)
		if res.problem == noLane {
			timing.sent = notSent
		}
		res.in, res.out = 10, 20
		r.enter(ticket, timing, res, []byte(body))
	}
	enter(0, result{status: 200}, "right")
	enter(1, result{status: 200}, "wrong")
	enter(2, result{status: 503}, "{\"error\":\n\"busy\x1b[2J\"}"+strings.Repeat("x", 300))
	enter(3, result{status: 503}, "later")
	enter(4, result{problem: tooLate, example: "no answer in time"}, "")
	enter(5, result{problem: noLane, example: "no connection was free in time"}, "")
	r.ledger.add(ticket{n: 9}, timing{}, result{status: 200}) // of the warm-up
	got := &Report{}
	r.ledger.report(got)
	if got.Requests != 6 || got.Failed != 5 || got.Latency.Count != 1 || got.FailedLatency.Count != 5 || got.Lag.Count != 5 || got.BytesIn != 60 || got.BytesOut != 120 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(map[string]int{"200": 1, "503": 2}, got.Statuses); diff != "" {
		t.Error(diff)
	}
	want := []Problem{
		{Kind: "status 503", Count: 2, Example: `{"error": "busy [2J"}` + strings.Repeat("x", 179) + "..."},
		{Kind: "timeout", Count: 1, Example: "no answer in time"},
		{Kind: "unsent", Count: 1, Example: "no connection was free in time"},
		{Kind: "verify", Count: 1, Example: errShort.Error()},
	}
	if diff := cmp.Diff(want, got.Problems); diff != "" {
		t.Error(diff)
	}
	if done, now, latency := r.ledger.look(); done != 7 || now.requests != 7 || now.failed != 5 || latency.Count != 7 {
		t.Errorf("%d done, %+v, %d latencies", done, now, latency.Count)
	}
	if done, now, latency := r.ledger.look(); done != 7 || now.requests != 0 || latency.Count != 0 {
		t.Errorf("looked at again, %d done, %+v, %d latencies", done, now, latency.Count)
	}
}
