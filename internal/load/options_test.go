package load

import (
	"math"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"no URL":              {},
		"no host":             {URL: "http:///x"},
		"no port":             {URL: "http://:/x"},
		"a scheme":            {URL: "ftp://h/x"},
		"a password":          {URL: "http://u:p@h/x"},
		"a control character": {URL: "http://h/\n"},
		"gRPC at http":        {URL: "http://h", Protocol: GRPC},
		"h2 at grpc":          {URL: "grpc://h/a.B/C", Protocol: HTTP2},
		"no method of gRPC":   {URL: "grpc://h"},
		"half a method":       {URL: "grpc://h/a.B/"},
		"a negative rate":     {URL: "http://h", Rate: -1},
		"no rate":             {URL: "http://h", Rate: math.NaN()},
		"an endless rate":     {URL: "http://h", Rate: math.Inf(1)},
		"a negative time":     {URL: "http://h", Duration: -time.Second},
		"a negative count":    {URL: "http://h", Count: -1},
		"too much in flight":  {URL: "http://h", InFlight: mostInFlight + 1},
		"nothing in flight":   {URL: "http://h", InFlight: -1},
		"too many threads":    {URL: "http://h", InFlight: 1000, Threads: 65},
		"a closed ramp":       {URL: "http://h", Ramp: time.Second},
		"users without name":  {URL: "http://h", Unit: Unit{Users: 3}},
		"negative users":      {URL: "http://h", Unit: Unit{Header: "X", Users: -3}},
		"a method":            {URL: "http://h", Method: "GET /"},
		"a tunnel":            {URL: "http://h", Method: "CONNECT"},
		"a header's name":     {URL: "http://h", Header: []Field{{"A b", "c"}}},
		"no header's name":    {URL: "http://h", Header: []Field{{"", "c"}}},
		"a header's value":    {URL: "http://h", Header: []Field{{"A", "b\r\nC: d"}}},
		"a payload's header":  {URL: "http://h", Payloads: []Payload{{Header: []Field{{"A", "b\x00"}}}}},
		"the unit's header":   {URL: "http://h", Unit: Unit{Header: "A: b"}},
		"the length":          {URL: "http://h", Header: []Field{{"content-LENGTH", "5"}}},
		"the connection":      {URL: "http://h", Header: []Field{{"Connection", "close"}}},
	} {
		if err := o.complete(); fault.KindOf(err) != fault.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatusesAreReadAsPeopleWriteThem(t *testing.T) {
	for _, tt := range []struct {
		p        Protocol
		text     string
		has, not []int
	}{
		{HTTP1, "200", []int{200}, []int{201, 404}},
		{HTTP1, "2xx, 404", []int{200, 299, 404}, []int{300, 199, 403}},
		{HTTP2, "5XX", []int{500, 503}, []int{200}},
		{GRPC, "OK", []int{0}, []int{1}},
		{GRPC, "0,unavailable", []int{0, 14}, []int{13}},
		{GRPC, "5", []int{5}, []int{0}},
	} {
		s, err := ParseStatuses(tt.p, tt.text)
		if err != nil {
			t.Error(err)
		}
		for _, status := range tt.has {
			if !s.has(status) {
				t.Errorf("%q has not %d", tt.text, status)
			}
		}
		for _, status := range tt.not {
			if s.has(status) {
				t.Errorf("%q has %d", tt.text, status)
			}
		}
	}
	for _, tt := range []struct {
		p    Protocol
		text string
	}{{HTTP1, ""}, {HTTP1, "99"}, {HTTP1, "600"}, {HTTP1, "OK"}, {HTTP1, "6xx"}, {HTTP1, "200,"}, {GRPC, "17"}, {GRPC, "200"}, {GRPC, "2xx"}, {GRPC, "FINE"}} {
		if s, err := ParseStatuses(tt.p, tt.text); err == nil {
			t.Errorf("%q is read as %v", tt.text, s)
		}
	}
}

func TestPayloadsGoInTheirOrderOrInOneThatTheSeedDraws(t *testing.T) {
	o := ready(t, Options{Payloads: make([]Payload, 50)})
	texts := newTexts(o)
	for n := range 120 {
		if texts.payload(n) != n%50 {
			t.Fatalf("request %d carries payload %d", n, texts.payload(n))
		}
	}
	o.Shuffle, o.Seed = true, 4
	one, again, seen, moved := newTexts(o), newTexts(o), map[int]bool{}, 0
	for n := range 50 {
		p := one.payload(n)
		if seen[p] || p != again.payload(n) || p != one.payload(n+50) {
			t.Fatalf("request %d carries payload %d: not an order that comes again", n, p)
		}
		seen[p] = true
		if p != n {
			moved++
		}
	}
	if moved < 25 {
		t.Errorf("only %d of 50 payloads are at another place", moved)
	}
}

func TestUsersAreDrawnAlike(t *testing.T) {
	texts := newTexts(ready(t, Options{Unit: Unit{Header: "X", Users: 10}, Seed: 1}))
	counts := map[string]int{}
	for n := range 10_000 {
		counts[string(texts.appendUser(nil, n))]++
	}
	for user, n := range counts {
		if n < 850 || n > 1150 { // five standard deviations
			t.Errorf("%s comes %d times of 10000", user, n)
		}
	}
	if len(counts) != 10 {
		t.Errorf("%d users", len(counts))
	}
}
