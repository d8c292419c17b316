package proxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asInstance has the test binary be an instance in a process of its own, whose processor time is not that of the benchmark.
const asInstance = "SERIN_TEST_INSTANCE"

func TestMain(m *testing.M) {
	if os.Getenv(asInstance) != "" {
		serveFixed()
		return
	}
	os.Exit(m.Run())
}

// fixedAnswer is what a server of models answers, in about the number of bytes.
var fixedAnswer = "HTTP/1.1 200 OK\r\nServer: uvicorn\r\nDate: Fri, 21 Nov 2025 09:00:00 GMT\r\nContent-Type: application/json\r\n" +
	"Content-Length: 120\r\nX-Request-Id: 0199\r\n\r\n" + strings.Repeat("x", 120)

// serveFixed answers every request with the same, until its input ends.
func serveFixed() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(l.Addr().String() + "\n")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				in := make([]byte, 64<<10)
				for {
					n := 0
					for !bytes.Contains(in[:n], emptyLine) {
						m, err := c.Read(in[n:])
						if err != nil {
							return
						}
						n += m
					}
					io.WriteString(c, fixedAnswer)
				}
			}()
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

// startInstance starts that process and returns its address.
func startInstance(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), asInstance+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// processorTime returns what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs f by 32 at once and tells the processor time of each.
func measured(b *testing.B, f func() error) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(16)
	before := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

var (
	benchHeader = http.Header{"Accept": {"*/*"}, "Content-Type": {"application/json"}, "User-Agent": {"wrk"}, "X-User-Id": {"user-1234"},
		"Accept-Encoding": {"gzip, deflate"}}
	benchSet = []Field{{"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-Proto", "http"}, {"X-Forwarded-Host", "example.com"},
		{"X-Request-Id", "0199c7b8-7a44-7cc4-9d2b-5d0f3c2a1b10"}, {"Serin-Variant", "stable"}}
	benchBodies = map[string][]byte{"500B": bytes.Repeat([]byte("x"), 500), "32KiB": bytes.Repeat([]byte("x"), 32<<10)}
)

func BenchmarkExchange(b *testing.B) {
	for name, body := range benchBodies {
		b.Run(name, func(b *testing.B) { benchmarkExchange(b, body) })
	}
}

func benchmarkExchange(b *testing.B, body []byte) {
	tr := newTransport(transportOptions{Scheme: "http", Address: startInstance(b)})
	defer tr.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type question struct {
		r Request
		a Answer
	}
	questions := sync.Pool{New: func() any {
		return &question{r: Request{Method: "POST", Target: "/api/v1.0/predictions", Host: "example.com", Header: benchHeader, Set: benchSet,
			Body: body, Hold: 256 << 10}}
	}}
	measured(b, func() error {
		q := questions.Get().(*question)
		q.r.Deadline = time.Now().Add(time.Second)
		err := tr.exchange(ctx, &q.r, &q.a)
		q.a.Close()
		questions.Put(q)
		return err
	})
}

// BenchmarkRivalTransport is http.Transport doing the same, the header copied as a proxy has to.
func BenchmarkRivalTransport(b *testing.B) {
	for name, body := range benchBodies {
		b.Run(name, func(b *testing.B) { benchmarkRival(b, body) })
	}
}

func benchmarkRival(b *testing.B, body []byte) {
	address := startInstance(b)
	tr := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	defer tr.CloseIdleConnections()
	measured(b, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/api/v1.0/predictions", bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Host, r.Header = "example.com", benchHeader.Clone()
		for _, f := range benchSet {
			r.Header.Set(f.Name, f.Value)
		}
		answer, err := tr.RoundTrip(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	})
}
