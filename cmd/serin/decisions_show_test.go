package main

import (
	"bytes"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/payload"
)

func TestWhatWasDoneToABodyIsShown(t *testing.T) {
	referring := &api.Decision{Payload: "2026-11-21-001:0"}
	tests := []struct {
		name string
		d    api.DecisionDetails
		want string
	}{
		{"nothing was captured", api.DecisionDetails{Decision: &api.Decision{}}, ""},
		{"nothing is known", api.DecisionDetails{}, ""},
		{"it is gone", api.DecisionDetails{Decision: referring}, "\nthe bodies that were captured are not kept any more\n"},
		{
			"all that can be done",
			api.DecisionDetails{Decision: referring, Captured: &payload.Record{
				Request: "{\n\"a\": \"\x1b[redacted]\"", RequestBytes: 99, ResponseBytes: 7,
				Redacted: []string{"request"}, Truncated: []string{"request"}, Withheld: map[string]string{"response": "it is no JSON"},
			}},
			"\nrequest: 99 bytes, the beginning, redacted\n  { \"a\": \" [redacted]\"\n\nresponse: 7 bytes, withheld: it is no JSON\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			showCaptured(&b, tt.d)
			if b.String() != tt.want {
				t.Errorf("got %q\nwant %q", b.String(), tt.want)
			}
		})
	}
}
