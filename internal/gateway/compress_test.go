package gateway

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// compressed is text in an encoding, by the standard library: an implementation other than the one that is tested.
func compressed(t testing.TB, encoding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "bare":
		w, err = flate.NewWriter(&b, flate.DefaultCompression)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.String()
}

// plain is what an answer says.
func plain(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var r io.Reader = w.Body
	var err error
	switch w.Header().Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(w.Body)
	case "deflate":
		r, err = zlib.NewReader(w.Body)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func post(g *Gateway, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func TestBodiesMayComeCompressed(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	body := fmt.Sprintf(v2Row, 1)
	packed := compressed(t, "gzip", body)
	for _, tt := range []struct {
		name, encoding, body string
		status               int
		want                 string
	}{
		{"gzip", "gzip", packed, 200, "103.0"},
		{"gzip in capitals", "GZIP", packed, 200, "103.0"},
		{"gzip of old", "x-gzip", packed, 200, "103.0"},
		{"two members", "gzip", compressed(t, "gzip", body[:20]) + compressed(t, "gzip", body[20:]), 200, "103.0"},
		{"deflate", "deflate", compressed(t, "deflate", body), 200, "103.0"},
		{"bare deflate", "deflate", compressed(t, "bare", body), 200, "103.0"},
		{"identity", "identity", body, 200, "103.0"},
		{"cut off", "gzip", packed[:len(packed)-12], 400, "cannot be read as gzip"},
		{"damaged", "gzip", packed[:len(packed)-8] + "12345678", 400, "cannot be read as gzip"},
		{"what it is not", "gzip", body, 400, "cannot be read as gzip"},
		{"nothing", "deflate", "", 400, "cannot be read as deflate"},
		{"garbage", "deflate", "\xff\xff\xff\xff", 400, "cannot be read as deflate"},
		{"another", "br", body, 415, "is not supported"},
		{"two of them", "gzip, gzip", compressed(t, "gzip", packed), 415, "is not supported"},
		{"too large", "gzip", compressed(t, "gzip", strings.Repeat(" ", 1001)), 413, "larger than 1000 bytes"},
	} {
		w := post(g, "/v2/models/a/infer", tt.body, "Content-Encoding", tt.encoding)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: got %d %s\nwant %d %s", tt.name, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

// A body that would become huge is refused before it has: what is allocated is in proportion to the limit, or to what came.
func TestABombIsRefusedBeforeItIsLarge(t *testing.T) {
	a := ready("a", 1)
	a.options.Body = 512 << 20
	g, _ := serve(t, a)
	zeros := strings.Repeat("0", 16<<20)
	for _, encoding := range []string{"gzip", "deflate"} {
		bomb := compressed(t, encoding, zeros)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := post(g, "/v2/models/a/infer", bomb, "Content-Encoding", encoding)
		runtime.ReadMemStats(&after)
		if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "200 times") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 12<<20 {
			t.Errorf("%s: %d bytes were allocated for %d", encoding, grown, len(bomb))
		}
	}
}

// Rows of numbers, however alike, are not taken for a bomb.
func TestRowsOfNumbersAreNoBomb(t *testing.T) {
	a := ready("a", 1)
	a.options.Body, a.options.Rows, a.options.Timeout = 64<<20, 1<<20, time.Minute
	g, _ := serve(t, a)
	r := rand.New(rand.NewPCG(1, 1))
	rows := make([]string, 60_000)
	for i := range rows {
		rows[i] = fmt.Sprintf("[%d.0000000000,%d]", r.IntN(10), r.IntN(10))
	}
	body := `{"instances":[` + strings.Join(rows, ",") + `]}`
	packed := compressed(t, "gzip", body)
	if w := post(g, "/v1/models/a:predict", packed, "Content-Encoding", "gzip"); w.Code != 200 {
		t.Errorf("%d bytes of %d: %d %.200s", len(packed), len(body), w.Code, w.Body)
	}
}

func TestAnswersAreCompressedForWhoUnderstands(t *testing.T) {
	a := ready("a", 1)
	a.options.Body, a.options.Rows = 1<<20, 1<<16
	g, _ := serve(t, a)
	small, large := `{"instances":[[1,2]]}`, `{"instances":[[1,2]`+strings.Repeat(",[1,2]", 999)+`]}`
	want := plain(t, post(g, "/v1/models/a:predict", large))
	for _, tt := range []struct {
		body, accept, encoding string
	}{
		{large, "gzip", "gzip"}, {large, "deflate", "deflate"}, {large, "gzip, deflate", "gzip"}, {large, "deflate;q=0.9, gzip;q=0.8", "deflate"},
		{large, "*", "gzip"}, {large, "gzip;q=0, *", "deflate"}, {large, "gzip;q=0", ""}, {large, "identity, gzip;q=0.5", ""}, {large, "br", ""},
		{large, "", ""}, {large, "gzip;q=x", ""}, {large, "GZIP ; Q=1", "gzip"}, {large, "identity;q=0, deflate;q=0.1", "deflate"},
		{small, "gzip", ""},
	} {
		w := post(g, "/v1/models/a:predict", tt.body, "Accept-Encoding", tt.accept)
		if got := w.Header().Get("Content-Encoding"); w.Code != 200 || got != tt.encoding {
			t.Errorf("%q: %d, encoded as %q, want %q", tt.accept, w.Code, got, tt.encoding)
			continue
		}
		if w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
			t.Errorf("%q: Content-Length %s of %d bytes", tt.accept, w.Header().Get("Content-Length"), w.Body.Len())
		}
		if vary := w.Header().Get("Vary"); (vary == "Accept-Encoding") != (tt.body == large) {
			t.Errorf("%q: Vary %q", tt.accept, vary)
		}
		if tt.body == large && plain(t, w) != want {
			t.Errorf("%q: another answer", tt.accept)
		}
	}
}

func TestWhatIsCompressedReadsBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		body := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(rt, "body"), rapid.IntRange(1, 50).Draw(rt, "times"))
		encoding := rapid.SampledFrom([]string{encodingGzip, encodingDeflate}).Draw(rt, "encoding")
		d := deflaters.Get().(*deflater)
		defer d.release()
		packed, smaller := d.compress(encoding, body)
		if smaller != (len(packed) < len(body)) {
			rt.Fatalf("%d of %d bytes, %v", len(packed), len(body), smaller)
		}
		var b bytes.Buffer
		if err := inflate(&b, bytes.NewReader(packed), encoding, int64(len(body))); err != nil || !bytes.Equal(b.Bytes(), body) {
			rt.Fatalf("%d bytes became %d: %v", len(body), b.Len(), err)
		}
		if err := inflate(&b, bytes.NewReader(packed), encoding, int64(len(body)-1)); err == nil {
			rt.Fatal("more was taken than the limit")
		}
	})
}

func FuzzInflate(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte, deflate bool) {
		encoding := encodingGzip
		if deflate {
			encoding = encodingDeflate
		}
		var b bytes.Buffer
		if err := inflate(&b, bytes.NewReader(body), encoding, 10_000); err == nil && b.Len() > 10_000 {
			t.Fatalf("%d bytes", b.Len())
		}
	})
}
