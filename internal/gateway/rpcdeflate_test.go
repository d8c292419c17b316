package gateway

import (
	"bytes"
	"compress/zlib"
	"strings"
	"testing"
)

func TestDeflateReadsWhatZlibWrote(t *testing.T) {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write([]byte(strings.Repeat("serin", 1000))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ most, want int }{{1 << 20, 5000}, {5000, 5000}, {4999, 5000}, {10, 11}} {
		got, err := deflate{int64(tt.most)}.Do(bytes.NewReader(packed.Bytes()))
		if err != nil || len(got) != tt.want || !strings.HasPrefix(strings.Repeat("serin", 1000), string(got)) {
			t.Errorf("of at most %d bytes %d were read, not %d; %v", tt.most, len(got), tt.want, err)
		}
	}
	for what, text := range map[string]string{"cut off": packed.String()[:packed.Len()-5], "nothing": "", "something else": "no zlib at all"} {
		if got, err := (deflate{1 << 20}).Do(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read as %q", what, got)
		}
	}
}
