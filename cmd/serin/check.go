package main

import (
	"fmt"
	"io"

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
	type variant struct {
		Name   string `json:"name"`
		Model  string `json:"model"`
		Weight string `json:"weight"` // as the file says it
	}
	type service struct {
		Name     string    `json:"name"`
		Model    string    `json:"model"` // of the first variant
		Variants []variant `json:"variants"`
	}
	services := []service{}
	for i := range settings.Services {
		s := &settings.Services[i]
		weights := s.Traffic.FileWeights(s.VariantNames())
		line := service{Name: s.Name, Model: s.Variants[0].Model}
		for _, v := range s.Variants {
			line.Variants = append(line.Variants, variant{v.Name, v.Model, weights[v.Name].String()})
		}
		services = append(services, line)
	}
	answer := struct {
		OK       bool      `json:"ok"`
		File     string    `json:"file"`
		Services []service `json:"services"`
	}{true, file, services}
	return say.answer(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s is good\n", file)
		for _, s := range services {
			if len(s.Variants) == 1 {
				fmt.Fprintf(w, "  service %s answers with %s\n", s.Name, s.Model)
				continue
			}
			fmt.Fprintf(w, "  service %s answers with\n", s.Name)
			for _, v := range s.Variants {
				fmt.Fprintf(w, "    %s: %s, weight %s\n", v.Name, v.Model, v.Weight)
			}
		}
		if len(services) == 0 {
			fmt.Fprintln(w, "  no services: every model with a champion is served under its own name")
		}
	})
}
