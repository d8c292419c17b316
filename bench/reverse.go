package main

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"time"
)

// reverseCommand is the argument that makes this program the proxy that a Go programmer writes first.
const reverseCommand = "reverse"

// serveReverse serves httputil.ReverseProxy 4:1 by a hash of a header until it is interrupted: over the stable instances, which are named
// first and take turns, and the canary, which is named last.
func serveReverse(ctx context.Context, instances string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	var all []*url.URL
	for address := range strings.SplitSeq(instances, ",") {
		all = append(all, &url.URL{Scheme: "http", Host: address})
	}
	stable, canary := all[:len(all)-1], all[len(all)-1]
	var turn atomic.Uint32
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, ResponseHeaderTimeout: time.Second},
		Rewrite: func(r *httputil.ProxyRequest) {
			hash := fnv.New32a()
			_, _ = hash.Write([]byte(r.In.Header.Get("X-User")))
			to := stable[int(turn.Add(1))%len(stable)]
			if hash.Sum32()%5 == 0 {
				to = canary
			}
			r.SetURL(to)
			r.SetXForwarded()
		},
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"http": listener.Addr().String()}); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	<-ctx.Done()
	err = server.Close()
	if serving := <-ended; !errors.Is(serving, http.ErrServerClosed) {
		err = errors.Join(err, serving)
	}
	return err
}
