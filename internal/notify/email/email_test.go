package email_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"mime/quotedprintable"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/notify/email"
	"github.com/serin-ml/serin/internal/notify/notifytest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// place is a mail server.
type place struct {
	address string
	mu      sync.Mutex
	got     []string
	refusal *smtp.SMTPError
	hang    chan struct{}
	user    string
}

func open(t *testing.T) *place {
	p := &place{}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	p.address = l.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{place: p}, nil }))
	server.Domain, server.AllowInsecureAuth = "localhost", true
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return p
}

func (p *place) Sender() notify.Sender {
	return must(email.New(email.Options{Server: "smtp://" + p.address + "?tls=off", From: "serin@example.com", To: []string{"ml-team@example.com", "Ann <ann@example.com>"}, Domain: "example.com"}))
}

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
	p.refusal = nil
	if forGood {
		p.refusal = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody of that name"}
	}
	if forNow {
		p.refusal = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come again"}
	}
}

func (p *place) Hang() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hang = make(chan struct{})
	return func() { close(p.hang) }
}

// session is one client of the mail server.
type session struct {
	place *place
	to    []string
}

func (s *session) Reset()                               { s.to = nil }
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) AuthMechanisms() []string             { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ann" || password != "open sesame" {
			return errors.New("no")
		}
		s.place.mu.Lock()
		defer s.place.mu.Unlock()
		s.place.user = user
		return nil
	}), nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.place.mu.Lock()
	refusal, hang := s.place.refusal, s.place.hang
	s.place.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if refusal != nil {
		return refusal
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(bufio.NewReader(r))
	if err != nil {
		return err
	}
	body := string(must(io.ReadAll(quotedprintable.NewReader(m.Body))))
	var b strings.Builder
	for _, name := range []string{"Message-Id", "Serin-Message", "Date", "From", "To", "Subject", "Auto-Submitted", "Bcc"} {
		if v := m.Header.Get(name); v != "" {
			b.WriteString(name + ": " + v + "\n")
		}
	}
	b.WriteString("for " + strings.Join(s.to, " ") + "\n\n" + strings.ReplaceAll(body, "\r\n", "\n"))
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	s.place.got = append(s.place.got, b.String())
	return nil
}

func TestMailIsASender(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Place { return open(t) })
}

// The whole mail, as a person gets it.
func TestAMail(t *testing.T) {
	p := open(t)
	err := p.Sender().Send(t.Context(), notify.Message{
		Key: "release/movies-1/3", At: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), Subject: "movies: canary goes back to stable",
		Text: "The error rate doubled.", Fields: map[string]string{"weight": "0%", "errors": "4%"}, Link: "http://127.0.0.1:8090/",
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `Message-Id: <cbb6c75d752c35b4dc8d59cdf04365bd@example.com>
Serin-Message: release/movies-1/3
Date: Sat, 21 Nov 2026 08:00:00 +0000
From: <serin@example.com>
To: <ml-team@example.com>, "Ann" <ann@example.com>
Subject: movies: canary goes back to stable
Auto-Submitted: auto-generated
for ml-team@example.com ann@example.com

The error rate doubled.

errors: 4%
weight: 0%

http://127.0.0.1:8090/
`
	if got := p.Got(); len(got) != 1 || got[0] != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestMailsAreSentAsSomebody(t *testing.T) {
	p := open(t)
	o := email.Options{Server: "smtp://ann@" + p.address + "?tls=off", Password: "open sesame", To: []string{"bob@example.com"}}
	if err := must(email.New(o)).Send(t.Context(), notify.Message{Key: "k"}); err != nil || p.user != "ann" {
		t.Errorf("%v, as %q", err, p.user)
	}
	o.Password = "wrong"
	if err := must(email.New(o)).Send(t.Context(), notify.Message{Key: "k"}); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("got %v", err)
	}
}

func TestWrongMailServers(t *testing.T) {
	to := []string{"a@example.com"}
	for _, o := range []email.Options{
		{To: to}, {Server: "http://x", To: to}, {Server: "smtp://x"}, {Server: "smtp://u:secret@x", To: to}, {Server: "smtp://x:99999", To: to},
		{Server: "smtp://x?tls=maybe", To: to}, {Server: "smtp://x", To: []string{"nobody"}}, {Server: "smtp://x", To: to, From: "a b"}, {Server: "smtp://x/path", To: to},
	} {
		if _, err := email.New(o); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
