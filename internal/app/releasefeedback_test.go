package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/release"
)

// tell has users ask, and say of each answer whether it was right, until the function that it returns is called. How many of ten answers of a
// variant are right is given by what it answers.
func (m *moving) tell(t *testing.T, right map[string]int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	send := func(method, path, body, user string) (*http.Response, string, error) {
		r, err := http.NewRequestWithContext(ctx, method, "http://"+m.HTTP+path, strings.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		r.Header.Set("X-User", user)
		r.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return answer, string(bytes.TrimSpace(text)), err
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := worker; ctx.Err() == nil; i += 4 {
				user := fmt.Sprint("user", i%1000)
				answer, name, err := send(http.MethodGet, "/recommend/1", "", user)
				if err != nil {
					continue // the test ends
				}
				correct := (i/4*7)%10 < right[name]
				told, text, err := send(http.MethodPost, "/v1/feedback", fmt.Sprintf(`{"token": %q, "correct": %v}`, answer.Header.Get(gateway.TokenHeader), correct), user)
				if err == nil && told.StatusCode >= 300 {
					t.Errorf("feedback: %d %s", told.StatusCode, text)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
		client.CloseIdleConnections()
	}
}

// From the answer over its token, the feedback, the log and the figures to the verdict.
func TestAServerJudgesACandidateByWhatUsersSayOfItsAnswers(t *testing.T) {
	for name, p := range map[string]struct {
		right map[string]int
		end   release.Phase
	}{
		"better": {map[string]int{"stable": 6, "canary": 9}, release.Promoted},
		"worse":  {map[string]int{"stable": 9, "canary": 6}, release.RolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			m := &moving{stable: newVariantServer(t, "stable"), canary: newVariantServer(t, "canary"), mail: newMailbox(t)}
			text := fmt.Sprintf(movingText, m.stable.URL, m.canary.URL, `{setWeight: 50}, {analysis: {maxDuration: 8s}}`, m.mail.URL)
			c := readText(t, strings.Replace(text, "{name: errors, vs: stable, tolerate: 0, margin: 20%, minSample: 50}", "{name: accuracy, role: goal, vs: stable, margin: 0, minSample: 200}", 1))
			onAnyPort(c)
			m.running = startWith(t, options(t.TempDir()), c)
			m.until(t, "both are ready", func(s []api.Service) bool { return len(s) == 2 && s[0].State == "ready" && s[1].State == "ready" })
			defer m.tell(t, p.right)()
			_, err := m.client.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "ann"})
			must(t, err)
			r := m.reaches(t, "the end", phase(p.end))
			v := r.Verdicts[0]
			t.Logf("after %v: %s", r.Ended.Sub(r.Started), v.Sentence)
			if v.N < 400 || float64(v.Value) < 0.2 && name == "better" || float64(v.Value) > -0.2 && name == "worse" {
				t.Errorf("%+v", v)
			}
		})
	}
}
