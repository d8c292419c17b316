package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/event"
)

const (
	writers   = 64
	perWriter = 500                    // requests of each in a turn
	apart     = 100 * time.Millisecond // what lies between the decisions that one of them brings outcomes of

	clientCommand = "client" // the argument that makes this program the clients of another
)

// secret is of the tokens that clients send.
var secret = [32]byte{1, 2, 3}

// clients are the writers, in a process of their own, so that what they cost is not the server's.
type clients struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// connect starts a process whose writers have connected to addr and have made their requests, about decisions from base on.
func connect(ctx context.Context, addr string, base time.Time) (*clients, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &clients{command: exec.CommandContext(ctx, program, clientCommand, addr, strconv.FormatInt(base.UnixMilli(), 10))}
	c.command.Stderr = os.Stderr
	if c.in, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	if _, err := c.out.ReadString('\n'); err != nil {
		return nil, errors.Join(errors.New("the clients did not connect"), c.command.Wait())
	}
	return c, nil
}

// run has all requests sent, and returns how long it took until the last was answered.
func (c *clients) run() (seconds float64, err error) {
	if _, err := fmt.Fprintln(c.in); err != nil {
		return 0, err
	}
	if _, err := fmt.Fscan(c.out, &seconds); err != nil {
		return 0, fmt.Errorf("the clients failed: %w", err)
	}
	return seconds, nil
}

// close ends the process.
func (c *clients) close() error {
	c.in.Close()
	return c.command.Wait()
}

// client is the clients' process: it connects, waits for a line, sends every writer's requests, one after the other on its connection,
// and tells how long all took.
func client(ctx context.Context, addr, base string) error {
	ms, err := strconv.ParseInt(base, 10, 64)
	if err != nil {
		return err
	}
	all := make([]*writer, writers)
	for i := range all {
		if all[i], err = newWriter(ctx, addr, tokens(time.UnixMilli(ms), i)); err != nil {
			return err
		}
		defer all[i].conn.Close()
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	begin := time.Now()
	var g errgroup.Group
	for _, w := range all {
		g.Go(w.send)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Println(time.Since(begin).Seconds())
	return nil
}

// writer is one connection and its requests, as bytes. It does no more than it must, to leave the processors to the server.
type writer struct {
	conn     net.Conn
	in       *bufio.Reader
	requests [][]byte
}

func newWriter(ctx context.Context, addr string, tokens []event.Token) (*writer, error) {
	keys, err := event.NewKeys(secret)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn, in: bufio.NewReader(conn)}
	for _, t := range tokens {
		body := append(event.AppendToken([]byte(`{"token":"`), keys, t), `","label":"good"}`...)
		w.requests = append(w.requests, fmt.Appendf(nil,
			"POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
	return w, nil
}

// tokens are those of a writer's turn, from base on. Server and clients make the same.
func tokens(base time.Time, writer int) []event.Token {
	random := rand.New(rand.NewPCG(uint64(base.UnixMilli()), uint64(writer)))
	all := make([]event.Token, perWriter)
	for i := range all {
		at := base.Add(time.Duration(i) * apart)
		all[i] = event.Token{
			Decision: idAt(at, random.Uint64(), random.Uint64()), At: at, Service: event.Hash("reviews"), Epoch: 1, Variant: event.Hash(variantNames[i%3]),
			PolicyVersion: 1, Propensity: float32(shares[i%3]) / 100,
		}
	}
	return all
}

// idAt makes the id of a decision: a UUIDv7, with 74 bits of random.
func idAt(at time.Time, high, low uint64) (id event.ID) {
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|0x7000|high&0xfff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|low>>2)
	return id
}

func (w *writer) send() error {
	for _, request := range w.requests {
		if _, err := w.conn.Write(request); err != nil {
			return err
		}
		if err := w.answer(); err != nil {
			return err
		}
	}
	return nil
}

// answer reads an answer that must be 200 and tell its length. http.ReadResponse takes several times as long.
func (w *writer) answer() error {
	length := -1
	for first := true; ; first = false {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			rest, _ := w.in.Peek(w.in.Buffered())
			return fmt.Errorf("the server answers %s\n%s", line, rest)
		case first:
		case string(name) == "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case len(line) == 0 && length < 0:
			return errors.New("the answer tells no length")
		case len(line) == 0:
			_, err := w.in.Discard(length)
			return err
		}
	}
}
