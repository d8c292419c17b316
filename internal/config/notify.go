package config

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
