package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// readAnswer reads bytes as they would come in pieces of a size, and the end of the connection.
func readAnswer(data []byte, piece int, head bool) (a *answer, rest []byte, err error) {
	a = &answer{keep: 1 << 20, head: head}
	a.reset()
	for len(data) > 0 {
		n := min(piece, len(data))
		rest, done, err := a.feed(data[:n])
		data = data[n:]
		if err != nil || done {
			return a, append(append([]byte{}, rest...), data...), err
		}
	}
	return a, nil, a.end()
}

func TestAnswersAreReadInWhateverPieces(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name   string
		data   string
		status int
		body   string
		rest   string
		last   bool
		err    error
	}{
		{"length", ok + "Content-Length: 5\r\n\r\nhello", 200, "hello", "", false, nil},
		{"length, and another answer", ok + "content-length:5 \r\n\r\nhelloHTTP/1.1", 200, "hello", "HTTP/1.1", false, nil},
		{"length 0", ok + "Content-Length: 0\r\n\r\n", 200, "", "", false, nil},
		{"length twice the same", ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200, "ab", "", false, nil},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", 200, "ab", "", false, nil},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", "", false, nil},
		{"chunks", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n", 200, "hello!", "", false, nil},
		{"chunks with a trailer", ok + "Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nDigest: x\r\n\r\nmore", 200, "0123456789", "more", false, nil},
		{"until the end", ok + "\r\nhello", 200, "hello", "", true, nil},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", "", true, nil},
		{"HTTP/1.0 kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", "", false, nil},
		{"close", ok + "Connection: x, Close\r\nContent-Length: 1\r\n\r\nx", 200, "x", "", true, nil},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", "", false, nil},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", "", false, nil},
		{"100 first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 1\r\n\r\nx", 200, "x", "", false, nil},
		{"500", "HTTP/1.1 500 \r\nContent-Length: 3\r\n\r\nbad", 500, "bad", "", false, nil},

		{"switch", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "", "", false, errSwitch},
		{"nothing", "", 0, "", "", false, errShort},
		{"half a header", ok + "Content-Len", 0, "", "", false, errShort},
		{"half a body", ok + "Content-Length: 5\r\n\r\nhel", 0, "", "", false, errShort},
		{"half the chunks", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 0, "", "", false, errShort},
		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", 0, "", "", false, errStatusLine},
		{"HTTP/2", "HTTP/2 200 OK\r\n\r\n", 0, "", "", false, errStatusLine},
		{"a status of two digits", "HTTP/1.1 20 OK  \r\n\r\n", 0, "", "", false, errStatusLine},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", 0, "", "", false, errStatusLine},
		{"a status below 100", "HTTP/1.1 099 OK\r\n\r\n", 0, "", "", false, errStatusLine},
		{"a folded line", ok + "A: b\r\n c\r\n\r\n", 0, "", "", false, errField},
		{"a space before the colon", ok + "Content-Length : 5\r\n\r\nhello", 0, "", "", false, errField},
		{"no colon", ok + "Content-Length\r\n\r\n", 0, "", "", false, errField},
		{"a negative length", ok + "Content-Length: -5\r\n\r\n", 0, "", "", false, errLength},
		{"a length with a sign", ok + "Content-Length: +5\r\n\r\nhello", 0, "", "", false, errLength},
		{"two lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 0, "", "", false, errLength},
		{"two lengths in one", ok + "Content-Length: 5, 5\r\n\r\nhello", 0, "", "", false, errLength},
		{"an endless length", ok + "Content-Length: 99999999999999999999\r\n\r\n", 0, "", "", false, errLength},
		{"both", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, "", "", false, errBothLengths},
		{"gzip", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, "", "", false, errEncoding},
		{"chunked twice", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "", "", false, errEncoding},
		{"a chunk in words", ok + "Transfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n", 0, "", "", false, errChunk},
		{"a chunk with 0x", ok + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 0, "", "", false, errChunk},
		{"a chunk without size", ok + "Transfer-Encoding: chunked\r\n\r\n\r\nhello", 0, "", "", false, errChunk},
		{"a chunk that is too long", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", 0, "", "", false, errChunk},
		{"an endless header", ok + strings.Repeat("A: b\r\n", mostHead/6), 0, "", "", false, errHead},
		{"an endless line", ok + "A: " + strings.Repeat("b", mostHead), 0, "", "", false, errHead},
		{"hints without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", mostHead/20), 0, "", "", false, errHead},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 7, 64, 1 << 20} {
				a, rest, err := readAnswer([]byte(tt.data), piece, false)
				if !errors.Is(err, tt.err) || err == nil && tt.err != nil {
					t.Fatalf("in pieces of %d: %v, not %v", piece, err, tt.err)
				}
				if err == nil && (a.status != tt.status || string(a.body) != tt.body || string(rest) != tt.rest || a.last != tt.last) {
					t.Fatalf("in pieces of %d: %d, %q, %q, %v", piece, a.status, a.body, rest, a.last)
				}
			}
		})
	}
}

func TestAnswersToHEADHaveNoBody(t *testing.T) {
	a, rest, err := readAnswer([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP"), 9, true)
	if err != nil || len(a.body) != 0 || string(rest) != "HTTP" {
		t.Errorf("%q, %q, %v", a.body, rest, err)
	}
}

func TestManyChunksAreNoLongHeader(t *testing.T) {
	data := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 3*mostHead) + "0\r\n\r\n"
	a, _, err := readAnswer([]byte(data), 1000, false)
	if err != nil || len(a.body) != 3*mostHead {
		t.Errorf("%d bytes, %v", len(a.body), err)
	}
}

func TestNoMoreOfABodyIsKeptThanAsked(t *testing.T) {
	a := &answer{keep: 3}
	a.reset()
	_, done, err := a.feed([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	if err != nil || !done || string(a.body) != "hel" {
		t.Errorf("%q, %v, %v", a.body, done, err)
	}
}

// FuzzAnswer holds the reader to: the same whatever the pieces, memory in proportion to the input; and where it takes an answer, Go's own
// client reads the same from it.
func FuzzAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte, head bool) {
		whole, rest, err := readAnswer(data, len(data)+1, head)
		for _, piece := range []int{1, 5} {
			other, otherRest, otherErr := readAnswer(data, piece, head)
			if !errors.Is(otherErr, err) || !errors.Is(err, otherErr) {
				t.Fatalf("whole: %v; in pieces of %d: %v", err, piece, otherErr)
			}
			if err == nil && (whole.status != other.status || !bytes.Equal(whole.body, other.body) || !bytes.Equal(rest, otherRest) || whole.last != other.last) {
				t.Fatalf("whole: %+v and %q; in pieces of %d: %+v and %q", whole, rest, piece, other, otherRest)
			}
			if cap(other.line) > 2*mostHead+len(data) || cap(other.body) > 2*len(data)+64 {
				t.Fatalf("%d and %d bytes for %d", cap(other.line), cap(other.body), len(data))
			}
		}
		if err != nil {
			return
		}
		request := &http.Request{Method: http.MethodGet}
		if head {
			request.Method = http.MethodHead
		}
		r := bufio.NewReader(bytes.NewReader(data))
		response, err := http.ReadResponse(r, request)
		for err == nil && response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
			response, err = http.ReadResponse(r, request)
		}
		if err != nil {
			return // it is stricter with what we pass over: names, versions, trailers
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return
		}
		if response.StatusCode != whole.status || !bytes.Equal(body, whole.body) {
			t.Fatalf("%d %q; Go reads %d %q", whole.status, whole.body, response.StatusCode, body)
		}
	})
}
