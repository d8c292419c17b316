package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

// VersionDetails is a version with what its manifest says.
type VersionDetails struct {
	registry.Version
	Manifest registry.Manifest `json:"manifest"`
	Aliases  []string          `json:"aliases" doc:"that point at it now"`
}

// AliasChange is what a move of an alias says.
type AliasChange struct {
	To     string `json:"to,omitempty" doc:"where it shall point: a version's number, semantic version or another alias; empty removes it"`
	Expect *int   `json:"expect,omitempty" doc:"the number it must point at now (0: nothing); otherwise 409"`
	By     string `json:"by" doc:"who moves it"`
	Why    string `json:"why,omitempty"`

	Supersede bool `json:"supersede,omitempty" doc:"move it though a release is bound to it, which is then aborted and begins anew; otherwise 409"`
}

// AliasMoved is the answer to a move.
type AliasMoved struct {
	Move  *registry.Move `json:"move,omitempty" doc:"absent when the alias pointed there already"`
	Alias string         `json:"alias"`
	Model string         `json:"model"`
	To    int            `json:"to" doc:"the number it points at now; 0 for nothing"`
}

// RemoveRequest says who removes a version, and why.
type RemoveRequest struct {
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

func (c *control) routeModels(h huma.API) {
	type none struct{}
	type list struct{ Body []registry.Summary }
	handle(h, huma.Operation{
		OperationID: "list-models", Method: http.MethodGet, Path: "/api/v1/models", Summary: "All models",
	}, func(ctx context.Context, _ *none) (*list, error) {
		models, err := c.Registry.List(ctx)
		if models == nil {
			models = []registry.Summary{}
		}
		return &list{models}, err
	})

	type byModel struct {
		Model string `path:"model" example:"installs"`
	}
	type details struct{ Body registry.Details }
	handle(h, huma.Operation{
		OperationID: "show-model", Method: http.MethodGet, Path: "/api/v1/models/{model}", Summary: "A model: versions, aliases and all their moves",
	}, func(ctx context.Context, in *byModel) (*details, error) {
		d, err := c.Registry.Show(ctx, in.Model)
		return &details{d}, err
	})

	type byRef struct {
		Ref string `path:"ref" doc:"NAME, NAME@ALIAS, NAME@1.2.0 or NAME/NUMBER, escaped as one segment" example:"installs@champion"`
	}
	type version struct{ Body VersionDetails }
	handle(h, huma.Operation{
		OperationID: "show-version", Method: http.MethodGet, Path: "/api/v1/versions/{ref}", Summary: "A version and its manifest",
	}, func(ctx context.Context, in *byRef) (*version, error) {
		d, err := c.version(ctx, in.Ref)
		return &version{d}, err
	})

	type verified struct{ Body registry.Verified }
	verify := func(ctx context.Context, refs ...registry.Ref) (*verified, error) {
		report, err := c.Registry.Verify(ctx, refs...)
		return &verified{report}, err
	}
	handle(h, huma.Operation{
		OperationID: "verify-version", Method: http.MethodGet, Path: "/api/v1/versions/{ref}/damage", Summary: "Read every byte of a version and report damage",
	}, func(ctx context.Context, in *byRef) (*verified, error) {
		ref, err := registry.ParseRef(in.Ref)
		if err != nil {
			return nil, err
		}
		return verify(ctx, ref)
	})
	handle(h, huma.Operation{
		OperationID: "verify-all", Method: http.MethodGet, Path: "/api/v1/damage", Summary: "Read every byte of every version and report damage",
	}, func(ctx context.Context, _ *none) (*verified, error) { return verify(ctx) })

	type removal struct {
		Ref  string `path:"ref" doc:"as in show-version" example:"installs@1.0.0"` // huma does not look into embedded structs
		Body RemoveRequest
	}
	type removed struct{ Body registry.Version }
	handle(h, huma.Operation{
		OperationID: "remove-version", Method: http.MethodDelete, Path: "/api/v1/versions/{ref}", Summary: "Remove a version for good",
	}, func(ctx context.Context, in *removal) (*removed, error) {
		ref, err := registry.ParseRef(in.Ref)
		if err != nil {
			return nil, err
		}
		v, err := c.Registry.Remove(ctx, registry.Removal{Ref: ref, By: in.Body.By, Why: in.Body.Why})
		return &removed{v}, err
	})

	type change struct {
		Model string `path:"model" example:"installs"`
		Alias string `path:"alias" example:"champion"`
		Body  AliasChange
	}
	type moved struct{ Body AliasMoved }
	handle(h, huma.Operation{
		OperationID: "move-alias", Method: http.MethodPut, Path: "/api/v1/models/{model}/aliases/{alias}", Summary: "Point an alias at a version, or remove it",
	}, func(ctx context.Context, in *change) (*moved, error) {
		m, err := c.moveAlias(ctx, in.Model, in.Alias, in.Body)
		return &moved{m}, err
	})
}

func (c *control) version(ctx context.Context, text string) (d VersionDetails, err error) {
	ref, err := registry.ParseRef(text)
	if err != nil {
		return d, err
	}
	if d.Version, err = c.Registry.Resolve(ctx, ref); err != nil {
		return d, err
	}
	if d.Manifest, err = c.Registry.Manifest(ctx, d.Version); err != nil {
		return d, err
	}
	model, err := c.Registry.Show(ctx, d.Model)
	d.Aliases = aliasesOf(model.Summary, d.Number)
	return d, err
}

func (c *control) moveAlias(ctx context.Context, model, alias string, change AliasChange) (m AliasMoved, err error) {
	m = AliasMoved{Model: model, Alias: alias}
	if change.To != "" {
		ref, err := target(model, change.To)
		if err != nil {
			return m, err
		}
		v, err := c.Registry.Resolve(ctx, ref)
		if err != nil {
			return m, err
		}
		m.To = v.Number
	}
	move, err := c.Registry.MoveAlias(ctx, registry.AliasMove{
		Model: model, Alias: alias, To: m.To, Expect: change.Expect, By: change.By, Why: change.Why, Supersede: change.Supersede,
	})
	if err != nil {
		return m, err
	}
	if move.Seq != 0 {
		m.Move = &move
		c.Changed()
	}
	return m, nil
}

// target reads what an alias shall point at: a number, or what may follow the at sign of a reference.
func target(model, text string) (registry.Ref, error) {
	if number, err := strconv.Atoi(text); err == nil {
		return registry.ParseRef(model + "/" + strconv.Itoa(number))
	}
	ref, err := registry.ParseRef(model + "@" + text)
	if err != nil {
		return ref, fault.Invalidf("%.80q names no version of %s", text, model).
			WithHint("give a version's number (3), semantic version (1.2.0) or another alias")
	}
	return ref, nil
}

// aliasesOf returns the aliases that point at a version, sorted.
func aliasesOf(m registry.Summary, number int) []string {
	aliases := []string{}
	for _, alias := range slices.Sorted(maps.Keys(m.Aliases)) {
		if m.Aliases[alias] == number {
			aliases = append(aliases, alias)
		}
	}
	return aliases
}
