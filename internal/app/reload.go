package app

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
)

// reloadable are the keys of the server itself that a reload applies. All others hold from the start on.
var reloadable = []string{"drainDelay", "drain", "upstreams.allow", "upstreams.deny"}

// reload reads the configuration anew and applies it as a whole, or changes nothing and says why. One reload waits for another. by says in
// the log who wanted it.
func (s *server) reload(ctx context.Context, by string) (done api.Reloaded, err error) {
	select {
	case s.reloading <- struct{}{}:
		defer func() { <-s.reloading }()
	case <-ctx.Done():
		return done, fault.Unavailablef("another reload took too long: %w", ctx.Err())
	}
	log := s.options.Log.With("by", by)
	done, err = s.applyAnew(ctx)
	if err != nil {
		log.Error("the configuration is not reloaded; all stays as it was", problem(err))
		return done, err
	}
	log.Info("the configuration is reloaded", "file", done.File, "added", done.Added, "changed", done.Changed, "removed", done.Removed,
		"unchanged", len(done.Unchanged), "loaded", len(done.Loaded), "server", done.Server)
	return done, nil
}

// applyAnew does all that can fail first: reading, checking, loading, and writing down whose weights hold. What is left is a swap.
func (s *server) applyAnew(ctx context.Context) (done api.Reloaded, err error) {
	switch {
	case s.gateway.Draining():
		return done, fault.Unavailablef("the server is stopping")
	case s.options.Reread == nil:
		return done, fault.Unavailablef("this server has no configuration that could be read anew")
	}
	c, file, err := s.options.Reread()
	if err != nil {
		return done, err
	}
	if err := s.follower.take(ctx); err != nil {
		return done, fault.Unavailablef("the models that are being loaded took too long: %w", err)
	}
	defer s.follower.give()
	changed, mistakes := s.changedKeys(c)
	told, err := tellAnew(c)
	if err != nil {
		mistakes = append(mistakes, err)
	}
	p, wrong := s.follower.plan(ctx, c)
	defer func() {
		if err != nil {
			p.drop()
		}
	}()
	if err := together(append(mistakes, wrong...)); err != nil {
		return done, err
	}
	if err := together(p.load(ctx, s.follower)); err != nil {
		return done, err
	}
	// From here on it happens, whether who asked still waits or not: the state must not be ahead of what runs.
	err = s.traffic.Redeclare(context.WithoutCancel(ctx), declaredBy(c), p.weigh, func() {
		s.follower.adopt(p)
		s.names.Configure(c)
		s.adoptTold(s.settings.Load(), c, told)
		s.settings.Store(c)
	})
	s.releases.hasten()
	p.told.File, p.told.Server = file, changed
	return p.told, err
}

// changedKeys returns the keys of the server itself that c changes, and what speaks against that.
func (s *server) changedKeys(c *config.Config) (changed []string, mistakes []error) {
	before := s.settings.Load()
	if n := len(before.Services); n > 0 && len(c.Services) == 0 {
		mistakes = append(mistakes, fault.Conflictf("the file names no service, where it named %d: whether services are configured or found in the registry holds from the start of the server on", n).
			WithHint("is the file the right one, and whole? If all services are to go, restart the server"))
	}
	for _, k := range differences("", reflect.ValueOf(before.Server), reflect.ValueOf(c.Server)) {
		if !slices.Contains(reloadable, k.key) {
			mistakes = append(mistakes, fault.Conflictf("server.%s is %s and would be %s: this key holds from the start of the server on", k.key, k.old, k.new).
				WithHint("restart the server to change what is named above, or put it back to reload the rest"))
		}
		changed = append(changed, k.key)
	}
	for _, k := range []struct {
		key      string
		old, new any
	}{{"releases", before.Releases, c.Releases}, {"notify", before.Notify, c.Notify}, {"prometheus", before.Prometheus, c.Prometheus}} {
		if reflect.ValueOf(k.old).Len()+reflect.ValueOf(k.new).Len() > 0 && !reflect.DeepEqual(k.old, k.new) {
			changed = append(changed, k.key)
		}
	}
	if body := largestBody(c); body > s.grpcBody {
		mistakes = append(mistakes, fault.Conflictf("limits.bodyBytes would be %v, and gRPC takes %v: its bound holds from the start of the server on", config.Size(body), config.Size(s.grpcBody)).
			WithHint("restart the server to change what is named above, or put it back to reload the rest"))
	}
	return changed, mistakes
}

// difference is a key with two values, as text.
type difference struct{ key, old, new string }

// differences compares structs by the keys of their fields.
func differences(prefix string, a, b reflect.Value) (all []difference) {
	for i := range a.NumField() {
		key, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("yaml"), ",")
		x, y := a.Field(i), b.Field(i)
		switch {
		case x.Kind() == reflect.Struct:
			all = append(all, differences(prefix+key+".", x, y)...)
		case x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0: // one of them may be nil
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			all = append(all, difference{prefix + key, shown(x), shown(y)})
		}
	}
	return all
}

func shown(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

// reloadOnHangup reloads whenever the signal says so, until ctx ends.
func (s *server) reloadOnHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.options.Hangup:
			_, _ = s.reload(ctx, "SIGHUP") // the log has it
		}
	}
}
