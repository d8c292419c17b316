package config

import (
	"fmt"
	"net/url"
	"time"

	"github.com/serin-ml/serin/internal/strictyaml"
)

// Prometheus is a server that metrics of releases may ask.
type Prometheus struct {
	Name       string        `yaml:"name" jsonschema:"default=prometheus,pattern=^[a-z0-9][a-z0-9-]{0\\,62}$" jsonschema_description:"What metrics call it; unique. Lower-case letters, digits and dashes, at most 63."`
	URL        string        `yaml:"url,required" jsonschema:"required,pattern=^https?://,example=http://127.0.0.1:9090" jsonschema_description:"Where it is; /api/v1/query is added. A path may stand before that."`
	BearerFile string        `yaml:"bearerFile" jsonschema:"example=/run/secrets/prometheus" jsonschema_description:"A file with the token that it asks for. It is read at every question."`
	Timeout    time.Duration `yaml:"timeout" jsonschema:"default=5s" jsonschema_description:"How long an answer may take. 100ms to 1m."`
}

// SetDefaults is what a Prometheus holds before the file says otherwise.
func (p *Prometheus) SetDefaults() { *p = Prometheus{Name: "prometheus", Timeout: 5 * time.Second} }

func checkPrometheus(doc *strictyaml.Doc, all []Prometheus) {
	if len(all) > maxPrometheus {
		doc.Problem("prometheus", fmt.Sprintf("there are %d servers", len(all)), fmt.Sprintf("keep to %d", maxPrometheus))
		return
	}
	named := map[string]bool{}
	for i := range all {
		p, at := &all[i], fmt.Sprintf("prometheus[%d]", i)
		checkName(doc, at+".name", p.Name)
		if named[p.Name] {
			doc.Problem(at+".name", fmt.Sprintf("the name %q is taken", p.Name), "name each differently")
		}
		named[p.Name] = true
		checkURL(doc, at+".url", p.URL)
		if u, err := url.Parse(p.URL); err == nil && u.RawQuery != "" {
			doc.Problem(at+".url", "this address has a query", "remove what stands behind the ?")
		}
		if p.BearerFile == "" && doc.Has(at+".bearerFile") || isNoArgument(p.BearerFile) {
			doc.Problem(at+".bearerFile", "this is no path of a file", "write it like /run/secrets/prometheus")
		}
		if p.Timeout < minAsking || p.Timeout > maxAsking {
			doc.Problem(at+".timeout", fmt.Sprintf("%v is out of range", p.Timeout), "give 100ms to 1m, like 5s")
		}
	}
}
