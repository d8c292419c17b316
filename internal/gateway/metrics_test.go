package gateway

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/metadata"
)

// labelsOf lists the series of a family as "a=1 b=2", sorted, with how often each was counted.
func labelsOf(t *testing.T, reg prometheus.Gatherer, family string) []string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			n := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			list = append(list, fmt.Sprintf("%s: %v", strings.Join(labels, " "), n))
		}
	}
	slices.Sort(list)
	return list
}

// asked is a gateway with the services of pathServices and feedback, that was asked once at each of its places; and the same once more in vain.
func asked(t *testing.T, aliases ...string) (*Gateway, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	ingest, _, _ := newIngest(0)
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: reg, Now: time.Now, Ingest: ingest, MetricAliases: aliases})
	g.SetServices(pathServices())
	for _, tt := range []struct{ path, body string }{
		{"/v2/models/b/versions/2/infer", fmt.Sprintf(v2Row, 1)},
		{"/v2/models/a/infer", fmt.Sprintf(v2Row, 1)},
		{"/v2/models/a/infer", "{"},
		{"/v2/models/none/infer", fmt.Sprintf(v2Row, 1)},
		{"/seldon/prod/a/api/v0.1/predictions", fmt.Sprintf(seldonRow, 1)},
		{"/seldon/x-explainer/default/api/v1.0/explain", fmt.Sprintf(seldonRow, 1)},
		{"/predict", fmt.Sprintf(seldonRow, 1)},
		{"/v1/models/a/versions/3:predict", `{"instances":[[1,2]]}`},
		{"/v1/models/x:explain", `{"instances":[[1,2]]}`},
		{"/invocations", `{"inputs":[[1,2]]}`},
		{"/seldon/a/api/v1.0/feedback", `{"reward":0.5}`},
		{"/api/v1.0/feedback", `{`},
	} {
		post(g, tt.path, tt.body)
	}
	c := dialled(t, g)
	for method, request := range map[string]string{oip + "ModelInfer": row("a", 1), "seldon.protos.Seldon/Predict": seldonProtoRow} {
		if _, _, err := c.call(metadata.AppendToOutgoingContext(t.Context(), selects, "a"), method, request); err != nil {
			t.Error(err)
		}
	}
	return g, reg
}

func TestRequestsAreCountedByServiceVariantDialectRouteAndCode(t *testing.T) {
	_, reg := asked(t)
	at := func(dialect, route, service, variant string, code int, n int) string {
		return fmt.Sprintf("code=%d dialect=%s route=%s service=%s variant=%s: %d", code, dialect, route, service, variant, n)
	}
	want := []string{
		at("openinference", "/v2/models/{name}/infer", "b", "canary", 200, 1),
		at("openinference", "/v2/models/{name}/infer", "a", "stable", 200, 1),
		at("openinference", "/v2/models/{name}/infer", "a", "stable", 400, 1),
		at("seldon", "/api/v1.0/predictions", "a", "stable", 200, 1),
		at("seldon", "/api/v1.0/explain", "x", "stable", 200, 1),
		at("seldon", "/predict", "a", "stable", 200, 1),
		at("v1", "/v1/models/{name}:predict", "a", "stable", 200, 1),
		at("v1", "/v1/models/{name}:explain", "x", "stable", 200, 1),
		at("mlflow", "/invocations", "a", "stable", 200, 1),
		at("openinference-grpc", "/inference.GRPCInferenceService/ModelInfer", "a", "stable", 200, 1),
		at("seldon-grpc", "/seldon.protos.Seldon/Predict", "a", "stable", 200, 1),
	}
	slices.Sort(want)
	if got := labelsOf(t, reg, "serin_requests_total"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var times float64
	for _, line := range labelsOf(t, reg, "serin_request_duration_seconds") {
		var n float64
		fmt.Sscan(line[strings.LastIndex(line, ": ")+2:], &n)
		times += n
	}
	if times != 11 {
		t.Errorf("%v times", times)
	}
	if got := labelsOf(t, reg, "serin_unrouted_requests_total"); !slices.Equal(got, []string{"code=404 dialect=openinference: 1"}) {
		t.Error(got)
	}
}

// The labels are those that dashboards of Seldon Core 1 ask by.
func TestMetricsGoUnderSeldonsNamesToo(t *testing.T) {
	_, reg := asked(t, AliasSeldon)
	at := func(service, method, code, deployment, predictor, version string) string {
		return fmt.Sprintf("code=%s deployment_name=%s method=%s predictor_name=%s predictor_version=%s service=%s: 1", code, deployment, method, predictor, version, service)
	}
	want := []string{
		strings.Replace(at("predictions", "post", "200", "a", "stable", "1.0.0"), ": 1", ": 5", 1), // over five ways
		at("predictions", "post", "200", "b", "canary", "1.0.0"),
		at("predictions", "post", "400", "a", "stable", "1.0.0"),
		strings.Replace(at("explain", "post", "200", "x", "stable", "1"), ": 1", ": 2", 1),
		at("/inference.GRPCInferenceService/ModelInfer", "unary", "OK", "a", "stable", "1.0.0"),
		at("/seldon.protos.Seldon/Predict", "unary", "OK", "a", "stable", "1.0.0"),
		at("feedback", "post", "200", "a", "", ""),
		at("feedback", "post", "400", "", "", ""),
	}
	slices.Sort(want)
	got := labelsOf(t, reg, "seldon_api_executor_server_requests_seconds")
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	client := labelsOf(t, reg, "seldon_api_executor_client_requests_seconds")
	if first := "code=200 deployment_name=a method=post model_image= model_name=m model_version=3 predictor_name=stable predictor_version=1.0.0 service=/predict: "; !slices.ContainsFunc(client, func(s string) bool { return strings.HasPrefix(s, first) }) {
		t.Errorf("no %q in %q", first, client)
	}
	fed := "deployment_name=a method=feedback model_image= model_name=m model_version=3 predictor_name=stable predictor_version=1.0.0: "
	if got := labelsOf(t, reg, "seldon_api_model_feedback_total"); !slices.Equal(got, []string{fed + "1"}) {
		t.Error(got)
	}
	if got := labelsOf(t, reg, "seldon_api_model_feedback_reward_total"); !slices.Equal(got, []string{fed + "0.5"}) {
		t.Error(got)
	}
}

func TestMetricsGoUnderKServesNamesToo(t *testing.T) {
	_, reg := asked(t, AliasKServe)
	for family, want := range map[string][]string{
		"request_preprocess_seconds":  {"model_name=a: 8", "model_name=b: 1", "model_name=x: 2"}, // the refused one too
		"request_predict_seconds":     {"model_name=a: 7", "model_name=b: 1", "model_name=x: 0"},
		"request_postprocess_seconds": {"model_name=a: 7", "model_name=b: 1", "model_name=x: 2"},
		"request_explain_seconds":     {"model_name=a: 0", "model_name=b: 0", "model_name=x: 2"},
	} {
		if got := labelsOf(t, reg, family); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", family, got, want)
		}
	}
}

func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	_, reg := asked(t, AliasSeldon, AliasKServe)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	_, reg = asked(t)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "serin_") {
			t.Errorf("%s is there unasked", f.GetName())
		}
	}
}

// A version that is swapped in is counted as itself from its first answer on.
func TestSeldonsLabelsFollowTheVersion(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: reg, Now: time.Now, MetricAliases: []string{AliasSeldon}})
	a := ready("a", 1)
	g.SetServices([]*Service{a})
	for version := range 3 {
		l := live(version)
		l.Semver = fmt.Sprintf("1.%d.0", version)
		a.Variants()[0].Swap(l)
		for range 2 {
			post(g, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1))
		}
	}
	got := labelsOf(t, reg, "seldon_api_executor_server_requests_seconds")
	for i, line := range got {
		if !strings.Contains(line, fmt.Sprintf("predictor_version=1.%d.0", i)) || !strings.HasSuffix(line, ": 2") {
			t.Error(line)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d series", len(got))
	}
}

func TestTheAccessLogHasALineForEachRequest(t *testing.T) {
	varying := regexp.MustCompile(`(time|micros|decision)=\S+ `)
	const (
		good = `level=INFO msg=request service=a variant=stable dialect=openinference route=/v2/models/{name}/infer status=200 bytesIn=83 bytes=126`
		bad  = `msg="request refused" service=a variant=stable dialect=openinference route=/v2/models/{name}/infer status=400 bytesIn=1 bytes=66 error=`
		none = `msg="request refused" dialect=openinference route=/v2/models/{name}/infer status=404 bytesIn=0 bytes=61 error=`
		ours = `level=ERROR msg="request failed" service=a variant=stable dialect=openinference route=/v2/models/{name}/infer status=500 bytesIn=84 bytes=44 error="the disk holding secrets at 10.0.0.7 failed"`
	)
	for _, tt := range []struct {
		access string
		level  slog.Level
		want   []string // beginnings of lines
	}{
		{"", slog.LevelInfo, []string{ours}},
		{AccessOff, slog.LevelDebug, []string{"level=DEBUG " + bad, "level=DEBUG " + none, ours}},
		{AccessErrors, slog.LevelInfo, []string{"level=INFO " + bad, "level=INFO " + none, ours}},
		{AccessAll, slog.LevelInfo, []string{good, "level=INFO " + bad, "level=INFO " + none, ours}},
		{AccessAll, slog.LevelError, []string{ours}},
	} {
		var log bytes.Buffer
		g := New(Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: tt.level})), Now: time.Now, AccessLog: tt.access})
		g.SetServices([]*Service{ready("a", 1)})
		post(g, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1))
		post(g, "/v2/models/a/infer", "{")
		post(g, "/v2/models/x/infer", fmt.Sprintf(v2Row, 1))
		post(g, "/v2/models/a/infer", fmt.Sprintf(v2Row, errs))
		lines := strings.Split(strings.TrimSpace(varying.ReplaceAllString(log.String(), "")), "\n")
		if !slices.EqualFunc(lines, tt.want, strings.HasPrefix) {
			t.Errorf("%q at %v:\n%s\nwant\n%s", tt.access, tt.level, strings.Join(lines, "\n"), strings.Join(tt.want, "\n"))
		}
		if decisions := strings.Count(log.String(), "decision="); decisions != len(lines)-strings.Count(log.String(), "status=404") {
			t.Errorf("%d decisions in\n%s", decisions, &log)
		}
	}
}

func TestStatisticsCountRowsAndTime(t *testing.T) {
	a := ready("a", 1)
	g, ask := serve(t, a)
	for range 3 {
		ask(http.MethodPost, "/v1/models/a:predict", `{"instances":[[1,2],[3,4]]}`)
	}
	ask(http.MethodPost, "/v1/models/a:predict", fmt.Sprintf(`{"instances":[[%d,2]]}`, errs))
	ask(http.MethodPost, "/v1/models/a:predict", `{`)
	list := a.statistics("1")
	if len(list) != 1 {
		t.Fatal(list)
	}
	s := list[0]
	if s.InferenceCount != 6 || s.ExecutionCount != 4 || s.Success.Count != 3 || s.Fail.Count != 2 || s.Queue.Count != 3 || s.ComputeInfer.Count != 3 {
		t.Errorf("%+v", s)
	}
	parts := s.ComputeInput.Total + s.ComputeInfer.Total + s.ComputeOutput.Total
	if s.ComputeInput.Total <= 0 || s.ComputeInfer.Total <= 0 || s.ComputeOutput.Total <= 0 || parts > s.Success.Total {
		t.Errorf("%v of %v: %+v", parts, s.Success.Total, s)
	}
	if s.LastInference.IsZero() || time.Since(s.LastInference) > time.Hour {
		t.Errorf("the last one was at %v", s.LastInference)
	}
	if _, err := g.modelStatistics("a", "2"); err == nil {
		t.Error("a version that is not live has statistics")
	}
}

// What is kept of a place is found again: configurations that are loaded again and again leave nothing behind.
func TestReloadedRoutesKeepTheirSeries(t *testing.T) {
	g, _ := serve(t)
	for range 10 {
		s := routed("a", route(t, http.MethodPost, "/score", "p"))
		g.SetServices([]*Service{s})
		r := httptest.NewRequest(http.MethodPost, "/score", strings.NewReader(`{"x":1,"y":2}`))
		g.ServeHTTP(httptest.NewRecorder(), r)
	}
	n := 0
	for s := range g.spots {
		if s.label == routeLabel {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d spots", n)
	}
	if got := testutil.ToFloat64(g.metrics.requests.WithLabelValues("a", "stable", routeLabel, "/score", "200")); got != 10 {
		t.Errorf("%v requests", got)
	}
}
