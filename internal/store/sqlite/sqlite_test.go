package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/storetest"
)

func open(t *testing.T, path string) *State {
	t.Helper()
	s, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(s *State, key, value string) error {
	return s.Update(context.Background(), func(tx store.Tx) error {
		_, err := tx.Put(key, []byte(value), store.Any)
		return err
	})
}

func value(s *State, key string) (text string, err error) {
	err = s.View(context.Background(), func(r store.Reader) error {
		d, err := r.Get(key)
		text = string(d.Value)
		return err
	})
	return text, err
}

func TestStateSuite(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State { return open(t, filepath.Join(t.TempDir(), "serin.db")) })
}

func TestStateSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serin.db")
	for i, want := range []string{"one", "two"} {
		s := open(t, path)
		if i > 0 {
			if got, err := value(s, "a"); err != nil || got != "one" {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if err := put(s, "a", want); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

func TestReadOnlyStateReadsAndNeverWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serin.db")
	if _, err := OpenReadOnly(context.Background(), path); fault.KindOf(err) != fault.NotFound {
		t.Fatalf("no file: %v", err)
	}
	s := open(t, path)
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	s.Close()

	ro, err := OpenReadOnly(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if got, err := value(ro, "a"); err != nil || got != "1" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := put(ro, "a", "2"); fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.HintOf(err), "can be written") {
		t.Errorf("writing: %v", err)
	}
}

func TestReadingWithoutLocksNoticesAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serin.db")
	open(t, path).Close()
	ro, err := OpenReadOnly(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	err = ro.View(context.Background(), func(store.Reader) error { return put(open(t, path), "a", "1") })
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("got %v", err)
	}
}

// The file format is a contract: a file of format 1 stays readable.
func TestFileOfFormat1StillReads(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("testdata", "format1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "serin.db")
	s := open(t, path)
	if _, err := s.db.ExecContext(context.Background(), "DROP TABLE documents; DROP TABLE revision;"+string(script)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, path)
	if got, err := value(s, "model/a"); err != nil || got != `{"format":1}` {
		t.Errorf("got %q, %v", got, err)
	}
	err = s.Update(context.Background(), func(tx store.Tx) error {
		rev, err := tx.Put("model/b", nil, store.Absent)
		if rev != 42 {
			t.Errorf("the next revision is %d, want 42", rev)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
