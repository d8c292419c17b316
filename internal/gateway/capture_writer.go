package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/payload"
)

// Payloads is where a Capturer writes; *payload.Store has it.
type Payloads interface {
	// Append writes a line to the service's payloads and returns what refers to it.
	Append(service string, l payload.Limits, line []byte) (ref string, err error)
	// Sweep removes what is older, or more, than the limits allow.
	Sweep(service string, l payload.Limits) error
}

// CapturerOptions are what a Capturer needs. Payloads, Services and Logger are required.
type CapturerOptions struct {
	Payloads Payloads
	Services func() []*Service // whose payloads are swept
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil: counted, but shown nowhere
	Queue    int                   // payloads that may wait to be written; 0 means DefaultCaptureQueue
	Ticks    <-chan time.Time      // when to sweep; nil: every sweepEvery
}

const (
	// DefaultCaptureQueue is how many payloads may wait.
	DefaultCaptureQueue = 1024
	maxWaiting          = 64 << 20 // bytes of bodies that may wait
	sweepEvery          = 10 * time.Minute
)

// Capturer keeps bodies, for the Recorder that runs it. They wait in a bounded queue and are redacted and written apart from the answers,
// which never wait for them. Those that find no room, or cannot be written, are dropped and counted. A decision is recorded once its payload
// has a place, or is dropped: what it refers to is there.
type Capturer struct {
	options CapturerOptions
	queue   chan captured
	waiting atomic.Int64 // bytes
	dropped *prometheus.CounterVec
	written prometheus.Counter
	failing bool // of run alone
}

// captured is a payload on its way.
type captured struct {
	decision          event.Decision
	capture           *Capture
	dialect           string
	request, response payload.Body
}

// NewCapturer makes a Capturer. Give it to the Recorder, and close Payloads when that has run.
func NewCapturer(o CapturerOptions) *Capturer {
	if o.Queue <= 0 {
		o.Queue = DefaultCaptureQueue
	}
	c := &Capturer{
		options: o, queue: make(chan captured, o.Queue),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_payloads_dropped_total",
			Help: "Captured bodies that were not written: for want of room in the queue, or because the disk could not be written.",
		}, []string{"why"}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_payloads_written_total", Help: "Captured requests whose bodies were written.",
		}),
	}
	for _, why := range []string{"queue", "disk"} {
		c.dropped.WithLabelValues(why)
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(c.dropped, c.written)
	}
	return c
}

// take has the bodies of d written and its record put where it belongs then. It is false if it does neither.
func (c *Capturer) take(d *decision, record event.Decision) bool {
	if c == nil {
		return false
	}
	capture := d.service.options.Capture
	item := captured{
		decision: record, capture: capture, dialect: d.bodies.dialect,
		request: payload.Cut(d.bodies.request, capture.Bytes), response: payload.Cut(d.bodies.response, capture.Bytes),
	}
	item.request.Cut = item.request.Cut || !d.bodies.whole
	size := item.size()
	if c.waiting.Add(size) > maxWaiting {
		return c.refuse(size)
	}
	item.request.Bytes, item.response.Bytes = bytes.Clone(item.request.Bytes), bytes.Clone(item.response.Bytes)
	select {
	case c.queue <- item:
		return true
	default:
		return c.refuse(size)
	}
}

func (c *Capturer) refuse(size int64) bool {
	c.waiting.Add(-size)
	c.dropped.WithLabelValues("queue").Inc()
	return false
}

func (i *captured) size() int64 { return int64(len(i.request.Bytes) + len(i.response.Bytes)) }

// run writes until ctx ends, and then what is left. It gives each decision to put. Without a Capturer it does nothing.
func (c *Capturer) run(ctx context.Context, put func(event.Decision)) {
	if c == nil {
		return
	}
	ticks := c.options.Ticks
	if ticks == nil {
		ticker := time.NewTicker(sweepEvery)
		defer ticker.Stop()
		ticks = ticker.C
	}
	c.sweep()
	for {
		select {
		case item := <-c.queue:
			c.write(&item, put)
		case <-ticks:
			c.sweep()
		case <-ctx.Done():
			for len(c.queue) > 0 {
				item := <-c.queue // nobody else takes from it
				c.write(&item, put)
			}
			return
		}
	}
}

// write writes one payload, and then gives its decision to put.
func (c *Capturer) write(item *captured, put func(event.Decision)) {
	d := &item.decision
	r := payload.Record{
		Decision: d.ID.String(), At: d.At, Service: d.Service, Variant: d.Answered, Version: d.Version, Dialect: item.dialect,
		Status: int(d.Status), Probability: item.capture.Share,
	}
	r.SetBodies(item.request, item.response, item.capture.Redact)
	line, err := r.Line()
	if err == nil {
		d.Payload, err = c.options.Payloads.Append(d.Service, item.capture.Limits, line)
	}
	if err != nil {
		c.dropped.WithLabelValues("disk").Inc()
	} else {
		c.written.Inc()
	}
	c.tell(err)
	c.waiting.Add(-item.size())
	put(*d)
}

// tell logs the first of several failures in a row, and the success after them.
func (c *Capturer) tell(err error) {
	switch failing := err != nil; {
	case failing && !c.failing:
		c.options.Logger.Error("captured payloads cannot be written; they are dropped and counted", "error", err)
	case !failing && c.failing:
		c.options.Logger.Info("captured payloads are written again")
	}
	c.failing = err != nil
}

// sweep removes what is too old or too much. What cannot be removed is tried again at the next tick.
func (c *Capturer) sweep() {
	for _, s := range c.options.Services() {
		if s.options.Capture == nil {
			continue
		}
		if err := c.options.Payloads.Sweep(s.Name(), s.options.Capture.Limits); err != nil {
			c.options.Logger.Warn("old payloads could not be removed", "service", s.Name(), "error", err)
		}
	}
}
