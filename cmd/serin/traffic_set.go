package main

import (
	"context"
	"io"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/traffic"
)

type trafficSetCmd struct {
	Service string   `arg:"" help:"Name of the service."`
	Weights []string `arg:"" help:"The weight of each variant, such as stable=80 canary=20. One that is left out gets nobody."`
	Why     string   `required:"" placeholder:"TEXT" help:"The reason, for the history."`
	For     string   `default:"24h" placeholder:"TIME" help:"How long, such as 90m, 2h or 14d; 0: until it is cleared (default: 24h)."`
	Expect  *uint64  `placeholder:"NUMBER" help:"Do it only if the policy version is this one now."`
}

// Run sets an override.
func (t *trafficSetCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	weights, err := parseWeights(t.Weights)
	if err != nil {
		return err
	}
	control, err := app.Writer(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	s, err := control.SetTraffic(ctx, t.Service, api.TrafficOverride{
		Weights: api.SentWeights(weights), By: whoAmI(), Why: t.Why, For: t.For, Expect: t.Expect,
	})
	if err != nil {
		return err
	}
	return say.answer(s, func(w io.Writer) { nowHold(w, s) })
}

// parseWeights reads VARIANT=WEIGHT, each variant once.
func parseWeights(texts []string) (traffic.Weights, error) {
	weights := traffic.Weights{}
	for _, text := range texts {
		name, number, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fault.Invalidf("%.80q is no weight of a variant", text).WithHint("write VARIANT=WEIGHT, such as stable=80")
		}
		if _, twice := weights[name]; twice {
			return nil, fault.Invalidf("the variant %.80q has two weights", name).WithHint("give each variant one")
		}
		weight, err := traffic.ParseWeight(number)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "%.80s: %w", name, err).WithHint("%s", fault.HintOf(err))
		}
		weights[name] = weight
	}
	return weights, nil
}

type trafficClearCmd struct {
	Service string  `arg:"" help:"Name of the service."`
	Why     string  `required:"" placeholder:"TEXT" help:"The reason, for the history."`
	Expect  *uint64 `placeholder:"NUMBER" help:"Do it only if the policy version is this one now."`
}

// Run clears an override.
func (t *trafficClearCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	control, err := app.Writer(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	s, err := control.ClearTraffic(ctx, t.Service, api.TrafficClear{By: whoAmI(), Why: t.Why, Expect: t.Expect})
	if err != nil {
		return err
	}
	return say.answer(s, func(w io.Writer) { nowHold(w, s) })
}
