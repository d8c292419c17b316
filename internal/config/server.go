package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Check tells what is wrong with a server's settings as one Invalid error, for those that the command line changed.
func (s Server) Check() error {
	var all fault.List
	for _, p := range s.problems() {
		all.Addf("%s: %s; %s", p.key, p.message, p.hint)
	}
	return all.Err()
}

type problem struct{ key, message, hint string }

func (s Server) problems() []problem {
	var all []problem
	add := func(key, message, hint string) { all = append(all, problem{key, message, hint}) }
	type address struct{ key, host, port string }
	taken := make([]address, 0, 4)
	for _, a := range []struct{ key, addr string }{{"http", s.HTTP}, {"grpc", s.GRPC}, {"control", s.Control}, {"metrics", s.Metrics}} {
		if a.key == "metrics" && a.addr == "" {
			continue // there is none
		}
		host, port, ok := splitAddress(a.addr)
		if !ok {
			add(a.key, fmt.Sprintf("%.80q is no address", a.addr), `write "HOST:PORT", or ":PORT" for every interface`)
			continue
		}
		for _, t := range taken {
			if port == t.port && port != "0" && (host == t.host || everywhere(host) || everywhere(t.host)) {
				add(a.key, fmt.Sprintf("port %s is that of %s", port, t.key), "choose another")
			}
		}
		taken = append(taken, address{a.key, host, port})
	}
	if s.Drain < 0 || s.Drain > maxDrain {
		add("drain", fmt.Sprintf("%v is out of range", s.Drain), "give 0s to 1h")
	}
	if s.DrainDelay < 0 || s.DrainDelay > maxDrainDelay {
		add("drainDelay", fmt.Sprintf("%v is out of range", s.DrainDelay), "give 0s to 10m")
	}
	for i, name := range s.MetricAliases {
		if at := fmt.Sprintf("metricAliases[%d]", i); name != "seldon" && name != "kserve" {
			add(at, fmt.Sprintf("%.40q names no metrics", name), "write seldon or kserve")
		} else if slices.Contains(s.MetricAliases[:i], name) {
			add(at, fmt.Sprintf("%s is there twice", name), "keep one")
		}
	}
	if !slices.Contains([]string{AccessLogOff, AccessLogErrors, AccessLogAll}, s.AccessLog) {
		add("accessLog", fmt.Sprintf("%.40q says nothing", s.AccessLog), "write off, errors or all")
	}
	if !serverName.MatchString(s.Name) {
		add("name", fmt.Sprintf("%.80q is no name", s.Name), "give 1 to 64 printable characters, no spaces")
	}
	if s.AllowOrigin != "" && !origin.MatchString(s.AllowOrigin) {
		add("allowOrigin", fmt.Sprintf("%.80q is no origin", s.AllowOrigin), "write https://HOST, with its port where it has one, or *")
	}
	return append(all, s.Limits.problems()...)
}

func (l ServerLimits) problems() []problem {
	var all []problem
	add := func(key, message, hint string) { all = append(all, problem{"limits." + key, message, hint}) }
	if l.HeaderBytes < minHeaderBytes || l.HeaderBytes > maxHeaderBytes {
		add("headerBytes", fmt.Sprintf("%v is out of range", l.HeaderBytes), "give 1KiB to 1MiB")
	}
	for _, t := range []struct {
		key string
		is  time.Duration
	}{{"readHeader", l.ReadHeader}, {"read", l.Read}, {"write", l.Write}, {"idle", l.Idle}} {
		if t.is <= 0 || t.is > maxClientTime {
			add(t.key, fmt.Sprintf("%v is out of range", t.is), "give more than 0 and at most 1h, like 30s")
		}
	}
	for _, n := range []struct {
		key string
		is  int
	}{{"connections", l.Connections}, {"connectionsPerClient", l.ConnectionsPerClient}} {
		if n.is < 0 || n.is > maxConnections {
			add(n.key, fmt.Sprintf("%d is out of range", n.is), fmt.Sprintf("give 0 to %d; 0 is no bound", maxConnections))
		}
	}
	return all
}

// splitAddress reads HOST:PORT, with a host that is a name, an IP address or empty, and a port that is a number.
func splitAddress(addr string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !hostPattern.MatchString(host) {
		return "", "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return host, port, err == nil && strconv.FormatUint(n, 10) == port
}

var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9.:%_-]*$`)

// everywhere tells whether host means every interface.
func everywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// serverName and origin are the patterns of the tags, once more.
var (
	serverName = regexp.MustCompile(`^[!-~]{1,64}$`)
	origin     = regexp.MustCompile(`^(\*|https?://[!-.0-~]+)$`)
)
