package app

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// get asks for a path, follows nothing, and returns the answer with its body.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(url)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(text)
}

// A name is judged by the addresses that it has when they are dialled, whatever it had before.
func TestANameThatBeginsToMeanAnotherAddressIsNotFollowed(t *testing.T) {
	for _, forbidden := range []string{
		"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "0.0.0.0", "::", "fe80::1", "224.0.0.1", "ff02::1", "fd00:ec2::254", "255.255.255.255", "127.0.0.2",
	} {
		t.Run(forbidden, func(t *testing.T) {
			good := proxytest.Serve(t, nil)
			_, port, err := net.SplitHostPort(good.Addr())
			must(t, err)
			var means atomic.Value
			means.Store("127.0.0.1")
			looked := make(chan struct{}, 1)
			address := passTo(t, "http://models.example:"+port, func(_ *gateway.ServiceOptions, o *proxy.Options) {
				o.Resolve, o.Retry.Attempts = time.Millisecond, 1
				o.Deny = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
				o.Lookup = func(context.Context, string) ([]netip.Addr, error) {
					select {
					case looked <- struct{}{}:
					default:
					}
					return []netip.Addr{netip.MustParseAddr(means.Load().(string))}, nil
				}
			})
			until := func(status int) (text string) {
				for {
					var resp *http.Response
					if resp, text = get(t, "http://"+address+"/"); resp.StatusCode == status {
						return text
					}
					<-looked
				}
			}
			until(http.StatusOK)
			means.Store(forbidden)
			if text := until(http.StatusServiceUnavailable); strings.Contains(text, "models.example") || strings.Contains(text, "address") {
				t.Errorf("the client is told %q", text)
			}
		})
	}
}

// Where an upstream sends its client is the client's affair: Serin goes nowhere by itself, nor do its checks.
func TestARedirectIsNotFollowed(t *testing.T) {
	inner := proxytest.Serve(t, nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		asked := make(chan string, 2)
		up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", inner.URL()+"/latest/meta-data")
			w.Header().Set("Refresh", "0; url="+inner.URL())
			w.WriteHeader(status)
			asked <- r.URL.Path
		}))
		address := passTo(t, up.URL(), func(_ *gateway.ServiceOptions, o *proxy.Options) {
			o.Check = &proxy.Check{Path: "/healthz", Every: time.Hour}
		})
		resp, _ := get(t, "http://"+address+"/")
		if resp.StatusCode != status || resp.Header.Get("Location") != inner.URL()+"/latest/meta-data" {
			t.Errorf("%d: %v", status, resp)
		}
		paths := []string{<-asked, <-asked}
		slices.Sort(paths)
		if !slices.Equal(paths, []string{"/", "/healthz"}) {
			t.Errorf("%d: asked for %q", status, paths)
		}
	}
	if n := inner.Requests(); n > 0 {
		t.Errorf("what they lead to was asked %d times", n)
	}
}
