package config

import (
	"regexp"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Health is how instances are asked whether they are well.
type Health struct {
	Path      string        `yaml:"path,required" jsonschema:"required,pattern=^/,example=/healthz" jsonschema_description:"What is asked for, by GET."`
	Every     time.Duration `yaml:"every" jsonschema:"default=10s" jsonschema_description:"How often. 100ms to 1h."`
	Timeout   time.Duration `yaml:"timeout" jsonschema:"default=1s" jsonschema_description:"How long an answer may take. More than 0, at most every."`
	Healthy   int           `yaml:"healthy" jsonschema:"default=2,minimum=1,maximum=1000" jsonschema_description:"After how many good answers in a row an instance that failed is well again."`
	Unhealthy int           `yaml:"unhealthy" jsonschema:"default=3,minimum=1,maximum=1000" jsonschema_description:"After how many bad ones in a row an instance gets no requests."`
	Status    StatusRange   `yaml:"status" jsonschema:"default=200-399" jsonschema_description:"Which statuses are good: one, or from one to another."`
}

// SetDefaults is what a Health holds before the file says otherwise.
func (h *Health) SetDefaults() {
	*h = Health{Every: 10 * time.Second, Timeout: time.Second, Healthy: 2, Unhealthy: 3, Status: StatusRange{200, 399}}
}

// StatusRange is the statuses from one to another, both included.
type StatusRange struct{ From, To int }

// statusRangePattern is what UnmarshalText reads, but for a range that ends before it begins.
const statusRangePattern = `^[1-5][0-9]{2}(-[1-5][0-9]{2})?$`

// UnmarshalText reads 200 or 200-399.
func (r *StatusRange) UnmarshalText(text []byte) error {
	bad := func() error {
		return fault.Invalidf("%.40q is no range of statuses", text).WithHint("write one like 200, or two like 200-399")
	}
	s := string(text)
	if len(s) != 3 && (len(s) != 7 || s[3] != '-') {
		return bad()
	}
	from, err := strconv.ParseUint(s[:3], 10, 16)
	to := from
	if err == nil && len(s) == 7 {
		to, err = strconv.ParseUint(s[4:], 10, 16)
	}
	if err != nil || from < 100 || to > 599 || to < from {
		return bad()
	}
	*r = StatusRange{int(from), int(to)}
	return nil
}

// MarshalText writes the range as UnmarshalText reads it.
func (r StatusRange) MarshalText() ([]byte, error) {
	text := strconv.Itoa(r.From)
	if r.To != r.From {
		text += "-" + strconv.Itoa(r.To)
	}
	return []byte(text), nil
}

// Outlier is when instances are ejected. Names, meanings and defaults are Envoy's; nothing is ejected for a rule whose number is 0.
type Outlier struct {
	Consecutive5xx            int           `yaml:"consecutive5xx" jsonschema:"default=5,minimum=0,maximum=1000000" jsonschema_description:"After how many answers of 500 and more, or none, in a row. 0: never."`
	ConsecutiveGatewayFailure int           `yaml:"consecutiveGatewayFailure" jsonschema:"default=0,minimum=0,maximum=1000000" jsonschema_description:"After how many answers of 502, 503 or 504, or none, in a row. 0: never."`
	Interval                  time.Duration `yaml:"interval" jsonschema:"default=10s" jsonschema_description:"How often the instances are compared, and those whose time is over come back. 100ms to 1h."`
	BaseEjectionTime          time.Duration `yaml:"baseEjectionTime" jsonschema:"default=30s" jsonschema_description:"How long an instance is out: this, times how often in a row it was. More than 0, at most 24h."`
	MaxEjectionTime           time.Duration `yaml:"maxEjectionTime" jsonschema:"default=5m" jsonschema_description:"How long at most. At least baseEjectionTime, at most 24h."`
	MaxEjectionPercent        int           `yaml:"maxEjectionPercent" jsonschema:"default=10,minimum=0,maximum=100" jsonschema_description:"How many of the instances, in percent, may be out at once. One may always be."`

	EnforcingSuccessRate     int `yaml:"enforcingSuccessRate" jsonschema:"default=100,minimum=0,maximum=100" jsonschema_description:"With which chance, in percent, an instance goes that is too much worse than the others. 0: never."`
	SuccessRateMinimumHosts  int `yaml:"successRateMinimumHosts" jsonschema:"default=5,minimum=1,maximum=256" jsonschema_description:"Of how many instances on they are compared, ..."`
	SuccessRateRequestVolume int `yaml:"successRateRequestVolume" jsonschema:"default=100,minimum=1,maximum=1000000000" jsonschema_description:"... each with so many requests in the interval."`
	SuccessRateStdevFactor   int `yaml:"successRateStdevFactor" jsonschema:"default=1900,minimum=1,maximum=1000000" jsonschema_description:"How far below the mean is too much, in thousandths of the standard deviation."`

	EnforcingFailurePercentage     int `yaml:"enforcingFailurePercentage" jsonschema:"default=0,minimum=0,maximum=100" jsonschema_description:"With which chance, in percent, an instance goes that fails too often. 0: never."`
	FailurePercentageThreshold     int `yaml:"failurePercentageThreshold" jsonschema:"default=85,minimum=1,maximum=100" jsonschema_description:"From how many failures on, in percent."`
	FailurePercentageMinimumHosts  int `yaml:"failurePercentageMinimumHosts" jsonschema:"default=5,minimum=1,maximum=256" jsonschema_description:"Of how many instances on this is looked at, ..."`
	FailurePercentageRequestVolume int `yaml:"failurePercentageRequestVolume" jsonschema:"default=50,minimum=1,maximum=1000000000" jsonschema_description:"... each with so many requests in the interval."`
}

// SetDefaults is what an Outlier holds before the file says otherwise.
func (o *Outlier) SetDefaults() {
	*o = Outlier{
		Consecutive5xx: 5, Interval: 10 * time.Second, BaseEjectionTime: 30 * time.Second, MaxEjectionTime: 5 * time.Minute, MaxEjectionPercent: 10,
		EnforcingSuccessRate: 100, SuccessRateMinimumHosts: 5, SuccessRateRequestVolume: 100, SuccessRateStdevFactor: 1900,
		FailurePercentageThreshold: 85, FailurePercentageMinimumHosts: 5, FailurePercentageRequestVolume: 50,
	}
}

// Breaker bounds what an upstream is given at once. Names and defaults are Envoy's.
type Breaker struct {
	MaxConnections     int `yaml:"maxConnections" jsonschema:"default=1024,minimum=1,maximum=1000000" jsonschema_description:"The most connections to each instance."`
	MaxPendingRequests int `yaml:"maxPendingRequests" jsonschema:"default=1024,minimum=1,maximum=1000000" jsonschema_description:"The most requests that wait for a connection."`
	MaxRequests        int `yaml:"maxRequests" jsonschema:"default=1024,minimum=1,maximum=1000000" jsonschema_description:"The most requests that the upstream answers at once."`
}

// SetDefaults is what a Breaker holds before the file says otherwise.
func (b *Breaker) SetDefaults() { *b = Breaker{1024, 1024, 1024} }

// Retry says when another instance is asked.
type Retry struct {
	Attempts      int       `yaml:"attempts" jsonschema:"default=2,minimum=1,maximum=10" jsonschema_description:"How many instances are asked at most, the first among them. 1: no retries."`
	Budget        Percent   `yaml:"budget" jsonschema:"default=20%" jsonschema_description:"How many of the requests under way may be retries; three may always be."`
	NonIdempotent bool      `yaml:"nonIdempotent" jsonschema:"default=false" jsonschema_description:"Whether POST and PATCH are sent again, too, when an instance may have acted on them."`
	On            []RetryOn `yaml:"on" jsonschema:"uniqueItems=true,maxItems=16" jsonschema_description:"What makes another instance be asked: connect (no connection), reset (it hung up, or what it sent is no answer), 429, and statuses of 500 to 599. Default: connect, reset, 502, 503, 504."`
}

// SetDefaults is what a Retry holds before the file says otherwise.
func (r *Retry) SetDefaults() {
	*r = Retry{Attempts: 2, Budget: 20, On: []RetryOn{"connect", "reset", "502", "503", "504"}}
}

// RetryOn is connect, reset, 429, or a status from 500 to 599.
type RetryOn string

// retryOnPattern says the same for the schema.
const retryOnPattern = `^(connect|reset|429|5[0-9]{2})$`

var retryOns = regexp.MustCompile(retryOnPattern)

// UnmarshalText reads it.
func (r *RetryOn) UnmarshalText(text []byte) error {
	if !retryOns.Match(text) {
		return fault.Invalidf("%.40q is nothing to retry on", text).WithHint("write connect, reset, 429, or a status of 500 to 599")
	}
	*r = RetryOn(text)
	return nil
}

// TLS is how an upstream proves who it is.
type TLS struct {
	CA         string `yaml:"ca" jsonschema:"example=/etc/serin/ca.pem" jsonschema_description:"A file with the certificates that are believed, in place of the system's. It is read when the server starts, and when a reload changes the variant."`
	ServerName string `yaml:"serverName" jsonschema:"pattern=^[a-zA-Z0-9.-]{1\\,253}$" jsonschema_description:"The name in the certificate. Default: that in the URL."`
}

// Upstreams says to which addresses requests may be passed on. It is checked whenever a connection is opened, whatever a name stands for.
type Upstreams struct {
	Allow []CIDR `yaml:"allow" jsonschema:"maxItems=256" jsonschema_description:"The addresses, and no others. Default: all but link-local ones (where clouds keep credentials), multicast and 0.0.0.0."`
	Deny  []CIDR `yaml:"deny" jsonschema:"maxItems=256" jsonschema_description:"Addresses among those that are refused all the same."`
}
