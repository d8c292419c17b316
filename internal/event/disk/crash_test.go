package disk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

// kills is how often the tests of this file crash: SERIN_KILLS, which scripts/nightly.sh sets, or a few.
func kills(tb testing.TB, few int) int {
	tb.Helper()
	text := os.Getenv("SERIN_KILLS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatalf("SERIN_KILLS: %v", err)
	}
	return n
}

// power is a disk that may lose what was not flushed, when the power fails at a call.
type power struct {
	dir     string
	failsAt int // the call at which it fails
	calls   int
	names   map[string]*stored   // the folder now
	flushed map[string]*stored   // as it was last flushed
	changes []map[string]*stored // the states between
}

// stored is what is on the disk for sure of one file.
type stored struct{ sure []byte }

var errPower = errors.New("no power")

func (p *power) before(op, name string, _ int) (int, error) {
	p.calls++
	off := p.calls >= p.failsAt
	content := func() []byte {
		b, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			panic(err)
		}
		return b
	}
	change := func(f func(map[string]*stored)) {
		p.names = maps.Clone(p.names)
		f(p.names)
		p.changes = append(p.changes, p.names)
	}
	switch {
	case off:
		return 0, errPower
	case op == "create":
		change(func(names map[string]*stored) { names[name] = &stored{} })
	case op == "rename":
		change(func(names map[string]*stored) {
			names[name] = names[name+unready]
			delete(names, name+unready)
		})
	case op == "remove":
		change(func(names map[string]*stored) { delete(names, name) })
	case op == "sync":
		p.names[name].sure = content()
	case op == "syncdir":
		p.flushed, p.changes = p.names, nil
	}
	return 0, nil
}

// after returns what may be found when the power is back: of the folder one of its states since it was flushed, of each file the
// flushed bytes and any of the sectors written since; where the file grew but a sector did not come, zeros.
func (p *power) after(t *testing.T, random *rand.Rand) image {
	t.Helper()
	states := append([]map[string]*stored{p.flushed}, p.changes...)
	state := states[random.IntN(len(states))]
	img := image{}
	for name, file := range state {
		now := file.sure
		for current, f := range p.names {
			if f == file {
				if b, err := os.ReadFile(filepath.Join(p.dir, current)); err == nil {
					now = b
				}
			}
		}
		length := len(file.sure)
		if len(now) != length && random.IntN(3) > 0 {
			length = len(now)
		} else if len(now) > length {
			length += random.IntN(len(now) - length)
		}
		b := make([]byte, length)
		copy(b, file.sure)
		kept := random.IntN(4)
		for from := 0; from < min(length, len(now)); from += sector {
			if random.IntN(3) < kept {
				copy(b[from:min(from+sector, length)], now[from:])
			}
		}
		img[name] = b
	}
	return img
}

// TestCrashThatLosesUnflushedBytes lets the power fail at any call, then looks what is left. What was acknowledged is there, in order,
// and nothing else but all or nothing of what was being written; what is missing is a cut, never taken for damage.
func TestCrashThatLosesUnflushedBytes(t *testing.T) {
	cuts, whole := 0, 0
	for seed := range kills(t, 40) * 20 {
		random := rand.New(rand.NewPCG(uint64(seed), 7))
		p := &power{dir: t.TempDir(), failsAt: 2 + random.IntN(90), names: map[string]*stored{}, flushed: map[string]*stored{}}
		o := fixed(Options{SegmentBytes: 4000, Before: p.before})
		o.Random = rand.NewChaCha8([32]byte{byte(seed)})
		l, err := Open(p.dir, o)
		if err != nil {
			t.Fatal(err)
		}
		acked, tried := 0, 0
		for {
			var records []event.Record
			for range 1 + random.IntN(4) {
				r := eventtest.Outcome(0, tried)
				r.Outcome.Text = strings.Repeat("x", random.IntN(900)*random.IntN(2))
				records = append(records, r)
				tried++
			}
			if _, err := l.Append(context.Background(), records...); err != nil {
				if !errors.Is(err, errPower) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				break
			}
			acked = tried
		}
		img := p.after(t, random)
		abandon(l)
		dir := t.TempDir()
		img.put(t, dir)
		l, err = Open(dir, fixed(Options{SegmentBytes: 4000}))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		numbers, damage := survey(t, l)
		if len(numbers) != acked && len(numbers) != tried || !slices.Equal(numbers, upTo(len(numbers))) {
			t.Fatalf("seed %d: %d acknowledged, %d tried; after the crash %v\n%+v", seed, acked, tried, numbers, l.Opening())
		}
		if found := slices.Concat(l.Opening().Damage, damage); len(found) > 0 && !oneByteLost(found, img) {
			t.Errorf("seed %d: a crash is taken for damage: %s", seed, describe(found))
		}
		if l.Opening().Cut != nil {
			cuts++
		} else if len(numbers) == tried {
			whole++
		}
		add(t, l, len(numbers), len(numbers)+3)
		if again, _ := survey(t, l); !slices.Equal(again, upTo(len(numbers)+3)) {
			t.Errorf("seed %d: then %v", seed, again)
		}
		abandon(l)
	}
	if cuts == 0 || whole == 0 {
		t.Errorf("%d cuts and %d unacknowledged writes that came through: the test does not reach what it should", cuts, whole)
	}
}

// oneByteLost tells whether the unfinished write had a single byte of a lost sector, which cannot be told from damage.
func oneByteLost(damage []*event.DamageError, img image) bool {
	return slices.ContainsFunc(damage, func(d *event.DamageError) bool {
		return d.Byte%sector == sector-1 || len(img[d.File])%sector == 1
	})
}

// The child of TestKillLosesNothingThatWasAcknowledged is the test binary itself.
const jobVariable = "SERIN_EVENT_TEST_LOG"

func TestMain(m *testing.M) {
	if dir := os.Getenv(jobVariable); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

const killedWriters = 16

// child appends from 16 writers until it is killed, and prints "writer number" for each record that is acknowledged.
func child(dir string) {
	l, err := Open(dir, Options{SegmentBytes: 32 << 10})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	var next [killedWriters]int
	from := event.Offset(0)
	for {
		to, err := l.Read(context.Background(), from, 1000, func(_ event.Offset, r event.Record) error {
			w, n, err := eventtest.Writer(r)
			next[w] = n + 1
			return err
		})
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		if to == from {
			break
		}
		from = to
	}
	var all sync.WaitGroup
	for w := range killedWriters {
		all.Go(func() {
			for n := next[w]; ; n++ {
				if _, err := l.Append(context.Background(), eventtest.Outcome(w, n)); err != nil {
					fmt.Println("failed:", err)
					os.Exit(1)
				}
				fmt.Printf("%d %d\n", w, n) // one call of the system: whole, or not at all
			}
		})
	}
	all.Wait()
}

func TestKillLosesNothingThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	var acked [killedWriters]int // how many of each writer
	rounds, total := kills(t, 5), 0
	for round := range rounds {
		lines := 0
		for w, n := range killAfter(t, dir, random.IntN(400)) {
			if n != acked[w] {
				t.Fatalf("round %d: writer %d was told of %d, where %d is next", round, w, n, acked[w])
			}
			acked[w]++
			lines++
		}
		l := open(t, dir, Options{})
		var found [killedWriters]int
		records, _ := eventtest.ReadAll(t, l, l.Start(), 1000)
		for _, r := range records {
			w, n, err := eventtest.Writer(r)
			if err != nil || n != found[w] {
				t.Fatalf("round %d: writer %d: record %d, %v, where %d is next", round, w, n, err, found[w])
			}
			found[w]++
		}
		for w := range found {
			if found[w] < acked[w] || found[w] > acked[w]+1 {
				t.Fatalf("round %d: writer %d was told of %d records, %d are there", round, w, acked[w], found[w])
			}
		}
		if opened := l.Opening(); len(opened.Damage) > 0 {
			t.Fatalf("round %d: a kill is taken for damage: %s", round, describe(opened.Damage))
		}
		report, err := l.Verify(t.Context())
		if err != nil || len(report.Damage) > 0 {
			t.Fatalf("round %d: %v; %s", round, err, describe(report.Damage))
		}
		abandon(l)
		acked, total = found, total+lines
	}
	t.Logf("%d kills, %d acknowledged records, none lost or doubled", rounds, total)
}

// killAfter runs a child until it has acknowledged some records, kills it, and gives what it acknowledged until then.
func killAfter(t *testing.T, dir string, lines int) func(yield func(writer, number int) bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), jobVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		said.WriteString(scanner.Text() + "\n")
		if n == lines {
			_ = cmd.Process.Kill() // what it said before is still read
		}
	}
	_ = cmd.Wait()
	return func(yield func(int, int) bool) {
		for line := range strings.Lines(said.String()) {
			var w, n int
			if _, err := fmt.Sscanf(line, "%d %d\n", &w, &n); err != nil {
				t.Fatalf("the child said %q", line)
			}
			if !yield(w, n) {
				return
			}
		}
	}
}
