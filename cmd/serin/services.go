package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
)

type servicesCmd struct {
	Service string `arg:"" optional:"" help:"Name of the service (default: all)."`
}

// Run shows what the server that holds the data directory answers with.
func (s *servicesCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	server, err := app.Running(c.DataDir)
	if err != nil {
		return err
	}
	list, err := server.Services(ctx)
	if err != nil {
		return err
	}
	services := []api.Service{}
	for _, one := range list.Services {
		if s.Service == "" || s.Service == one.Name {
			services = append(services, one)
		}
	}
	if s.Service != "" && len(services) == 0 {
		return fault.NotFoundf("the server has no service named %.80q", s.Service).WithHint("`serin services` shows those that it has")
	}
	return say.answer(services, func(w io.Writer) { showServices(say, w, services) })
}

func showServices(say *speaker, w io.Writer, services []api.Service) {
	if len(services) == 0 {
		fmt.Fprintln(w, "no services: no file names any, and no model has a champion")
		return
	}
	var rows, instances [][]string
	var errs []string
	for _, s := range services {
		rows = append(rows, []string{s.Name, s.Variant, answersWith(s), versionOf(s), s.State})
		if s.Error != "" {
			errs = append(errs, fmt.Sprintf("%s/%s: %s", s.Name, s.Variant, s.Error))
		}
		instances = append(instances, instanceRows(s.Name+"/"+s.Variant, s.Instances)...)
		instances = append(instances, instanceRows(s.Name+"/"+s.Variant+" (shadow)", s.ShadowInstances)...)
	}
	say.table(w, "SERVICE VARIANT ANSWERS-WITH VERSION STATE", rows)
	for _, e := range errs {
		fmt.Fprintln(w, e)
	}
	if len(instances) > 0 {
		fmt.Fprintln(w)
		say.table(w, "INSTANCE OF STATE SINCE IN-FLIGHT CONNECTIONS REQUESTS FAILURES WHY", instances)
	}
}

func instanceRows(of string, instances []api.Instance) (rows [][]string) {
	for _, i := range instances {
		rows = append(rows, []string{
			i.Address, of, i.State, when(i.Since), strconv.Itoa(i.InFlight), strconv.Itoa(i.Connections),
			strconv.FormatUint(i.Requests, 10), strconv.FormatUint(i.Failures, 10), cmp.Or(i.Why, "-"),
		})
	}
	return rows
}

// answersWith says what answers: a reference, a folder, or an upstream and how it is spoken to.
func answersWith(s api.Service) string {
	switch {
	case s.Static != "":
		return s.Static
	case s.Kind != "upstream":
		return s.Model
	}
	text := fmt.Sprintf("%d instances", len(s.Instances))
	if len(s.Instances) == 1 {
		text = s.Instances[0].Address
	}
	if s.Dialect != "" {
		text += " (" + s.Dialect + ")"
	}
	return text
}

// versionOf says which version answers, as other lists do. That of an upstream or a folder is told only where it was given.
func versionOf(s api.Service) string {
	switch {
	case s.Version > 0:
		return fmt.Sprintf("%d (%s)", s.Version, s.Semver)
	case s.Kind == "model" || strings.Contains(s.Digest, "://") || s.Digest == "static:"+s.Static:
		return "-"
	}
	return s.Digest
}
