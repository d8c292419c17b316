package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// AllHosts are the names whose requests come to the service, in lower case.
func (s *Service) AllHosts() (all []string) {
	for _, h := range withOne(s.Host, s.Hosts) {
		all = append(all, strings.ToLower(h))
	}
	return all
}

// AllPaths are how the paths of requests begin that come to the service; of one that has hosts and no paths, all.
func (s *Service) AllPaths() []string {
	paths := withOne(s.Path, s.Paths)
	if len(paths) == 0 && s.Fronts() {
		paths = []string{"/"}
	}
	return paths
}

// Fronts tells whether the service takes requests by host or path, and passes them on.
func (s *Service) Fronts() bool {
	return s.Host != "" || len(s.Hosts) > 0 || s.Path != "" || len(s.Paths) > 0
}

func withOne(one string, more []string) []string {
	if one == "" {
		return more
	}
	return append([]string{one}, more...)
}

// Bounds of hosts and paths.
const (
	maxFront = 64   // of a service, each
	maxPath  = 1024 // bytes of other paths
)

// hostName is what may stand in a Host header, but for the port: a name, or an IPv4 address.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$`)

// methods are those of HTTP that it or others define.
var methods = regexp.MustCompile(`^[A-Z]{1,20}$`)

// placed is a text of the file.
type placed struct{ at, text string }

// listed returns the texts of a key and of its plural.
func listed(at, one, many string, text string, texts []string) (all []placed) {
	if text != "" {
		all = append(all, placed{at + "." + one, text})
	}
	for i, t := range texts {
		all = append(all, placed{fmt.Sprintf("%s.%s[%d]", at, many, i), t})
	}
	return all
}

// checkFronts tells every mistake in hosts, paths and rewrites, and which of them two services claim.
func checkFronts(doc *strictyaml.Doc, services []Service) {
	taken := map[[2]string]placed{} // by host and path
	for i := range services {
		s := &services[i]
		at := fmt.Sprintf("services[%d]", i)
		hosts, paths := listed(at, "host", "hosts", s.Host, s.Hosts), listed(at, "path", "paths", s.Path, s.Paths)
		if len(hosts) > maxFront || len(paths) > maxFront {
			doc.Problem(at, fmt.Sprintf("there are %d hosts and %d paths", len(hosts), len(paths)), fmt.Sprintf("keep to %d of each", maxFront))
			continue
		}
		for _, key := range []struct {
			name  string
			empty bool
		}{{"host", s.Host == ""}, {"hosts", len(s.Hosts) == 0}, {"path", s.Path == ""}, {"paths", len(s.Paths) == 0}} {
			if key.empty && doc.Has(at+"."+key.name) {
				doc.Problem(at+"."+key.name, "nothing is given", "give a value, or remove the key")
			}
		}
		for k := range hosts {
			hosts[k].text = strings.ToLower(hosts[k].text)
			if h := hosts[k]; len(h.text) > 253 || !hostName.MatchString(h.text) {
				doc.Problem(h.at, fmt.Sprintf("%.80q is no name of a host", h.text), "write it as clients do, without scheme, port or path: movies.example.com")
			}
		}
		for _, p := range paths {
			if err := checkPath(p.text); err != nil {
				doc.Problem(p.at, err.Error(), fault.HintOf(err))
			}
		}
		checkRewrite(doc, at+".rewrite", s)
		claim(doc, taken, hosts, paths)
	}
}

// claim tells which places are claimed already, by the service itself or by another.
func claim(doc *strictyaml.Doc, taken map[[2]string]placed, hosts, paths []placed) {
	if len(hosts)+len(paths) == 0 {
		return
	}
	if len(hosts) == 0 {
		hosts = []placed{{text: ""}}
	}
	if len(paths) == 0 {
		paths = []placed{{text: "/"}}
	}
	for _, h := range hosts {
		for _, p := range paths {
			here, where := p, p.text
			if here.at == "" {
				here = h
			}
			if h.text != "" {
				where = h.text + p.text
			}
			claimed := [2]string{h.text, p.text}
			before, twice := taken[claimed]
			if !twice {
				taken[claimed] = here
				continue
			}
			line, _ := doc.At(before.at)
			doc.Problem(here.at, fmt.Sprintf("%.80q is claimed already, on line %d", where, line), "choose another host or path, or make one service of both")
		}
	}
}

// checkPath tells what is wrong with how a path is said to begin.
func checkPath(path string) error {
	if strings.Contains(path, "*") {
		return fault.Invalidf("%.80q is no path: * stands for nothing else here", path).WithHint("write how paths begin: all that begins so is meant")
	}
	return notAPath(path, gateway.Prefix{Path: path})
}

// notAPath says of a path what the gateway finds wrong with it.
func notAPath(path string, p gateway.Prefix) error {
	if err := p.Check(); err != nil {
		return fault.Invalidf("%.80q is no path: %w", path, err).WithHint("write it as people read it, like /recommend/")
	}
	return nil
}

// checkRewrite tells what is wrong with what stands in place of the paths.
func checkRewrite(doc *strictyaml.Doc, at string, s *Service) {
	switch {
	case s.Rewrite == nil:
	case !s.Fronts():
		doc.Problem(at, "there is no path in whose place it could stand", "give path, or remove rewrite")
	default:
		if err := notAPath(*s.Rewrite, gateway.Prefix{Path: "/", Rewrite: *s.Rewrite, HasRewrite: true}); err != nil {
			doc.Problem(at, err.Error(), "write it as it goes into a request, like /api/")
		}
	}
}
