package main

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// crowds is how many parts the public has: as many requests are on their way at once, at most.
const crowds = 16

// visit lets the public do what is planned, and returns what it did when the last user has had a say or ctx is done.
func visit(ctx context.Context, o *options, rows [][]*float64) *record {
	transport := &http.Transport{MaxIdleConnsPerHost: crowds}
	defer transport.CloseIdleConnections()
	all := make([]*crowd, crowds)
	for i := range all {
		all[i] = &crowd{options: o, rows: rows, start: time.Now(), seen: newRecord(), users: map[int]*user{}}
	}
	anonymous := int(o.cookies * float64(o.users))
	for _, a := range plan(o, len(rows)) {
		c := all[a.user%crowds]
		u := c.users[a.user]
		if u == nil {
			u = newUser(a.user, a.user < anonymous, transport)
			c.users[a.user] = u
		}
		c.agenda = append(c.agenda, errand{a.at, func(ctx context.Context) { c.ask(ctx, u, a) }}) // in order, and so a heap
	}
	var running sync.WaitGroup
	for _, c := range all {
		running.Go(func() { c.run(ctx) })
	}
	running.Wait()
	seen := newRecord()
	for _, c := range all {
		seen.add(c.seen)
	}
	return seen
}

// user is one of the public.
type user struct {
	id      string // "" for those who do not say it
	client  *http.Client
	version int // that answered last
}

func newUser(number int, anonymous bool, transport http.RoundTripper) *user {
	jar, _ := cookiejar.New(nil) // it fails only on options
	u := &user{client: &http.Client{Transport: transport, Jar: jar, Timeout: 10 * time.Second}}
	if !anonymous {
		u.id = fmt.Sprint("user-", number)
	}
	return u
}

// crowd is a part of the public. One thing after the other happens in it, so that no user does two at once.
type crowd struct {
	options *options
	rows    [][]*float64
	start   time.Time
	users   map[int]*user
	agenda  agenda
	seen    *record
}

// errand is something to do at a time since the start.
type errand struct {
	due time.Duration
	do  func(ctx context.Context)
}

// run does what is due until nothing is left.
func (c *crowd) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(c.agenda) > 0 {
		next := heap.Pop(&c.agenda).(errand)
		timer.Reset(next.due - time.Since(c.start))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next.do(ctx)
	}
}

// later does something in a while.
func (c *crowd) later(after time.Duration, do func(ctx context.Context)) {
	heap.Push(&c.agenda, errand{time.Since(c.start) + after, do})
}

// ask sends one request, and notes down to say how it went.
func (c *crowd) ask(ctx context.Context, u *user, a ask) {
	path, question := "/v2/models/"+c.options.service+"/infer", any(map[string]any{
		"inputs": []any{map[string]any{"name": "input", "datatype": "FP32", "shape": []int{1, len(c.rows[a.row])}, "data": c.rows[a.row]}},
	})
	if a.seldon {
		path = "/seldon/default/" + c.options.service + "/api/v1.0/predictions"
		question = map[string]any{"data": map[string]any{"ndarray": [][]*float64{c.rows[a.row]}}}
	}
	var answer struct {
		ModelVersion string `json:"model_version"` // Open Inference
		Meta         struct {
			RequestPath map[string]string `json:"requestPath"` // Seldon: MODEL:VERSION by service
		} `json:"meta"`
	}
	status, header, err := post(ctx, u, c.options.server+path, question, &answer)
	if ctx.Err() != nil {
		return
	}
	text := answer.ModelVersion
	if a.seldon {
		_, text, _ = strings.Cut(answer.Meta.RequestPath[c.options.service], ":")
	}
	version, unnumbered := strconv.Atoi(text)
	token := header.Get("Serin-Decision")
	c.seen.asked++
	switch {
	case err != nil || status != http.StatusOK:
		c.seen.fail("a request", status, err)
		return
	case unnumbered != nil || token == "":
		c.seen.fail("an answer without version or token", status, nil)
		return
	}
	c.seen.version(version).answers++
	if u.version != 0 && u.version != version {
		c.seen.moved++
	}
	u.version = version
	accuracy, known := c.options.accuracy[version]
	if a.reaction == silent || !known {
		return
	}
	right := a.luck < accuracy
	c.later(a.after, func(ctx context.Context) { c.say(ctx, u, remark{a.reaction, version, token, right, 0}) })
}

// remark is what a user says of an answer.
type remark struct {
	reaction reaction
	version  int // that answered
	token    string
	right    bool
	failures int
}

// The most that a remark is repeated because Serin could not take it, and how long after.
const (
	patience   = 20
	retryAfter = 250 * time.Millisecond
)

// say gives feedback. The first word on a decision counts, so that repeats and second thoughts change nothing.
func (c *crowd) say(ctx context.Context, u *user, r remark) {
	if r.reaction == forges {
		r.token = forge(r.token)
	}
	status, said, err := c.tell(ctx, u, r)
	switch {
	case ctx.Err() != nil:
		return
	case (err != nil || status >= 500) && r.failures < patience: // not acknowledged: to say it again is right
		r.failures++
		c.later(retryAfter, func(ctx context.Context) { c.say(ctx, u, r) })
		return
	case r.reaction == forges && status == http.StatusBadRequest:
		c.seen.refused++
		return
	case err != nil || status != http.StatusOK || r.reaction == forges || said != "accepted" && r.failures == 0:
		c.seen.fail("feedback that became "+said, status, err)
		return
	}
	v := c.seen.version(r.version)
	v.told++
	if r.right {
		v.right++
	}
	switch r.reaction {
	case twice:
		c.later(c.options.delay/10, func(ctx context.Context) { c.repeat(ctx, u, r, http.StatusOK, "duplicate") })
	case opposes:
		r.right = !r.right
		c.later(c.options.delay/10, func(ctx context.Context) { c.repeat(ctx, u, r, http.StatusConflict, "conflict") })
	case silent, once, forges:
	}
}

// repeat speaks again of an answer, which must become what is expected.
func (c *crowd) repeat(ctx context.Context, u *user, r remark, expected int, become string) {
	status, said, err := c.tell(ctx, u, r)
	switch {
	case ctx.Err() != nil:
	case err != nil || status != expected || said != become:
		c.seen.fail("repeated feedback that became "+said, status, err)
	default:
		c.seen.repeats++
	}
}

// tell sends a remark and returns what became of it.
func (c *crowd) tell(ctx context.Context, u *user, r remark) (status int, became string, err error) {
	var answer struct{ Status string }
	status, _, err = post(ctx, u, c.options.server+"/v1/feedback", map[string]any{"token": r.token, "correct": r.right}, &answer)
	return status, answer.Status, err
}

// forge changes a character in the middle of a token.
func forge(token string) string {
	b := []byte(token)
	if b[len(b)/2] == 'A' {
		b[len(b)/2] = 'B'
	} else {
		b[len(b)/2] = 'A'
	}
	return string(b)
}

func post(ctx context.Context, u *user, url string, question, answer any) (status int, header http.Header, err error) {
	body, err := json.Marshal(question)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if u.id != "" {
		req.Header.Set("X-User-Id", u.id)
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err == nil {
		err = json.Unmarshal(body, answer)
	}
	return resp.StatusCode, resp.Header, err
}

// agenda is a heap of errands, the next one first.
type agenda []errand

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].due < a[j].due }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)        { *a = append(*a, e.(errand)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
