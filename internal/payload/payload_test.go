package payload

import (
	"bytes"
	"encoding/base64"
	"flag"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

var update = flag.Bool("update", false, "write testdata/payload.1.jsonl anew")

func TestTheLinesOfVersion1AreWrittenAndRead(t *testing.T) {
	whole := Record{
		Decision: "01890a5d-ac96-774b-bcce-b302099a8057", At: at("2026-11-21T08:30:00.125Z"), Service: "shop", Variant: "canary",
		Version: "sha256:abc", Dialect: "seldon", Status: 200, Probability: 0.01,
	}
	whole.SetBodies(Cut([]byte("{\"data\": {\"ndarray\": [[1, \"<é>\"]]},\n \"user\": {\"email\": \"a@b.c\"}}"), 8192),
		Cut([]byte(`{"data":{"ndarray":[0.25]}}`), 8192), redactor(t, "user.email"))
	odd := Record{Decision: "01890a5d-ac96-774b-bcce-b302099a8058", At: at("2026-11-21T08:30:01Z"), Service: "shop", Variant: "stable", Dialect: "openinference", Status: 400, Probability: 1}
	odd.SetBodies(Cut([]byte("\xff\x00\x01 and more"), 3), Cut([]byte(`{"error":"the body is no JSON"}`), 10), nil)
	secret := Record{Decision: "01890a5d-ac96-774b-bcce-b302099a8059", At: at("2026-11-21T08:30:02Z"), Service: "shop", Variant: "stable", Dialect: "seldon", Status: 400, Probability: 1}
	secret.SetBodies(Cut([]byte(`email=a@b.c`), 100), Cut([]byte(`{"error":"at byte 0: \"email=a@b.c\""}`), 100), redactor(t, "user.email"))
	all := []Record{whole, odd, secret}
	var text []byte
	for i := range all {
		line, err := all[i].Line()
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, line...)
	}
	const file = "testdata/payload.1.jsonl"
	if *update {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), string(text)); diff != "" {
		t.Error(diff)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(golden), []byte("\n")) {
		r, err := parseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all[i], r); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := parseLine([]byte(`{"v":2}`)); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
		t.Errorf("a later version: %v", err)
	}
}

func TestBodiesAreKeptOrWithheld(t *testing.T) {
	const secret = "hunter2"
	tests := []struct {
		name, body string
		limit      int
		unread     bool
		redact     bool
		want       string
		done       string // what was done to it
	}{
		{"whole", `{"password":"hunter2"}`, 100, false, false, `{"password":"hunter2"}`, ""},
		{"at the limit", `12345`, 5, false, false, `12345`, ""},
		{"over the limit", `123456`, 5, false, false, `12345`, "truncated"},
		{"cut within a character", "aé", 2, false, false, "a", "truncated"},
		{"cut within a long character", "a\U0001F600b", 4, false, false, "a", "truncated"},
		{"not read to its end", `123`, 5, true, false, `123`, "truncated"},
		{"no text", "\xff\xfe", 5, false, false, base64.StdEncoding.EncodeToString([]byte("\xff\xfe")), "base64"},
		{"redacted", `{"password":"hunter2"}`, 100, false, true, `{"password":"[redacted]"}`, "redacted"},
		{"nothing to redact", `{"name":"x"}`, 100, false, true, `{"name":"x"}`, ""},
		{"longer once it is redacted", `{"password":1}`, 15, false, true, `{"password":"[r`, "redacted truncated"},
		{"cut, and to be redacted", `{"password":"hunter2"}`, 21, false, true, "", "withheld"},
		{"not read to its end, and to be redacted", `{"password":"hunter2"}`, 100, true, true, "", "withheld"},
		{"no JSON, and to be redacted", `password=hunter2`, 100, false, true, "", "withheld"},
		{"no text, and to be redacted", "\xff\xfehunter2", 100, false, true, "", "withheld"},
		{"empty, and to be redacted", "", 100, false, true, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var redact *Redactor
			if tt.redact {
				redact = redactor(t, "password")
			}
			body := Cut([]byte(tt.body), tt.limit)
			body.Cut = body.Cut || tt.unread
			r := Record{Status: 200}
			r.SetBodies(body, body, redact)
			var done []string
			for _, d := range []struct {
				what string
				to   []string
			}{{"redacted", r.Redacted}, {"truncated", r.Truncated}, {"base64", r.Base64}} {
				if len(d.to) > 0 {
					done = append(done, d.what)
				}
				if len(d.to) == 1 {
					t.Errorf("%s: %v alone", d.what, d.to)
				}
			}
			if len(r.Withheld) > 0 {
				done = append(done, "withheld")
			}
			if r.Request != tt.want || r.Response != tt.want || strings.Join(done, " ") != tt.done || r.RequestBytes != len(tt.body) {
				t.Errorf("%+v", r)
			}
			if line, err := r.Line(); err != nil || tt.redact && bytes.Contains(line, []byte(secret)) {
				t.Errorf("%s, %v", line, err)
			}
		})
	}
}

func TestAnErrorMayQuoteASecret(t *testing.T) {
	r := Record{Status: 400}
	r.SetBodies(Cut([]byte(`{"password":"hunter2"}`), 100), Cut([]byte(`{"error":"\"hunter2\" is no number"}`), 100), redactor(t, "password"))
	if r.Response != "" || r.Withheld["response"] == "" || r.Request != `{"password":"[redacted]"}` {
		t.Errorf("%+v", r)
	}
}

func TestNoLineIsLongerThanWhatIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 300).Draw(t, "limit")
		body := Cut([]byte(strings.Repeat(rapid.SampledFrom([]string{"\x01", "é", "\xff", "\"", "\u2028", "[1,", "x"}).Draw(t, "byte"), limit)), limit)
		r := Record{}
		r.SetBodies(body, body, nil)
		line, err := r.Line()
		if err != nil || len(line) > 12*limit+1000 || !utf8.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%d bytes of bodies of %d: %q, %v", len(line), limit, line, err)
		}
	})
}
