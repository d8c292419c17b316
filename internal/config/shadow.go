package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/shadow"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// Shadow is a variant that gets copies of requests.
type Shadow struct {
	Variant  string        `yaml:"variant,required" jsonschema:"required" jsonschema_description:"Which of the service's variants; one that gets traffic too is not asked for requests that it answers itself."`
	Percent  Percent       `yaml:"percent" jsonschema:"default=100%" jsonschema_description:"Of how many requests."`
	Timeout  time.Duration `yaml:"timeout" jsonschema:"default=1s" jsonschema_description:"How long its answer may take. More than 0, at most 10m."`
	InFlight int           `yaml:"inFlight" jsonschema:"default=8,minimum=1,maximum=10000" jsonschema_description:"The most copies that it answers at once."`
	Queue    int           `yaml:"queue" jsonschema:"default=1024,minimum=1,maximum=1000000" jsonschema_description:"The most copies that wait; what comes then is dropped, and counted."`
	Methods  []string      `yaml:"methods" jsonschema:"uniqueItems=true,minItems=1,maxItems=16" jsonschema_description:"Of requests that are passed on, those with these methods: a copy must do no harm. Predictions are copied whatever their method. Default: GET, HEAD."`
	Compare  Compare       `yaml:"compare" jsonschema_description:"When two answers agree."`
}

// SetDefaults is what a Shadow holds before the file says otherwise.
func (s *Shadow) SetDefaults() {
	*s = Shadow{Percent: 100, Timeout: time.Second, InFlight: 8, Queue: 1024, Methods: []string{"GET", "HEAD"}, Compare: Compare{By: string(shadow.ByNumeric), K: shadow.DefaultK, Overlap: 100}}
}

// Compare says when two answers agree.
type Compare struct {
	By        string   `yaml:"by" jsonschema:"default=numeric,enum=exact,enum=numeric,enum=label,enum=topK" jsonschema_description:"exact: they are the same. numeric: the same, but for numbers within tolerance. label: the same class is predicted. topK: how many of the first k are the same."`
	Tolerance float64  `yaml:"tolerance" jsonschema:"default=0,minimum=0" jsonschema_description:"Of numeric: how far numbers may differ, in what they are measured in."`
	Relative  float64  `yaml:"relative" jsonschema:"default=0,minimum=0" jsonschema_description:"Of numeric: how far they may differ besides, as a part of the number that the client got: 0.01 is one in a hundred."`
	K         int      `yaml:"k" jsonschema:"default=10,minimum=1,maximum=1000" jsonschema_description:"How many of a list are compared by topK."`
	Overlap   Percent  `yaml:"overlap" jsonschema:"default=100%" jsonschema_description:"How many of the first k have to be the same for answers to agree, by topK."`
	At        string   `yaml:"at" jsonschema:"example=movies[].id" jsonschema_description:"Of label and topK: where to look, a path in an answer of JSON, or the name of an output. Default: the classes that Serin tells, and the first output."`
	Ignore    []string `yaml:"ignore" jsonschema:"maxItems=64,example=requestId" jsonschema_description:"What is not compared: paths in an answer of JSON, or names of outputs."`
}

// Rule is c as shadow knows it.
func (c Compare) Rule() shadow.Rule {
	return shadow.Rule{By: shadow.By(c.By), Tolerance: c.Tolerance, Relative: c.Relative, K: c.K, Overlap: c.Overlap.Share(), At: c.At, Ignore: c.Ignore}
}

// Bounds of shadows.
const (
	maxShadows        = 16
	maxShadowInFlight = 10_000
	maxShadowQueue    = 1_000_000
)

// checkShadows tells every mistake in the shadows of a service.
func checkShadows(doc *strictyaml.Doc, service string, s *Service) {
	all := service + ".shadow"
	if len(s.Shadows) > maxShadows {
		doc.Problem(all, fmt.Sprintf("there are %d shadows", len(s.Shadows)), fmt.Sprintf("keep to %d", maxShadows))
		return
	}
	names, seen := s.VariantNames(), map[string]bool{}
	for i, shadow := range s.Shadows {
		at := fmt.Sprintf("%s[%d]", all, i)
		switch {
		case !slices.Contains(names, shadow.Variant):
			doc.Problem(at+".variant", fmt.Sprintf("there is no variant %.80q", shadow.Variant), "name one of the service's variants; add it with weight 0 if it is to get no traffic")
		case s.Variants[slices.Index(names, shadow.Variant)].Static != "":
			doc.Problem(at+".variant", fmt.Sprintf("%s is a folder, which gets no copies", shadow.Variant), "name a model or an upstream")
		case seen[shadow.Variant]:
			doc.Problem(at+".variant", fmt.Sprintf("%s is a shadow twice", shadow.Variant), "keep one")
		case len(names) == 1:
			doc.Problem(at+".variant", fmt.Sprintf("%s is the only variant, and would be its own shadow", shadow.Variant), "add the variant that is to be its shadow")
		case s.only(shadow.Variant):
			doc.Problem(at+".variant", fmt.Sprintf("%s gets all traffic, and would be its own shadow", shadow.Variant), "give another variant a weight, or shadow with another")
		}
		seen[shadow.Variant] = true
		if shadow.Timeout <= 0 || shadow.Timeout > maxTimeout {
			doc.Problem(at+".timeout", fmt.Sprintf("%v is out of range", shadow.Timeout), "give more than 0 and at most 10m, like 1s")
		}
		inRange(doc, at+".inFlight", shadow.InFlight, 1, maxShadowInFlight)
		inRange(doc, at+".queue", shadow.Queue, 1, maxShadowQueue)
		if len(shadow.Methods) == 0 {
			doc.Problem(at+".methods", "no methods are given", "name some, like [GET, HEAD]")
		}
		for k, m := range shadow.Methods {
			if !methods.MatchString(m) || m == "CONNECT" {
				doc.Problem(fmt.Sprintf("%s.methods[%d]", at, k), fmt.Sprintf("%.40q is no method that can be copied", m), "write it in capitals, like GET")
			}
		}
		checkCompare(doc, at+".compare", shadow.Compare)
	}
}

// only tells whether the file gives all traffic to one variant.
func (s *Service) only(variant string) bool {
	weights := s.Traffic.FileWeights(s.VariantNames())
	for name, w := range weights {
		if name != variant && !w.IsZero() {
			return false
		}
	}
	return len(weights) > 0
}

// checkCompare tells what is wrong with a rule: what each number can be, and what shadow finds beside that.
func checkCompare(doc *strictyaml.Doc, at string, c Compare) {
	for _, n := range []struct {
		key string
		is  float64
	}{{".tolerance", c.Tolerance}, {".relative", c.Relative}} {
		if !(n.is >= 0) {
			doc.Problem(at+n.key, fmt.Sprintf("%v is negative", n.is), "give 0 or more, like 1e-6")
		}
	}
	inRange(doc, at+".k", c.K, 1, shadow.MostK)
	if c.Overlap == 0 {
		doc.Problem(at+".overlap", "with 0% all answers would agree", "give more, like 80%")
		return
	}
	if _, err := shadow.NewComparer(c.Rule()); err != nil {
		key, message, _ := strings.Cut(err.Error(), ": ")
		doc.Problem(at+"."+key, message, fault.HintOf(err))
	}
}
