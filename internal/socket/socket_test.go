package socket

import (
	"bytes"
	"errors"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// pair is two ends of a connection, none of which blocks.
func pair(t testing.TB) (a, b uintptr) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range ends {
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
	}
	return uintptr(ends[0]), uintptr(ends[1])
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	a, b := pair(t)
	rapid.Check(t, func(t *rapid.T) {
		head := rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(t, "head")
		body := rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(t, "body")
		n, err := Write2(a, head, body)
		if err != nil || n != len(head)+len(body) {
			t.Fatalf("%d of %d bytes, %v", n, len(head)+len(body), err)
		}
		want, got := slices.Concat(head, body), make([]byte, 20_000)
		k, err := Peek(b, got)
		if err != nil || !bytes.Equal(got[:k], want[:k]) {
			t.Fatalf("%d bytes are seen, %v", k, err)
		}
		all := []byte(nil)
		for len(all) < len(want) {
			if k, err = Read(b, got[:rapid.IntRange(1, len(got)).Draw(t, "room")]); err != nil {
				t.Fatal(err)
			}
			all = append(all, got[:k]...)
		}
		if !bytes.Equal(all, want) {
			t.Fatal("other bytes are read than were written")
		}
	})
}

func TestWhatCannotBeDoneNowIsTold(t *testing.T) {
	a, b := pair(t)
	buffer := make([]byte, 1<<20)
	for what, read := range map[string]func(uintptr, []byte) (int, error){"read": Read, "peek": Peek} {
		if n, err := read(b, buffer); n != 0 || !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
	sent := 0
	for {
		n, err := Write(a, buffer)
		if err != nil {
			if !errors.Is(err, syscall.EAGAIN) {
				t.Errorf("a full connection: %v", err)
			}
			break
		}
		if sent += n; n > 128<<10 {
			t.Fatalf("%d bytes at once", n)
		}
	}
	if n, err := Write2(a, buffer, buffer); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a full connection, two pieces: %d, %v", n, err)
	}
	got := 0
	for got < sent {
		n, err := Read(b, buffer)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if err := unix.Shutdown(int(a), unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, err := Read(b, buffer); n != 0 || err != nil {
		t.Errorf("the end: %d, %v", n, err)
	}
	if _, err := Write(a, buffer); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("behind the end: %v", err)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	a, b := pair(t)
	buffer := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = Write2(a, buffer, buffer)
		_, _ = Peek(b, buffer)
		_, _ = Read(b, buffer)
		_, _ = Read(b, buffer)
		_, _ = Read(b, buffer)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
