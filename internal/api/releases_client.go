package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// Releases returns all releases, without their journals: those that run first, then the newest first.
func (c *Client) Releases(ctx context.Context) (all []Release, err error) {
	err = c.call(ctx, http.MethodGet, path("releases"), nil, &all)
	return all, err
}

// Release returns a release, or the newest of a template's name, with its whole journal.
func (c *Client) Release(ctx context.Context, id string) (r Release, err error) {
	err = c.call(ctx, http.MethodGet, path("releases", id), nil, &r)
	return r, err
}

// StartRelease begins a release by the template of that name.
func (c *Client) StartRelease(ctx context.Context, name string, s ReleaseStart) (r Release, err error) {
	err = c.call(ctx, http.MethodPost, path("releases"), ReleaseRequest{Name: name, ReleaseStart: s}, &r)
	return r, err
}

// CommandRelease lets a release, or the newest of a template's name, do what somebody wants.
func (c *Client) CommandRelease(ctx context.Context, id string, w release.Command) (r Release, err error) {
	err = c.call(ctx, http.MethodPost, path("releases", id, string(w.What)), ReleaseCommand{By: w.By, Why: w.Why}, &r)
	return r, err
}

// PlanRelease tells what a release by the template of that name would find out, and when.
func (c *Client) PlanRelease(ctx context.Context, name string) (p ReleasePlan, err error) {
	err = c.call(ctx, http.MethodGet, path("release-plans", name), nil, &p)
	return p, err
}

// maxEvent bounds one event, in bytes.
const maxEvent = 16 << 20

// FollowRelease calls each with the release as it stands, at once and whenever it changes; its journal holds those transitions after the
// given number that each was not called with yet. It returns nil once the release has ended, Unavailable where the stream ends before, and
// what each returns otherwise. To go on, ask for what comes after the last Seq.
func (c *Client) FollowRelease(ctx context.Context, id string, after int, each func(Release) error) error {
	whole := ctx
	ctx, cancel := context.WithCancel(ctx) // so that who has enough ends a stream that has nothing to say
	head := http.Header{"Last-Event-Id": {strconv.Itoa(after)}, "Accept": {eventStream}}
	resp, err := c.sendWith(ctx, http.MethodGet, path("releases", id, "events"), head, http.NoBody)
	if err != nil {
		cancel()
		return err
	}
	defer resp.Body.Close()
	defer cancel()
	over := false
	err = readEvents(resp.Body, func(name string, data []byte) error {
		switch name {
		case "release":
			var r Release
			if err := json.Unmarshal(data, &r); err != nil {
				return fault.Internalf("the control plane's event: %w", err)
			}
			over = r.Over()
			return each(r)
		case "error":
			var p problem
			if err := json.Unmarshal(data, &p); err != nil {
				return fault.Internalf("the control plane's event: %w", err)
			}
			e := fault.New(kindOf(p.Kind, p.Status), "%s", p.Detail)
			e.Hint = p.Hint
			return e
		}
		return nil // of a later version
	})
	switch {
	case whole.Err() != nil:
		return whole.Err()
	case err == nil && !over:
		return fault.Unavailablef("the server ended the stream").WithHint("it may be about to start again")
	}
	return err
}

// readEvents calls each with every event until the stream ends. Comments, and fields that are not known, are left out.
func readEvents(r io.Reader, each func(name string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	name, data, any := "", []byte(nil), false
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if len(data)+len(value) > maxEvent {
				return fault.Internalf("an event of the control plane is larger than %d bytes", maxEvent)
			}
			if any {
				data = append(data, '\n')
			}
			data, any = append(data, value...), true
		case "":
			if len(lines.Bytes()) > 0 {
				continue // a comment
			}
			if any {
				if err := each(name, data); err != nil {
					return err
				}
			}
			name, data, any = "", nil, false
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fault.Internalf("an event of the control plane is larger than %d bytes", maxEvent)
	case err != nil:
		return fault.Unavailablef("the stream was cut off: %w", err)
	}
	return nil // an event without its end is none
}
