// Package webhook tells people over HTTP: a POST of JSON, of the message itself or in Slack's form.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
)

// Form is how a message looks.
type Form string

// The forms.
const (
	JSON  Form = "json"  // notify.Message
	Slack Form = "slack" // Slack's incoming webhooks, and all that take the same
)

// Options say where to.
type Options struct {
	URL     string
	Form    Form                                // "" means JSON
	Headers map[string]string                   // of the request, as Authorization
	Secret  string                              // signs the body: Serin-Signature holds sha256=HMAC in hexadecimal digits; "": unsigned
	Control func(network, address string) error // refuses addresses to dial, resolved ones; nil: none
}

// Sender is a notify.Sender.
type Sender struct {
	options Options
	name    string
	client  *http.Client
}

// New checks options; nothing is dialled. Mistakes are Invalid.
func New(o Options) (*Sender, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fault.Invalidf("a webhook's address is wrong").WithHint("write https://HOST/PATH, without a user") // which may hold a secret: it is not repeated
	}
	switch o.Form {
	case "":
		o.Form = JSON
	case JSON, Slack:
	default:
		return nil, fault.Invalidf("%.40q is no form of a webhook", o.Form).WithHint("write json or slack")
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if o.Control != nil {
		dialer.ControlContext = control(o.Control)
	}
	return &Sender{options: o, name: "webhook:" + u.Host, client: &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, ResponseHeaderTimeout: notify.DefaultPatience, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name implements notify.Sender. It tells the host alone: paths of webhooks are secrets.
func (s *Sender) Name() string { return s.name }

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	body, err := s.body(m)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.URL, bytes.NewReader(body))
	if err != nil {
		return fault.Invalidf("the webhook's address is wrong")
	}
	for name, value := range s.options.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Serin")
	r.Header.Set("Idempotency-Key", m.Key)
	if s.options.Secret != "" {
		mac := hmac.New(sha256.New, []byte(s.options.Secret))
		mac.Write(body)
		r.Header.Set("Serin-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	answer, err := s.client.Do(r)
	if err != nil {
		if told, ok := errors.AsType[*url.Error](err); ok { // whose text repeats the address
			err = told.Err
		}
		return fault.Unavailablef("the webhook at %s: %w", r.URL.Host, err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 300)) // for the log; it changes nothing
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return fault.Unavailablef("the webhook at %s answers %d: %.200q", r.URL.Host, code, said)
	default:
		return fault.Invalidf("the webhook at %s answers %d: %.200q", r.URL.Host, code, said)
	}
}

// body writes a message in the sender's form.
func (s *Sender) body(m notify.Message) ([]byte, error) {
	m.Subject = notify.OneLine(m.Subject)
	var v any = m
	if s.options.Form == Slack {
		v = slack(m)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.Invalidf("the message cannot be written as JSON: %w", err)
	}
	return b, nil
}

// slack is a message as Slack takes it: a text for notifications, and blocks for the channel.
func slack(m notify.Message) any {
	type text struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	type block struct {
		Type   string `json:"type"`
		Text   *text  `json:"text,omitempty"`
		Fields []text `json:"fields,omitempty"`
	}
	blocks := []block{
		{Type: "header", Text: &text{"plain_text", short(marks[m.Level]+m.Subject, 150)}},
		{Type: "section", Text: &text{"mrkdwn", short(escape(m.Text), 3000)}},
	}
	names := slices.Sorted(maps.Keys(m.Fields))
	for ; len(names) > 0; names = names[min(10, len(names)):] { // Slack takes ten at a time
		var fields []text
		for _, name := range names[:min(10, len(names))] {
			fields = append(fields, text{"mrkdwn", short("*"+escape(name)+"*\n"+escape(m.Fields[name]), 2000)})
		}
		blocks = append(blocks, block{Type: "section", Fields: fields})
	}
	if m.Link != "" {
		blocks = append(blocks, block{Type: "section", Text: &text{"mrkdwn", "<" + escape(m.Link) + ">"}})
	}
	return struct {
		Text   string  `json:"text"`
		Blocks []block `json:"blocks"`
	}{escape(m.Subject), blocks}
}

var marks = map[notify.Level]string{notify.Good: "✓ ", notify.Warning: "! ", notify.Bad: "✗ "}

// escape takes the meaning from the three characters that have one in Slack's text.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// short cuts a text to n runes.
func short(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-1]) + "…"
}
