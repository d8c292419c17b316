package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server under test.
type running struct {
	Listening
	dir    string
	client *api.Client
	stop   func() error
	// terminate asks it to stop as a process manager does; stop waits for that.
	terminate func()
	logged    *text // what the server logs
	fails     bool  // its end is to be an error
}

// text is a log that is read while it is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *text) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *text) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// start serves dir until the test ends, or stop is called.
func start(t *testing.T, dir string, change func(*config.Config)) *running {
	t.Helper()
	c := config.Default()
	onAnyPort(c)
	if change != nil {
		change(c)
	}
	return startWith(t, options(dir), c)
}

func onAnyPort(c *config.Config) {
	c.Server.HTTP, c.Server.GRPC, c.Server.Control = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
}

// startWith is start with options, whose log is kept, and a configuration.
func startWith(t *testing.T, o Options, c *config.Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	listening, ended := make(chan Listening, 1), make(chan error, 1)
	logged, dir := &text{}, o.DataDir
	o.Log = slog.New(slog.NewTextHandler(logged, nil))
	go func() {
		ended <- Serve(ctx, o, c, Watch{Listening: func(l Listening) { listening <- l }})
	}()
	stop := sync.OnceValue(func() error {
		cancel(nil)
		return <-ended
	})
	select {
	case l := <-listening:
		r := &running{Listening: l, dir: dir, client: Server(dir), stop: stop, terminate: func() { cancel(ErrTerminated) }, logged: logged}
		t.Cleanup(func() {
			if err := stop(); (err != nil) != r.fails {
				t.Errorf("the server ends with %v", err)
			}
		})
		return r
	case err := <-ended:
		t.Fatalf("the server does not start: %v", err)
	}
	return nil
}

func options(dir string) Options {
	return Options{DataDir: dir, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

// until waits for a state of the services.
func (r *running) until(t *testing.T, what string, reached func([]api.Service) bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		list, err := r.client.Services(t.Context())
		if err == nil && reached(list.Services) {
			return
		}
	}
	t.Fatalf("not reached: %s", what)
}

func live(number int) func([]api.Service) bool {
	return func(s []api.Service) bool { return len(s) == 1 && s[0].State == "ready" && s[0].Version == number }
}

func (r *running) send(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// importStump imports a model that answers every row with its value, with a manifest if one is given.
func (r *running) importStump(t *testing.T, value float64, manifest ...string) registry.Version {
	t.Helper()
	file := fmt.Sprintf(`{"learner":{"attributes":{},"feature_names":[],"gradient_booster":{"model":{"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},
		"tree_info":[0],"trees":[{"left_children":[-1],"right_children":[-1],"split_indices":[0],"split_conditions":[%v],"default_left":[0],"split_type":[0],
		"categories":[],"categories_nodes":[],"categories_segments":[],"categories_sizes":[],"tree_param":{"num_nodes":"1","size_leaf_vector":"0"}}]},"name":"gbtree"},
		"learner_model_param":{"base_score":"0","num_class":"0","num_feature":"2","num_target":"1"},"objective":{"name":"reg:squarederror"}},"version":[3,2,0]}`, value)
	source := func(path, text string) api.Source {
		return api.Source{Path: path, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	}
	sources := []api.Source{source("model.json", file)}
	for _, text := range manifest {
		sources = append(sources, source("model.yaml", text))
	}
	imported, err := r.client.Import(t.Context(), "m", api.ImportOptions{By: "test"}, sources)
	if err != nil {
		t.Fatal(err)
	}
	return imported.Version
}

func (r *running) move(t *testing.T, to string) {
	t.Helper()
	if _, err := r.client.MoveAlias(t.Context(), "m", "champion", api.AliasChange{To: to, By: "test"}); err != nil {
		t.Fatal(err)
	}
}

const question = `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`

func (r *running) infer(t *testing.T) (value float64, version string) {
	t.Helper()
	code, body := r.send(t, http.MethodPost, "http://"+r.HTTP+"/v2/models/m/infer", question)
	var answer struct {
		Version string `json:"model_version"`
		Outputs []struct{ Data []float64 }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK || len(answer.Outputs) != 1 {
		t.Fatalf("%d %s", code, body)
	}
	return answer.Outputs[0].Data[0], answer.Version
}

func TestAMovedAliasIsFollowedWithoutALostRequest(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	for v := 1; v <= 3; v++ {
		r.importStump(t, float64(v))
	}
	r.until(t, "version 1 is live", live(1))
	stop := make(chan struct{})
	var askers sync.WaitGroup
	for range 3 {
		askers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if value, version := r.infer(t); fmt.Sprint(value) != version {
						t.Errorf("version %s answers %v", version, value)
					}
				}
			}
		})
	}
	for _, v := range []int{2, 3, 1, 3, 2} {
		r.move(t, fmt.Sprint(v))
		r.until(t, fmt.Sprintf("version %d is live", v), live(v))
	}
	close(stop)
	askers.Wait()
	if value, _ := r.infer(t); value != 2 {
		t.Errorf("after the last move the answer is %v", value)
	}
}

func TestAVersionThatCannotBeLoadedLeavesTheOldOneAnswering(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	r.importStump(t, 1)
	damaged := r.importStump(t, 2)
	r.until(t, "version 1 is live", live(1))
	digits := strings.TrimPrefix(damaged.Files[0].Digest.String(), "sha256:")
	blob := filepath.Join(r.dir, "blobs", "sha256", digits[:2], digits[2:])
	content, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, bytes.Replace(content, []byte("squarederror"), []byte("squaredevror"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	r.move(t, "2")
	r.until(t, "the service is degraded", func(s []api.Service) bool {
		return len(s) == 1 && s[0].State == "degraded" && s[0].Version == 1 && strings.Contains(s[0].Error, "damaged")
	})
	if value, version := r.infer(t); value != 1 || version != "1" {
		t.Errorf("version %s answers %v", version, value)
	}
	if code, body := r.send(t, http.MethodGet, "http://"+r.HTTP+"/readyz", ""); code != 200 || !strings.Contains(body, "degraded") {
		t.Errorf("readyz: %d %s", code, body)
	}
	r.move(t, "1")
	r.until(t, "the way back is open", live(1))
}

func TestWhatIsAcknowledgedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, nil)
	r.importStump(t, 1)
	r.importStump(t, 2)
	r.move(t, "2")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, nil)
	r.until(t, "version 2 is live", live(2))
	if value, _ := r.infer(t); value != 2 {
		t.Errorf("the answer is %v", value)
	}
}

func TestAConfiguredServiceIsServedUnderItsName(t *testing.T) {
	r := start(t, t.TempDir(), func(c *config.Config) {
		text := "services:\n  - name: other\n    variants: [{name: blue, model: m/1}]\n"
		read, err := config.Read("serin.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c.Services = read.Services
	})
	if code, _ := r.send(t, http.MethodGet, "http://"+r.HTTP+"/readyz", ""); code != http.StatusServiceUnavailable {
		t.Errorf("ready without a model: %d", code)
	}
	r.importStump(t, 1)
	r.importStump(t, 2)
	r.until(t, "the pinned version is live", live(1))
	if code, body := r.send(t, http.MethodPost, "http://"+r.HTTP+"/v2/models/other/infer", question); code != 200 || !strings.Contains(body, `"model_name":"other"`) {
		t.Errorf("%d %s", code, body)
	}
	_, metrics := r.send(t, http.MethodGet, "http://"+r.Control+"/metrics", "")
	for _, want := range []string{`serin_requests_total{code="200",dialect="openinference",route="/v2/models/{name}/infer",service="other",variant="blue"} 1`, "serin_request_duration_seconds_bucket", `serin_shed_total{service="other"} 0`, "go_goroutines"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestHealthOverGRPC(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	conn, err := grpc.NewClient(r.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := health.NewHealthClient(conn)
	check := func(service string) (health.HealthCheckResponse_ServingStatus, error) {
		answer, err := client.Check(t.Context(), &health.HealthCheckRequest{Service: service})
		return answer.GetStatus(), err
	}
	if s, err := check(""); err != nil || s != health.HealthCheckResponse_NOT_SERVING {
		t.Errorf("an empty server is %v, %v", s, err)
	}
	r.importStump(t, 1)
	r.until(t, "version 1 is live", live(1))
	for _, service := range []string{"", "m"} {
		if s, err := check(service); err != nil || s != health.HealthCheckResponse_SERVING {
			t.Errorf("%q is %v, %v", service, s, err)
		}
	}
	if _, err := check("nobody"); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
}

func TestTheControlPlaneBeyondLoopbackWantsItsToken(t *testing.T) {
	r := start(t, t.TempDir(), func(c *config.Config) { c.Server.Control = "0.0.0.0:0" })
	_, port, _ := strings.Cut(r.Control[strings.LastIndex(r.Control, "]")+1:], ":")
	base := "http://127.0.0.1:" + port
	for _, path := range []string{"/api/v1/models", "/metrics", "/", "/api/v1/openapi.json"} {
		if code, _ := r.send(t, http.MethodGet, base+path, ""); code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, code)
		}
	}
	info, err := os.Stat(filepath.Join(r.dir, "control.token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the token's file: %v, %v", info, err)
	}
	token, err := controlToken(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if code, body := r.send(t, http.MethodGet, base+"/api/v1/models", "", "Authorization", "Bearer "+token); code != http.StatusOK {
		t.Errorf("with the token: %d %s", code, body)
	}
	if info, err := os.Stat(filepath.Join(r.dir, socketName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
}

func TestADirectoryHasOneHolder(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	err := Serve(t.Context(), options(r.dir), config.Default(), Watch{})
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || fault.HintOf(err) == "" {
		t.Errorf("a second server: %v", err)
	}
	// Commands still work: those that change go through the server, those that look do not need it.
	w, err := Writer(t.Context(), options(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w.Registry != nil {
		t.Error("a command writes beside the server")
	}
	reader, err := Reader(t.Context(), options(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	r.importStump(t, 1)
	if models, err := reader.Models(t.Context()); err != nil || len(models) != 1 {
		t.Errorf("the reader sees %v, %v", models, err)
	}
	if _, err := reader.Remove(t.Context(), registry.Ref{Model: "m", Number: 1}, api.RemoveRequest{By: "test"}); err == nil {
		t.Error("a reader removed a version")
	}
}

func TestTheExampleModelGivesItsGoldenAnswers(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	folder := filepath.Join(testenv.Root(t), "examples", "installs", "model")
	var files []api.Source
	for _, name := range []string{"model.ubj", "model.yaml"} {
		files = append(files, api.Source{Path: name, Open: func() (io.ReadCloser, error) { return os.Open(filepath.Join(folder, name)) }})
	}
	imported, err := r.client.Import(t.Context(), "installs", api.ImportOptions{By: "test"}, files)
	if err != nil || !imported.Created {
		t.Fatalf("%+v, %v", imported, err)
	}
	r.until(t, "the model is live", live(1))
}
