package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

func vector(values ...string) string {
	var all []string
	for i, v := range values {
		all = append(all, fmt.Sprintf(`{"metric":{"i":"%d"},"value":[1700000000.5,%q]}`, i, v))
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(all, ",") + `]}}`
}

func TestAnAnswerIsOneNumberOrAReason(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   float64
		says   string // "" for a number
		kind   fault.Kind
	}{
		"a series":              {200, vector("0.25"), 0.25, "", 0},
		"a scalar":              {200, `{"status":"success","data":{"resultType":"scalar","result":[1,"-3e2"]}}`, -300, "", 0},
		"remarks do no harm":    {200, `{"status":"success","infos":["metric might not be a counter"],"data":{"resultType":"scalar","result":[1,"7"]}}`, 7, "", 0},
		"no series":             {200, vector(), 0, "no series", fault.Unavailable},
		"several":               {200, vector("1", "1"), 0, "2 series", fault.Unavailable},
		"NaN":                   {200, vector("NaN"), 0, "NaN", fault.Unavailable},
		"infinite":              {200, vector("+Inf"), 0, "+Inf", fault.Unavailable},
		"negatively infinite":   {200, vector("-Inf"), 0, "-Inf", fault.Unavailable},
		"no number":             {200, vector("one"), 0, "no number", fault.Unavailable},
		"too large for a float": {200, vector("1e999"), 0, "no number", fault.Unavailable},
		"a histogram": {
			200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}`, 0, "histogram", fault.Unavailable,
		},
		"a range":           {200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]}}`, 0, "matrix", fault.Unavailable},
		"a text":            {200, `{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`, 0, "string", fault.Unavailable},
		"no value":          {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}`, 0, "0 parts", fault.Unavailable},
		"a value of one":    {200, `{"status":"success","data":{"resultType":"scalar","result":[1]}}`, 0, "1 parts", fault.Unavailable},
		"a bare number":     {200, `{"status":"success","data":{"resultType":"scalar","result":[1,2]}}`, 0, "cannot be read", fault.Unavailable},
		"not complete":      {200, `{"status":"success","warnings":["a store is down"],"data":{"resultType":"scalar","result":[1,"2"]}}`, 0, "a store is down", fault.Unavailable},
		"partly":            {200, `{"status":"success","isPartial":true,"data":{"resultType":"scalar","result":[1,"2"]}}`, 0, "partial", fault.Unavailable},
		"entirely":          {200, `{"status":"success","isPartial":false,"data":{"resultType":"scalar","result":[1,"2"]}}`, 2, "", 0},
		"an error's number": {503, vector("0.25"), 0, "answers 503", fault.Unavailable},
		"a wrong query":     {400, `{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}`, 0, "unexpected end", fault.Invalid},
		"too much":          {422, `{"status":"error","errorType":"execution","error":"too many samples"}`, 0, "answers 422: it says execution: too many samples", fault.Unavailable},
		"a proxy's page":    {502, `<html>`, 0, "answers 502", fault.Unavailable},
		"who are you":       {401, `no`, 0, "answers 401", fault.Unavailable},
		"another API":       {200, `{"hits":[]}`, 0, "status", fault.Unavailable},
		"nothing":           {204, ``, 0, "not of Prometheus", fault.Unavailable},
		"cut off":           {200, vector("1")[:40], 0, "not of Prometheus", fault.Unavailable},
		"far too much":      {200, `"` + strings.Repeat("x", largestAnswer), 0, "more than", fault.Unavailable},
		"a series of words": {200, `{"status":"success","data":{"resultType":"vector","result":{"a":1}}}`, 0, "cannot be read", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/prom/api/v1/query" || r.FormValue("query") != `sum(x{a="b"}) + 1` {
					t.Errorf("%s %s asked for %q", r.Method, r.URL, r.FormValue("query"))
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body)) // the client may have gone
			}))
			defer server.Close()
			s, err := New(Options{URL: server.URL + "/prom/"})
			if err != nil {
				t.Fatal(err)
			}
			v, err := s.Ask(t.Context(), `sum(x{a="b"}) + 1`)
			switch {
			case c.says == "" && (err != nil || v != c.want):
				t.Errorf("%v, %v", v, err)
			case c.says != "" && (err == nil || fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v, %v: %v", v, fault.KindOf(err), err)
			}
		})
	}
}

func TestAServerThatDoesNotAnswerIsToldInTime(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer server.Close()
	defer close(release)
	s, err := New(Options{URL: strings.Replace(server.URL, "://", "://ann:secret@", 1), Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(t.Context(), "1"); fault.KindOf(err) != fault.Unavailable || strings.Contains(err.Error(), "secret") {
		t.Errorf("slow: %v", err)
	}
	server.Config.SetKeepAlivesEnabled(false)
	down, err := New(Options{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := down.Ask(t.Context(), "1"); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("down: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := down.Ask(ctx, "1"); err == nil {
		t.Error("a context that has ended asks nobody")
	}
}

func TestTheTokenIsReadEachTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "scalar", "result": []any{1, "1"}}})
	}))
	defer server.Close()
	s, err := New(Options{URL: server.URL, BearerFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(t.Context(), "1"); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "token") {
		t.Errorf("without a file: %v", err)
	}
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Ask(t.Context(), "1"); err != nil || got != "Bearer "+token {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, address := range []string{"", "prometheus:9090", "ftp://prometheus", "http://", "http://a b", ":"} {
		if _, err := New(Options{URL: address}); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// Whatever a server answers, it is a finite number or an error for people.
func FuzzNumber(f *testing.F) {
	for _, body := range []string{
		vector("1"), vector("NaN"), vector("1", "2"), `{"status":"success","data":{"resultType":"scalar","result":[1,"-3e2"]}}`,
		`{"status":"error","errorType":"bad_data","error":"no"}`, `{"status":"success","data":{"resultType":"vector","result":[{"value":null}]}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := number(body)
		switch {
		case err == nil && (math.IsNaN(v) || math.IsInf(v, 0)):
			t.Fatalf("%q: %v", body, v)
		case err != nil && v != 0:
			t.Fatalf("%q: %v and %v", body, v, err)
		case err != nil && len(err.Error()) > 2000:
			t.Fatalf("%q: an error of %d bytes", body, len(err.Error()))
		}
	})
}
