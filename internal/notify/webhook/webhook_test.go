package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/notify/notifytest"
	"github.com/serin-ml/serin/internal/notify/webhook"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// place is a server that webhooks go to.
type place struct {
	options webhook.Options
	mu      sync.Mutex
	got     []string
	status  int
	hang    chan struct{}
}

func open(t *testing.T, o webhook.Options) *place {
	p := &place{options: o, status: http.StatusNoContent}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.options.URL = server.URL + "/services/SECRET"
	return p
}

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	status, hang := p.status, p.hang
	p.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if r.URL.Path == "/elsewhere" {
		panic("a redirect was followed")
	}
	body := must(io.ReadAll(r.Body))
	if p.options.Secret != "" {
		mac := hmac.New(sha256.New, []byte(p.options.Secret))
		mac.Write(body)
		if r.Header.Get("Serin-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			status = http.StatusUnauthorized
		}
	}
	if status < 300 {
		var v any
		if json.Unmarshal(body, &v) != nil {
			status = http.StatusBadRequest
		}
		p.mu.Lock()
		text := strings.NewReplacer(`\n`, "\n", `\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(body))
		p.got = append(p.got, r.Header.Get("Idempotency-Key")+"\n"+text)
		p.mu.Unlock()
	}
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(status)
}

func (p *place) Sender() notify.Sender { return must(webhook.New(p.options)) }

func (p *place) Got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

func (p *place) Refuse(forGood, forNow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case forGood:
		p.status = http.StatusFound
	case forNow:
		p.status = http.StatusServiceUnavailable
	default:
		p.status = http.StatusOK
	}
}

func (p *place) Hang() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hang = make(chan struct{})
	return func() { close(p.hang) }
}

func TestWebhooksAreSenders(t *testing.T) {
	for _, o := range []webhook.Options{{}, {Form: webhook.Slack, Secret: "s"}} {
		t.Run(string(o.Form), func(t *testing.T) {
			notifytest.Run(t, func(t *testing.T) notifytest.Place { return open(t, o) })
		})
	}
}

// The form is Slack's: a header of plain text, sections of markdown, at most ten fields in each.
func TestSlackForm(t *testing.T) {
	p := open(t, webhook.Options{Form: webhook.Slack})
	fields := map[string]string{}
	for _, c := range "abcdefghijkl" {
		fields[string(c)] = "1 < 2"
	}
	m := notify.Message{Key: "k", At: time.Unix(0, 0), Level: notify.Good, Subject: strings.Repeat("long ", 50), Text: "a <b> & c", Fields: fields, Link: "http://x/?a&b"}
	if err := p.Sender().Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(p.Got()[0], "\n")
	golden := filepath.Join("testdata", "slack.json")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(string(must(os.ReadFile(golden))), body); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestWrongWebhooks(t *testing.T) {
	for _, o := range []webhook.Options{{}, {URL: "ftp://x/"}, {URL: "http://user:secret@x/"}, {URL: "http://x/", Form: "fax"}, {URL: "https:///x"}} {
		if _, err := webhook.New(o); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// What goes wrong never repeats the path, which is a secret.
func TestErrorsOfWebhooksKeepTheirSecret(t *testing.T) {
	p := open(t, webhook.Options{})
	p.Refuse(false, true)
	s := p.Sender()
	err := s.Send(t.Context(), notify.Message{Key: "k"})
	refused := must(webhook.New(webhook.Options{URL: "http://127.0.0.1:1/SECRET", Control: func(_, address string) error { return fault.Invalidf("%s is not allowed", address) }}))
	for _, err := range []error{err, refused.Send(t.Context(), notify.Message{Key: "k"})} {
		if err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(s.Name(), "SECRET") {
			t.Errorf("%v (%s)", err, s.Name())
		}
	}
}
