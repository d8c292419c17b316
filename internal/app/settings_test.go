package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
)

// TestSettingsReachWhatTheyAreAbout asks a server with every setting for what each of them changes, and one without for what it is otherwise.
func TestSettingsReachWhatTheyAreAbout(t *testing.T) {
	serve := func(text string) *running {
		read, err := config.Read("serin.yaml", []byte(text))
		must(t, err)
		r := start(t, t.TempDir(), func(c *config.Config) {
			read.Server.HTTP, read.Server.GRPC, read.Server.Control = c.Server.HTTP, c.Server.GRPC, c.Server.Control
			*c = *read
		})
		r.importStump(t, 1)
		r.until(t, "version 1 is live", live(1))
		return r
	}
	plain := serve("services: [{name: a, variants: [{model: m}]}]")
	set := serve("services: [{name: a, variants: [{model: m}], v1: tensorflow}]\nserver: {accessLog: all, metricAliases: [seldon, kserve], repositoryControl: true}")
	post := func(r *running, path, body string) (int, string) {
		return r.send(t, http.MethodPost, "http://"+r.HTTP+path, body)
	}

	// accessLog
	for r, lines := range map[*running]int{plain: 0, set: 2} {
		for _, body := range []string{question, "{"} {
			post(r, "/v2/models/a/infer", body)
		}
		logged := ""
		for line := range strings.Lines(r.logged.String()) {
			if strings.Contains(line, " micros=") {
				logged += line
			}
		}
		if n := strings.Count(logged, "\n"); n != lines {
			t.Errorf("%d lines of requests, want %d:\n%s", n, lines, logged)
		}
		for _, want := range []string{"decision=", "service=a", "variant=stable", "status=200", "status=400"} {
			if lines > 0 && !strings.Contains(logged, want) {
				t.Errorf("%s is not in the log:\n%s", want, logged)
			}
		}
	}

	// metricAliases
	for r, want := range map[*running]bool{plain: false, set: true} {
		_, text := r.send(t, http.MethodGet, "http://"+r.Control+"/metrics", "")
		for _, name := range []string{"seldon_api_executor_server_requests", "request_predict_seconds"} {
			if strings.Contains(text, "\n"+name) != want {
				t.Errorf("%s is told: %v", name, !want)
			}
		}
	}

	// v1
	for r, want := range map[*running]string{plain: `"name":"a"`, set: `"model_version_status"`} {
		if _, text := r.send(t, http.MethodGet, "http://"+r.HTTP+"/v1/models/a", ""); !strings.Contains(text, want) {
			t.Errorf("/v1/models/a says %s", text)
		}
	}

	// repositoryControl
	if code, text := post(plain, "/v2/repository/models/a/unload", "{}"); code != http.StatusForbidden {
		t.Errorf("an unload that nobody allowed: %d %s", code, text)
	}
	if code, text := post(set, "/v2/repository/models/a/unload", "{}"); code != http.StatusOK {
		t.Errorf("an unload: %d %s", code, text)
	}
	if code, text := post(set, "/v2/models/a/infer", question); code != http.StatusServiceUnavailable {
		t.Errorf("unloaded, it answers %d %s", code, text)
	}
	if code, text := post(set, "/v2/repository/index", "{}"); code != http.StatusOK || !strings.Contains(text, `"reason":"it was unloaded"`) {
		t.Errorf("the index: %d %s", code, text)
	}
	set.until(t, "it is unloaded", func(s []api.Service) bool { return len(s) == 1 && s[0].State == "unloaded" })
	if code, text := post(set, "/v2/repository/models/a/load", "{}"); code != http.StatusOK {
		t.Errorf("a load: %d %s", code, text)
	}
	if code, text := post(set, "/v2/models/a/infer", question); code != http.StatusOK {
		t.Errorf("loaded again, it answers %d %s", code, text)
	}
}
