package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/event"
)

func TestSeldonFeedbackAnswersInItsForm(t *testing.T) {
	h := newHub(t)
	token, id := h.token(), testDecision.String()
	of := func(puid, fields string) string {
		return fmt.Sprintf(`{"request":{"data":{"ndarray":[[1,2]]}},"response":{"meta":{"puid":%q}},%s}`, puid, fields)
	}
	const bare, named, spaced = "/api/v1.0/feedback", "/seldon/reviews/api/v1.0/feedback", "/seldon/ns/reviews/api/v1.0/feedback"
	tests := []struct {
		name, path, body string
		header           []string
		status           int
		want             string // the whole body, or the part after "..."
	}{
		{"reward by puid", bare, of(id, `"reward":1`), nil, 200, `{"meta":{"puid":"` + id + `","tags":{"reward":"accepted"}}}`},
		{"again", "/api/v0.1/feedback", of(id, `"reward":1.0`), nil, 200, `{"meta":{"puid":"` + id + `","tags":{"reward":"duplicate"}}}`},
		{"by token", spaced, of("mine", `"reward":1`), []string{TokenHeader, token}, 200, `..."tags":{"reward":"duplicate"}`},
		{"another reward", named, of(id, `"reward":0`), nil, 409, `{"status":{"code":409,"info":"the reward of this decision came before with another value; the first one counts","reason":"CONFLICT","status":"FAILURE"}}`},
		{"truth", spaced, of(id, `"truth":{"data":{"names":["neg","pos"],"ndarray":[[0,1]]}}`), nil, 200, `..."tags":{"label":"accepted"}`},
		{"both", spaced, of(id, `"reward":1,"truth":{"strData":"pos"}`), nil, 200, `..."tags":{"reward":"duplicate","label":"duplicate"}`},
		{"a token of another service", "/seldon/single/api/v1.0/feedback", of(id, `"reward":1`), []string{TokenHeader, token}, 400, `...of another service`},
		{"a tampered token", bare, of(id, `"reward":1`), []string{TokenHeader, tampered(token)}, 400, `{"status":{"code":400,"info":"the decision token is not valid`},
		{"the client's own puid", named, of("mine", `"reward":1`), nil, 400, `...which of the 2 variants`},
		{"the client's own puid, one variant", "/seldon/single/api/v1.0/feedback", of("mine", `"reward":1`), nil, 200, `{"meta":{"tags":{"reward":"accepted"}}}`},
		{"no such service", "/seldon/ns/nobody/api/v1.0/feedback", of(id, `"reward":1`), nil, 404, `..."reason":"NOT_FOUND"`},
		{"malformed", bare, `{`, nil, 400, `..."status":"FAILURE"`},
		{"two truths", bare, of(id, `"truth":{"data":{"ndarray":[1,2]}}`), nil, 400, `...truth holds 2 values`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := h.send(tt.path, tt.body, tt.header...)
			got := w.Body.String()
			part, partial := strings.CutPrefix(tt.want, "...")
			if w.Code != tt.status || !strings.Contains(got, part) || !partial && !strings.HasPrefix(got, part) {
				t.Errorf("got %d %s\nwant %d %s", w.Code, got, tt.status, tt.want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("%s is no JSON", got)
			}
		})
	}
	w := httptest.NewRecorder()
	h.gateway.ServeHTTP(w, httptest.NewRequest(http.MethodGet, bare, http.NoBody))
	if w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Body.String(), "FAILURE") {
		t.Errorf("GET: %d %s", w.Code, w.Body)
	}
}

// What a client of the protocol does: it sends the answer back as it came.
func TestSeldonFeedbackFindsThePuidOfItsAnswer(t *testing.T) {
	h := newHub(t)
	answer := h.send("/seldon/reviews/api/v1.0/predictions", fmt.Sprintf(seldonRow, 1)).Body.String()
	w := h.send("/seldon/reviews/api/v1.0/feedback", fmt.Sprintf(`{"request":%s,"response":%s,"reward":0.25}`, fmt.Sprintf(seldonRow, 1), answer))
	o := h.last()
	if w.Code != 200 || o.Decision.IsZero() || o.Verified || o.Number != 0.25 || !strings.Contains(answer, o.Decision.String()) {
		t.Errorf("%d %s: %+v", w.Code, w.Body, o)
	}
	if o.ID != event.OutcomeID(o.Decision, 0, kindReward) {
		t.Errorf("its id is %s", o.ID)
	}
}
