package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
)

type checkCmd struct {
	Config string `short:"c" placeholder:"FILE" help:"The file to check (default: serin.yaml)."`
	Schema bool   `help:"Print the JSON Schema of the file, for editors."`
}

// Run checks the file, or prints the schema.
func (k *checkCmd) Run(say *speaker) error {
	if k.Schema {
		_, err := say.out.Write(config.Schema())
		return err
	}
	file := k.Config
	if file == "" {
		file = configFile
	}
	settings, _, err := readConfig(file)
	if err != nil {
		if fault.HintOf(err) == "" && fault.KindOf(err) == fault.Invalid {
			return fault.Invalidf("%w", err).WithHint("each line says what to do; `serin check --schema` shows all that may be in the file")
		}
		return err
	}
	if err := app.CheckFiles(settings); err != nil {
		return err
	}
	services := []checkedService{}
	for i := range settings.Services {
		services = append(services, checked(&settings.Services[i]))
	}
	answer := struct {
		OK       bool             `json:"ok"`
		File     string           `json:"file"`
		Services []checkedService `json:"services"`
	}{true, file, services}
	return say.answer(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s is good\n", file)
		for _, s := range services {
			at := ""
			if len(s.At) > 0 {
				at = " at " + strings.Join(s.At, ", ")
			}
			if len(s.Variants) == 1 {
				fmt.Fprintf(w, "  service %s answers%s with %s\n", s.Name, at, s.Variants[0].answer())
				continue
			}
			fmt.Fprintf(w, "  service %s answers%s with\n", s.Name, at)
			for _, v := range s.Variants {
				fmt.Fprintf(w, "    %s: %s, weight %s\n", v.Name, v.answer(), v.Weight)
			}
		}
		if len(services) == 0 {
			fmt.Fprintln(w, "  no services: every model with a champion is served under its own name")
		}
	})
}

// checkedService is what a file says of a service, in short.
type checkedService struct {
	Name     string           `json:"name"`
	Model    string           `json:"model,omitempty"` // of the first variant
	At       []string         `json:"at,omitempty"`    // hosts and paths whose requests are passed on
	Variants []checkedVariant `json:"variants"`
}

type checkedVariant struct {
	Name      string   `json:"name"`
	Model     string   `json:"model,omitempty"`
	Instances []string `json:"instances,omitempty"`
	Dialect   string   `json:"dialect,omitempty"`
	Static    string   `json:"static,omitempty"`
	Weight    string   `json:"weight"` // as the file says it
}

func checked(s *config.Service) checkedService {
	c := checkedService{Name: s.Name, Model: s.Variants[0].Model}
	for _, path := range s.AllPaths() {
		hosts := s.AllHosts()
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for _, host := range hosts {
			c.At = append(c.At, host+path)
		}
	}
	weights := s.Traffic.FileWeights(s.VariantNames())
	for i := range s.Variants {
		v := &s.Variants[i]
		c.Variants = append(c.Variants, checkedVariant{v.Name, v.Model, v.URLs(), v.Dialect, v.Static, weights[v.Name].String()})
	}
	return c
}

// answer says what answers, for people.
func (v checkedVariant) answer() string {
	text := cmp.Or(v.Model, v.Static, strings.Join(v.Instances, ", "))
	if v.Dialect != "" {
		text += " (" + v.Dialect + ")"
	}
	return text
}
