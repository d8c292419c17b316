package config

import (
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/strictyaml"
)

// Notify is one way to tell people what happens to releases: by mail, or by a webhook. All of them are used.
type Notify struct {
	Name string `yaml:"name" jsonschema:"pattern=^[a-z0-9][a-z0-9-]{0\\,62}$" jsonschema_description:"What it is called in logs, and by what is remembered whom was told; unique. Lower-case letters, digits and dashes, at most 63. Default: the kind."`
	Kind string `yaml:"kind,required" jsonschema:"required,enum=email,enum=webhook" jsonschema_description:"email or webhook."`

	// For mail.
	To           []string `yaml:"to" jsonschema:"maxItems=100,example=ml-team@example.com" jsonschema_description:"Of email: whom."`
	From         string   `yaml:"from" jsonschema:"example=serin@example.com" jsonschema_description:"Of email: from whom. Default: serin@ and the machine's name."`
	SMTP         string   `yaml:"smtp" jsonschema:"pattern=^smtps?://,example=smtp://127.0.0.1:1025,example=smtps://serin@mail.example.com" jsonschema_description:"Of email: the server that sends it, smtp://[USER@]HOST[:PORT] or smtps://. smtp uses TLS where the server has it; ?tls=required insists, ?tls=off does not ask."`
	PasswordFile string   `yaml:"passwordFile" jsonschema:"example=/run/secrets/smtp" jsonschema_description:"Of email: a file with the user's password. It is read when the server starts, and at a reload."`

	// For a webhook.
	URL        string            `yaml:"url" jsonschema:"pattern=^https?://,example=https://hooks.slack.com/services/T/B/x" jsonschema_description:"Of webhook: the address that gets a POST of JSON."`
	Form       string            `yaml:"form" jsonschema:"default=json,enum=json,enum=slack" jsonschema_description:"Of webhook: what the JSON is like: all that is known (json), or a message for Slack and those who take the same (slack)."`
	Headers    map[string]string `yaml:"headers" jsonschema_description:"Of webhook: headers of the request."`
	SecretFile string            `yaml:"secretFile" jsonschema:"example=/run/secrets/hook" jsonschema_description:"Of webhook: a file with a key that signs the body: the header Serin-Signature is sha256= and the HMAC in hexadecimal digits."`
}

// SetDefaults is what a Notify holds before the file says otherwise.
func (n *Notify) SetDefaults() { n.Form = FormJSON }

// Words of a Notify.
const (
	NotifyEmail   = "email"
	NotifyWebhook = "webhook"

	FormJSON  = "json"
	FormSlack = "slack"
)

// Bounds of notify and prometheus.
const (
	maxNotify     = 32
	maxTo         = 100
	maxPrometheus = 32
	minAsking     = 100 * time.Millisecond
	maxAsking     = time.Minute
	maxHookURL    = 2048
)

// keysOfNotify are those of one kind alone.
var keysOfNotify = map[string][]string{
	NotifyEmail:   {"to", "from", "smtp", "passwordFile"},
	NotifyWebhook: {"url", "form", "headers", "secretFile"},
}

func checkNotify(doc *strictyaml.Doc, all []Notify) {
	if len(all) > maxNotify {
		doc.Problem("notify", fmt.Sprintf("there are %d entries", len(all)), fmt.Sprintf("keep to %d", maxNotify))
		return
	}
	named := map[string]bool{}
	for i := range all {
		n, at := &all[i], fmt.Sprintf("notify[%d]", i)
		if n.Kind != NotifyEmail && n.Kind != NotifyWebhook {
			doc.Problem(at+".kind", fmt.Sprintf("%.40q is no way to tell people", n.Kind), "write email or webhook")
			continue
		}
		if n.Name == "" && !doc.Has(at+".name") {
			n.Name = n.Kind
		}
		checkName(doc, at+".name", n.Name)
		if named[n.Name] {
			doc.Problem(at+".name", fmt.Sprintf("the name %q is taken", n.Name), "give each a name of its own: it is remembered by it who was told")
		}
		named[n.Name] = true
		for kind, keys := range keysOfNotify {
			for _, k := range keys {
				if kind != n.Kind && doc.Has(at+"."+k) {
					doc.Problem(at+"."+k, fmt.Sprintf("%s has no %s", n.Kind, k), "remove it")
				}
			}
		}
		if n.Kind == NotifyEmail {
			checkEmail(doc, at, n)
		} else {
			checkWebhook(doc, at, n)
		}
	}
}

func checkEmail(doc *strictyaml.Doc, at string, n *Notify) {
	if len(n.To) == 0 || len(n.To) > maxTo {
		doc.Problem(at+".to", fmt.Sprintf("%d addresses are given", len(n.To)), fmt.Sprintf("give 1 to %d, like [ml-team@example.com]", maxTo))
	}
	for i, to := range n.To {
		checkMailAddress(doc, fmt.Sprintf("%s.to[%d]", at, i), to)
	}
	if n.From != "" || doc.Has(at+".from") {
		checkMailAddress(doc, at+".from", n.From)
	}
	user := checkMailServer(doc, at+".smtp", n.SMTP)
	switch {
	case n.PasswordFile != "" && user == "":
		doc.Problem(at+".passwordFile", "nobody is named whose password it is", "write the user into smtp, like smtp://USER@HOST:587")
	case n.PasswordFile == "" && doc.Has(at+".passwordFile"), isNoArgument(n.PasswordFile):
		doc.Problem(at+".passwordFile", "this is no path of a file", "write it like /run/secrets/smtp")
	}
}

func checkMailAddress(doc *strictyaml.Doc, at, text string) {
	if _, err := mail.ParseAddress(text); err != nil || strings.ContainsAny(text, "\r\n") {
		doc.Problem(at, fmt.Sprintf("%.80q is no mail address", text), "write it like ml-team@example.com")
	}
}

// checkMailServer returns the user that the mail server is spoken to as.
func checkMailServer(doc *strictyaml.Doc, at, text string) (user string) {
	const hint = "write smtp://HOST:587 or smtps://HOST:465, with USER@ before the host where it asks who sends"
	u, err := url.Parse(text)
	switch {
	case text == "":
		doc.Problem(at, "it is not said which server sends the mails", hint)
	case err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || len(text) > maxURL:
		doc.Problem(at, "this is no mail server", hint) // it may hold a secret, and is not repeated
	default:
		if _, given := u.User.Password(); given {
			doc.Problem(at, "this address holds a password", "leave it out, and give passwordFile")
		}
		if tls := u.Query().Get("tls"); tls != "" && tls != "off" && tls != "required" {
			doc.Problem(at, fmt.Sprintf("%.40q says nothing of TLS", tls), "write tls=required or tls=off, or leave it out")
		}
		if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
			doc.Problem(at, fmt.Sprintf("%.40q is no port", u.Port()), "give 1 to 65535")
		}
		return u.User.Username()
	}
	return "?" // so that nothing is told of what follows from it
}

func checkWebhook(doc *strictyaml.Doc, at string, n *Notify) {
	if n.URL == "" {
		doc.Problem(at+".url", "it is not said where the webhook is", "write https://HOST/PATH")
	} else {
		checkURL(doc, at+".url", n.URL)
	}
	if n.Form != FormJSON && n.Form != FormSlack {
		doc.Problem(at+".form", fmt.Sprintf("%.40q is no form", n.Form), "write json or slack")
	}
	for name := range n.Headers {
		if strings.EqualFold(name, "Host") {
			doc.Problem(at+".headers"+key(name), "the host is that of url", "remove it")
		}
	}
	checkHeaders(doc, at+".headers", n.Headers, ofWebhooks)
	if n.SecretFile == "" && doc.Has(at+".secretFile") || isNoArgument(n.SecretFile) {
		doc.Problem(at+".secretFile", "this is no path of a file", "write it like /run/secrets/hook")
	}
}

// ofWebhooks are the headers that a webhook's request has of itself.
var ofWebhooks = slices.Concat(ofConnections, []string{"Host", "Content-Type", "User-Agent", "Idempotency-Key"})

// checkURL checks an address that is asked over HTTP. It may hold a secret, and is not repeated.
func checkURL(doc *strictyaml.Doc, at, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || len(text) > maxHookURL || u.Fragment != "":
		doc.Problem(at, "this is no address", "write https://HOST/PATH")
	case u.User != nil:
		doc.Problem(at, "this address holds a user or a password", "remove what stands before the @; a header or a file can tell who asks")
	}
}

// isNoArgument tells of a text that cannot be handed to a program, or name a file.
func isNoArgument(text string) bool {
	return len(text) > maxArgument || strings.ContainsRune(text, 0)
}
