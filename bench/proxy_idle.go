package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	idleConnections = 10_000
	idleFor         = 10 * time.Second
	openFiles       = idleConnections + 4096 // of one process
)

// idle measures what connections take that are kept open and say nothing.
func (p proxies) idle(ctx context.Context, _ string) error {
	if err := mayOpen(openFiles); err != nil {
		return err
	}
	fmt.Printf("\n### %d idle connections, each of which asked once\n\n", idleConnections)
	fmt.Println("| what | before | with them | each | still good after it | to reach |\n|---|---|---|---|---|---|")
	for k, c := range p {
		fmt.Fprintf(os.Stderr, "bench: %s, idle connections\n", c.name)
		before, err := c.resident()
		if err != nil {
			return err
		}
		with, good, err := keepIdle(ctx, c.remote)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		target := ""
		if k == 0 {
			target = fmt.Sprintf("≤ 150 MB, all good, %s", met(with <= 150 && good == idleConnections))
		}
		fmt.Printf("| %s | %.0f MB | %.0f MB | %.1f kB | %d | %s |\n", c.name, before, with, (with-before)*1000/idleConnections, good, target)
	}
	return nil
}

// keepIdle opens the connections, asks once over each, lets them be, and tells how much memory the server has then, in MB, and how many
// answer again.
func keepIdle(ctx context.Context, s *remote) (with float64, good int, err error) {
	conns := make([]*kept, idleConnections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.drop()
			}
		}
	}()
	const atOnce = 64
	var opening errgroup.Group
	opening.SetLimit(atOnce)
	for i := range conns {
		opening.Go(func() (err error) {
			if conns[i], err = openKept(ctx, s.http, i); err != nil {
				return fmt.Errorf("connection %d: %w", i+1, err)
			}
			return conns[i].ask()
		})
	}
	if err := opening.Wait(); err != nil {
		return 0, 0, err
	}
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(idleFor):
	}
	if with, err = s.resident(); err != nil {
		return 0, 0, err
	}
	for _, c := range conns {
		if c.ask() == nil {
			good++
		}
	}
	return with, good, nil
}

// kept is a connection that is kept open. It holds no buffer meanwhile.
type kept struct{ *net.TCPConn }

// openKept connects from one of several addresses of this machine, so that ports last.
func openKept(ctx context.Context, address string, i int) (*kept, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%4))}
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &kept{conn.(*net.TCPConn)}, nil
}

func (k *kept) ask() error {
	if err := k.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(k, "GET /recommend/17 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n"+stickyHeader+": user-1\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(k), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || resp.Close {
		return fmt.Errorf("the answer is %s, and closes: %t", resp.Status, resp.Close)
	}
	return nil
}

// drop resets the connection: closed in good order, it would hold its port for a minute.
func (k *kept) drop() {
	_ = k.SetLinger(0)
	_ = k.Close()
}

// mayOpen raises this process's limit of open files, and that of those that it starts.
func mayOpen(files uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= files {
		return nil
	}
	limit.Cur, limit.Max = files, max(files, limit.Max)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return errors.Join(fmt.Errorf("%d files have to be open at once (ulimit -n)", files), err)
	}
	return nil
}
