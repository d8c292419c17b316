package app

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// What is passed on has the limits of the service and of the server, whichever way a body is framed.
func TestABodyThatIsTooLargeIsNotPassedOn(t *testing.T) {
	var whole atomic.Int64
	up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	}))
	for _, limit := range []int64{10, 100 << 10, 1 << 20} {
		address := passTo(t, up.URL(), func(s *gateway.ServiceOptions, o *proxy.Options) { s.Body, o.Retry.Attempts = limit, 1 })
		for _, chunked := range []bool{false, true} {
			for _, more := range []int64{0, 1, limit} {
				body := strings.Repeat("x", int(limit+more))
				framed := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
				if chunked {
					framed = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
				}
				before := whole.Load()
				status, answers := converse(t, address, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+framed)
				want := http.StatusOK
				if more > 0 {
					want = http.StatusRequestEntityTooLarge
				}
				if len(status) != 1 || status[0] != want || (whole.Load() > before) != (more == 0) {
					t.Errorf("%d bytes of %d, chunked %t: %v, seen whole %d times: %.200q", len(body), limit, chunked, status, whole.Load()-before, answers)
				}
			}
		}
	}
}

// Nobody looks into what is compressed: it is passed on as it is, both ways, however much it would become.
func TestWhatIsCompressedIsPassedOnUnread(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 100 {
		_, err := z.Write(zeros)
		must(t, err)
	}
	must(t, z.Close())
	broken := bomb.Bytes()[:bomb.Len()/2]
	var answer, got []byte
	var accepted string
	up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		accepted = r.Header.Get("Content-Encoding") + ", " + r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(answer)
	}))
	address := passTo(t, up.URL())
	for name, body := range map[string][]byte{"a bomb": bomb.Bytes(), "broken off": broken, "nothing of the kind": []byte("plain")} {
		answer = body
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", bytes.NewReader(body))
		must(t, err)
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("Accept-Encoding", "gzip, br") // so that the client leaves it as it is
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "gzip" || resp.ContentLength != int64(len(body)) || !bytes.Equal(text, body) {
			t.Errorf("%s: %v, %d bytes, %v", name, resp, len(text), err)
		}
		if !bytes.Equal(got, body) || accepted != "gzip, gzip, br" {
			t.Errorf("%s: the upstream got %d bytes of %d, %s", name, len(got), len(body), accepted)
		}
	}
}
