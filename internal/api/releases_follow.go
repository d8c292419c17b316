package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
)

// keepAlive is how often a stream of events says something, so that nobody on the way takes it for dead.
const keepAlive = 15 * time.Second

// slowReader is how long who reads a stream may take for one event.
const slowReader = 30 * time.Second

const eventStream = "text/event-stream"

func (c *control) routeFollow(h huma.API) {
	type input struct {
		ID   string `path:"id" example:"movies-12" doc:"a release, or a template's name: its newest"`
		Last int    `header:"Last-Event-ID" minimum:"0" doc:"the number of the last transition that is known; the journal of the first event begins behind it"`
	}
	handle(h, huma.Operation{
		OperationID: "follow-release", Method: http.MethodGet, Path: "/api/v1/releases/{id}/events", Summary: "A release as it changes, as server-sent events",
		Description: "An event `release` comes at once, and whenever something changes: its data are the release, with those transitions in its journal that were not sent before. Its id is the number of the last one. The stream ends when the release has ended. An event `error` holds a problem document, and is the last.",
		Responses: map[string]*huma.Response{"200": {Description: "The events", Content: map[string]*huma.MediaType{
			eventStream: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, func(ctx context.Context, in *input) (*huma.StreamResponse, error) {
		if err := c.hasReleases(); err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(h huma.Context) { c.follow(ctx, h, in.ID, in.Last) }}, nil
	})
}

// follow streams a release. An error before the first event is answered as any other.
func (c *control) follow(ctx context.Context, h huma.Context, id string, after int) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{to: h.BodyWriter(), begin: func() {
		h.SetHeader("Content-Type", eventStream)
		h.SetHeader("Cache-Control", "no-store")
		h.SetHeader("X-Accel-Buffering", "no") // NGINX would keep events back
		h.SetStatus(http.StatusOK)
	}}
	if w, ok := s.to.(http.ResponseWriter); ok {
		defer func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) }() // the connection may be used again
	}
	var beating sync.WaitGroup
	beating.Go(func() { s.beat(ctx, c.Beat) })
	defer beating.Wait()
	defer cancel()
	err := c.Releases.Follow(ctx, id, after, func(r Release) error { return s.event("release", r.Seq, r) })
	switch {
	case err == nil || ctx.Err() != nil:
	case s.begun():
		if c.Log != nil && fault.KindOf(err) != fault.Unavailable {
			c.Log.Error("a stream of events was cut off", "release", id, "error", err)
		}
		_ = s.event("error", -1, problemOf(fault.HTTPStatus(err), err)) // the client may have gone
	default:
		p := problemOf(fault.HTTPStatus(err), err)
		h.SetHeader("Content-Type", p.ContentType(""))
		h.SetStatus(p.Status)
		_, _ = h.BodyWriter().Write(p.text()) // the client may have gone
	}
}

// stream writes server-sent events.
type stream struct {
	mu    sync.Mutex
	to    io.Writer
	begin func()
	any   bool
}

func (s *stream) begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.any
}

// event sends an event; an id below 0 is none.
func (s *stream) event(name string, id int, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fault.Internalf("event %s: %w", name, err)
	}
	text := "event: " + name + "\n"
	if id >= 0 {
		text += fmt.Sprintf("id: %d\n", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.any {
		s.any = true
		s.begin()
	}
	return s.send(text + "data: " + string(body) + "\n\n")
}

// send writes what is due at once. s.mu is held.
func (s *stream) send(text string) error {
	if w, ok := s.to.(http.ResponseWriter); ok {
		controller := http.NewResponseController(w)
		_ = controller.SetWriteDeadline(time.Now().Add(slowReader)) // in-process there is none
		defer func() { _ = controller.Flush() }()                   // in-process nothing is kept back
	}
	_, err := io.WriteString(s.to, text)
	return err
}

// beat says something now and then, once the stream has begun, until ctx ends.
func (s *stream) beat(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		if s.any {
			_ = s.send(": still there\n\n") // the next event tells that nobody reads
		}
		s.mu.Unlock()
	}
}
