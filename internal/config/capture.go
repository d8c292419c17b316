package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/payload"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// Capture says which bodies are kept, how much of them, and for how long.
type Capture struct {
	Percent  Percent       `yaml:"percent" jsonschema:"default=1%" jsonschema_description:"The share of requests, drawn by a hash of the decision's id. 0 captures nothing, and goes on removing what is too old."`
	MaxBytes Size          `yaml:"maxBytes" jsonschema:"default=8KiB" jsonschema_description:"What is kept of a body; the rest is cut off. 1B to 1MiB."`
	Redact   []string      `yaml:"redact" jsonschema:"maxItems=64,example=user.email,example=items[].price,example=data.ndarray[][3]" jsonschema_description:"Paths of JSON values that are replaced, in requests and answers. A body that is cut off or no JSON is then not kept at all, nor is the answer of a request that failed."`
	Keep     time.Duration `yaml:"keep" jsonschema:"default=7d" jsonschema_description:"How long a file is kept after its day (UTC). 1h to 3650d."`
	MaxSize  Size          `yaml:"maxSize" jsonschema:"default=1GiB" jsonschema_description:"How large all files of the service may become before the oldest go. At least 1MiB, and 100 times maxBytes."`
}

// SetDefaults is what a Capture holds before the file says otherwise.
func (c *Capture) SetDefaults() {
	*c = Capture{Percent: 1, MaxBytes: 8 * KiB, Keep: 7 * 24 * time.Hour, MaxSize: GiB}
}

// Bounds of a Capture.
const (
	minKeep        = time.Hour
	maxKeep        = 3650 * 24 * time.Hour
	minCaptured    = 1 * MiB
	bodiesCaptured = 100 // times MaxBytes, at least
)

// checkCapture checks c, which may be nil.
func checkCapture(doc *strictyaml.Doc, at string, c *Capture) {
	if c == nil {
		return
	}
	if c.MaxBytes < 1 || c.MaxBytes > payload.MaxBody {
		doc.Problem(at+".maxBytes", fmt.Sprintf("%v is out of range", c.MaxBytes), "give 1B to 1MiB")
	} else if least := max(minCaptured, bodiesCaptured*c.MaxBytes); c.MaxSize < least {
		doc.Problem(at+".maxSize", fmt.Sprintf("%v is too small", c.MaxSize), fmt.Sprintf("give at least %v: 1MiB, and 100 times maxBytes", least))
	}
	if c.Keep < minKeep || c.Keep > maxKeep {
		doc.Problem(at+".keep", fmt.Sprintf("%v is out of range", c.Keep), "give 1h to 3650d")
	}
	if len(c.Redact) > payload.MaxPaths {
		doc.Problem(at+".redact", fmt.Sprintf("%d paths are given", len(c.Redact)), fmt.Sprintf("give at most %d", payload.MaxPaths))
		return
	}
	for i, path := range c.Redact {
		if _, err := payload.NewRedactor([]string{path}); err != nil {
			doc.Problem(fmt.Sprintf("%s.redact[%d]", at, i), err.Error(), fault.HintOf(err))
		}
	}
}

// Percent is a share, in percent: 1 is one of a hundred.
type Percent float64

// percentPattern is what UnmarshalText reads, up to its bound.
const percentPattern = `^(0|[1-9][0-9]{0,2})(\.[0-9]{1,9})?%?$`

var percents = regexp.MustCompile(percentPattern)

// UnmarshalText reads a decimal from 0 to 100, with or without a percent sign. Anything else is Invalid.
func (p *Percent) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if !percents.Match(text) || err != nil || v > 100 {
		return fault.Invalidf("%.80q is no percentage", text).WithHint("write 0%% to 100%%, like 1%% or 0.5%%")
	}
	*p = Percent(v)
	return nil
}

// MarshalText writes p with a percent sign.
func (p Percent) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(p), 'f', -1, 64) + "%"), nil
}

// Share returns p as a number from 0 to 1.
func (p Percent) Share() float64 { return float64(p) / 100 }
