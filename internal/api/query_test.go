package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// answering is telemetry that answers everything with the same rows.
type answering struct {
	columns []string
	rows    func(yield func([]any, error) bool)
	closed  int
}

func (a *answering) Query(context.Context, string, ...any) (*Rows, error) {
	return &Rows{Columns: a.columns, All: a.rows, Close: func() { a.closed++ }}, nil
}

func (a *answering) DecisionOf(ctx context.Context, _ event.ID) (*Rows, error) {
	return a.Query(ctx, "")
}

func (a *answering) OutcomesOf(ctx context.Context, _ event.ID) (*Rows, error) {
	return a.Query(ctx, "")
}

func asking(o Options) *Client {
	o.Version = "test"
	return NewClient("http://test", Direct(New(o)))
}

func TestEveryValueOfSQLIsSent(t *testing.T) {
	a := &answering{columns: []string{"a", "b", "c", "d", "e", "f", "g", "h"}, rows: func(yield func([]any, error) bool) {
		yield([]any{nil, int64(math.MaxInt64), 0.1, math.Inf(1), math.NaN(), "é<", "\xff", []byte{0, 255}}, nil)
	}}
	got, err := asking(Options{Telemetry: a}).Query(t.Context(), Statement{SQL: "x", Limit: 5})
	want := Table{Columns: a.columns, Rows: [][]any{{nil, json.Number("9223372036854775807"), json.Number("0.1"), "Infinity", nil, "é<", "\uFFFD", "AP8="}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if a.closed != 1 {
		t.Errorf("closed %d times", a.closed)
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	read := 0
	long := strings.Repeat("x", 1<<20)
	a := &answering{columns: []string{"a"}, rows: func(yield func([]any, error) bool) {
		for read = 1; yield([]any{long}, nil); read++ {
		}
	}}
	c := asking(Options{Telemetry: a})
	got, err := c.Query(t.Context(), Statement{SQL: "x", Limit: 10})
	if err != nil || len(got.Rows) != 10 || !got.Truncated || read != 11 {
		t.Errorf("%d rows of %d read, truncated %v, %v", len(got.Rows), read, got.Truncated, err)
	}
	got, err = c.Query(t.Context(), Statement{SQL: "x", Limit: 100_000})
	if err != nil || !got.Truncated || len(got.Rows) != bytesMost>>20+1 {
		t.Errorf("%d rows of 1 MiB, truncated %v, %v", len(got.Rows), got.Truncated, err)
	}
	for _, limit := range []int{-1, 100_001} {
		if _, err := c.Query(t.Context(), Statement{SQL: "x", Limit: limit}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a limit of %d: %v", limit, err)
		}
	}
}

func TestAnErrorAmongRowsIsTheAnswer(t *testing.T) {
	a := &answering{columns: []string{"a"}, rows: func(yield func([]any, error) bool) {
		if yield([]any{"1"}, nil) {
			yield(nil, fault.Unavailablef("it took too long").WithHint("ask for less"))
		}
	}}
	_, err := asking(Options{Telemetry: a}).Query(t.Context(), Statement{SQL: "x", Limit: 10})
	if fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) != "ask for less" || a.closed != 1 {
		t.Errorf("%v, closed %d times", err, a.closed)
	}
}

// exporting writes some bytes, then fails.
type exporting struct {
	text string
	err  error
}

func (e exporting) ExportParquet(_ context.Context, _ string, _ time.Time, w io.Writer) error {
	if _, err := io.WriteString(w, e.text); err != nil {
		return err
	}
	return e.err
}

func TestAnExportThatIsCutOffIsNotTakenForWhole(t *testing.T) {
	broken := exporting{strings.Repeat("parquet", 1<<16), errors.New("the disk broke")}
	h := New(Options{Version: "test", Export: broken})
	server := httptest.NewServer(h)
	defer server.Close()
	for what, c := range map[string]*Client{"in-process": NewClient("http://test", Direct(h)), "over TCP": NewClient(server.URL, http.DefaultTransport)} {
		var got strings.Builder
		if err := c.ExportParquet(t.Context(), "outcomes", time.Time{}, &got); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v after %d bytes", what, err, got.Len())
		}
	}
	var got strings.Builder
	c := asking(Options{Export: exporting{"", fault.NotFoundf("there is no view").WithHint("others are")}})
	if err := c.ExportParquet(t.Context(), "outcomes", time.Time{}, &got); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) != "others are" || got.Len() > 0 {
		t.Errorf("before its first byte: %v", err)
	}
	if err := asking(Options{Export: exporting{"whole", nil}}).ExportParquet(t.Context(), "outcomes", time.Time{}, &got); err != nil || got.String() != "whole" {
		t.Errorf("%q, %v", got.String(), err)
	}
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestAnAnswerThatNobodyWantsEndsItsHandler(t *testing.T) {
	ended := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 1000))
		}
		ended <- err
	})
	c := NewClient("http://test", Direct(h))
	if err := c.ExportParquet(t.Context(), "x", time.Time{}, refusing{}); err == nil || err.Error() != "no room" {
		t.Errorf("%v", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%v", err)
		}
	default:
		t.Error("the handler goes on after its answer was closed")
	}
}

// keeping is traffic that only remembers what it was told.
type keeping struct{ set *TrafficOverride }

func (k *keeping) Load(_ context.Context, changes int, _ ...string) ([]ServiceTraffic, error) {
	return []ServiceTraffic{{Service: fmt.Sprintf("%d changes", changes)}}, nil
}

func (k *keeping) Set(_ context.Context, _ string, o TrafficOverride) error {
	k.set = &o
	return nil
}

func (k *keeping) Clear(context.Context, string, TrafficClear) error { return nil }

func TestWeightsAreSentAsNumbersOrAsText(t *testing.T) {
	k := &keeping{}
	h := New(Options{Version: "test", Traffic: k})
	put := func(body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/api/v1/traffic/s", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(w, r)
		return w
	}
	if w := put(`{"weights":{"a":0.8,"b":"20%","c":0},"by":"ada","why":"look"}`); w.Code != 200 || k.set == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := fmt.Sprintf("%v %v %v %s", k.set.Weights["a"], k.set.Weights["b"], k.set.Weights["c"], k.set.For); got != "0.8 20% 0 24h" {
		t.Errorf("%s", got)
	}
	for what, body := range map[string]string{
		"a negative weight":   `{"weights":{"a":-1},"by":"ada","why":"look"}`,
		"a weight in words":   `{"weights":{"a":"half"},"by":"ada","why":"look"}`,
		"no weights":          `{"by":"ada","why":"look"}`,
		"no reason":           `{"weights":{"a":1},"by":"ada","why":" "}`,
		"no author":           `{"weights":{"a":1},"by":"","why":"look"}`,
		"a control character": `{"weights":{"a":1},"by":"ada","why":"look\u001b[2J"}`,
		"an unknown field":    `{"weights":{"a":1},"by":"ada","why":"look","hours":2}`,
	} {
		k.set = nil
		if w := put(body); w.Code/100 != 4 || k.set != nil {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
}

func TestTrafficIsSentWithoutNulls(t *testing.T) {
	w := httptest.NewRecorder()
	New(Options{Version: "test", Traffic: &keeping{}}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/traffic/s?changes=7", nil))
	if w.Code != 200 || strings.Contains(w.Body.String(), "null") || !strings.Contains(w.Body.String(), "7 changes") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if _, err := asking(Options{}).Traffic(t.Context()); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("where none is kept: %v", err)
	}
}

func TestIntervalsThatAreNotKnownAreNull(t *testing.T) {
	text, err := json.Marshal(ServiceSummary{Variants: []VariantSummary{{}}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"errorRate":{"estimate":null,"low":null,"high":null,"n":0}`) {
		t.Errorf("%s", text)
	}
}
