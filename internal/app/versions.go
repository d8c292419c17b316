package app

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/store"
)

// versions tells what the digests stand for by which the log names versions. It asks the registry once for each.
type versions struct {
	registry *registry.Registry
	log      *slog.Logger

	mu         sync.Mutex
	configured map[string][]string          // names of classes, by service
	known      map[string]*registry.Version // by digest; nil: the registry does not have it
	own        map[string][]string          // names of classes, by digest
}

func newVersions(r *registry.Registry, log *slog.Logger, c *config.Config) *versions {
	v := &versions{registry: r, log: log, known: map[string]*registry.Version{}, own: map[string][]string{}}
	v.Configure(c)
	return v
}

// Configure makes the names of classes in c hold from now on.
func (v *versions) Configure(c *config.Config) {
	configured := make(map[string][]string, len(c.Services))
	for i := range c.Services {
		configured[c.Services[i].Name] = c.Services[i].Labels.Classes
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.configured = configured
}

// Label names a version for people: its number and semantic version, as lists of versions show them, such as "2 (1.1.0)". Of one that
// the registry does not know it is Short.
func (v *versions) Label(digest string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if version, err := v.find(digest); err == nil && version != nil {
		return fmt.Sprintf("%d (%s)", version.Number, version.Semver)
	}
	return v.Short(digest)
}

// Short is what people see of a digest; "" of none.
func (v *versions) Short(digest string) string {
	if d, err := store.ParseDigest(digest); err == nil {
		return d.Short()
	}
	return digest
}

// Classes returns the names of the classes that a version of a service predicts: the configured ones, else the model's own, else the
// numbers that the gateway gives them; nil where none of them says how many there are.
func (v *versions) Classes(service, digest string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.configured[service]; len(c) > 0 {
		return c
	}
	if c, asked := v.own[digest]; asked {
		return c
	}
	version, err := v.find(digest)
	if err != nil {
		return nil
	}
	var classes []string
	if version != nil && version.Removed == nil {
		m, err := v.registry.Manifest(context.Background(), *version)
		if err != nil {
			v.log.Warn("the names of a version's classes cannot be read", "version", version.Ref().String(), "error", err)
		}
		classes = classesOf(m)
	}
	v.own[digest] = classes
	return classes
}

func classesOf(m registry.Manifest) []string {
	if len(m.Signature.Outputs) == 0 {
		return nil
	}
	first := m.Signature.Outputs[0]
	if len(first.Labels) > 0 || len(first.Shape) != 2 || first.Shape[1] < 2 {
		return first.Labels
	}
	numbers := make([]string, first.Shape[1])
	for i := range numbers {
		numbers[i] = strconv.Itoa(i)
	}
	return numbers
}

// find returns a version by its digest, nil if there is none. The caller holds the lock. An error is logged, and the registry asked anew
// at the next time.
func (v *versions) find(digest string) (*registry.Version, error) {
	if version, asked := v.known[digest]; asked || digest == "" {
		return version, nil
	}
	if err := v.read(context.Background()); err != nil {
		v.log.Warn("the registry's versions cannot be read", "error", err)
		return nil, err
	}
	if _, there := v.known[digest]; !there {
		v.known[digest] = nil
	}
	return v.known[digest], nil
}

// read takes in all versions, removed ones too. Where two models have one in common, it is that of the first by name.
func (v *versions) read(ctx context.Context) error {
	models, err := v.registry.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range models {
		details, err := v.registry.Show(ctx, m.Name)
		if err != nil {
			return err
		}
		for i := range details.All {
			version := &details.All[i]
			if v.known[version.Digest.String()] == nil {
				v.known[version.Digest.String()] = version
			}
		}
	}
	return nil
}
