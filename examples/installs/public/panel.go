package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// panel is Serin's control plane.
type panel struct {
	base, service string
	since         time.Time
}

// summary is what is read here of Serin's summary of a service.
type summary struct {
	Variants []struct {
		Variant  string
		Version  string // digest
		Requests int
		Feedback struct {
			Outcomes int
			Accuracy interval
		}
	}
	Ratios []ratio
}

// interval is an estimate with its limits; one that is not known is nil.
type interval struct {
	Estimate, Low, High *float64
	N                   int
}

func (i interval) holds(v float64) bool {
	return (i.Low == nil || *i.Low <= v) && (i.High == nil || v <= *i.High)
}

// String returns the interval in percent.
func (i interval) String() string {
	percent := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return fmt.Sprintf("%.2f%%", 100**v)
	}
	return fmt.Sprintf("%s [%s..%s] of %d", percent(i.Estimate), percent(i.Low), percent(i.High), i.N)
}

// ratio says whether users split as the weights say.
type ratio struct {
	Epoch int
	Units map[string]int
	P     float64
	Alarm bool
}

func (r ratio) users() (n int) {
	for _, units := range r.Units {
		n += units
	}
	return n
}

func (s *summary) counts() (requests, outcomes int) {
	for _, v := range s.Variants {
		requests += v.Requests
		outcomes += v.Feedback.Outcomes
	}
	return requests, outcomes
}

// summary asks for what was measured since the visit began, by whole minutes. A service that nobody has asked yet has an empty one.
func (p *panel) summary(ctx context.Context) (*summary, error) {
	s := &summary{}
	query := url.Values{"from": {p.since.UTC().Format(time.RFC3339)}}
	err := p.get(ctx, "/api/v1/services/"+url.PathEscape(p.service)+"/summary?"+query.Encode(), s)
	if errors.Is(err, errNothing) {
		err = nil
	}
	return s, err
}

// settled waits until Serin has measured all that the public did: it counts every second, and reads what it wrote a moment later.
func (p *panel) settled(ctx context.Context, before *summary, seen *record) (*summary, error) {
	const wait, look = 20 * time.Second, 100 * time.Millisecond
	requests, outcomes := before.counts()
	answers := 0
	for _, v := range seen.versions {
		answers += v.answers
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	deadline := time.After(wait)
	for {
		s, err := p.summary(ctx)
		if err != nil {
			return nil, err
		}
		r, o := s.counts()
		if r-requests >= answers && o-outcomes >= seen.told() {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("interrupted")
		case <-deadline:
			return nil, fmt.Errorf("after %v Serin has counted %d of %d answers and %d of %d outcomes", wait, r-requests, answers, o-outcomes, seen.told())
		case <-tick.C:
		}
	}
}

// versions returns the registry's numbers of the versions that answer, by digest.
func (p *panel) versions(ctx context.Context) (map[string]int, error) {
	var list struct {
		Services []struct {
			Name, Digest string
			Version      int
		}
	}
	err := p.get(ctx, "/api/v1/services", &list)
	numbers := map[string]int{}
	for _, s := range list.Services {
		if s.Name == p.service {
			numbers[s.Digest] = s.Version
		}
	}
	return numbers, err
}

// errNothing says that there is nothing yet.
var errNothing = errors.New("not found")

func (p *panel) get(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w: %s", path, errNothing, body)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return json.Unmarshal(body, answer)
}
