package app

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"reflect"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/proxy"
)

// upstream is a group of instances that requests are passed on to: of a variant that answers, or of the same variant where it is a shadow,
// whose copies take neither connections nor health from those that clients wait for.
type upstream struct {
	service, variant string
	shadow           bool
	settings         upstreamSettings
	hop              *proxy.Upstream
}

// label names the upstream in metrics: after its variant, or the variant as a shadow.
func (u *upstream) label() string {
	if u.shadow {
		return u.variant + " (shadow)"
	}
	return u.variant
}

// upstreamSettings are all that an upstream is made of. One whose settings stay the same is kept over a reload.
type upstreamSettings struct {
	variant     config.Variant // what of it concerns the hop; all else is zero
	allow, deny []config.CIDR
	ca          []byte // what tls.ca held when it was read; nil: the system's authorities
	failOpen    bool
}

// upstreamSettingsOf reads what the upstream of a variant is made of. It is Invalid where a file that is named cannot be read.
func upstreamSettingsOf(s *config.Service, v *config.Variant, to config.Upstreams) (upstreamSettings, error) {
	u := upstreamSettings{
		variant: config.Variant{
			Upstream: v.Upstream, Instances: v.Instances, HostHeader: v.HostHeader, TLS: v.TLS,
			ConnectTimeout: v.ConnectTimeout, IdleTimeout: v.IdleTimeout, Resolve: v.Resolve, MaxFails: v.MaxFails, FailTimeout: v.FailTimeout,
			Health: v.Health, Outlier: v.Outlier, Breaker: v.Breaker, Retry: v.Retry,
		},
		allow: to.Allow, deny: to.Deny,
		// Where nothing stands in for the upstream, an instance that is not well may still answer, and an error is all there would be else.
		failOpen: s.Fallback == nil && !s.Failover,
	}
	if v.TLS != nil {
		var err error
		if u.ca, err = authorities(v.TLS.CA); err != nil {
			return u, ofVariant(s.Name, v.Name, err)
		}
	}
	return u, nil
}

func (u *upstreamSettings) equal(o *upstreamSettings) bool { return reflect.DeepEqual(u, o) }

// options are the settings as the hop knows them.
func (u *upstreamSettings) options(now func() time.Time, log *slog.Logger) proxy.Options {
	v := &u.variant
	o := proxy.Options{
		Instances: v.Origins(), Resolve: v.Resolve, MaxFails: v.MaxFails, FailTimeout: v.FailTimeout, FailOpen: u.failOpen,
		ConnectTimeout: v.ConnectTimeout, IdleTimeout: v.IdleTimeout,
		Allow: config.Prefixes(u.allow), Deny: config.Prefixes(u.deny), Now: now, Log: log,
		Breaker: proxy.Breaker(v.Breaker),
		Retry:   proxy.Retry{Attempts: v.Retry.Attempts, Budget: float64(v.Retry.Budget), MinConcurrency: leastRetries},
	}
	for _, on := range v.Retry.On {
		o.Retry.On = append(o.Retry.On, string(on))
	}
	if h := v.Health; h != nil {
		o.Check = &proxy.Check{
			Path: h.Path, Every: h.Every, Timeout: h.Timeout, Healthy: h.Healthy, Unhealthy: h.Unhealthy, Status: proxy.StatusRange(h.Status),
		}
	}
	outlier := proxy.Outlier(v.Outlier)
	o.Outlier = &outlier
	if v.TLS != nil {
		o.TLS = &tls.Config{ServerName: v.TLS.ServerName, MinVersion: tls.VersionTLS12}
		if u.ca != nil {
			o.TLS.RootCAs = x509.NewCertPool()
			o.TLS.RootCAs.AppendCertsFromPEM(u.ca) // it has been read without a mistake
		}
	}
	return o
}

// leastRetries is how many retries may be made however few requests there are, as Envoy's retry budgets have it.
const leastRetries = 3
