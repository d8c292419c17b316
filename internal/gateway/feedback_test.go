package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/traffic"
)

var update = flag.Bool("update", false, "write golden files anew")

// hub is a gateway with feedback: the services single (no policy), reviews (two variants, a signed cookie) and plain (two variants, a
// cookie with a variant's name).
type hub struct {
	t         testing.TB
	gateway   *Gateway
	ingest    *Ingest
	log       *fakeLog
	telemetry *fakeTelemetry
	keys      *event.Keys
	now       time.Time
}

var variantsOfTest = []VariantOptions{{Name: "stable"}, {Name: "canary"}}

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{t: t, now: testTime}
	h.ingest, h.log, h.telemetry = newIngest(0)
	var err error
	if h.keys, err = event.NewKeys([32]byte{1}); err != nil {
		t.Fatal(err)
	}
	h.gateway = New(Options{
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return h.now }, Keys: h.keys, Ingest: h.ingest,
		Random: rand.New(rand.NewPCG(1, 2)).Uint64,
	})
	sticky := func(cookie string, mode traffic.Mode) *traffic.Sticky {
		return &traffic.Sticky{Cookie: cookie, Mode: mode, MaxAge: time.Hour, Record: traffic.RecordHashed}
	}
	reviews := NewService(ServiceOptions{Name: "reviews", Variants: variantsOfTest, Policy: policyOf(t, "reviews", sticky("seat", traffic.ModeSigned), 50, 50)})
	plain := NewService(ServiceOptions{Name: "plain", Variants: variantsOfTest, Policy: policyOf(t, "plain", sticky("version", traffic.ModePlain), 50, 50)})
	for _, s := range []*Service{reviews, plain} {
		for i, v := range s.Variants() {
			v.Swap(live(i))
		}
	}
	h.gateway.SetServices([]*Service{ready("single", 1), reviews, plain})
	return h
}

func policyOf(t testing.TB, service string, sticky *traffic.Sticky, stable, canary int) *traffic.Policy {
	t.Helper()
	keys, err := traffic.NewKeys(bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	p, err := traffic.Compile(traffic.Spec{Weights: weightsOf(t, stable, canary), Sticky: sticky},
		traffic.Options{Service: service, Variants: []string{"stable", "canary"}, Epoch: 7, Version: 9, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func weightsOf(t testing.TB, stable, canary int) traffic.Weights {
	t.Helper()
	w := traffic.Weights{}
	for name, n := range map[string]int{"stable": stable, "canary": canary} {
		var err error
		if w[name], err = traffic.ParseWeight(fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// send posts body with headers, and returns the answer.
func (h *hub) send(path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.gateway.ServeHTTP(w, r)
	return w
}

// last is the outcome that was stored last.
func (h *hub) last() event.Outcome {
	h.t.Helper()
	all := h.log.all("")
	if len(all) == 0 {
		h.t.Fatal("nothing is stored")
	}
	return all[len(all)-1]
}

var testDecision = event.ID{0x01, 0x9c, 0xa8, 0, 0, 0, 0x70, 1, 0x80, 5}

// token is one of a decision of the service reviews.
func (h *hub) token(change ...func(*event.Token)) string {
	t := event.Token{
		Decision: testDecision, At: testTime.Add(-time.Hour), Service: event.Hash("reviews"), Variant: event.Hash("canary"), Epoch: 6,
		PolicyVersion: 8, Propensity: 0.25,
	}
	for _, f := range change {
		f(&t)
	}
	return string(event.AppendToken(nil, h.keys, t))
}

// tampered has another bit in the middle.
func tampered(token string) string {
	b := []byte(token)
	if b[40]++; b[40] == 'Z'+1 || b[40] == 'z'+1 || b[40] == '9'+1 || b[40] == '-'+1 || b[40] == '_'+1 {
		b[40] = 'A'
	}
	return string(b)
}

func TestFeedbackAnswers(t *testing.T) {
	h := newHub(t)
	token := h.token()
	id := testDecision.String()
	const path = "/v1/feedback"
	of := func(fields string) string { return fmt.Sprintf(`{"token":%q,%s}`, token, fields) }
	tests := []struct {
		name, body string
		header     []string
		status     int
		want       string // the whole body, or the part after "..."
	}{
		{"label", of(`"label":"positive","id":"l"`), nil, 200, `{"id":"l","status":"accepted","decision":"` + id + `","verified":true}`},
		{"the same again", of(`"kind":"label","label":"positive","id":"l","at":"2026-01-31T12:00:00.5+01:00"`), nil, 200, `{"id":"l","status":"duplicate","decision":"` + id + `","verified":true}`},
		{"another value", of(`"label":"negative","id":"l"`), nil, 409, `{"id":"l","status":"conflict","decision":"` + id + `","verified":true,"error":"this id came before with another value; the first one counts"}`},
		{"without an id", of(`"label":1`), nil, 200, `{"id":"` + event.OutcomeID(testDecision, 0, "label") + `","status":"accepted",...`},
		{"another slot", of(`"label":0,"slot":255`), nil, 200, `..."status":"accepted"`},
		{"another kind", of(`"correct":false`), nil, 200, `..."status":"accepted"`},
		{"which is the same as", of(`"kind":"correct","value":0`), nil, 200, `..."status":"duplicate"`},
		{"reward of 0", of(`"reward":0`), nil, 200, `..."status":"accepted"`},
		{"reward of -0", of(`"reward":-0.0`), nil, 200, `..."status":"duplicate"`},
		{"reward of 1 after 0", of(`"reward":1`), nil, 409, `..."status":"conflict"`},
		{"rating", of(`"rating":4.5`), nil, 200, `..."status":"accepted"`},
		{"own kind", of(`"kind":"basket-size","value":"large"`), nil, 200, `..."status":"accepted"`},
		{"a null is absent", of(`"kind":"click","value":1,"label":null,"at":null`), nil, 200, `..."status":"accepted"`},
		{"token in the header", `{"rating":4.5}`, []string{TokenHeader, token}, 200, `..."status":"duplicate","decision":"` + id + `","verified":true`},
		{"id alone", `{"decision":"` + id + `","kind":"open","value":true}`, nil, 200, `..."status":"accepted","decision":"` + id + `"}`},
		{"id beside another's token in the header", `{"decision":"01890a5d-ac96-774b-bcce-b302099a8057","rating":4}`, []string{TokenHeader, token}, 200, `..."status":"accepted","decision":"01890a5d-ac96-774b-bcce-b302099a8057"}`},
		{"an id that needs escapes", of(`"reward":1,"id":"é\"\\"`), nil, 200, `{"id":"é\"\\","status":"accepted",...`},
		{"the right service", of(`"rating":4.5,"service":"reviews"`), nil, 200, `..."status":"duplicate"`},
		{"another service", of(`"rating":4.5,"service":"single"`), nil, 400, `{"error":"the decision is of another service than \"single\""}`},
		{"no such service", of(`"rating":4.5,"service":"nobody"`), nil, 404, `{"error":"no service named \"nobody\""}`},
		{"tampered token", `{"token":"` + tampered(token) + `","rating":1}`, nil, 400, `...the decision token is not valid`},
		{"tampered token in the header", `{"rating":1}`, []string{TokenHeader, tampered(token)}, 400, `...the decision token is not valid`},
		{"batch", `{"feedback":[` + of(`"label":"a","id":"1"`) + "," + of(`"label":"b","id":"1"`) + `,{"token":"x","reward":1},{"service":"x","reward":1}]}`, nil, 200,
			`{"feedback":[{"id":"1","status":"accepted","decision":"` + id + `","verified":true},{"id":"1","status":"conflict","decision":"` + id +
				`","verified":true,"error":"this id came before with another value; the first one counts"},{"status":"refused","error":"the decision token is not valid: ...`},
		{"no cookie", `{"rating":1,"service":"reviews"}`, nil, 400, `{"error":"which of the 2 variants of the service \"reviews\" answered is not known (send the token that came with the answer in the header Serin-Decision, or the cookies)"}`},
		{"no service", `{"rating":1}`, nil, 400, `{"error":"which answer this is about is not said (send the token that came with the answer in the header Serin-Decision, or name the service)"}`},
		{"one variant", `{"rating":1,"service":"single"}`, nil, 200, `..."status":"accepted","attributed":true}`},
		{"compressed", "x", []string{"Content-Encoding", "br"}, 415, `...not supported`},
		{"too large", `{"label":"` + strings.Repeat("x", maxFeedbackBody) + `"}`, nil, 413, `...larger than 1048576 bytes`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := h.send(path, tt.body, tt.header...)
			got := w.Body.String()
			want, begins := strings.CutSuffix(tt.want, "...")
			want, contains := strings.CutPrefix(want, "...")
			switch {
			case w.Code != tt.status, contains && !strings.Contains(got, want), begins && !strings.HasPrefix(got, want), !begins && !contains && got != want:
				t.Errorf("got %d %s\nwant %d %s", w.Code, got, tt.status, tt.want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("%s is no JSON", got)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	w := httptest.NewRecorder()
	h.gateway.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d %v", w.Code, w.Header())
	}
}

func TestAnOutcomeTellsWhatItsTokenSays(t *testing.T) {
	h := newHub(t)
	h.send("/v1/feedback", fmt.Sprintf(`{"token":%q,"label":"positive","at":"1999-01-01T00:00:00Z","slot":3}`, h.token()))
	want := event.Outcome{
		ID: event.OutcomeID(testDecision, 3, "label"), Decision: testDecision, Slot: 3, Kind: "label", Text: "positive", IsText: true,
		At: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), ReceivedAt: testTime, Verified: true, DecidedAt: testTime.Add(-time.Hour),
		Service: "reviews", Epoch: 6, Variant: "canary", PolicyVersion: 8, Propensity: 0.25,
	}
	if diff := cmp.Diff(want, h.last()); diff != "" {
		t.Error(diff)
	}
}

func TestASlotHasItsOwnPropensity(t *testing.T) {
	h := newHub(t)
	ranking := func(n int) string {
		return h.token(func(t *event.Token) {
			t.Service, t.Variant, t.Propensity = event.Hash("banners"), 0, 1
			for i := range n {
				t.Slots = append(t.Slots, event.TokenSlot{Arm: uint64(i), Propensity: 1 / float32(i+2)})
			}
		})
	}
	for _, tt := range []struct {
		slots, slot, status int
		propensity          float64
		verified            bool
	}{{3, 2, 200, 0.25, true}, {3, 3, 400, 0, false}, {event.MaxSlots, event.MaxSlots, 200, 1, false}} {
		w := h.send("/v1/feedback", fmt.Sprintf(`{"token":%q,"kind":"click","value":1,"slot":%d}`, ranking(tt.slots), tt.slot))
		if w.Code != tt.status {
			t.Errorf("%+v: %d %s", tt, w.Code, w.Body)
		} else if o := h.last(); w.Code == 200 && (o.Propensity != tt.propensity || o.Verified != tt.verified || o.Service != "") {
			t.Errorf("%+v: %+v", tt, o)
		}
	}
}

func TestAnIDTakesOverWhatIsKnownOfItsDecision(t *testing.T) {
	h := newHub(t)
	body := fmt.Sprintf(`{"decision":%q,"reward":0.5,"slot":1}`, testDecision)
	h.send("/v1/feedback", body)
	unknown := event.Outcome{
		ID: event.OutcomeID(testDecision, 1, "reward"), Decision: testDecision, Slot: 1, Kind: "reward", Number: 0.5, ReceivedAt: testTime,
	}
	if diff := cmp.Diff(unknown, h.last()); diff != "" {
		t.Error(diff)
	}
	// Known meanwhile, the same outcome is still the same.
	h.telemetry.decisions[testDecision] = event.Decision{
		ID: testDecision, At: testTime.Add(-time.Minute), Service: "reviews", Epoch: 3, PolicyVersion: 4, Unit: "u", Assigned: "stable", Answered: "canary",
		Version: "sha256:1", Reason: event.ByHand, Propensity: 0.5, Slots: []event.Slot{{Slot: 1, Propensity: 0.125}},
	}
	if w := h.send("/v1/feedback", body); w.Code != 200 || !strings.Contains(w.Body.String(), `"duplicate"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.send("/v1/feedback", fmt.Sprintf(`{"decision":%q,"rating":2,"slot":1}`, testDecision))
	want := event.Outcome{
		ID: event.OutcomeID(testDecision, 1, "rating"), Decision: testDecision, Slot: 1, Kind: "rating", Number: 2, ReceivedAt: testTime,
		DecidedAt: testTime.Add(-time.Minute), Service: "reviews", Epoch: 3, Variant: "stable", Version: "sha256:1", PolicyVersion: 4,
		Propensity: 0.125, Unit: "u", ByHand: true,
	}
	if diff := cmp.Diff(want, h.last()); diff != "" {
		t.Error(diff)
	}
	if w := h.send("/v1/feedback", fmt.Sprintf(`{"decision":%q,"rating":2,"service":"single"}`, testDecision)); w.Code != 400 {
		t.Errorf("of another service: %d %s", w.Code, w.Body)
	}
	h.telemetry.decisions = nil
	if w := h.send("/v1/feedback", fmt.Sprintf(`{"token":%q,"kind":"late","value":1}`, h.token(func(t *event.Token) { t.Variant = 1 }))); w.Code != 200 {
		t.Errorf("a variant that is gone: %d %s", w.Code, w.Body)
	}
	if o := h.last(); !o.Verified || o.Service != "" || o.Variant != "" {
		t.Errorf("a variant that is gone: %+v", o)
	}
}

// predict asks a service and returns the cookies and the variant's number that answered.
func (h *hub) predict(service string, cookies ...string) (set []string, answered string, token string) {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v2/models/"+service+"/infer", strings.NewReader(fmt.Sprintf(v2Row, 1)))
	for _, c := range cookies {
		r.Header.Add("Cookie", c)
	}
	w := httptest.NewRecorder()
	h.gateway.ServeHTTP(w, r)
	var answer struct {
		Version string `json:"model_version"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
		h.t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, c := range w.Result().Cookies() {
		set = append(set, c.Name+"="+c.Value)
	}
	return set, answer.Version, w.Header().Get(TokenHeader)
}

func TestFeedbackFindsTheAnswerOfAToken(t *testing.T) {
	h := newHub(t)
	for range 20 {
		_, answered, token := h.predict("reviews")
		if w := h.send("/v1/feedback", `{"correct":true}`, TokenHeader, token); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		o := h.last()
		if want := map[string]string{"0": "stable", "1": "canary"}[answered]; !o.Verified || o.Variant != want || o.Epoch != 7 || o.Service != "reviews" {
			t.Errorf("%s answered, and %+v came back", want, o)
		}
	}
}

func TestFeedbackWithoutAnIDGoesToTheVariantOfTheCookie(t *testing.T) {
	h := newHub(t)
	seen := map[string]bool{}
	for _, service := range []string{"reviews", "plain"} {
		for range 20 {
			cookies, answered, _ := h.predict(service)
			header := []string{}
			for _, c := range cookies {
				header = append(header, "Cookie", c)
			}
			body := fmt.Sprintf(`{"service":%q,"correct":true}`, service)
			if w := h.send("/v1/feedback", body, header...); w.Code != 200 || !strings.Contains(w.Body.String(), `"accepted","attributed":true`) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			o := h.last()
			want := map[string]string{"0": "stable", "1": "canary"}[answered]
			seen[service+want] = true
			if !o.Attributed || o.Verified || o.ByHand || o.Variant != want || o.Service != service || o.Epoch != 7 || o.PolicyVersion != 9 || o.Propensity != 0.5 ||
				len(o.Unit) != 32 || !o.Decision.IsZero() {
				t.Fatalf("%s answered, and %+v came back", want, o)
			}
			if w := h.send("/v1/feedback", body, header...); !strings.Contains(w.Body.String(), `"duplicate"`) {
				t.Errorf("again: %s", w.Body)
			}
			if w := h.send("/v1/feedback", fmt.Sprintf(`{"service":%q,"correct":false}`, service), header...); !strings.Contains(w.Body.String(), `"accepted"`) {
				t.Errorf("another value: %s", w.Body)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("only %v were seen", seen)
	}
	h.now = h.now.Add(time.Minute)
	if w := h.send("/v1/feedback", `{"service":"single","rating":1}`); !strings.Contains(w.Body.String(), `"accepted"`) {
		t.Errorf("in another minute: %s", w.Body)
	}
}

func TestACookieSetByHandIsMarked(t *testing.T) {
	h := newHub(t)
	body := `{"service":"plain","correct":true}`
	if w := h.send("/v1/feedback", body, "Cookie", "version=canary"); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if o := h.last(); !o.ByHand || !o.Attributed || o.Variant != "canary" {
		t.Errorf("%+v", o)
	}
	cookies, _, _ := h.predict("plain", "version=canary") // from now on with a ticket, that says so
	if w := h.send("/v1/feedback", body, "Cookie", strings.Join(cookies, "; ")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if o := h.last(); !o.ByHand || o.Variant != "canary" || o.Unit == "" {
		t.Errorf("%+v", o)
	}
	if w := h.send("/v1/feedback", body, "Cookie", "version=nonsense"); w.Code != 400 {
		t.Errorf("a variant that is none: %d %s", w.Code, w.Body)
	}
	if w := h.send("/v1/feedback", `{"service":"reviews","correct":true}`, "Cookie", "seat="+strings.Repeat("A", 48)); w.Code != 400 {
		t.Errorf("a forged cookie: %d %s", w.Code, w.Body)
	}
}

// A user whose variant has no weight any more goes nobody knows where. What they say is of none of the variants that are left.
func TestFeedbackForAVariantThatIsGoneIsNoOthers(t *testing.T) {
	h := newHub(t)
	service := h.gateway.Service("plain")
	var cookies []string
	for answered := ""; answered != "1"; {
		cookies, answered, _ = h.predict("plain")
	}
	policy, err := service.Policy().With(weightsOf(t, 1, 0), 7, 10)
	if err != nil {
		t.Fatal(err)
	}
	service.SetPolicy(policy)
	if w := h.send("/v1/feedback", `{"service":"plain","correct":true}`, "Cookie", strings.Join(cookies, "; ")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if o := h.last(); o.Service != "" || o.Variant != "" || o.Unit == "" || !o.Attributed {
		t.Errorf("%+v", o)
	}
}

// Whoever reads the log later, and other replicas, must find the same ids.
func TestIdsOfAttributedOutcomesStayAsTheyAre(t *testing.T) {
	h := newHub(t)
	var got strings.Builder
	for _, body := range []string{`{"rating":1}`, `{"rating":1,"slot":1}`, `{"kind":"reward","value":1}`, `{"label":"1"}`, `{"label":1}`} {
		body = `{"service":"single",` + body[1:]
		if w := h.send("/v1/feedback", body); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		fmt.Fprintf(&got, "%s %s\n", h.last().ID, body)
	}
	path := filepath.Join("testdata", "attributed.1.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeWrittenIsNotAcknowledged(t *testing.T) {
	for _, tt := range []struct {
		fail   error
		status int
	}{{event.ErrFull, 507}, {errors.New("input/output error on /secret"), 503}} {
		h := newHub(t)
		h.log.fail = fmt.Errorf("append: %w", tt.fail)
		for _, path := range []string{"/v1/feedback", "/api/v1.0/feedback"} {
			w := h.send(path, `{"reward":1}`, TokenHeader, h.token())
			if w.Code != tt.status || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
			}
			batch := h.send("/v1/feedback", `{"feedback":[{"reward":1},{"token":"x","reward":1}]}`, TokenHeader, h.token())
			if batch.Code != tt.status {
				t.Errorf("a batch: %d %s", batch.Code, batch.Body)
			}
		}
		h.log.fail = nil
		if w := h.send("/v1/feedback", `{"reward":1}`, TokenHeader, h.token()); w.Code != 200 {
			t.Errorf("when there is room again: %d %s", w.Code, w.Body)
		}
	}
	h := newHub(t)
	h.ingest.start = 1
	if w := h.send("/v1/feedback", `{"reward":1}`, TokenHeader, h.token()); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("before the log is read: %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestOutcomesAreCounted(t *testing.T) {
	h := newHub(t)
	reg := prometheus.NewRegistry()
	h.ingest = NewIngest(IngestOptions{Log: h.log, Telemetry: h.telemetry, Logger: slog.New(slog.DiscardHandler), Metrics: reg})
	services := h.gateway.Services()
	h.gateway = New(Options{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return h.now }, Keys: h.keys, Ingest: h.ingest})
	h.gateway.SetServices(services)
	for i, body := range []string{
		`{"reward":1}`, `{"reward":1}`, `{"reward":2}`, `{"kind":"mine","value":1}`, `{"kind":"yours","value":1}`, `{"service":"single","rating":1}`, `{}`,
		`{"token":"x","rating":1}`, `{"feedback":[{"token":"x","rating":1},{"rating":2}]}`,
	} {
		if i == 5 {
			h.send("/v1/feedback", body)
			continue
		}
		h.send("/v1/feedback", body, TokenHeader, h.token())
	}
	h.log.fail = event.ErrFull
	h.send("/v1/feedback", `{"kind":"click","value":1}`, TokenHeader, h.token())
	want := `
		# HELP serin_outcomes_total Outcomes that came back, by what became of them: accepted, duplicate, conflict, refused (malformed, or with a token that does not verify) or failed (not written down, and not acknowledged).
		# TYPE serin_outcomes_total counter
		serin_outcomes_total{kind="",service="",status="refused"} 2
		serin_outcomes_total{kind="click",service="reviews",status="failed"} 1
		serin_outcomes_total{kind="custom",service="reviews",status="accepted"} 2
		serin_outcomes_total{kind="rating",service="",status="refused"} 1
		serin_outcomes_total{kind="rating",service="reviews",status="accepted"} 1
		serin_outcomes_total{kind="rating",service="single",status="accepted"} 1
		serin_outcomes_total{kind="reward",service="reviews",status="accepted"} 1
		serin_outcomes_total{kind="reward",service="reviews",status="conflict"} 1
		serin_outcomes_total{kind="reward",service="reviews",status="duplicate"} 1
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
