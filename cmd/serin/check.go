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
	settings, err := readConfig(file)
	if err != nil {
		if fault.HintOf(err) == "" && fault.KindOf(err) == fault.Invalid {
			return fault.Invalidf("%w", err).WithHint("each line says what to do; `serin check --schema` shows all that may be in the file")
		}
		return err
	}
	type service struct {
		Name  string `json:"name"`
		Model string `json:"model"`
	}
	services := []service{}
	for _, s := range settings.Services {
		services = append(services, service{s.Name, s.Variants[0].Model})
	}
	answer := struct {
		OK       bool      `json:"ok"`
		File     string    `json:"file"`
		Services []service `json:"services"`
	}{true, file, services}
	return say.answer(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s is good\n", file)
		for _, s := range services {
			fmt.Fprintf(w, "  service %s answers with %s\n", s.Name, s.Model)
		}
		if len(services) == 0 {
			fmt.Fprintln(w, "  no services: every model with a champion is served under its own name")
		}
	})
}
