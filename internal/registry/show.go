package registry

import (
	"context"
	"time"

	"github.com/serin-ml/serin/internal/store"
)

// Summary is a model in a list.
type Summary struct {
	Name      string         `json:"name"`
	CreatedAt time.Time      `json:"createdAt"`
	Versions  int            `json:"versions"`          // that are not removed
	Newest    *Version       `json:"newest,omitempty"`  // nil where all are removed
	Aliases   map[string]int `json:"aliases,omitempty"` // alias -> version number
}

// Details is all there is to know of a model but for the manifests (see Manifest).
type Details struct {
	Summary
	All   []Version `json:"all"`   // removed ones too, by number
	Moves []Move    `json:"moves"` // of all aliases, oldest first
}

// List returns all models by name.
func (r *Registry) List(ctx context.Context) (models []Summary, err error) {
	err = r.state.View(ctx, func(s store.Reader) error {
		docs, err := all[modelDoc](s, modelPrefix)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			d, err := details(s, doc)
			if err != nil {
				return err
			}
			models = append(models, d.Summary)
		}
		return nil
	})
	return models, err
}

// Show returns all of one model.
func (r *Registry) Show(ctx context.Context, model string) (d Details, err error) {
	err = r.state.View(ctx, func(s store.Reader) error {
		doc, _, err := getModel(s, model)
		if err != nil {
			return err
		}
		if d, err = details(s, doc); err != nil {
			return err
		}
		moves, err := all[moveDoc](s, movePrefix(model))
		for _, m := range moves {
			d.Moves = append(d.Moves, m.Move)
		}
		return err
	})
	return d, err
}

func details(s store.Reader, doc modelDoc) (d Details, err error) {
	d.Summary = Summary{Name: doc.Name, CreatedAt: doc.CreatedAt}
	versions, err := all[versionDoc](s, versionPrefix(doc.Name))
	if err != nil {
		return d, err
	}
	for _, v := range versions {
		d.All = append(d.All, v.Version)
		if v.Removed == nil {
			d.Versions++
		}
	}
	if v, ok := newest(versions); ok {
		d.Newest = &v.Version
	}
	d.Aliases, err = aliasesOf(s, doc.Name)
	return d, err
}

// aliasesOf returns where the aliases of a model point.
func aliasesOf(s store.Reader, model string) (map[string]int, error) {
	docs, err := all[aliasDoc](s, aliasPrefix(model))
	aliases := make(map[string]int, len(docs))
	for _, a := range docs {
		aliases[a.Alias] = a.Number
	}
	return aliases, err
}
