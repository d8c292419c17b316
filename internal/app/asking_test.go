package app

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// asked is a control plane over the telemetry of some records, read in-process as commands do.
func asked(t *testing.T, records ...event.Record) (*api.Client, string) {
	t.Helper()
	dir := t.TempDir()
	if len(records) > 0 {
		sink, err := telemetrysqlite.Open(t.Context(), filepath.Join(dir, telemetryName), telemetrysqlite.Options{})
		must(t, err)
		items := make([]measure.Item, len(records))
		for i, r := range records {
			items[i] = measure.Item{At: event.Offset(i), Record: r}
		}
		must(t, sink.Apply(t.Context(), 1, 0, event.Offset(len(records)), items))
		must(t, sink.Close())
	}
	s := newTrafficState(openTrafficState(t), time.Now, nil)
	must(t, s.Declare(t.Context(), []declared{reviews(t, "80", "20")}))
	o := api.Options{Version: "test", Traffic: s, Now: func() time.Time { return noon.Add(time.Hour) }}
	askTelemetry(&o, dir)
	return api.NewClient("http://test", api.Direct(api.New(o))), dir
}

// decided is a decision of the service reviews, n seconds after noon.
func decided(t *testing.T, n int, variant string) *event.Decision {
	t.Helper()
	at := noon.Add(time.Duration(n) * time.Second)
	id, err := event.NewID(at, rand.Reader)
	must(t, err)
	return &event.Decision{
		ID: id, At: at, Service: "reviews", Epoch: 1, PolicyVersion: 1, Unit: fmt.Sprintf("unit%d", n), Assigned: variant, Answered: variant,
		Version: "sha256:aa", Propensity: 0.2, Status: 200, Micros: 1500, Label: "1", Score: math.NaN(),
	}
}

func judged(d *event.Decision, correct float64) *event.Outcome {
	return &event.Outcome{
		ID: "o" + d.ID.String(), Decision: d.ID, Kind: "correct", Number: correct, ReceivedAt: d.At.Add(time.Second), Verified: true, DecidedAt: d.At,
		Service: d.Service, Epoch: d.Epoch, Variant: d.Assigned, Version: d.Version, PolicyVersion: d.PolicyVersion, Propensity: d.Propensity, Unit: d.Unit,
	}
}

func tallied(d *event.Decision, requests, errors int) *event.Tally {
	tally := &event.Tally{
		From: d.At, To: d.At.Add(time.Second), Service: d.Service, Epoch: d.Epoch, Variant: d.Assigned, Version: d.Version,
		Requests: uint64(requests), Micros: uint64(requests-errors) * 1500,
	}
	tally.Errors[event.Server] = uint64(errors)
	tally.Latency.AddN(1500, uint64(requests-errors))
	return tally
}

// Of many decisions the views have a sample; the log has all, and is asked beside the server that writes it.
func TestADecisionThatIsNotSampledIsShownFromTheLog(t *testing.T) {
	c, dir := asked(t)
	must(t, os.MkdirAll(filepath.Join(dir, logName), 0o700))
	l, err := disk.Open(filepath.Join(dir, logName), disk.Options{})
	must(t, err)
	defer l.Close()
	records := make([]event.Record, 6000)
	for i := range records {
		records[i].Decision = decided(t, 1, "canary")
	}
	_, err = l.Append(t.Context(), records...)
	must(t, err)
	sink, err := telemetrysqlite.Open(t.Context(), filepath.Join(dir, telemetryName), telemetrysqlite.Options{})
	must(t, err)
	defer sink.Close()
	must(t, measure.NewFollower(l, sink, measure.FollowerOptions{}).CatchUp(t.Context()))

	first, last := records[0].Decision, (*event.Decision)(nil)
	sampled := sampledIn(t, dir)
	for _, r := range records {
		if !sampled[r.Decision.ID.String()] {
			last = r.Decision
		}
	}
	if last == nil || !sampled[first.ID.String()] {
		t.Fatal("of 6000 at once all are kept, or the first is not")
	}
	kept, err := c.Decision(t.Context(), first.ID.String())
	must(t, err)
	left, err := c.Decision(t.Context(), last.ID.String())
	must(t, err)
	if kept.Decision.Share == nil || *kept.Decision.Share != 1 || left.Decision == nil || left.Decision.Share != nil {
		t.Fatalf("kept %+v\nleft %+v", kept.Decision, left.Decision)
	}
	same := cmpopts.IgnoreFields(api.Decision{}, "ID", "Share")
	if diff := cmp.Diff(kept.Decision, left.Decision, same); diff != "" || left.Decision.ID != last.ID.String() {
		t.Errorf("%s (-in the view +in the log):\n%s", left.Decision.ID, diff)
	}
	must(t, os.RemoveAll(filepath.Join(dir, logName)))
	if _, err := c.Decision(t.Context(), last.ID.String()); fault.KindOf(err) != fault.NotFound {
		t.Errorf("without the log: %v", err)
	}
}

// sampledIn are the ids of the view decisions.
func sampledIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	rows, err := telemetryFile(filepath.Join(dir, telemetryName)).Query(t.Context(), "SELECT id FROM decisions")
	must(t, err)
	defer rows.Close()
	ids := map[string]bool{}
	for row, err := range rows.All {
		must(t, err)
		ids[row[0].(string)] = true
	}
	return ids
}

func TestADecisionIsShownByItsIDAndByItsToken(t *testing.T) {
	d := decided(t, 5, "canary")
	c, dir := asked(t, event.Record{Decision: d}, event.Record{Tally: tallied(d, 7, 2)}, event.Record{Outcome: judged(d, 1)})
	got, err := c.Decision(t.Context(), d.ID.String())
	must(t, err)
	propensity, mean, right, one := 0.2, 1500.0, true, 1.0
	want := api.DecisionDetails{
		ID: d.ID.String(),
		Decision: &api.Decision{
			ID: d.ID.String(), At: d.At, Kind: "variant", Service: "reviews", Epoch: 1, PolicyVersion: 1, Unit: "unit5", Assigned: "canary",
			Answered: "canary", Version: "sha256:aa", Reason: "weights", Propensity: &propensity, Status: 200, Micros: 1500, Label: "1", Share: &one,
		},
		Outcomes: []api.Outcome{{
			ID: "o" + d.ID.String(), Kind: "correct", Number: &one, ReceivedAt: d.At.Add(time.Second), Status: "counted", Class: "verified",
			Service: "reviews", Variant: "canary", Correct: &right,
		}},
		Minute: &api.MinuteCounts{Minute: noon, Requests: 7, ServerErrors: 2, MeanMicros: &mean},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by its id (-want +got):\n%s", diff)
	}

	keys, _, err := loadKeys(dir)
	must(t, err)
	token := string(event.AppendToken(nil, keys, event.Token{
		Decision: d.ID, At: d.At, Service: event.Hash("reviews"), Epoch: 1, Variant: event.Hash("canary"), PolicyVersion: 1, Propensity: 0.25,
	}))
	got, err = c.Decision(t.Context(), token)
	must(t, err)
	want.Token = &api.TokenDetails{Decision: d.ID.String(), At: d.At, Service: "reviews", Epoch: 1, Variant: "canary", PolicyVersion: 1, Propensity: 0.25}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by its token (-want +got):\n%s", diff)
	}

	// A forged token says nothing.
	forged := []byte(token)
	forged[40] ^= 1
	if _, err := c.Decision(t.Context(), string(forged)); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
		t.Errorf("a forged token: %v", err)
	}
	// A genuine one speaks for itself where nothing else is known any more.
	other, err := event.NewID(noon, rand.Reader)
	must(t, err)
	token = string(event.AppendToken(nil, keys, event.Token{Decision: other, At: noon, Service: event.Hash("elsewhere"), Propensity: 1}))
	got, err = c.Decision(t.Context(), token)
	if err != nil || got.Decision != nil || got.Token == nil || got.Token.Service != "" {
		t.Errorf("a token without a record: %+v, %v", got, err)
	}
	if _, err := c.Decision(t.Context(), other.String()); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an id without a record: %v", err)
	}
}

func TestARankingIsShownWithItsSlots(t *testing.T) {
	d := decided(t, 1, "")
	d.Rank, d.Service, d.Slots = true, "carousel", []event.Slot{{Slot: 0, Arm: "travel", Position: 1, Propensity: 0.5}}
	c, _ := asked(t, event.Record{Decision: d})
	got, err := c.Decisions(t.Context(), "carousel", "", 5)
	if err != nil || len(got) != 1 || got[0].Kind != "rank" || !strings.Contains(string(got[0].Slots), `"arm": "travel"`) && !strings.Contains(string(got[0].Slots), `"arm":"travel"`) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDecisionsAreListedInPages(t *testing.T) {
	var records []event.Record
	var ids []string
	for n := range 10 {
		d := decided(t, n, "stable")
		if n%2 == 1 {
			d.Service = "other's"
		}
		records, ids = append(records, event.Record{Decision: d}), append(ids, d.ID.String())
	}
	c, _ := asked(t, records...)
	for _, want := range []struct {
		service, after string
		limit          int
		numbers        []int
	}{
		{"", "", 3, []int{7, 8, 9}},
		{"", ids[1], 3, []int{2, 3, 4}},
		{"", ids[8], 3, []int{9}},
		{"", ids[9], 3, nil},
		{"other's", "", 2, []int{7, 9}},
		{"other's", ids[1], 100, []int{3, 5, 7, 9}},
		{"nobody", "", 100, nil},
	} {
		list, err := c.Decisions(t.Context(), want.service, want.after, want.limit)
		must(t, err)
		var got, wanted []string
		for _, d := range list {
			got = append(got, d.ID)
		}
		for _, n := range want.numbers {
			wanted = append(wanted, ids[n])
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%q after %q, at most %d (-want +got):\n%s", want.service, want.after, want.limit, diff)
		}
	}
	if _, err := c.Decisions(t.Context(), "", "nonsense", 3); fault.KindOf(err) != fault.Invalid {
		t.Errorf("after nonsense: %v", err)
	}
	if _, err := c.Decisions(t.Context(), "", "", 1001); fault.KindOf(err) != fault.Invalid {
		t.Errorf("more than is sent at once: %v", err)
	}
}

func TestASummaryComesWithUncertaintyAndSampleSizes(t *testing.T) {
	var records []event.Record
	for n := range 200 {
		variant := "stable"
		if n%5 == 0 {
			variant = "canary"
		}
		d := decided(t, n, variant)
		d.Propensity = map[string]float64{"stable": 0.8, "canary": 0.2}[variant]
		correct := 1.0
		if n%10 == 0 {
			correct = 0
		}
		records = append(records, event.Record{Decision: d}, event.Record{Tally: tallied(d, 2, n%2)}, event.Record{Outcome: judged(d, correct)})
	}
	c, _ := asked(t, records...)
	s, err := c.Summary(t.Context(), "reviews", noon, noon.Add(10*time.Minute))
	must(t, err)
	if len(s.Variants) != 2 || s.Variants[0].Variant != "canary" || s.Confidence != 0.95 {
		t.Fatalf("%+v", s)
	}
	stable := s.Variants[1]
	if stable.Requests != 320 || stable.LatencyMicros.N != 240 || *stable.ErrorRate.Estimate != 0.25 || stable.ErrorRate.N != 320 {
		t.Errorf("of stable: %+v", stable)
	}
	if i := stable.ErrorRate; !(*i.Low > 0.1 && *i.Low < 0.25 && *i.High > 0.25 && *i.High < 0.4) {
		t.Errorf("error rate of stable: %v..%v", *i.Low, *i.High)
	}
	if i := stable.LatencyMicros.P50; i.N != 240 || *i.Estimate < 1485 || *i.Estimate > 1515 || *stable.LatencyMicros.Mean != 1500 {
		t.Errorf("median: %+v", i)
	}
	if i := stable.LatencyMicros.P99; i.High != nil {
		t.Errorf("240 requests give no upper limit of the p99, and here it is %v", *i.High)
	}
	if canary := s.Variants[0].Feedback; canary.Accuracy.N != 40 || *canary.Accuracy.Estimate != 0.5 || canary.Reward.Estimate != nil || canary.Reward.N != 0 {
		t.Errorf("feedback of the canary: %+v", canary)
	}
	if len(s.Ratios) != 1 || s.Ratios[0].Alarm || s.Ratios[0].Tested != 200 || s.Ratios[0].Units["canary"] != 40 {
		t.Errorf("the split: %+v", s.Ratios)
	}

	// The last hour, by the clock, is the default.
	if s, err = c.Summary(t.Context(), "reviews", time.Time{}, time.Time{}); err != nil || len(s.Variants) != 2 || !s.From.Equal(noon) {
		t.Errorf("the last hour: %+v, %v", s, err)
	}
	// A time without requests is no mistake, a service that there is not is one.
	if s, err = c.Summary(t.Context(), "reviews", noon.Add(-time.Hour), noon); err != nil || len(s.Variants) != 0 {
		t.Errorf("the hour before: %+v, %v", s, err)
	}
	if _, err = c.Summary(t.Context(), "nowhere", noon, noon.Add(time.Hour)); fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("of a service that there is not: %v", err)
	}
	if _, err = c.Summary(t.Context(), "reviews", noon, noon); fault.KindOf(err) != fault.Invalid {
		t.Errorf("of no time: %v", err)
	}
	if _, err = c.Summary(t.Context(), "reviews", noon.AddDate(-3, 0, 0), noon); fault.KindOf(err) != fault.Invalid {
		t.Errorf("of three years: %v", err)
	}
}

func TestAViewIsExportedFromATimeOn(t *testing.T) {
	var records []event.Record
	for n := range 10 {
		d := decided(t, n*60, "stable")
		records = append(records, event.Record{Decision: d}, event.Record{Tally: tallied(d, 1, 0)}, event.Record{Outcome: judged(d, 1)})
	}
	c, _ := asked(t, records...)
	for _, want := range []struct {
		view  string
		since time.Time
		rows  int
	}{
		{"outcomes", time.Time{}, 10},
		{"outcomes", noon.Add(5*time.Minute + time.Second), 5}, // received a second later
		{"decisions", noon.Add(5*time.Minute + time.Second), 4},
		{"variant_minutes", noon.Add(5 * time.Minute), 5},
		{"variant_minutes", noon.Add(5*time.Minute + 30*time.Second), 5}, // of which it is a part
	} {
		var b bytes.Buffer
		must(t, c.ExportParquet(t.Context(), want.view, want.since, &b))
		f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
		must(t, err)
		if int(f.NumRows()) != want.rows {
			t.Errorf("%s since %v: %d rows, want %d", want.view, want.since, f.NumRows(), want.rows)
		}
	}
	for what, view := range map[string]string{"an unknown view": "nowhere", "something else": "../x"} {
		var b bytes.Buffer
		if err := c.ExportParquet(t.Context(), view, time.Time{}, &b); fault.KindOf(err) != fault.NotFound || b.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", what, err, b.Len())
		}
	}
}

func TestWithoutTelemetryEveryQuestionSaysSo(t *testing.T) {
	c, dir := asked(t)
	id, err := event.NewID(noon, rand.Reader)
	must(t, err)
	var b bytes.Buffer
	_, query := c.Query(t.Context(), api.Statement{SQL: "SELECT 1", Limit: 1})
	_, list := c.Decisions(t.Context(), "", "", 1)
	_, show := c.Decision(t.Context(), id.String())
	_, summary := c.Summary(t.Context(), "reviews", time.Time{}, time.Time{})
	for what, err := range map[string]error{
		"sql": query, "list": list, "show": show, "summary": summary, "export": c.ExportParquet(t.Context(), "outcomes", time.Time{}, &b),
	} {
		if fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), "no telemetry in this data directory yet") || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("asking has made files: %v, %v", left, err)
	}
	views, err := c.Views(t.Context())
	if err != nil || len(views) < 5 || len(views[0].Columns) == 0 {
		t.Errorf("the views: %v, %v", views, err)
	}
}

func TestFeedbackIsSeenWithItsDecision(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	r.importStump(t, 1)
	r.until(t, "a model live", live(1))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.HTTP+"/v2/models/m/infer",
		strings.NewReader(`{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`))
	must(t, err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	must(t, err)
	resp.Body.Close()
	token := resp.Header.Get("Serin-Decision")
	if token == "" {
		t.Fatalf("%s without a token", resp.Status)
	}
	if code, text := r.send(t, http.MethodPost, "http://"+r.HTTP+"/v1/feedback", fmt.Sprintf(`{"token":%q,"kind":"reward","value":2.5}`, token)); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	var got api.DecisionDetails
	r.until(t, "the outcome is measured", func([]api.Service) bool {
		got, err = r.client.Decision(t.Context(), token)
		return err == nil && got.Decision != nil && len(got.Outcomes) == 1 && got.Minute != nil
	})
	if o := got.Outcomes[0]; o.Kind != "reward" || o.Number == nil || *o.Number != 2.5 || o.Class != "verified" {
		t.Errorf("the outcome: %+v", o)
	}
	if got.Decision.Service != "m" || got.Token.PolicyVersion != got.Decision.PolicyVersion {
		t.Errorf("%+v, %+v", got.Decision, got.Token)
	}
}
