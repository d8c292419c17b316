package disk

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

const (
	killFolder  = "SERIN_TEST_LOG" // the folder that a child process writes to
	killWriters = 16
)

// TestKillLosesNothingAcknowledged kills a process of 16 writers with SIGKILL at random instants, each time on the same log. Whatever
// it said was acknowledged is there, once and in order. SERIN_KILLS sets the rounds.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	if dir := os.Getenv(killFolder); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	rounds := 25
	if n, err := strconv.Atoi(os.Getenv("SERIN_KILLS")); err == nil {
		rounds = n
	}
	if testing.Short() {
		rounds = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, acknowledged, sum, cut := t.TempDir(), [killWriters]int{}, 0, 0
	for range rounds {
		sum += runAndKill(t, dir, time.Duration(50+random.IntN(200))*time.Millisecond, &acknowledged)
		l := open(t, Options{Dir: dir, SegmentBytes: killSegment})
		report, err := l.Verify(t.Context())
		if err != nil || len(report.Damage) > 0 || len(l.Recovered().Damage) > 0 {
			t.Fatalf("%v, damage: %v, %v", err, report.Damage, l.Recovered().Damage)
		}
		if l.Recovered().Cut > 0 {
			cut++
		}
		if random.IntN(2) == 0 { // else the next process finds it as the crash left it, but for the tail
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := open(t, Options{Dir: dir, SegmentBytes: killSegment})
	all, _, err := eventtest.ReadAll(t.Context(), l, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range all {
		ids = append(ids, r.ID())
	}
	eventtest.CheckSequence(t, ids, func(w int) int { return acknowledged[w] }, killWriters)
	if sum < rounds*killWriters {
		t.Errorf("only %d appends were acknowledged in %d rounds: the test does not test", sum, rounds)
	}
	t.Logf("%d rounds, %d appends acknowledged, %d records in %d segments, %d torn tails", rounds, sum, len(ids), len(l.segments), cut)
}

// killSegment makes for a new segment now and then.
const killSegment = 64 << 10

// runAndKill starts this program as a writer, kills it, and notes what it acknowledged. It returns how much that was.
func runAndKill(t *testing.T, dir string, after time.Duration, acknowledged *[killWriters]int) (sum int) {
	t.Helper()
	var problems bytes.Buffer
	child := exec.Command(os.Args[0], "-test.run=^TestKillLosesNothingAcknowledged$")
	child.Env = append(os.Environ(), killFolder+"="+dir)
	child.Stderr = &problems
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var killed *time.Timer
	for lines.Scan() {
		if killed == nil { // counted from the first acknowledgement, so that each round has some
			killed = time.AfterFunc(after, func() { _ = child.Process.Kill() })
			defer killed.Stop()
		}
		var w, n int
		if _, err := fmt.Sscanf(lines.Text(), "ack %d %d.", &w, &n); err != nil || !strings.HasSuffix(lines.Text(), ".") {
			continue // a line that the kill cut, or one of package testing
		}
		acknowledged[w] = n + 1
		sum++
	}
	if err := child.Wait(); err == nil || problems.Len() > 0 {
		t.Fatalf("the writer ended by itself: %v, %s", err, problems.String())
	}
	return sum
}

// writeUntilKilled goes on where each writer was, and says what is acknowledged.
func writeUntilKilled(t *testing.T, dir string) {
	l := open(t, Options{Dir: dir, SegmentBytes: killSegment})
	all, _, err := eventtest.ReadAll(context.Background(), l, 0)
	if err != nil {
		t.Fatal(err)
	}
	var next [killWriters]int
	for _, r := range all {
		var w, n, part int
		if _, err := fmt.Sscanf(r.ID(), "%d-%d-%d", &w, &n, &part); err != nil {
			t.Fatal(err)
		}
		next[w] = n + 1
	}
	var writers sync.WaitGroup
	for w := range killWriters {
		writers.Go(func() {
			for n := next[w]; ; n++ {
				var records []event.Record
				for part := range 1 + n%3 {
					records = append(records, eventtest.Outcome(fmt.Sprintf("%d-%d-%d", w, n, part)))
				}
				if _, err := l.Append(context.Background(), records...); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Printf("ack %d %d.\n", w, n)
			}
		})
	}
	writers.Wait()
}
