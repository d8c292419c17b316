package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/disk"
	"github.com/serin-ml/serin/internal/store/sqlite"
)

// A test of this file runs the test binary again as a child that does one job in a data directory and is killed at it.
const jobVariable = "SERIN_REGISTRY_TEST_JOB"

func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		child(strings.Split(job, " "))
		return
	}
	os.Exit(m.Run())
}

// child does a job: "step DIR N" imports, removes and moves an alias, and is killed at the N-th call to the file system or to the
// State; "loop DIR" imports, moves and removes until it is killed from outside, and prints each success.
func child(job []string) {
	n := 0
	if job[0] == "step" {
		n, _ = strconv.Atoi(job[2])
	}
	calls := 0
	count := func() {
		if calls++; calls == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		}
	}
	h, err := openHome(job[1], disk.Options{Before: func(string, string) error { count(); return nil }})
	if err == nil {
		o := testOptions(h.blobs, countedState{h.state, count})
		h.Registry, err = New(o)
	}
	if err == nil && job[0] == "step" {
		err = h.steps()
	} else if err == nil {
		err = h.forever()
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("done", calls)
}

// countedState counts the moments around and within a transaction.
type countedState struct {
	s     *sqlite.State
	count func()
}

func (c countedState) View(ctx context.Context, read func(store.Reader) error) error {
	return c.s.View(ctx, read)
}

func (c countedState) Update(ctx context.Context, write func(store.Tx) error) error {
	c.count()
	err := c.s.Update(ctx, func(tx store.Tx) error {
		err := write(tx)
		c.count()
		return err
	})
	c.count()
	return err
}

var stepFiles = files{"linear.json": `{"linear":[2],"bias":1}`, "big": strings.Repeat("0123456789", 60_000), "x/y": "z"}

// steps is what each stop is tried on: version 2 comes and becomes the champion, and version 1 goes.
func (h home) steps() error {
	if _, _, err := h.commit("m", stepFiles, CommitOptions{Alias: Champion, Golden: goldenOf(3, 7)}); err != nil {
		return err
	}
	_, err := h.Remove(context.Background(), Removal{Ref: Ref{Model: "m", Number: 1}, By: "bob"})
	return err
}

// sound checks that the registry in dir is whole, and in a state between two steps: the champion and the versions agree.
func sound(t *testing.T, h home, stop string) Details {
	t.Helper()
	ctx := context.Background()
	report, err := h.Verify(ctx)
	if err != nil || len(report.Damage) != 0 {
		t.Fatalf("%s: Verify = %+v, %v", stop, report, err)
	}
	d, err := h.Show(ctx, "m")
	if err != nil {
		t.Fatalf("%s: %v", stop, err)
	}
	if _, err := h.Load(ctx, Ref{Model: "m", Alias: Champion}); err != nil {
		t.Fatalf("%s: %v", stop, err)
	}
	at := 0
	for _, m := range d.Moves {
		if m.Alias == Champion {
			if m.From != at {
				t.Errorf("%s: move %+v does not begin where the one before ended", stop, m)
			}
			at = m.To
		}
	}
	if at != d.Aliases[Champion] {
		t.Errorf("%s: the moves end at %d, the champion is %d", stop, at, d.Aliases[Champion])
	}
	return d
}

// begun is a data directory with version 1.
func begun(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	h, err := openHome(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.mustCommit(t, "m", modelOf(1), CommitOptions{})
	h.close()
	return dir
}

func run(t *testing.T, job ...string) (output string, killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), jobVariable+"="+strings.Join(job, " "))
	out, err := cmd.CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	killed = exit != nil && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if err != nil && !killed {
		t.Fatalf("%v: %v\n%s", job, err, out)
	}
	return string(out), killed
}

func TestKillAtEveryCallLeavesTheRegistryAsBeforeOrAfter(t *testing.T) {
	ctx := context.Background()
	states := map[string]int{}
	litter := 0
	for n := 1; ; n++ {
		dir := begun(t)
		_, killed := run(t, "step", dir, strconv.Itoa(n))
		stop := fmt.Sprintf("killed at call %d", n)
		h := homeAt(t, dir)
		d := sound(t, h, stop)
		state := fmt.Sprint(d.Versions, d.Aliases, len(d.Moves))
		states[state]++
		switch state {
		case "1 map[champion:1] 1", "2 map[champion:2] 2", "1 map[champion:2] 2":
		default:
			t.Errorf("%s: the state is %s", stop, state)
		}
		if !killed {
			if n < 40 {
				t.Errorf("only %d calls were counted", n-1)
			}
			break
		}
		before := len(allFiles(t, dir))
		swept, err := h.Sweep(ctx, time.Now().Add(time.Hour))
		if err != nil {
			t.Errorf("%s: Sweep: %v", stop, err)
		}
		litter += swept.Blobs + swept.Temporary
		if got := len(allFiles(t, dir)); got != before-swept.Blobs-swept.Temporary {
			t.Errorf("%s: %d files became %d by a sweep of %+v", stop, before, got, swept)
		}
		sound(t, h, stop+", then swept")
		v, _, err := h.commit("m", stepFiles, CommitOptions{Golden: goldenOf(3, 7)})
		if err != nil || v.Number != 2 {
			t.Errorf("%s: importing it again gives %d, %v", stop, v.Number, err)
		}
		h.close()
	}
	if len(states) != 3 || litter == 0 {
		t.Errorf("the stops gave the states %v and %d orphans: they do not reach what they should", states, litter)
	}
}

func allFiles(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(filepath.Join(dir, "blobs")), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// forever imports version after version, makes each the champion, and removes the one before. It prints what is done.
func (h home) forever() error {
	ctx := context.Background()
	d, err := h.Show(ctx, "m")
	if err != nil {
		return err
	}
	for i := len(d.All); ; i++ {
		v, _, err := h.commit("m", files{"linear.json": modelOf(i)["linear.json"], "big": strings.Repeat(strconv.Itoa(i), 50_000)}, CommitOptions{Alias: Champion})
		if err != nil {
			return err
		}
		fmt.Println("imported", v.Number)
		for _, old := range d.All {
			if old.Removed == nil && old.Number < v.Number {
				if _, err := h.Remove(ctx, Removal{Ref: old.Ref(), By: "bob"}); err != nil {
					return err
				}
				fmt.Println("removed", old.Number)
			}
		}
		if d, err = h.Show(ctx, "m"); err != nil {
			return err
		}
	}
}

func TestKillAtRandomLosesNothingThatWasAcknowledged(t *testing.T) {
	dir := begun(t)
	acknowledged := 0
	for round := range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), jobVariable+"=loop "+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		imported, removed := 0, 0
		lines := bufio.NewScanner(out)
		for after := rand.IntN(12); lines.Scan(); {
			what, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(number)
			switch {
			case err != nil:
				t.Fatalf("the child says %q", lines.Text())
			case what == "imported":
				imported = n
			default:
				removed = n
			}
			if acknowledged++; after == 0 {
				_ = cmd.Process.Signal(syscall.SIGKILL)
			}
			after--
		}
		_ = cmd.Wait()
		h := homeAt(t, dir)
		d := sound(t, h, fmt.Sprintf("round %d", round))
		if len(d.All) < imported || d.Aliases[Champion] < imported || removed > 0 && d.All[removed-1].Removed == nil {
			t.Errorf("round %d: version %d was imported and %d removed; the registry has %d versions, and the champion %d",
				round, imported, removed, len(d.All), d.Aliases[Champion])
		}
		h.close()
	}
	if acknowledged < 20 {
		t.Errorf("only %d changes were acknowledged", acknowledged)
	}
}

// TestEveryFailedCallOfAnImportIsToldAndLosesNothing fails the n-th call to the file system, for every n until none fails.
func TestEveryFailedCallOfAnImportIsToldAndLosesNothing(t *testing.T) {
	kinds := map[syscall.Errno]fault.Kind{syscall.ENOSPC: fault.Unavailable, syscall.EROFS: fault.Unavailable, syscall.EIO: fault.Internal}
	for errno, kind := range kinds {
		t.Run(errno.Error(), func(t *testing.T) {
			for n := 1; ; n++ {
				dir := begun(t)
				calls, failed := 0, ""
				h, err := openHome(dir, disk.Options{Before: func(op, name string) error {
					if calls++; calls == n {
						failed = op
						return &fs.PathError{Op: op, Path: name, Err: errno}
					}
					return nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				err = h.steps()
				stop := fmt.Sprintf("call %d, %s", n, failed)
				// Blobs that cannot be deleted after a removal are left to Sweep, and the removal is told as done.
				if failed != "" && err == nil && failed != "remove" && failed != "stat" && failed != "syncdir" {
					t.Errorf("%s: no error", stop)
				}
				if err != nil && (fault.KindOf(err) != kind || fault.HintOf(err) == "") && failed != "read" {
					t.Errorf("%s: %v: %v, hint %q", stop, fault.KindOf(err), err, fault.HintOf(err))
				}
				h.close()
				again := homeAt(t, dir)
				d := sound(t, again, stop)
				if err == nil && (d.Versions != 1 || d.Aliases[Champion] != 2) {
					t.Errorf("%s: no error, but %+v", stop, d)
				}
				again.close()
				if failed == "" {
					if n < 40 {
						t.Errorf("only %d calls were made", n-1)
					}
					return
				}
			}
		})
	}
}

// TestFullStateIsToldAndLosesNothing runs out of room at the commit of the transaction.
func TestFullStateIsToldAndLosesNothing(t *testing.T) {
	h := three(t)
	full := fullState{h.state, fault.Unavailablef("no room left").WithHint("free some space")}
	r, err := New(testOptions(h.blobs, full))
	if err != nil {
		t.Fatal(err)
	}
	blobs := blobCount(t, h)
	_, _, err = home{Registry: r, blobs: h.blobs}.commit("m", modelOf(9), CommitOptions{})
	wantError(t, err, fault.Unavailable, "no room left", "free some space")
	if got := blobCount(t, h); got != blobs {
		t.Errorf("%d blobs became %d", blobs, got)
	}
}

// fullState does all of a transaction and then cannot write it down.
type fullState struct {
	store.State
	err error
}

func (f fullState) Update(ctx context.Context, write func(store.Tx) error) error {
	return f.State.Update(ctx, func(tx store.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		return f.err
	})
}
