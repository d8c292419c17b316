// Package storetest holds the suites that every adapter of store passes: RunBlobs and RunState.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// RunBlobs checks a store of blobs. open gives a new, empty one. One that is a store.Collector is checked as that too.
func RunBlobs(t *testing.T, open func(t *testing.T) store.Blobs) {
	ctx := context.Background()

	t.Run("what is put comes back, whatever its size", func(t *testing.T) {
		b := open(t)
		for _, size := range []int{0, 1, 4095, 1 << 16, 3<<20 + 17} {
			content := bytes.Repeat([]byte("serin\x00\xff"), size/7+1)[:size]
			d, n, err := b.Put(ctx, iotest.HalfReader(bytes.NewReader(content)))
			if err != nil || n != int64(size) || d != store.Sum(content) {
				t.Fatalf("Put of %d bytes = %s, %d, %v", size, d, n, err)
			}
			got, err := store.ReadVerified(ctx, b, d)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
			}
			if n, err := store.VerifyBlob(ctx, b, d); err != nil || n != int64(size) {
				t.Errorf("VerifyBlob = %d, %v", n, err)
			}
		}
	})

	t.Run("the same content twice is one blob", func(t *testing.T) {
		b := open(t)
		first, _, err := b.Put(ctx, strings.NewReader("same"))
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := b.Put(ctx, strings.NewReader("same"))
		if err != nil || first != second {
			t.Fatalf("got %s, %v; want %s", second, err, first)
		}
		if got, err := store.ReadVerified(ctx, b, first); err != nil || string(got) != "same" {
			t.Errorf("got %q, %v", got, err)
		}
		if c, ok := b.(store.Collector); ok {
			if got := list(t, c); len(got) != 1 {
				t.Errorf("%d blobs are listed, want 1", len(got))
			}
		}
	})

	t.Run("an unknown digest is NotFound", func(t *testing.T) {
		b := open(t)
		if _, err := b.Open(ctx, store.Sum([]byte("absent"))); fault.KindOf(err) != fault.NotFound {
			t.Errorf("Open: %v", err)
		}
		if _, err := store.ReadVerified(ctx, b, store.Sum([]byte("absent"))); fault.KindOf(err) != fault.NotFound {
			t.Errorf("ReadVerified: %v", err)
		}
	})

	t.Run("a reader that fails leaves nothing", func(t *testing.T) {
		b := open(t)
		broken := errors.New("the line broke")
		if _, _, err := b.Put(ctx, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("got %v, want the reader's error", err)
		}
		if _, err := b.Open(ctx, store.Sum([]byte("half"))); fault.KindOf(err) != fault.NotFound {
			t.Errorf("half of it was stored: %v", err)
		}
	})

	t.Run("a context that is done ends the call", func(t *testing.T) {
		b := open(t)
		done, cancel := context.WithCancel(ctx)
		cancel()
		if _, _, err := b.Put(done, strings.NewReader("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Open(ctx, store.Sum([]byte("late"))); fault.KindOf(err) != fault.NotFound {
			t.Errorf("it was stored: %v", err)
		}
	})

	t.Run("many at once", func(t *testing.T) {
		b := open(t)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				content := bytes.Repeat([]byte{byte(i % 4)}, 100_000) // four put the same
				d, _, err := b.Put(ctx, bytes.NewReader(content))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := store.ReadVerified(ctx, b, d); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes came back, %v", len(got), err)
				}
			})
		}
		wg.Wait()
	})

	if _, ok := open(t).(store.Collector); ok {
		t.Run("collector", func(t *testing.T) { runCollector(t, open) })
	}
}

func runCollector(t *testing.T, open func(t *testing.T) store.Blobs) {
	ctx := context.Background()
	future := time.Now().Add(time.Hour)
	long := time.Now().Add(-time.Hour)

	t.Run("lists what is there", func(t *testing.T) {
		b := open(t)
		c := b.(store.Collector)
		if got := list(t, c); len(got) != 0 {
			t.Errorf("an empty store lists %v", got)
		}
		want := map[store.Digest]int64{}
		for _, content := range []string{"", "a", "bb", strings.Repeat("c", 1000)} {
			d, n, err := b.Put(ctx, strings.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			want[d] = n
		}
		got := list(t, c)
		for d, blob := range got {
			if size, ok := want[d]; !ok || size != blob.Size || blob.PutAt.Before(long) || blob.PutAt.After(future) {
				t.Errorf("listed %+v", blob)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d are listed, want %d", len(got), len(want))
		}
		stop := errors.New("enough")
		if err := c.List(ctx, func(store.Blob) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("List = %v, want the caller's error", err)
		}
	})

	t.Run("deletes by age", func(t *testing.T) {
		b := open(t)
		c := b.(store.Collector)
		d, _, err := b.Put(ctx, strings.NewReader("a"))
		if err != nil {
			t.Fatal(err)
		}
		if gone, err := c.Delete(ctx, d, long); gone || err != nil {
			t.Errorf("a new blob: %v, %v", gone, err)
		}
		if gone, err := c.Delete(ctx, d, future); !gone || err != nil {
			t.Errorf("an old blob: %v, %v", gone, err)
		}
		if gone, err := c.Delete(ctx, d, future); gone || err != nil {
			t.Errorf("an absent blob: %v, %v", gone, err)
		}
		if _, err := b.Open(ctx, d); fault.KindOf(err) != fault.NotFound {
			t.Errorf("it is still there: %v", err)
		}
	})

	t.Run("sweeping spares blobs", func(t *testing.T) {
		b := open(t)
		d, _, err := b.Put(ctx, strings.NewReader("a"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := b.(store.Collector).Sweep(ctx, future); n != 0 || err != nil {
			t.Errorf("Sweep = %d, %v", n, err)
		}
		if _, err := store.ReadVerified(ctx, b, d); err != nil {
			t.Error(err)
		}
	})

	t.Run("a put is never lost to a sweep beside it", func(t *testing.T) {
		b := open(t)
		c := b.(store.Collector)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.Sweep(ctx, future); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
		for i := range 50 {
			content := bytes.Repeat([]byte{byte(i)}, 10_000)
			if d, _, err := b.Put(ctx, iotest.OneByteReader(bytes.NewReader(content[:100]))); err != nil {
				t.Error(err)
			} else if _, err := store.ReadVerified(ctx, b, d); err != nil {
				t.Error(err)
			}
		}
		cancel()
		wg.Wait()
	})
}

func list(t *testing.T, c store.Collector) map[store.Digest]store.Blob {
	t.Helper()
	found := map[store.Digest]store.Blob{}
	err := c.List(context.Background(), func(b store.Blob) error {
		found[b.Digest] = b
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
