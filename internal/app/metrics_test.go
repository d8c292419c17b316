package app

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/measure"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/tensor"
)

// metered is a telemetry that Prometheus scrapes, of a service of two classes.
type metered struct {
	*telemetry
	*prometheus.Registry
	now   time.Time
	close func() error
}

// meter opens the telemetry of a data directory that no server holds.
func meter(t *testing.T, dir string, services ...string) *metered {
	t.Helper()
	c, err := config.Read("serin.yaml", []byte("services: [{name: mail, variants: [{model: m}], labels: {classes: [ham, spam]}}]"))
	must(t, err)
	d, _, err := hold(t.Context(), Options{DataDir: dir, Create: true, Now: time.Now})
	must(t, err)
	m := &metered{Registry: prometheus.NewPedanticRegistry(), now: noon}
	o := options(dir)
	o.Now = func() time.Time { return m.now }
	var served []*gateway.Service
	for _, name := range services {
		served = append(served, gateway.NewService(gateway.ServiceOptions{Name: name}))
	}
	m.telemetry, err = openTelemetry(t.Context(), o, m, newVersions(d.registry, o.Log, c), func() []*gateway.Service { return served })
	must(t, err)
	close := sync.OnceValue(func() error { return errors.Join(m.Close(), d.Close()) })
	t.Cleanup(func() { must(t, close()) })
	m.close = close
	return m
}

func (m *metered) write(t *testing.T, records ...event.Record) {
	t.Helper()
	_, err := m.log.Append(t.Context(), records...)
	must(t, err)
}

func (m *metered) expect(t *testing.T, what, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(m, strings.NewReader(want), names...); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// unknownDigest is of a version that no registry has.
const unknownDigest = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// mail is a log of the service mail: two versions, of which one answered in two epochs, and all kinds of feedback.
func mail(t *testing.T, digest string) (records []event.Record) {
	t.Helper()
	decide := func(n int, variant, version, label string, epoch uint32) *event.Decision {
		d := decided(t, n, variant)
		d.Service, d.Version, d.Label, d.Epoch, d.Propensity = "mail", version, label, epoch, 0.5
		records = append(records, event.Record{Decision: d})
		return d
	}
	tell := func(d *event.Decision, truth string, change func(*event.Outcome)) {
		o := judged(d, 0)
		o.ID, o.Kind, o.Text, o.IsText = fmt.Sprintf("%d", len(records)), "label", truth, true
		if change != nil {
			change(o)
		}
		records = append(records, event.Record{Outcome: o})
	}
	count := func(d *event.Decision, labels map[string]uint64) {
		c := tallied(d, 10, 1)
		c.Labels = labels
		records = append(records, event.Record{Tally: c})
	}
	spam, ham := decide(1, "stable", digest, "spam", 1), decide(2, "stable", digest, "ham", 1)
	count(spam, map[string]uint64{"spam": 5, "ham": 3})
	tell(spam, "spam", nil)
	tell(spam, "ham", nil)
	tell(ham, "ham", nil)
	tell(ham, "spam", func(o *event.Outcome) { o.Verified = false })
	tell(ham, "spam", func(o *event.Outcome) { o.ReceivedAt = o.DecidedAt.Add(measure.Window + time.Second) })
	later := decide(3, "stable", digest, "ham", 2)
	count(later, map[string]uint64{"ham": 9})
	tell(later, "spam", nil)
	other := decide(4, "candidate", unknownDigest, "spam", 2)
	count(other, map[string]uint64{"spam": 1, "eggs": 1})
	return records
}

func TestPrometheusShowsWhatWasMeasured(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, nil)
	digest := r.importStump(t, 1).Digest.String()
	must(t, r.stop())

	counters := []string{
		"predictions_total", "pos_predictions_total", "neg_predictions_total", "true_pos_predictions_total", "false_pos_predictions_total",
		"true_neg_predictions_total", "false_neg_predictions_total", "model_accuracy", "serin_labelled_total",
	}
	m := meter(t, dir, "mail", "silent")
	records := mail(t, digest)
	m.write(t, records...)
	must(t, m.follower.CatchUp(t.Context()))
	want, err := os.ReadFile(filepath.Join("testdata", "metrics.txt"))
	must(t, err)
	m.expect(t, "after a log", string(want), append(counters, "serin_sample_ratio_mismatch", "serin_sample_ratio_p_value")...)
	m.expect(t, "its size", fmt.Sprintf(`# HELP serin_log_bytes Bytes of the log that are kept.
# TYPE serin_log_bytes gauge
serin_log_bytes %d
`, m.log.Bytes()), "serin_log_bytes")
	problems, err := testutil.GatherAndLint(m)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}

	for range 3 { // an hour each
		must(t, m.sink.Prune(t.Context(), noon.Add(1000*24*time.Hour), telemetrysqlite.Retention{}))
	}
	m.expect(t, "without its minutes", string(want), counters...)
	must(t, m.sink.Rebuild(t.Context(), 1, m.log))
	m.expect(t, "made anew", string(want), counters...)
	must(t, m.close())

	m = meter(t, dir, "mail")
	m.expect(t, "before the log was read", "", counters...)
	must(t, m.follower.CatchUp(t.Context()))
	m.expect(t, "after a restart", string(want), counters...)
	must(t, m.close())

	// A lost file is no new start: nothing is shown until it is whole again.
	must(t, os.Remove(filepath.Join(dir, telemetryName)))
	m = meter(t, dir, "mail")
	m.expect(t, "without the file", "", counters...)
	must(t, m.follower.CatchUp(t.Context()))
	m.expect(t, "with a new file", string(want), counters...)
}

func TestTheLagIsShown(t *testing.T) {
	m := meter(t, t.TempDir())
	lag := func(seconds float64, behind bool) {
		t.Helper()
		values := map[string]float64{}
		families, err := m.Gather()
		must(t, err)
		for _, f := range families {
			values[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		if values["serin_telemetry_lag_seconds"] != seconds || (values["serin_telemetry_lag_bytes"] > 0) != behind {
			t.Errorf("%v; want %v s, behind %v", values, seconds, behind)
		}
	}
	lag(0, false)
	m.write(t, event.Record{Outcome: judged(decided(t, 1, "stable"), 1)})
	m.now = noon.Add(5 * time.Second)
	lag(5, true) // it was never at the end: since the start
	must(t, m.follower.CatchUp(t.Context()))
	m.now = noon.Add(time.Hour)
	if got, err := testutil.GatherAndCount(m, "predictions_total"); err != nil || got != 0 {
		t.Errorf("an outcome that waits: %d, %v", got, err)
	}
	lag(0, false)
	m.write(t, event.Record{Outcome: judged(decided(t, 2, "stable"), 1)})
	lag(3595, true)
	m.now = noon // set back
	lag(0, true)
}

func TestVersionsOfOneNameAreKeptApart(t *testing.T) {
	v := &versions{known: map[string]*registry.Version{
		"sha256:aa": {Model: "a", Number: 2, Semver: "1.1.0"}, unknownDigest: {Model: "b", Number: 2, Semver: "1.1.0"},
	}}
	m := meter(t, t.TempDir())
	first, second := decided(t, 1, "stable"), decided(t, 2, "stable")
	second.Version = unknownDigest
	for _, d := range []*event.Decision{first, second} { // one after the other: of what comes at once none is the later one
		m.write(t, event.Record{Tally: tallied(d, 1, 0)})
		must(t, m.follower.CatchUp(t.Context()))
	}
	merged := newMeasured(m.telemetry, v, nil).merged()
	for _, want := range []string{"2 (1.1.0)", "001122334455"} {
		if merged[series{"reviews", "stable", want}] == nil {
			t.Errorf("no %q in %v", want, merged)
		}
	}
	if len(merged) != 2 {
		t.Errorf("%v", merged)
	}
}

func TestClassesAreThoseOfTheServiceElseOfTheModel(t *testing.T) {
	spec := func(width int, labels ...string) registry.Manifest {
		return registry.Manifest{Signature: tensor.Signature{Outputs: []tensor.Spec{{Name: "prediction", Shape: []int{-1, width}, Labels: labels}}}}
	}
	for _, c := range []struct {
		m    registry.Manifest
		want []string
	}{
		{spec(1), nil},
		{spec(1, "no", "yes"), []string{"no", "yes"}},
		{spec(3), []string{"0", "1", "2"}},
		{spec(-1), nil},
		{registry.Manifest{}, nil},
	} {
		if got := classesOf(c.m); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %q, want %q", c.m.Signature, got, c.want)
		}
	}
	dir := t.TempDir()
	r := start(t, dir, nil)
	digest := r.importStump(t, 1, "format: 1\nruntime: trees\nsignature:\n  outputs: [{name: prediction, labels: [cold, warm]}]\n").Digest.String()
	must(t, r.stop())
	d, _, err := hold(t.Context(), Options{DataDir: dir, Now: time.Now})
	must(t, err)
	defer d.Close()
	c := config.Default()
	c.Services = []config.Service{{Name: "mail", Labels: config.Labels{Classes: []string{"ham", "spam"}}}}
	v := newVersions(d.registry, options(dir).Log, c)
	for _, want := range []struct {
		service, digest string
		classes         []string
	}{{"mail", digest, []string{"ham", "spam"}}, {"m", digest, []string{"cold", "warm"}}, {"m", unknownDigest, nil}, {"m", "", nil}} {
		if got := v.Classes(want.service, want.digest); !slices.Equal(got, want.classes) {
			t.Errorf("%s, %s: %q", want.service, want.digest, got)
		}
	}
}

func TestAServersCountersSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	serve := func() *running {
		return start(t, dir, func(c *config.Config) {
			read, err := config.Read("serin.yaml", []byte("services: [{name: mail, variants: [{model: m}], labels: {classes: [ham, spam]}}]"))
			must(t, err)
			c.Services = read.Services
		})
	}
	shown := func(r *running, want ...string) {
		t.Helper()
		r.until(t, fmt.Sprintf("/metrics says %q", want), func([]api.Service) bool {
			_, text := r.send(t, http.MethodGet, "http://"+r.Control+"/metrics", "")
			return !slices.ContainsFunc(want, func(line string) bool { return !strings.Contains(text, line+"\n") })
		})
	}
	r := serve()
	r.importStump(t, 0.75)
	r.until(t, "a model live", live(1))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.HTTP+"/v2/models/mail/infer", strings.NewReader(question))
	must(t, err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	must(t, err)
	resp.Body.Close()
	label := fmt.Sprintf(`{"token":%q,"kind":"label","value":"spam"}`, resp.Header.Get("Serin-Decision"))
	if code, text := r.send(t, http.MethodPost, "http://"+r.HTTP+"/v1/feedback", label); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	const of = `{service="mail",variant="stable",version="1 (1.0.0)"} 1`
	want := []string{"predictions_total" + of, "pos_predictions_total" + of, "true_pos_predictions_total" + of, "model_accuracy" + of, "serin_telemetry_lag_bytes 0"}
	shown(r, want...)
	must(t, r.stop())
	shown(serve(), want...)
}

// BenchmarkScrape is of 100 and of 1000 versions, each in three epochs of two variants.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			sink, err := telemetrysqlite.Open(b.Context(), filepath.Join(b.TempDir(), telemetryName), telemetrysqlite.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			v := &versions{known: map[string]*registry.Version{}}
			log, err := disk.Open(b.TempDir(), disk.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			var records []event.Record
			for i := range 6 * n {
				digest := fmt.Sprintf("sha256:%064x", i/6+1)
				v.known[digest] = &registry.Version{Number: i/6 + 1, Semver: fmt.Sprintf("1.%d.0", i/6)}
				records = append(records, event.Record{Tally: &event.Tally{
					Service: "mail", Variant: []string{"stable", "candidate"}[i%2], Version: digest, Epoch: uint32(i % 3), Requests: 1, Labels: map[string]uint64{"1": 1},
				}})
			}
			if _, err := log.Append(b.Context(), records...); err != nil {
				b.Fatal(err)
			}
			t := &telemetry{log: log, sink: sink, now: time.Now, follower: measure.NewFollower(log, sink, measure.FollowerOptions{})}
			if err := t.follower.CatchUp(b.Context()); err != nil {
				b.Fatal(err)
			}
			reg := prometheus.NewRegistry()
			reg.MustRegister(newMeasured(t, v, func() []*gateway.Service { return nil }))
			b.ReportAllocs()
			for b.Loop() {
				families, err := reg.Gather()
				if err != nil || len(families) < 8 {
					b.Fatal(len(families), err)
				}
			}
		})
	}
}
