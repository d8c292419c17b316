// Package email tells people by mail, over SMTP.
package email

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
)

// Options say whom to tell, and over which server.
type Options struct {
	Server   string   // smtp://[USER@]HOST[:PORT] or smtps://...; smtp takes TLS where the server offers it, ?tls=required insists, ?tls=off never asks
	Password string   // of the user
	From     string   // "" means serin@ the host's name
	To       []string // at least one
	Domain   string   // in message ids; "" means the host's name
}

// Sender is a notify.Sender.
type Sender struct {
	options Options
	host    string
	client  []mail.Option
}

// New checks options; nothing is dialled. Mistakes are Invalid.
func New(o Options) (*Sender, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fault.Invalidf("%.100q is no mail server", o.Server).WithHint("write smtp://HOST:587 or smtps://HOST:465, with USER@ before the host where it asks who sends")
	}
	if _, inURL := u.User.Password(); inURL {
		return nil, fault.Invalidf("the address of a mail server holds a password").WithHint("leave it out, and give `password`")
	}
	if len(o.To) == 0 {
		return nil, fault.Invalidf("nobody is to get the mails").WithHint("list addresses under `to`")
	}
	name, err := os.Hostname()
	if err != nil || strings.ContainsAny(name, " \t@<>") || name == "" {
		name = "localhost"
	}
	o.Domain, o.From = cmp.Or(o.Domain, name), cmp.Or(o.From, "serin@"+name)
	s := &Sender{options: o, host: u.Hostname()}
	if s.client, err = clientOptions(u, &o); err != nil {
		return nil, err
	}
	if _, err := s.message(notify.Message{Key: "check", Subject: "check"}); err != nil {
		return nil, err
	}
	return s, nil
}

func clientOptions(u *url.URL, o *Options) ([]mail.Option, error) {
	options := []mail.Option{mail.WithHELO(o.Domain)}
	port, auth := 25, mail.SMTPAuthAutoDiscover // which sends no password where others could read it
	switch tls := u.Query().Get("tls"); {
	case u.Scheme == "smtps":
		options, port = append(options, mail.WithSSL()), 465
	case tls == "off":
		options, auth = append(options, mail.WithTLSPolicy(mail.NoTLS)), mail.SMTPAuthPlainNoEnc
	case tls == "required":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case tls == "":
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	default:
		return nil, fault.Invalidf("%.40q says nothing of TLS", tls).WithHint("write tls=required or tls=off, or leave it out")
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return nil, fault.Invalidf("%q is no port", text)
		}
		port = int(n)
	}
	options = append(options, mail.WithPort(port))
	if user := u.User.Username(); user != "" {
		options = append(options, mail.WithSMTPAuth(auth), mail.WithUsername(user), mail.WithPassword(o.Password))
	}
	return options, nil
}

// Name implements notify.Sender.
func (s *Sender) Name() string { return "email:" + strings.Join(s.options.To, ",") }

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	message, err := s.message(m)
	if err != nil {
		return err
	}
	patience := notify.DefaultPatience // for each word of the server; the context bounds the dialling alone
	if at, ok := ctx.Deadline(); ok {
		patience = max(min(patience, time.Until(at)), time.Millisecond)
	}
	client, err := mail.NewClient(s.host, slices.Concat(s.client, []mail.Option{mail.WithTimeout(patience)})...)
	if err != nil {
		return fault.Invalidf("mail server %s: %w", s.host, err)
	}
	err = client.DialAndSendWithContext(ctx, message)
	var refused *mail.SendError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500:
		return fault.Invalidf("the mail server %s refuses the mail: %w", s.host, err)
	}
	return fault.Unavailablef("the mail server %s: %w", s.host, err)
}

// message makes the mail. Its id is made of the key alone, so that a mail that is sent again is known as the same.
func (s *Sender) message(m notify.Message) (*mail.Msg, error) {
	message := mail.NewMsg()
	if err := message.From(s.options.From); err != nil {
		return nil, fault.Invalidf("%.100q is no address to send from: %w", s.options.From, err)
	}
	if err := message.To(s.options.To...); err != nil {
		return nil, fault.Invalidf("an address to send to is wrong: %w", err)
	}
	sum := sha256.Sum256([]byte(m.Key))
	message.SetMessageIDWithValue(hex.EncodeToString(sum[:16]) + "@" + s.options.Domain)
	message.SetDateWithValue(m.At)
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetGenHeader("Serin-Message", m.Key)
	message.Subject(notify.OneLine(m.Subject))
	message.SetBodyString(mail.TypeTextPlain, body(m))
	return message, nil
}

// body is the mail's text: the story, then the facts, then where to look.
func body(m notify.Message) string {
	var b strings.Builder
	b.WriteString(strings.TrimRight(m.Text, "\n"))
	b.WriteString("\n")
	if len(m.Fields) > 0 {
		b.WriteString("\n")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		fmt.Fprintf(&b, "%s: %s\n", name, m.Fields[name])
	}
	if m.Link != "" {
		fmt.Fprintf(&b, "\n%s\n", m.Link)
	}
	return b.String()
}
