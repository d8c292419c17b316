package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// toldPeople is a webhook, and what it was told.
type toldPeople struct {
	url string

	mu    sync.Mutex
	all   map[string][]string // bodies, by the key that they came with
	asked int
	down  bool
}

// tellPeople serves a webhook until the test ends.
func tellPeople(t *testing.T) *toldPeople {
	t.Helper()
	p := &toldPeople{all: map[string][]string{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// ServeHTTP implements http.Handler.
func (p *toldPeople) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if err != nil || p.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	p.all[key] = append(p.all[key], string(body))
}

// count is how many messages have come, each once.
func (p *toldPeople) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

// requests is how many requests have come, those among them that it refused.
func (p *toldPeople) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// goDown lets it refuse, or answer again.
func (p *toldPeople) goDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// check compares the messages with those that there should be: each with its key, its sentence, and the same whenever it came again, as a
// server that is killed before it has written down that a message is sent cannot know. It returns how many came again.
func (p *toldPeople) check(t *testing.T, expected map[string]string) (again int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, sentence := range expected {
		bodies := p.all[key]
		if len(bodies) == 0 {
			t.Errorf("nobody was told of %s: %s", key, sentence)
			continue
		}
		again += len(bodies) - 1
		for _, body := range bodies {
			if body != bodies[0] || !strings.Contains(body, sentence) {
				t.Errorf("of %s people were told %s", key, body)
			}
		}
	}
	for key := range p.all {
		if _, known := expected[key]; !known {
			t.Errorf("people were told of %q, which did not happen", key)
		}
	}
	return again
}

// waitFor waits for what servers bring about by themselves.
func waitFor(t *testing.T, what string, reached func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-tick.C {
		if reached() {
			return
		}
	}
	t.Fatalf("not reached: %s", what)
}
