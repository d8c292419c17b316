package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/traffic"
)

var update = flag.Bool("update", false, "write testdata/schema.json anew")

// serverWith is the defaults with a change.
func serverWith(change func(*Server)) Server {
	s := Default().Server
	change(&s)
	return s
}

// modelVariant is a variant that is a version of a model.
func modelVariant(name, ref string) Variant {
	v := newVariant(name)
	v.Model = ref
	return v
}

// newVariant is a variant with nothing but a name and the defaults.
func newVariant(name string) (v Variant) {
	v.SetDefaults()
	v.Name = name
	return v
}

func TestGoodFilesAreRead(t *testing.T) {
	half := Labels{Threshold: 0.5}
	weight := func(text string) traffic.Weight {
		w, err := traffic.ParseWeight(text)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	want := map[string]*Config{
		"empty":    Default(),
		"comments": Default(),
		"smallest": {
			Services: []Service{{
				Name: "installs", Variants: []Variant{modelVariant("stable", "installs")},
				Labels: half, Timeout: time.Second, Limits: Limits{BodyBytes: 16 << 20, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
			}},
			Server: Server{
				HTTP: ":8080", GRPC: ":8081", Control: "127.0.0.1:8090", DrainDelay: 5 * time.Second, Drain: 30 * time.Second, AccessLog: "off", Name: "serin",
				Limits: ServerLimits{HeaderBytes: 64 << 10, ReadHeader: 5 * time.Second, Read: time.Minute, Write: 30 * time.Second, Idle: 2 * time.Minute, Connections: 10000},
			},
		},
		"addresses": {
			Services: []Service{},
			Server: serverWith(func(s *Server) {
				s.HTTP, s.GRPC, s.Control, s.Metrics, s.DrainDelay, s.Drain = "10.0.0.1:80", ":81", "localhost:8090", ":9090", 0, 0
			}),
		},
		"split": {
			Services: []Service{{
				Name: "sentiment", Variants: []Variant{modelVariant("stable", "sentiment"), modelVariant("canary", "models:/sentiment@candidate")},
				Traffic: traffic.Spec{
					Weights: traffic.Weights{"stable": weight("80"), "canary": weight("20")},
					Sticky:  &traffic.Sticky{Unit: "header:X-User-Id", Cookie: "model-service-version", Mode: traffic.ModePlain, MaxAge: 14 * 24 * time.Hour, Record: traffic.RecordHashed},
					Match:   []traffic.Rule{{Variant: "canary", Header: "X-Try", Exact: "canary"}},
				},
				Labels:  Labels{Classes: []string{"negative", "positive"}, Threshold: 0.4},
				Timeout: time.Second, Limits: Limits{BodyBytes: 16 << 20, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
			}},
			Server: Default().Server,
		},
		"routes":    routesConfig(),
		"upstreams": upstreamsConfig(),
		"releases":  goodReleases(t), // see TestReleasesBecomePlans
		"capture": {
			Services: []Service{
				{
					Name: "shop", Variants: []Variant{modelVariant("stable", "shop")}, Labels: half, Timeout: time.Second, Limits: Limits{BodyBytes: 16 << 20, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
					Capture: &Capture{Percent: 0.25, MaxBytes: 64 << 10, Redact: []string{"user.email", "items[].price", `data["a.b"][3]`}, Keep: 30 * 24 * time.Hour, MaxSize: 100 << 20},
				},
				{
					Name: "ads", Variants: []Variant{modelVariant("stable", "ads")}, Labels: half, Timeout: time.Second, Limits: Limits{BodyBytes: 16 << 20, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
					Capture: &Capture{Percent: 1, MaxBytes: 8 << 10, Keep: 7 * 24 * time.Hour, MaxSize: 1 << 30},
				},
				{
					Name: "off", Variants: []Variant{modelVariant("stable", "off")}, Labels: half, Timeout: time.Second, Limits: Limits{BodyBytes: 16 << 20, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
					Capture: &Capture{Percent: 0, MaxBytes: 8 << 10, Keep: 7 * 24 * time.Hour, MaxSize: 1 << 30},
				},
			},
			Server: Default().Server,
		},
		"everything": {
			Services: []Service{
				{
					Name: "installs", Default: true, Variants: []Variant{modelVariant("v3", "models:/installs/3")},
					Labels: half, Timeout: 250 * time.Millisecond, Limits: Limits{BodyBytes: 64 << 10, Rows: 500, InFlight: 8, AnswerBytes: 256 << 10}, V1: "tensorflow",
				},
				{
					Name: "installs-next", Variants: []Variant{modelVariant("stable", "models:/installs@candidate")},
					Labels: half, Timeout: 10 * time.Minute, Limits: Limits{BodyBytes: 1e6, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
				},
				{
					Name: "3d", Variants: []Variant{modelVariant("0", "models:/3d.maps_v2@1.2.0")},
					Labels: half, Timeout: time.Second, Limits: Limits{BodyBytes: 16 << 20, Rows: 100000, InFlight: 1024, AnswerBytes: 256 << 10}, V1: "kserve",
				},
			},
			Server: Server{
				HTTP: "127.0.0.1:18080", GRPC: "localhost:0", Control: "[::1]:18090", Metrics: "127.0.0.1:18091", DrainDelay: 15 * time.Second, Drain: 90 * time.Second,
				MetricAliases: []string{"seldon", "kserve"}, AccessLog: "errors", RepositoryControl: true,
				Name: "triton", AllowOrigin: "https://shop.example.com:8443",
				Limits: ServerLimits{
					HeaderBytes: 16 << 10, ReadHeader: 2 * time.Second, Read: 20 * time.Second, Write: 10 * time.Second, Idle: 30 * time.Second,
					Connections: 500, ConnectionsPerClient: 50,
				},
			},
		},
	}
	files := glob(t, "testdata/good/*.yaml")
	if len(files) != len(want) {
		t.Errorf("%d files, %d are known", len(files), len(want))
	}
	for name, data := range files {
		got, err := Read(name, data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want[strings.TrimSuffix(name, ".yaml")], got, cmp.Comparer(func(a, b traffic.Weight) bool { return a == b }), cmp.Comparer(func(a, b CIDR) bool { return a == b }), samePath); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestBadFilesTellAllTheirMistakes reads files that begin with lines "# want: LINE:COLUMN: the message, or its beginning", one for
// every mistake and no other.
func TestBadFilesTellAllTheirMistakes(t *testing.T) {
	for name, data := range glob(t, "testdata/bad/*.yaml") {
		t.Run(name, func(t *testing.T) {
			_, err := Read(name, data)
			var all *strictyaml.Problems
			if !errors.As(err, &all) || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("got %v", err)
			}
			wanted := wants(data)
			if len(wanted) == 0 {
				t.Fatal("the file says nothing of what is wanted")
			}
			got := strings.Split(err.Error(), "\n")
			for _, line := range got {
				found := false
				for i, want := range wanted {
					if strings.HasPrefix(line, name+":"+want) {
						wanted, found = append(wanted[:i:i], wanted[i+1:]...), true
						break
					}
				}
				if !found {
					t.Errorf("not wanted: %s", line)
				}
			}
			for _, want := range wanted {
				t.Errorf("not told: %s", want)
			}
		})
	}
}

// beyondSchema are the bad files whose mistakes no schema can tell: of syntax, of ranges, or between values.
var beyondSchema = []string{
	"anchors", "bad-addresses", "bad-forms", "bad-link-local", "bad-number-host", "bad-routes", "bad-traffic", "duplicate-key", "indentation", "same-name", "same-port", "tab", "two-defaults", "two-documents", "two-variants",
	"unclosed-bracket", "unclosed-quote",
}

func TestTheSchemaSaysWhatReadSays(t *testing.T) {
	schema := compile(t)
	for name, data := range glob(t, "testdata/good/*.yaml") {
		doc := document(t, data)
		if name == "comments.yaml" && hasNull(doc) {
			continue // a key without a value is left out for Read, and null for a schema
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	skipped := 0
	for name, data := range glob(t, "testdata/bad/*.yaml") {
		if slices.Contains(beyondSchema, strings.TrimSuffix(name, ".yaml")) {
			skipped++
			continue
		}
		if err := schema.Validate(document(t, data)); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
	if skipped != len(beyondSchema) {
		t.Errorf("%d files are beyond the schema, %d were met", len(beyondSchema), skipped)
	}
}

func TestTheSchemaFileIsCurrent(t *testing.T) {
	const file = "testdata/schema.json"
	if *update {
		if err := os.WriteFile(file, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(Schema())); diff != "" {
		t.Errorf("write it with go test ./internal/config -update: %s", diff)
	}
}

// TestTheSchemaDefaultsAreThoseOfRead writes out every default that the schema shows, and reads that.
func TestTheSchemaDefaultsAreThoseOfRead(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties map[string]struct {
				Description string
				Default     any
				Ref         string `json:"$ref"`
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for name, def := range schema.Defs {
		var pairs []string
		for key, p := range def.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
			if p.Default != nil {
				value, err := json.Marshal(p.Default)
				if err != nil {
					t.Fatal(err)
				}
				pairs = append(pairs, key+": "+string(value))
			}
		}
		shown[name] = strings.Join(pairs, ", ")
	}
	text := func(shown map[string]string) []byte {
		object := func(def string, given ...string) string {
			if shown[def] != "" {
				given = append(given, shown[def])
			}
			return "{" + strings.Join(given, ", ") + "}"
		}
		variant := object("Variant", `upstream: "http://a:1"`, "breaker: "+object("Breaker"), "retry: "+object("Retry"), "outlier: "+object("Outlier"), "health: "+object("Health", "path: /"))
		shadow := object("Shadow", "variant: b", "compare: "+object("Compare"))
		service := object("Service", "name: a, path: /a", "variants: ["+variant+`, {name: b, upstream: "http://b:1"}]`, "traffic: {weights: {stable: 1}}",
			"limits: "+object("Limits"), "fallback: "+object("Fallback"), "rateLimit: "+object("RateLimit", "requests: 1, per: 1m"), "shadow: ["+shadow+"]")
		metric := object("ReleaseMetric", "name: errors, vs: stable")
		hooks := "{build: " + object("Hook", "exec: [make]") + "}"
		models := "{name: m, variants: [{model: m}, {name: b, model: m@candidate}], traffic: {weights: {stable: 1}}}"
		move := object("Release", "name: m, service: m, candidate: b, steps: [{setWeight: 5}]", "metrics: ["+metric+"]")
		run := "{name: a, service: a, candidate: b, steps: [{setWeight: 5}], hooks: " + hooks + "}"
		return []byte("services: [" + service + ", " + models + "]\nserver: " + object("Server", "limits: "+object("ServerLimits")) + "\n" +
			"releases: [" + move + ", " + run + "]\nnotify: [" + object("Notify", `kind: webhook, url: "http://a"`) + "]\n" +
			"prometheus: [" + object("Prometheus", `url: "http://a"`) + "]\n")
	}
	explicit, err := Read("explicit", text(shown))
	if err != nil {
		t.Fatalf("%s: %v", text(shown), err)
	}
	implied, err := Read("implied", text(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(implied, explicit, cmp.Comparer(func(a, b traffic.Weight) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for _, def := range []string{"Server", "ServerLimits", "Limits", "Variant", "Service", "Breaker", "Retry", "Outlier", "Health", "Shadow", "Compare", "Fallback", "RateLimit", "Release", "ReleaseMetric", "Hook", "Notify", "Prometheus"} {
		if shown[def] == "" {
			t.Errorf("defaults of %s are missing: %v", def, shown)
		}
	}
}

func TestThePatternsOfTheSchemaAreThoseOfTheReaders(t *testing.T) {
	durations, sizes := regexp.MustCompile(durationPattern), regexp.MustCompile(sizePattern)
	for _, s := range []string{
		"", "0", "0s", "1s", "+1s", "-1s", "1.s", ".5s", ".s", "1", "1d", "1d2h", "2h1d", "1.5d", "1d1d", "1h30m", "1µs", "1μs", "1 s", "1S", "d", "+0", "1d0",
	} {
		d, err := strictyaml.ParseDuration(s)
		if want := err == nil && d >= 0; durations.MatchString(s) != want {
			t.Errorf("duration %q: the schema takes it: %v, the reader: %v", s, !want, want)
		}
	}
	for _, s := range []string{"", "0", "0B", "1", "1B", "1b", "1KB", "1kB", "1 MiB", "1  MiB", "1mib", "01B", "-1B", "+1B", "1.5GB", "3GiB", "GiB", "1TiB", "1kiB"} {
		if err := new(Size).UnmarshalText([]byte(s)); sizes.MatchString(s) != (err == nil) {
			t.Errorf("size %q: the reader says %v", s, err)
		}
	}
}

func TestThePatternsOfTheTagsAreThoseOfRead(t *testing.T) {
	for _, want := range []string{namePattern.String()} {
		quoted, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(Schema(), append([]byte(`"pattern": `), quoted...)) {
			t.Errorf("the schema does not hold %s", quoted)
		}
	}
}

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Size{"0B": 0, "1B": 1, "64KiB": 65536, "16MiB": 16 << 20, "1MB": 1e6, "1500kB": 1500000, "7GiB": 7 << 30, "9223372036854775807B": 1<<63 - 1} {
		var got, again Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != want {
			t.Errorf("%s is written %s", text, got)
		}
	}
	if s := (16 * MiB).String() + " " + Size(1e6).String() + " " + Size(1025).String(); s != "16MiB 1MB 1025B" {
		t.Error(s)
	}
	for _, text := range []string{"9223372036854775808B", "8589934592GiB", "99999999999999999999B"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s: taken", text)
		}
	}
}

func TestServerSettingsOfTheCommandLineAreChecked(t *testing.T) {
	s := Default().Server
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	s.HTTP, s.Control = "x", ":8081"
	err := s.Check()
	const want = `http: "x" is no address; write "HOST:PORT", or ":PORT" for every interface
control: port 8081 is that of grpc; choose another`
	if fault.KindOf(err) != fault.Invalid || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// FuzzRead looks for panics, and for files that Read takes although the schema refuses them.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		for _, data := range glob(f, pattern) {
			f.Add(data)
		}
	}
	schema := compile(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read("serin.yaml", data)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || err.Error() == "" {
				t.Errorf("got %v: %v", fault.KindOf(err), err)
			}
			return
		}
		if err := c.Server.Check(); err != nil {
			t.Errorf("taken, and yet %v", err)
		}
		for _, r := range c.Releases {
			plan, err := c.ReleasePlan(r.Name)
			if err == nil {
				err = plan.Check()
			}
			if err != nil {
				t.Errorf("taken, and yet %v", err)
			}
		}
		doc, ok := document(t, data).(map[string]any)
		if !ok || hasNull(doc) {
			return // see above
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("the schema refuses what is taken: %v", err)
		}
	})
}

func hasNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		for _, item := range v {
			if hasNull(item) {
				return true
			}
		}
	case map[string]any:
		for _, item := range v {
			if hasNull(item) {
				return true
			}
		}
	}
	return false
}

func glob(tb testing.TB, pattern string) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		tb.Fatalf("%s: %d files, %v", pattern, len(paths), err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		files[filepath.Base(path)] = data
	}
	return files
}

func wants(data []byte) []string {
	var out []string
	for line := range bytes.Lines(data) {
		if want, ok := strings.CutPrefix(string(line), "# want: "); ok {
			out = append(out, strings.TrimSpace(want))
		}
	}
	return out
}

func compile(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("serin.json", doc); err != nil {
		tb.Fatal(err)
	}
	schema, err := c.Compile("serin.json")
	if err != nil {
		tb.Fatal(err)
	}
	return schema
}

// document is what an editor hands to the schema: the file as another parser reads it.
func document(tb testing.TB, data []byte) any {
	tb.Helper()
	var doc any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		tb.Fatal(err)
	}
	if doc == nil {
		return map[string]any{}
	}
	return doc
}
