package load

import (
	"testing"
	"time"
)

func TestThresholdsAreHeldAgainstWhatWasMeasured(t *testing.T) {
	l := newLedger(ready(t, Options{Rate: 100, Count: 1}))
	for i := range 1000 { // latencies of 1 to 998 ms, and two failures
		due := time.Duration(i) * 10 * time.Millisecond
		tk := ticket{n: i, due: due, measured: true}
		if i < 30 {
			tk.held = time.Millisecond
		}
		res := result{status: 200}
		if i >= 998 {
			res.status = 500
		}
		l.add(tk, timing{sent: due + tk.held, done: due + time.Duration(i+1)*time.Millisecond}, res)
	}
	r := &Report{}
	l.report(r)
	for text, want := range map[string]bool{
		"p50<501ms": true, "p50<500ms": false, "p50 <= 500.9ms": true, "p99<1s": true, "p99<980ms": false, "p99.8<=998.9ms": true,
		"p99.9<1h": false, "p100<1h": false, "max<1h": false, "max>1h": true, "p99.9>1h": true, // what failed is slower than any limit
		"mean<500ms": true, "mean<499ms": false, "mean<=499.5ms": true,
		"errors<3": true, "errors<2": false, "errors<=2": true, "errors<0.3%": true, "errors<0.2%": false, "errors>=0.2%": true,
		"late<=3%": true, "late<30": false, "late<31": true,
		"rate>90": true, "rate>100": false, "rate<1e9": true, "lag<1ms": true, "lag>=0s": true, "lag>1ms": false,
	} {
		var threshold Threshold
		if err := threshold.UnmarshalText([]byte(text)); err != nil {
			t.Error(err)
			continue
		}
		if v := threshold.Check(r); v.Kept != want || v.Measured == "" || v.Threshold != text {
			t.Errorf("%s: %+v", text, v)
		}
		if v := threshold.Check(&Report{}); v.Kept {
			t.Errorf("%s is kept by a run in which nothing was measured", text)
		}
	}
}

func TestThresholdsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "p99", "p99<", "<10ms", "p99<10", "p99<10%", "p<10ms", "p0<10ms", "p101<10ms", "p9.9.9<1ms", "p99=10ms", "p99<10ms errors<1", "mean50<1s",
		"errors<", "errors<x", "errors<1ms", "errors<NaN", "rate>5%", "rate>fast", "median<1ms", "late<1s", "lag<1%", "P99<1s",
	} {
		var threshold Threshold
		if err := threshold.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %+v", text, threshold)
		}
	}
}
