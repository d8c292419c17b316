package api

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Guard stands before the control plane on a TCP listener. On loopback it takes requests that name the loopback host only, so that a
// page in a browser cannot reach it under a name of its own (DNS rebinding); with a Token it asks every request for that. Either way
// it refuses state-changing requests that a browser sends from another origin.
type Guard struct {
	Token string // empty: no token is asked for, and only loopback hosts are taken
}

// Wrap returns next behind the guard.
func (g Guard) Wrap(next http.Handler) http.Handler {
	checked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case g.Token == "" && !loopbackHost(r.Host):
			refuse(w, http.StatusForbidden, fault.Invalidf("this address answers to loopback host names only, not to %.100q", r.Host).
				WithHint("call it localhost or 127.0.0.1"))
		case g.Token != "" && !g.authorised(r):
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, fault.Invalidf("a token is needed").
				WithHint("send `Authorization: Bearer TOKEN`; the token is in the file control.token of the data directory"))
		default:
			next.ServeHTTP(w, r)
		}
	})
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, fault.Invalidf("a browser may not send this from another origin"))
	}))
	return origin.Handler(checked)
}

func (g Guard) authorised(r *http.Request) bool {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return found && subtle.ConstantTimeCompare([]byte(token), []byte(g.Token)) == 1
}

// Loopback tells whether the listening address addr ("host:port") can be reached from this machine alone.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || ip != nil && ip.IsLoopback()
}

// loopbackHost tells whether a Host header names this machine, with or without a port.
func loopbackHost(host string) bool {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), "0")
	}
	return Loopback(host)
}
