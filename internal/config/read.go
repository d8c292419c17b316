package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/traffic"
)

// Read reads the file's bytes; file is the name that messages show. The error is a *strictyaml.Problems, of kind Invalid, that
// tells all mistakes: of syntax, of types, unknown keys, and what the values mean.
func Read(file string, data []byte) (*Config, error) {
	doc, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	c := Default()
	if err := doc.Decode(c); err != nil && fault.KindOf(err) != fault.Invalid {
		return nil, err
	}
	checkServices(doc, c.Services)
	checkRoutes(doc, c.Services)
	for _, p := range c.Server.problems() {
		doc.Problem("server."+p.key, p.message, p.hint)
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// namePattern is that of the tags, once more: a tag holds no constant.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func checkServices(doc *strictyaml.Doc, services []Service) {
	named, byDefault := map[string]int{}, -1
	for i, s := range services {
		at := fmt.Sprintf("services[%d]", i)
		checkName(doc, at+".name", s.Name)
		if before, twice := named[s.Name]; twice {
			line, _ := doc.At(fmt.Sprintf("services[%d].name", before))
			doc.Problem(at+".name", fmt.Sprintf("there is a service %q already, on line %d", s.Name, line), "choose another name")
		} else {
			named[s.Name] = i
		}
		if s.Default && byDefault >= 0 {
			line, _ := doc.At(fmt.Sprintf("services[%d].default", byDefault))
			doc.Problem(at+".default", fmt.Sprintf("there is a default service already, on line %d", line), "keep one")
		} else if s.Default {
			byDefault = i
		}
		if s.Timeout <= 0 || s.Timeout > maxTimeout {
			doc.Problem(at+".timeout", fmt.Sprintf("%v is out of range", s.Timeout), "give more than 0 and at most 10m, like 1s")
		}
		if s.Limits.BodyBytes < minBodyBytes || s.Limits.BodyBytes > maxBodyBytes {
			doc.Problem(at+".limits.bodyBytes", fmt.Sprintf("%v is out of range", s.Limits.BodyBytes), "give 1KiB to 1GiB")
		}
		if s.Limits.Rows < 1 || s.Limits.Rows > maxRows {
			doc.Problem(at+".limits.rows", fmt.Sprintf("%d is out of range", s.Limits.Rows), fmt.Sprintf("give 1 to %d", maxRows))
		}
		checkVariants(doc, at+".variants", s.Variants)
		checkTraffic(doc, at, s)
		checkLabels(doc, at+".labels", s.Labels)
		checkCapture(doc, at+".capture", s.Capture)
	}
}

func checkVariants(doc *strictyaml.Doc, at string, variants []Variant) {
	if len(variants) == 0 {
		doc.Problem(at, "a service needs a variant", `give one, like [{model: "models:/NAME@champion"}]`)
	}
	named := map[string]bool{}
	for i, v := range variants {
		checkName(doc, fmt.Sprintf("%s[%d].name", at, i), v.Name)
		if named[v.Name] || v.Name == "fallback" {
			doc.Problem(fmt.Sprintf("%s[%d].name", at, i), fmt.Sprintf("the name %q is taken", v.Name), "name each variant differently")
		}
		named[v.Name] = true
		if _, err := registry.ParseRef(v.Model); err != nil {
			doc.Problem(fmt.Sprintf("%s[%d].model", at, i), fmt.Sprintf("%.80q names no version of a model", v.Model),
				"write models:/NAME@ALIAS, models:/NAME/3 or NAME; names are lower case")
		}
	}
}

// checkTraffic adds what the traffic package finds to the document's problems.
func checkTraffic(doc *strictyaml.Doc, at string, s Service) {
	if len(s.Variants) == 0 {
		return
	}
	var found traffic.Problems
	err := s.Traffic.Check(s.VariantNames())
	if !errors.As(err, &found) {
		return
	}
	for _, p := range found {
		doc.Problem(at+".traffic."+p.Field, p.Message, p.Hint)
	}
}

func checkLabels(doc *strictyaml.Doc, at string, l Labels) {
	if !(l.Threshold >= 0 && l.Threshold <= 1) {
		doc.Problem(at+".threshold", fmt.Sprintf("%v is out of range", l.Threshold), "give 0 to 1")
	}
	if n := len(l.Classes); n == 1 || n > maxClasses {
		doc.Problem(at+".classes", fmt.Sprintf("%d classes are given", n), fmt.Sprintf("give 2 to %d, or none", maxClasses))
	}
	seen := map[string]bool{}
	for i, c := range l.Classes {
		if seen[c] || c == "" || len(c) > maxLabel {
			doc.Problem(fmt.Sprintf("%s.classes[%d]", at, i), fmt.Sprintf("%.80q is empty, too long or there twice", c), fmt.Sprintf("give each class another name of at most %d bytes", maxLabel))
		}
		seen[c] = true
	}
}

func checkName(doc *strictyaml.Doc, path, name string) {
	if !namePattern.MatchString(name) {
		doc.Problem(path, fmt.Sprintf("%.80q is no name", name), "use 1 to 63 lower-case letters, digits and dashes; begin with no dash")
	}
}

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
	taken := make([]address, 0, 3)
	for _, a := range []struct{ key, addr string }{{"http", s.HTTP}, {"grpc", s.GRPC}, {"control", s.Control}} {
		host, port, ok := splitAddress(a.addr)
		switch {
		case !ok:
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
