package prometheus

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/testenv"
)

// TestARealServer asks a Prometheus that scrapes a recommender: what one asks first of it, and all that gives no number.
func TestARealServer(t *testing.T) {
	program := testenv.Program(t, "prometheus")
	recommender := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `# TYPE request_latency_seconds summary
request_latency_seconds_sum{path="/recommend/1"} 30
request_latency_seconds_count{path="/recommend/1"} 100
request_latency_seconds_sum{path="/recommend/2"} 20
request_latency_seconds_count{path="/recommend/2"} 100
request_latency_seconds_sum{path="/rate"} 900
request_latency_seconds_count{path="/rate"} 100
`)
	}))
	defer recommender.Close()
	s := startServer(t, program, strings.TrimPrefix(recommender.URL, "http://"))
	const first = `sum(request_latency_seconds_sum{path=~"/recommend/.*"}) / sum(request_latency_seconds_count{path=~"/recommend/.*"})`
	waitFor(t, func() error {
		v, err := s.Ask(t.Context(), first)
		if err == nil && v != 0.25 {
			t.Fatalf("the mean latency is %v", v)
		}
		return err
	})
	if n := len(QueryWarnings(first)); n != 3 {
		t.Errorf("%d warnings", n)
	}
	for query, want := range map[string]struct {
		value float64
		says  string
	}{
		`scalar(request_latency_seconds_sum{path="/rate"})`:                      {value: 900},
		`request_latency_seconds_sum{path="/rate"} + 1`:                          {value: 901},
		`request_latency_seconds_sum`:                                            {says: "3 series"},
		`request_latency_seconds_sum{path="/rates"}`:                             {says: "no series"},
		`sum(request_latency_seconds_sum) * 0 / 0`:                               {says: "NaN"},
		`sum(request_latency_seconds_sum) / 0`:                                   {says: "+Inf"},
		`request_latency_seconds_sum[1m]`:                                        {says: "matrix"},
		`"text"`:                                                                 {says: "string"},
		`sum(`:                                                                   {says: "parse error"},
		`rate(request_latency_seconds_sum{path="/rate"}[1ms])`:                   {says: "no series"},
		"vector(1)" + strings.Repeat(" ", 20_000) + "+ 1":                        {value: 2}, // longer than an address may be
		`vector(1) == 2`:                                                         {says: "no series"},
		`count(request_latency_seconds_sum > 25)`:                                {value: 2},
		`request_latency_seconds_sum * on (nothing) request_latency_seconds_sum`: {says: "duplicate series"},
	} {
		v, err := s.Ask(t.Context(), query)
		switch {
		case want.says == "" && (err != nil || v != want.value):
			t.Errorf("%.80s: %v, %v", query, v, err)
		case want.says != "" && (err == nil || !strings.Contains(err.Error(), want.says)):
			t.Errorf("%.80s: %v, %v", query, v, err)
		}
	}
	if _, err := s.Ask(t.Context(), "sum("); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a wrong query: %v", err)
	}
}

// startServer runs a Prometheus until the test ends.
func startServer(t *testing.T, program, target string) *Server {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs: [{job_name: recommender, static_configs: [{targets: ['%s']}]}]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
		if t.Failed() {
			t.Log(said.String())
		}
	})
	s, err := New(Options{URL: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// waitFor tries until something works; a server takes some seconds to start and to scrape.
func waitFor(t *testing.T, try func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
