package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/release"
)

const (
	releaseKills = 200
	killSeed     = 7
	killWithin   = 600 * time.Millisecond // of a server's readiness
	killRelease  = "movies"
	killPace     = 2 * time.Millisecond // between two looks
)

// killConfig has a release that takes half a second, and a lease that ends now and then before the server is back.
const killConfig = onAnyPort + `
services:
  - name: movies
    path: /
    variants: [{name: stable, upstream: "http://%s"}, {name: canary, upstream: "http://%s", version: two}]
    traffic: {weights: {stable: 1}, sticky: {unit: "header:X-User"}}
releases:
  - name: movies
    service: movies
    candidate: canary
    lease: 1s
    steps: [{setWeight: 20}, {pause: 150ms}, {setWeight: 50}, {pause: 150ms}, {setWeight: 80}, {pause: 150ms}]
    metrics: [{name: errors, vs: stable}]
notify: [{kind: webhook, url: "%s"}]
`

// killed kills a server at random instants of its releases, and holds what is left against what has to be: weights of a step or none, a
// journal without gaps, and every announcement told, once.
func killed(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	u, err := launchUpstream(ctx, "ok")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.stop()) }()
	heard := newHearer()
	defer heard.Close()
	k := &killing{
		control: app.Server(filepath.Join(dir, "data")), chance: rand.New(rand.NewPCG(killSeed, 0)), shares: map[float64]int{},
		launch: func() (*remote, error) {
			return launchConfigured(ctx, dir, fmt.Sprintf(killConfig, u.http, u.http, heard.URL))
		},
	}
	fmt.Fprintf(os.Stderr, "bench: %d kills\n", releaseKills)
	for range releaseKills {
		if err := k.once(ctx); err != nil {
			return err
		}
	}
	return k.end(ctx, heard)
}

// killing is a server that is killed again and again.
type killing struct {
	control *api.Client
	launch  func() (*remote, error)
	chance  *rand.Rand
	shares  map[float64]int // of the candidate, and how often they were seen
	wrong   int             // of those
}

// once starts a server, begins and commands releases, and kills it.
func (k *killing) once(ctx context.Context) error {
	s, err := k.launch()
	if err != nil {
		return err
	}
	end := time.Now().Add(time.Duration(k.chance.Int64N(int64(killWithin))))
	for time.Now().Before(end) {
		if _, err := k.control.StartRelease(ctx, killRelease, api.ReleaseStart{By: "bench"}); err != nil && !passing(err) {
			return errors.Join(err, s.stop())
		}
		if k.chance.IntN(300) == 0 {
			_, err := k.control.CommandRelease(ctx, killRelease, release.Command{What: release.WantAbort, By: "bench", Why: "at random"})
			if err != nil && !passing(err) {
				return errors.Join(err, s.stop())
			}
		}
		if err := k.look(ctx); err != nil {
			return errors.Join(err, s.stop())
		}
		time.Sleep(killPace)
	}
	if err := s.command.Process.Kill(); err != nil {
		return err
	}
	_ = s.command.Wait() // it was killed
	if k.chance.IntN(5) == 0 {
		time.Sleep(time.Second) // the lease ends
	}
	return nil
}

// passing tells of errors that are right while releases come and go.
func passing(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Conflict || kind == fault.NotFound || kind == fault.Unavailable
}

// look holds the weights that apply against the plan's. Which variant is the candidate changes with every promotion.
func (k *killing) look(ctx context.Context) error {
	t, err := k.control.ServiceTraffic(ctx, "movies")
	if err != nil {
		return err
	}
	share := t.Weights.Share("canary")
	k.shares[share]++
	if !slices.Contains([]float64{0, 0.2, 0.5, 0.8, 1}, share) {
		k.wrong++
	}
	return nil
}

// end lets the last release end, and tells what is left of all of them.
func (k *killing) end(ctx context.Context, heard *hearer) (err error) {
	s, err := k.launch()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var all []api.Release
	var missing, strange int
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if all, err = k.control.Releases(ctx); err != nil {
			return err
		}
		if missing, strange, err = k.untold(ctx, all, heard); err != nil {
			return err
		}
		over := !slices.ContainsFunc(all, func(r api.Release) bool { return !r.Over() })
		if over && missing == 0 || time.Now().After(deadline) {
			break
		}
	}
	ends, gaps, taken, told := map[release.Phase]int{}, 0, 0, 0
	for i := range all {
		r, err := k.control.Release(ctx, all[i].ID)
		if err != nil {
			return err
		}
		ends[r.Phase]++
		for n, t := range r.Journal {
			switch {
			case t.Seq != n+1:
				gaps++
			case t.What == release.Restarted:
				taken++
			}
			if t.What.Announced() {
				told++
			}
		}
		if len(r.Journal) != r.Seq {
			gaps++
		}
	}
	fmt.Printf("\n### A server that is killed (SIGKILL) %d times while it runs releases\n\n", releaseKills)
	fmt.Println("| what | seen | to reach |\n|---|---|---|")
	fmt.Printf("| releases: promoted, rolled back, neither | %d, %d, %d | all ended, %s |\n", ends[release.Promoted], ends[release.RolledBack],
		len(all)-ends[release.Promoted]-ends[release.RolledBack], met(len(all) == ends[release.Promoted]+ends[release.RolledBack]))
	fmt.Printf("| taken up after the lease had ended | %d | |\n", taken)
	fmt.Printf("| shares of canary, and how often | %s | of a step, 0 or all: %s |\n", counted(k.shares), met(k.wrong == 0))
	fmt.Printf("| gaps in journals | %d | 0, %s |\n", gaps, met(gaps == 0))
	fmt.Printf("| announcements, lost, of nothing | %d, %d, %d | 0 lost, %s |\n", told, missing, strange, met(missing+strange == 0))
	fmt.Printf("| handed over again after a crash, with the same key | %d | |\n", heard.again())
	return nil
}

// untold counts announcements that were not heard, and those heard of which no journal knows.
func (k *killing) untold(ctx context.Context, all []api.Release, heard *hearer) (missing, strange int, err error) {
	want := map[string]bool{}
	for i := range all {
		r, err := k.control.Release(ctx, all[i].ID)
		if err != nil {
			return 0, 0, err
		}
		for _, t := range r.Journal {
			if t.What.Announced() {
				want[fmt.Sprintf("release/%s/%020d", r.ID, t.Seq)] = true
			}
		}
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for key := range want {
		if heard.times[key] == 0 {
			missing++
		}
	}
	for key := range heard.times {
		if !want[key] {
			strange++
		}
	}
	return missing, strange, nil
}

func counted(shares map[float64]int) (text string) {
	for _, share := range slices.Sorted(maps.Keys(shares)) {
		text += fmt.Sprintf("%g%%: %d; ", share*100, shares[share])
	}
	return text
}

// hearer is a webhook that counts messages by their keys.
type hearer struct {
	*httptest.Server
	mu    sync.Mutex
	times map[string]int
}

func newHearer() *hearer {
	h := &hearer{times: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m notify.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable) // who sent it was killed meanwhile
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.times[m.Key]++
	}))
	return h
}

// again counts messages that came more than once.
func (h *hearer) again() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, times := range h.times {
		n += times - 1
	}
	return n
}
