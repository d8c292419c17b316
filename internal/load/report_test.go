package load

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func sample() *Report {
	o := &Options{URL: "http://localhost:8080/v2/models/m/infer", Rate: 1000, Count: 1000, InFlight: 4, Timeout: time.Second, MaxLag: time.Millisecond, Expect: HTTP1.usual()}
	l := newLedger(o)
	for i := range 1000 {
		due := time.Duration(i) * time.Millisecond
		tk := ticket{n: i, due: due, measured: true}
		res, took := result{status: 200, in: 300, out: 500}, time.Duration(i+100)*10*time.Microsecond
		switch {
		case i%100 == 7:
			res.status, res.example = 503, `{"error":"busy"}`
		case i%50 == 9:
			tk.held = 2 * time.Millisecond
		}
		l.add(tk, timing{sent: due + tk.held + 3*time.Microsecond, done: due + took}, res)
	}
	r := &Report{URL: o.URL, Protocol: "http/1.1", Arrivals: "constant", InFlight: 4}
	r.Machine = Machine{Cores: 2, Own: 0.25, Others: 1.5, Stolen: 0.02, Known: true, Busiest: 0.2}
	l.report(r)
	r.judge(o)
	return r
}

func TestTheReportReadsLikeThis(t *testing.T) {
	r := sample()
	var text bytes.Buffer
	r.WriteText(&text)
	r.CutOff, r.Interrupted, r.Invalid, r.Machine.Known = 3, true, []string{"the generator was late"}, false
	text.WriteByte('\n')
	r.WriteText(&text)
	text.WriteByte('\n')
	empty := &Report{URL: "grpc://h:1/a.B/C", Protocol: "grpc", Arrivals: "closed", InFlight: 1}
	empty.judge(&Options{})
	empty.WriteText(&text)
	golden(t, "report.txt", text.Bytes())
}

func TestTheReportIsWrittenForPrograms(t *testing.T) {
	text, err := json.MarshalIndent(sample(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", append(text, '\n'))
}

func TestProgressIsOneLine(t *testing.T) {
	p := Progress{Elapsed: 3200 * time.Millisecond, Total: 11 * time.Second, Done: 3200, Rate: 1000.4, Latency: Spread{P50: 120 * time.Microsecond, P99: 2 * time.Millisecond, Max: time.Second}}
	if got, want := p.Line(), "warming up 3/11 s: 3200 done, 1000/s, p50 0.120, p99 2.00, max 1000 ms"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	p.Measuring, p.Total, p.Failed, p.Late = true, 0, 2, 3
	if got, want := p.Line(), "measuring 3 s: 3200 done, 1000/s, p50 0.120, p99 2.00, max 1000 ms, 2 failed, 3 late"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}

func TestProgressIsWrittenForPrograms(t *testing.T) {
	text, err := json.Marshal(Progress{Elapsed: 2500 * time.Millisecond, Measuring: true, Done: 7, Rate: 3.5, Latency: Spread{Count: 7, Max: time.Second}})
	const want = `{"elapsedSeconds":2.5,"totalSeconds":0,"measuring":true,"done":7,"rate":3.5,"failed":0,"late":0,"latency":` +
		`{"count":7,"meanMs":0,"p50Ms":0,"p90Ms":0,"p95Ms":0,"p99Ms":0,"p999Ms":0,"maxMs":1000}}`
	if string(text) != want || err != nil {
		t.Errorf("%s, %v", text, err)
	}
}

func TestOtherProcessorTimeIsWhatIsLeft(t *testing.T) {
	begin := time.Now()
	before := watcher{at: begin, own: time.Second, whole: idleTime{cores: 2, idle: 10 * time.Second}, known: true}
	after := watcher{at: begin.Add(10 * time.Second), own: 3 * time.Second, whole: idleTime{cores: 2, idle: 22 * time.Second, stolen: time.Second}, known: true}
	got := before.until(after) // 20 s of processors: 12 idle, 1 stolen, 2 its own
	if want := (Machine{Cores: 2, Own: 0.2, Others: 0.5, Stolen: 0.1, Known: true}); !cmp.Equal(got, want, cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })) {
		t.Errorf("%+v, not %+v", got, want)
	}
	after.known = false
	if got := before.until(after); got.Known || got.Others != 0 || got.Own != 0.2 {
		t.Errorf("where the system tells nothing: %+v", got)
	}
}
