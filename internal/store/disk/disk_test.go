package disk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/storetest"
)

func open(t *testing.T, dir string, o Options) *Blobs {
	t.Helper()
	b, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// filesIn returns the paths of the files below dir.
func filesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestBlobsSuite(t *testing.T) {
	storetest.RunBlobs(t, func(t *testing.T) store.Blobs { return open(t, t.TempDir(), Options{}) })
}

func TestBlobIsAFileNamedByItsDigest(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	if got := filesIn(t, dir); len(got) != 0 {
		t.Errorf("opening wrote %v", got)
	}
	if _, _, err := b.Put(context.Background(), strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	want := "blobs/sha256/ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2's example
	if got := filesIn(t, dir); len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestDamagedBlobIsFoundAndMendedByPuttingItAgain(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	ctx := context.Background()
	content := bytes.Repeat([]byte("serin"), 1000)
	d, _, err := b.Put(ctx, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, nameOf(d))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(content)
	flipped[2500] ^= 4
	for name, bad := range map[string][]byte{"a flipped bit": flipped, "cut short": content[:100], "too long": append(content, 'x'), "empty": nil} {
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := store.ReadVerified(ctx, b, d)
		if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), d.String()+" is damaged") || fault.HintOf(err) == "" {
			t.Errorf("%s: ReadVerified = %v", name, err)
		}
		if _, err := store.VerifyBlob(ctx, b, d); fault.KindOf(err) != fault.Internal {
			t.Errorf("%s: VerifyBlob = %v", name, err)
		}
	}
	if _, _, err := b.Put(ctx, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got, err := store.ReadVerified(ctx, b, d); err != nil || !bytes.Equal(got, content) {
		t.Errorf("after putting it again: %v", err)
	}
}

func TestNoLinkLeadsOutOfTheFolder(t *testing.T) {
	ctx := context.Background()
	secret := t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := store.Sum([]byte("secret"))
	for _, link := range []string{nameOf(d), path.Dir(nameOf(d)), final, "blobs"} {
		t.Run(link, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, path.Dir(link)), 0o755); err != nil {
				t.Fatal(err)
			}
			target := secret
			if link == nameOf(d) {
				target = filepath.Join(secret, "key")
			}
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
			b := open(t, dir, Options{})
			if content, err := store.ReadVerified(ctx, b, d); err == nil {
				t.Errorf("read %q through a link", content)
			}
			_, _, _ = b.Put(ctx, strings.NewReader("secret"))
			if got := filesIn(t, secret); len(got) != 1 {
				t.Errorf("wrote through a link: %v", got)
			}
		})
	}
}

// TestEveryFailedCallLeavesTheStoreSound fails the n-th call to the file system, for every n until none fails, with each error.
func TestEveryFailedCallLeavesTheStoreSound(t *testing.T) {
	ctx := context.Background()
	kinds := map[syscall.Errno]fault.Kind{
		syscall.ENOSPC: fault.Unavailable, syscall.EDQUOT: fault.Unavailable, syscall.EROFS: fault.Unavailable,
		syscall.EACCES: fault.Unavailable, syscall.EIO: fault.Internal,
	}
	content := bytes.Repeat([]byte("x"), 600<<10) // several writes
	d := store.Sum(content)
	for errno, kind := range kinds {
		t.Run(errno.Error(), func(t *testing.T) {
			for n := 1; ; n++ {
				dir := t.TempDir()
				calls, failed := 0, ""
				b := open(t, dir, Options{Before: func(op, name string) error {
					calls++
					if calls == n {
						failed = op + " " + name
						return &fs.PathError{Op: op, Path: name, Err: errno}
					}
					return nil
				}})
				_, _, err := b.Put(ctx, bytes.NewReader(content))
				if failed == "" {
					if err != nil || n < 15 {
						t.Fatalf("after %d calls none failed, but Put = %v", n-1, err)
					}
					return
				}
				if fault.KindOf(err) != kind || fault.HintOf(err) == "" || !errors.Is(err, errno) {
					t.Errorf("call %d, %s: %v %v, hint %q", n, failed, fault.KindOf(err), err, fault.HintOf(err))
				}
				if strings.Contains(err.Error(), "blobs/") {
					t.Errorf("call %d: the error tells a path: %v", n, err)
				}
				for _, left := range filesIn(t, dir) {
					if left != nameOf(d) { // a failed flush of the folder may leave it, whole
						t.Errorf("call %d, %s: %s is left", n, failed, left)
					}
				}
				if got, err := store.ReadVerified(ctx, b, d); err == nil && !bytes.Equal(got, content) || err != nil && fault.KindOf(err) != fault.NotFound {
					t.Errorf("call %d, %s: then reading gives %v", n, failed, err)
				}
				if _, _, err := b.Put(ctx, bytes.NewReader(content)); err != nil {
					t.Errorf("call %d, %s: putting it again: %v", n, failed, err)
				}
				if _, err := store.ReadVerified(ctx, b, d); err != nil {
					t.Errorf("call %d, %s: reading it then: %v", n, failed, err)
				}
			}
		})
	}
}

// errStop ends a goroutine's work as a crash would: nothing after it runs, not even clean-up that touches files.
var errStop = errors.New("stopped here")

// TestStopAtEveryCallLeavesTheStoreSound stops for good at the n-th call, then opens the folder anew.
func TestStopAtEveryCallLeavesTheStoreSound(t *testing.T) {
	ctx := context.Background()
	content := bytes.Repeat([]byte("x"), 600<<10)
	d := store.Sum(content)
	litter := 0
	for n := 1; ; n++ {
		dir := t.TempDir()
		calls := 0
		b := open(t, dir, Options{Before: func(string, string) error {
			if calls++; calls >= n {
				return errStop
			}
			return nil
		}})
		_, _, err := b.Put(ctx, bytes.NewReader(content))
		if err == nil {
			break
		}
		if !errors.Is(err, errStop) {
			t.Fatalf("call %d: %v", n, err)
		}
		again := open(t, dir, Options{})
		if _, err := store.ReadVerified(ctx, again, d); err != nil && fault.KindOf(err) != fault.NotFound {
			t.Errorf("call %d: %v", n, err)
		}
		if err := again.List(ctx, func(store.Blob) error { return nil }); err != nil {
			t.Errorf("call %d: List: %v", n, err)
		}
		before := len(filesIn(t, dir))
		swept, err := again.Sweep(ctx, time.Now().Add(time.Hour))
		if err != nil {
			t.Errorf("call %d: Sweep: %v", n, err)
		}
		litter += swept
		if left := filesIn(t, dir); len(left) != before-swept || len(left) > 1 || len(left) == 1 && left[0] != nameOf(d) {
			t.Errorf("call %d: after Sweep of %d there is %v", n, swept, left)
		}
	}
	if litter == 0 {
		t.Error("no stop left a temporary file: the test does not reach what it should")
	}
}

func TestSweepSparesWhatIsBeingWrittenOrNew(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	b := open(t, dir, Options{})
	pipe, feed := io.Pipe()
	done := make(chan error)
	go func() {
		_, _, err := b.Put(ctx, pipe)
		done <- err
	}()
	if _, err := feed.Write([]byte("half")); err != nil { // returns once Put reads, so that its file is there
		t.Fatal(err)
	}
	other := open(t, dir, Options{}) // another process, which knows nothing of the first one's names
	if n, err := other.Sweep(ctx, time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("a new file of another process: swept %d, %v", n, err)
	}
	if n, err := b.Sweep(ctx, time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("its own file: swept %d, %v", n, err)
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNamesLeftByAProcessWithOurIdAreSteppedOver(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, Options{Before: func(op, _ string) error {
		if op == "write" || op == "remove" {
			return errStop
		}
		return nil
	}})
	if _, _, err := first.Put(context.Background(), strings.NewReader("a")); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	second := open(t, dir, Options{})
	if _, _, err := second.Put(context.Background(), strings.NewReader("b")); err != nil {
		t.Error(err)
	}
}

func TestFailingSourceIsNotBlamedOnTheDisk(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	theirs := &fs.PathError{Op: "read", Path: "/home/ann/model.ubj", Err: syscall.EACCES}
	_, _, err := b.Put(context.Background(), iotest.ErrReader(theirs))
	if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), theirs.Path) || strings.Contains(err.Error(), "data directory") {
		t.Errorf("got %v: %v", fault.KindOf(err), err)
	}
}

func TestErrorsTellNoPathOfTheMachine(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	if err := os.WriteFile(filepath.Join(dir, "blobs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := b.Put(context.Background(), strings.NewReader("x"))
	if err == nil || strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "sha256/") {
		t.Errorf("got %v", err)
	}
}

func TestFolderMustBeThere(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "absent"), Options{}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
}
