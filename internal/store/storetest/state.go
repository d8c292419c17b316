package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// RunState checks a State. open gives a new, empty one.
func RunState(t *testing.T, open func(t *testing.T) store.State) {
	ctx := context.Background()
	put := func(s store.State, key, value string, was int64) (rev int64, err error) {
		err = s.Update(ctx, func(tx store.Tx) error {
			rev, err = tx.Put(key, []byte(value), was)
			return err
		})
		return rev, err
	}

	t.Run("what is put is got, with its revision", func(t *testing.T) {
		s := open(t)
		for _, value := range []string{"{}", "", "\x00\xff not text"} {
			rev, err := put(s, "a", value, store.Any)
			if err != nil || rev < 1 {
				t.Fatalf("Put = %d, %v", rev, err)
			}
			if got := get(t, s, "a"); got.Key != "a" || got.Revision != rev || string(got.Value) != value {
				t.Errorf("got %+v, want %q at revision %d", got, value, rev)
			}
		}
		err := s.View(ctx, func(r store.Reader) error {
			_, err := r.Get("absent")
			return err
		})
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("an absent document: %v", err)
		}
	})

	t.Run("a revision that moved on is Conflict", func(t *testing.T) {
		s := open(t)
		first, err := put(s, "a", "1", store.Absent)
		if err != nil {
			t.Fatal(err)
		}
		second, err := put(s, "a", "2", first)
		if err != nil || second <= first {
			t.Fatalf("Put = %d, %v; want more than %d", second, err, first)
		}
		for _, was := range []int64{store.Absent, first, second + 1} {
			if _, err := put(s, "a", "3", was); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
				t.Errorf("Put over revision %d as if it were %d: %v", second, was, err)
			}
			err := s.Update(ctx, func(tx store.Tx) error { return tx.Delete("a", was) })
			if fault.KindOf(err) != fault.Conflict {
				t.Errorf("Delete of revision %d as if it were %d: %v", second, was, err)
			}
		}
		if _, err := put(s, "b", "1", second); fault.KindOf(err) != fault.Conflict {
			t.Errorf("Put over nothing as if it were %d: %v", second, err)
		}
		if got := get(t, s, "a"); string(got.Value) != "2" {
			t.Errorf("got %q", got.Value)
		}
	})

	t.Run("a revision never comes back", func(t *testing.T) {
		s := open(t)
		first, err := put(s, "a", "1", store.Absent)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.Delete("a", first) }); err != nil {
			t.Fatal(err)
		}
		again, err := put(s, "a", "2", store.Absent)
		if err != nil || again <= first {
			t.Errorf("after a deletion Put = %d, %v; want more than %d", again, err, first)
		}
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.Delete("absent", store.Any) }); err != nil {
			t.Errorf("Delete of nothing: %v", err)
		}
	})

	t.Run("a failed update changes nothing", func(t *testing.T) {
		s := open(t)
		if _, err := put(s, "a", "1", store.Absent); err != nil {
			t.Fatal(err)
		}
		stop := errors.New("changed my mind")
		err := s.Update(ctx, func(tx store.Tx) error {
			_, err := tx.Put("a", []byte("2"), store.Any)
			_, err2 := tx.Put("b", []byte("2"), store.Any)
			if err3 := errors.Join(err, err2, tx.Delete("a", store.Any)); err3 != nil {
				t.Error(err3)
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Errorf("got %v, want the function's error", err)
		}
		if got := scan(t, s, ""); !cmp.Equal(got, map[string]string{"a": "1"}) {
			t.Errorf("got %v", got)
		}
	})

	t.Run("scans by prefix, in the order of bytes", func(t *testing.T) {
		s := open(t)
		keys := []string{"a", "a!", "a-b", "a/1", "a/10", "a/2", "a/~", "a0", "aB", "ab", "b", "~"}
		for i := range 600 { // more than an adapter may read at once
			keys = append(keys, fmt.Sprintf("many/%04d", i))
		}
		slices.Sort(keys)
		err := s.Update(ctx, func(tx store.Tx) error {
			for _, i := range slices.Backward(keys) {
				if _, err := tx.Put(i, []byte(i), store.Absent); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, prefix := range []string{"", "a", "a/", "many/", "many/0255", "x", "~"} {
			var got, want []string
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) {
					want = append(want, key)
				}
			}
			err := s.View(ctx, func(r store.Reader) error {
				return r.Scan(prefix, func(d store.Doc) error {
					got = append(got, string(d.Value))
					return nil
				})
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("prefix %q: %v %v", prefix, err, cmp.Diff(want, got))
			}
		}
	})

	t.Run("a scan lets its function read and write", func(t *testing.T) {
		s := open(t)
		if _, err := put(s, "n/1", "x", store.Absent); err != nil {
			t.Fatal(err)
		}
		err := s.Update(ctx, func(tx store.Tx) error {
			return tx.Scan("n/", func(d store.Doc) error {
				if got, err := tx.Get(d.Key); err != nil || !cmp.Equal(got, d) {
					t.Errorf("Get = %+v, %v; want %+v", got, err, d)
				}
				_, err := tx.Put("done/"+d.Key, d.Value, store.Absent)
				return errors.Join(err, tx.Delete(d.Key, d.Revision))
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := scan(t, s, ""); !cmp.Equal(got, map[string]string{"done/n/1": "x"}) {
			t.Errorf("got %v", got)
		}
		stop := errors.New("enough")
		err = s.View(ctx, func(r store.Reader) error { return r.Scan("", func(store.Doc) error { return stop }) })
		if !errors.Is(err, stop) {
			t.Errorf("Scan = %v, want the function's error", err)
		}
	})

	t.Run("odd keys and huge values are refused", func(t *testing.T) {
		s := open(t)
		for _, key := range []string{"", "a b", "a\n", "ä", "a\x7f", strings.Repeat("k", store.MaxKey+1)} {
			if _, err := put(s, key, "", store.Any); fault.KindOf(err) != fault.Invalid {
				t.Errorf("key %q: %v", key, err)
			}
			for name, use := range map[string]func(store.Tx) error{
				"Get":    func(tx store.Tx) error { _, err := tx.Get(key); return err },
				"Delete": func(tx store.Tx) error { return tx.Delete(key, store.Any) },
			} {
				if err := s.Update(ctx, use); fault.KindOf(err) != fault.Invalid {
					t.Errorf("%s of key %q: %v", name, key, err)
				}
			}
		}
		if _, err := put(s, strings.Repeat("k", store.MaxKey), strings.Repeat("v", store.MaxValue), store.Any); err != nil {
			t.Errorf("the greatest allowed: %v", err)
		}
		if _, err := put(s, "k", strings.Repeat("v", store.MaxValue+1), store.Any); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a value too long: %v", err)
		}
	})

	t.Run("a view is a snapshot", func(t *testing.T) {
		s := open(t)
		if _, err := put(s, "a", "before", store.Absent); err != nil {
			t.Fatal(err)
		}
		err := s.View(ctx, func(r store.Reader) error {
			if _, err := r.Get("a"); err != nil {
				return err
			}
			if _, err := put(s, "a", "after", store.Any); err != nil {
				return err
			}
			got, err := r.Get("a")
			if string(got.Value) != "before" {
				t.Errorf("got %q", got.Value)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, "a"); string(got.Value) != "after" {
			t.Errorf("got %q", got.Value)
		}
	})

	t.Run("updates are one after another", func(t *testing.T) {
		s := open(t)
		const writers, rounds = 8, 20
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range rounds {
					err := s.Update(ctx, func(tx store.Tx) error {
						n, was := 0, store.Absent
						switch d, err := tx.Get("n"); {
						case err == nil:
							n, _ = strconv.Atoi(string(d.Value))
							was = d.Revision
						case fault.KindOf(err) != fault.NotFound:
							return err
						}
						_, err := tx.Put("n", []byte(strconv.Itoa(n+1)), was)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := get(t, s, "n"); string(got.Value) != strconv.Itoa(writers*rounds) {
			t.Errorf("counted %s, want %d", got.Value, writers*rounds)
		}
	})

	t.Run("a context that is done ends the call", func(t *testing.T) {
		s := open(t)
		done, cancel := context.WithCancel(ctx)
		cancel()
		err := s.Update(done, func(tx store.Tx) error {
			_, err := tx.Put("a", nil, store.Any)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Update: %v", err)
		}
		if got := scan(t, s, ""); len(got) != 0 {
			t.Errorf("it was written: %v", got)
		}
	})

	t.Run("agrees with a map", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) { againstMap(r, open(t)) })
	})
}

// againstMap runs random transactions on s and on a map.
func againstMap(t *rapid.T, s store.State) {
	ctx := context.Background()
	model := map[string]string{}
	key := rapid.StringMatching(`[ab/]{1,2}`)
	for range rapid.IntRange(1, 8).Draw(t, "transactions") {
		after := maps.Clone(model)
		fail := errors.New("dropped")
		drop := rapid.Bool().Draw(t, "drop")
		err := s.Update(ctx, func(tx store.Tx) error {
			for range rapid.IntRange(0, 5).Draw(t, "operations") {
				k := key.Draw(t, "key")
				if rapid.Bool().Draw(t, "delete") {
					if err := tx.Delete(k, store.Any); err != nil {
						return err
					}
					delete(after, k)
					continue
				}
				v := rapid.StringN(0, 4, -1).Draw(t, "value")
				if _, err := tx.Put(k, []byte(v), store.Any); err != nil {
					return err
				}
				after[k] = v
			}
			if drop {
				return fail
			}
			return nil
		})
		if drop != errors.Is(err, fail) || !drop && err != nil {
			t.Fatal(err)
		}
		if !drop {
			model = after
		}
		for _, prefix := range []string{"", "a", "a/", "b"} {
			want := map[string]string{}
			for k, v := range model {
				if strings.HasPrefix(k, prefix) {
					want[k] = v
				}
			}
			if diff := cmp.Diff(want, scan(t, s, prefix)); diff != "" {
				t.Fatalf("prefix %q: %s", prefix, diff)
			}
		}
	}
}

func get(t *testing.T, s store.State, key string) (d store.Doc) {
	t.Helper()
	err := s.View(context.Background(), func(r store.Reader) (err error) {
		d, err = r.Get(key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func scan(t rapid.TB, s store.State, prefix string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := s.View(context.Background(), func(r store.Reader) error {
		return r.Scan(prefix, func(d store.Doc) error {
			found[d.Key] = string(d.Value)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
