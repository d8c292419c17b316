package gateway

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
)

// Values of Options.MetricAliases: the same figures once more, under the names that other servers give them.
const (
	AliasSeldon = "seldon" // of Seldon Core 1: seldon_api_executor_*, seldon_api_model_feedback*
	AliasKServe = "kserve" // of KServe's Python server: request_*_seconds
)

// seldonMetrics are those of Seldon Core 1's executor, as its dashboards read them. A service is a deployment, a variant a predictor.
type seldonMetrics struct {
	server, client  *prometheus.HistogramVec
	feedback, gains *prometheus.CounterVec
}

func newSeldonMetrics(to prometheus.Registerer) *seldonMetrics {
	server := []string{"deployment_name", "predictor_name", "predictor_version", "service", "method", "code"}
	model := []string{"deployment_name", "predictor_name", "predictor_version", "model_name", "model_image", "model_version", "method"}
	buckets := []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	m := &seldonMetrics{
		server: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "seldon_api_executor_server_requests_seconds", Buckets: buckets,
			Help: "Time to answer a request, under Seldon's name.",
		}, server),
		client: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "seldon_api_executor_client_requests_seconds", Buckets: buckets,
			Help: "Time of the model in a request, under Seldon's name.",
		}, append(append([]string{}, server...), "model_name", "model_image", "model_version")),
		feedback: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "seldon_api_model_feedback_total", Help: "Feedback calls of the Seldon protocol, under Seldon's name.",
		}, model),
		gains: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "seldon_api_model_feedback_reward_total", Help: "Sum of positive rewards of feedback calls of the Seldon protocol, under Seldon's name.",
		}, model),
	}
	if to != nil {
		to.MustRegister(m.server, m.client, m.feedback, m.gains)
	}
	return m
}

// seldonSeries are those of one variant at one spot, as long as it has one version.
type seldonSeries struct {
	live           *Live
	server, client [len(statuses)]atomic.Pointer[prometheus.Observer]
}

func (m *seldonMetrics) done(of *series, v *Variant, at *spot, b *buffers, a answered) {
	i := placeOf(a.status)
	if i < 0 {
		return
	}
	live := b.decision.live
	s := of.seldon.Load()
	if s == nil || s.live != live {
		s = &seldonSeries{live: live}
		of.seldon.Store(s)
	}
	observe(&s.server[i], a.took.Seconds(), func() prometheus.Observer {
		service, method, code := at.asSeldon(a.status)
		return m.server.WithLabelValues(v.service.Name(), v.Name(), live.version(), service, method, code)
	})
	if b.spent.model > 0 {
		observe(&s.client[i], b.spent.model.Seconds(), func() prometheus.Observer {
			_, method, code := at.asSeldon(a.status)
			return m.client.WithLabelValues(v.service.Name(), v.Name(), live.version(), "/predict", method, code, live.Name, "", live.number())
		})
	}
}

// answered counts an answer that is no prediction.
func (m *seldonMetrics) answered(deployment, service, method, code string, took time.Duration) {
	m.server.WithLabelValues(deployment, "", "", service, method, code).Observe(took.Seconds())
}

// observe adds a value to what is kept at p, which find finds.
func observe(p *atomic.Pointer[prometheus.Observer], value float64, find func() prometheus.Observer) {
	o := p.Load()
	if o == nil {
		found := find()
		o = &found
		p.Store(o)
	}
	(*o).Observe(value)
}

// asSeldon tells the spot and an answer in the words of Seldon's labels.
func (s *spot) asSeldon(status int) (service, method, code string) {
	switch {
	case s.rpc:
		return s.route, "unary", rpcCode(status, false).String()
	case s.explain:
		return "explain", "post", codeText(status)
	}
	return "predictions", "post", codeText(status)
}

// version is that of a model as people tell it, "" for none.
func (l *Live) version() string {
	switch {
	case l == nil:
		return ""
	case l.Semver != "":
		return l.Semver
	}
	return strconv.Itoa(l.Number)
}

// number is the version's as protocols tell it: what is in no registry has its semantic version in its place.
func (l *Live) number() string {
	if l.Runtime == RuntimeUpstream && l.Semver != "" {
		return l.Semver
	}
	return strconv.Itoa(l.Number)
}

// fed counts a feedback call of the Seldon protocol, by the variant that it is about.
func (m *seldonMetrics) fed(t *table, o *event.Outcome) {
	labels := []string{o.Service, o.Variant, "", "", "", "", "feedback"}
	if s := t.byName[o.Service]; s != nil {
		for _, v := range s.variants {
			if live := v.Live(); v.Name() == o.Variant && live != nil {
				labels[2], labels[3], labels[5] = live.version(), live.Name, live.number()
			}
		}
	}
	m.feedback.WithLabelValues(labels...).Inc()
	if o.Kind == kindReward && o.Number > 0 { // a counter takes nothing back
		m.gains.WithLabelValues(labels...).Add(o.Number)
	}
}

// kserveMetrics are those of KServe's Python server.
type kserveMetrics struct{ pre, predict, post, explain *prometheus.HistogramVec }

func newKServeMetrics(to prometheus.Registerer) *kserveMetrics {
	vec := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.DefBuckets}, []string{"model_name"})
	}
	m := &kserveMetrics{
		pre:     vec("request_preprocess_seconds", "Time to decode a request, under KServe's name."),
		predict: vec("request_predict_seconds", "Time of the model in a request, under KServe's name."),
		post:    vec("request_postprocess_seconds", "Time to encode an answer, under KServe's name."),
		explain: vec("request_explain_seconds", "Time of the model in a request for an explanation, under KServe's name."),
	}
	if to != nil {
		to.MustRegister(m.pre, m.predict, m.post, m.explain)
	}
	return m
}

// kserveSeries are those of one service.
type kserveSeries struct{ pre, predict, post, explain prometheus.Observer }

func (m *kserveMetrics) of(service string) *kserveSeries {
	return &kserveSeries{
		pre: m.pre.WithLabelValues(service), predict: m.predict.WithLabelValues(service),
		post: m.post.WithLabelValues(service), explain: m.explain.WithLabelValues(service),
	}
}

func (s *kserveSeries) done(at *spot, b *buffers) {
	if b.spent.decode > 0 {
		s.pre.Observe(b.spent.decode.Seconds())
	}
	switch {
	case b.spent.model > 0 && at.explain:
		s.explain.Observe(b.spent.model.Seconds())
	case b.spent.model > 0:
		s.predict.Observe(b.spent.model.Seconds())
	}
	if b.spent.encode > 0 {
		s.post.Observe(b.spent.encode.Seconds())
	}
}
