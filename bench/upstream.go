package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"
)

// upstreamCommand is the argument that makes this program an upstream, of a kind that is named behind it.
const upstreamCommand = "upstream"

const (
	workSlots = 8
	workTime  = 10 * time.Millisecond
)

// work is an upstream that can do so many requests at once and takes its time for each, like a server of models with as many workers. It
// works off what was asked in order, also for those who have gone.
func work() http.Handler {
	slots := make(chan struct{}, workSlots)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		slots <- struct{}{}
		defer func() { <-slots }()
		time.Sleep(workTime)
		_, _ = io.WriteString(w, "done")
	})
}

// sinkKind is what those who attack a server are measured by: it drops what it reads, and closes a connection after so much of it, or so long.
const (
	sinkKind  = "sink"
	sinkTakes = 64 << 10
	sinkWaits = 5 * time.Second
)

func sink(c net.Conn) {
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(sinkWaits))
	_, _ = io.CopyN(io.Discard, c, sinkTakes)
}

// misdeeds are upstreams that do not answer as they should: what each does with a connection once it has a request.
var misdeeds = map[string]func(net.Conn){
	"hangs": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	"hangs midway": func(c net.Conn) {
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	},
	"drips": func(c net.Conn) {
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		for say(c, "x") {
			time.Sleep(5 * time.Millisecond)
		}
	},
	"resets in its body": func(c net.Conn) {
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		_ = c.(*net.TCPConn).SetLinger(0)
	},
	"lies about its length": func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello") },
	"sends 10 GB": func(c net.Conn) {
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
		for piece := make([]byte, 256<<10); ; {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	},
}

func say(c net.Conn, text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// serveUpstream serves one kind of upstream until it is interrupted: ok, work, a status, or a misdeed.
func serveUpstream(ctx context.Context, kind string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"http": l.Addr().String()}); err != nil {
		return errors.Join(err, l.Close())
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if does, ok := misdeeds[kind]; ok || kind == sinkKind {
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			if kind == sinkKind {
				go sink(c)
			} else {
				go misbehave(c, does) // until the process ends
			}
		}
	}
	handler := work()
	if kind != "work" {
		status := http.StatusOK
		if kind != "ok" {
			if status, err = strconv.Atoi(kind); err != nil {
				return fmt.Errorf("no upstream is called %s", kind)
			}
		}
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, kind)
		})
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

func misbehave(c net.Conn, does func(net.Conn)) {
	defer c.Close()
	if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		does(c)
	}
}
