package config

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/serin-ml/serin/internal/fault"
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
	checkServices(doc, c.Services, c.Server.Upstreams)
	checkRoutes(doc, c.Services)
	checkFronts(doc, c.Services)
	checkPrometheus(doc, c.Prometheus)
	checkReleases(doc, c)
	checkNotify(doc, c.Notify)
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

func checkServices(doc *strictyaml.Doc, services []Service, to Upstreams) {
	named, byDefault := map[string]int{}, -1
	for i := range services {
		s := &services[i]
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
		if s.Limits.InFlight < 0 || s.Limits.InFlight > maxInFlight {
			doc.Problem(at+".limits.inFlight", fmt.Sprintf("%d is out of range", s.Limits.InFlight), fmt.Sprintf("give 0 to %d; 0 is no bound", maxInFlight))
		}
		if s.V1 != V1KServe && s.V1 != V1Tensorflow {
			doc.Problem(at+".v1", fmt.Sprintf("%.40q is no such protocol", s.V1), "write kserve or tensorflow")
		}
		if s.Limits.AnswerBytes < minAnswerBytes || s.Limits.AnswerBytes > maxAnswerBytes {
			doc.Problem(at+".limits.answerBytes", fmt.Sprintf("%v is out of range", s.Limits.AnswerBytes), "give 1KiB to 16MiB")
		}
		spellOut(doc, at, s)
		checkVariants(doc, at, s, to)
		checkTraffic(doc, at, s)
		checkLabels(doc, at+".labels", s.Labels)
		checkCapture(doc, at+".capture", s.Capture)
		checkFallback(doc, at+".fallback", s.Fallback)
		checkRateLimits(doc, at, s)
		checkShadows(doc, at, s)
		if s.Default && len(s.Variants) > 0 && !s.Tensors() {
			doc.Problem(at+".default", "calls that name no service ask for predictions, and this service gives none", "remove default, or say by dialect how each of its upstreams is asked for predictions")
		}
		if s.Failover && len(s.Variants) == 1 {
			doc.Problem(at+".failover", "there is no other variant to ask", "remove failover; instances stand in for each other without it")
		}
	}
}

// checkTraffic adds what the traffic package finds to the document's problems.
func checkTraffic(doc *strictyaml.Doc, at string, s *Service) {
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
