package config

import "time"

// Prometheus is a server that metrics of releases may ask.
type Prometheus struct {
	Name       string        `yaml:"name" jsonschema:"default=prometheus,pattern=^[a-z0-9][a-z0-9-]{0\\,62}$" jsonschema_description:"What metrics call it; unique. Lower-case letters, digits and dashes, at most 63."`
	URL        string        `yaml:"url,required" jsonschema:"required,pattern=^https?://,example=http://127.0.0.1:9090" jsonschema_description:"Where it is; /api/v1/query is added. A path may stand before that."`
	BearerFile string        `yaml:"bearerFile" jsonschema:"example=/run/secrets/prometheus" jsonschema_description:"A file with the token that it asks for. It is read at every question."`
	Timeout    time.Duration `yaml:"timeout" jsonschema:"default=5s" jsonschema_description:"How long an answer may take. 100ms to 1m."`
}

// SetDefaults is what a Prometheus holds before the file says otherwise.
func (p *Prometheus) SetDefaults() { *p = Prometheus{Name: "prometheus", Timeout: 5 * time.Second} }
