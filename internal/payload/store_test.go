package payload

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

// clock is a time that tests set.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// full is a disk with room for so many bytes more; -1 is no bound. What does not fit is written in part.
type full struct {
	Disk
	room int
}

func (d *full) Append(service, name string) (io.WriteCloser, int64, bool, error) {
	f, size, torn, err := d.Disk.Append(service, name)
	return fullFile{f, d}, size, torn, err
}

type fullFile struct {
	io.WriteCloser
	disk *full
}

func (f fullFile) Write(b []byte) (int, error) {
	if f.disk.room < 0 || len(b) <= f.disk.room {
		return f.WriteCloser.Write(b)
	}
	n, err := f.WriteCloser.Write(b[:f.disk.room])
	f.disk.room = 0
	return n, errors.Join(err, syscall.ENOSPC)
}

var plenty = Limits{Keep: 7 * 24 * time.Hour, MaxSize: 1 << 20}

// line is a payload's line of about so many bytes.
func line(t testing.TB, decision string, size int) []byte {
	t.Helper()
	r := Record{Decision: decision, Status: 200}
	r.SetBodies(Cut([]byte(strings.Repeat("x", size)), size), Body{}, nil)
	b, err := r.Line()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	files, err := DirDisk(dir).List("s")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		all = append(all, f.Name)
	}
	slices.Sort(all)
	return all
}

// lines returns the decisions of those lines that are payloads, as somebody reads them who has no references, and how many are none.
func lines(t testing.TB, dir string) (decisions []string, broken int) {
	t.Helper()
	for _, name := range names(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, folderName, "s", name))
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			if r, err := parseLine([]byte(l)); err == nil {
				decisions = append(decisions, r.Decision)
			} else {
				broken++
			}
		}
	}
	return decisions, broken
}

func TestWhatIsWrittenIsReadByItsReference(t *testing.T) {
	dir := t.TempDir()
	c := &clock{at("2026-11-21T23:59:59Z")}
	s := NewStore(DirDisk(dir), c.time)
	refs := map[string]string{}
	for i := range 300 {
		id := fmt.Sprintf("decision-%d", i)
		if i == 200 {
			c.now = c.now.Add(time.Second)
		}
		if i == 250 { // as after a restart
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = NewStore(DirDisk(dir), c.time)
		}
		ref, err := s.Append("s", plenty, line(t, id, 1000))
		if err != nil {
			t.Fatal(err)
		}
		refs[id] = ref
	}
	for id, ref := range refs {
		r, err := Read(dir, "s", id, ref)
		if err != nil || r.Decision != id || len(r.Request) != 1000 {
			t.Errorf("%s at %s: %+v, %v", id, ref, r, err)
		}
	}
	want := []string{"2026-11-21-001.jsonl", "2026-11-21-002.jsonl", "2026-11-22-001.jsonl"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	if !strings.HasPrefix(refs["decision-0"], "2026-11-21-001:0") || !strings.HasPrefix(refs["decision-200"], "2026-11-22-001:0") {
		t.Errorf("the first are at %s and %s", refs["decision-0"], refs["decision-200"])
	}
	if _, err := Read(dir, "s", "decision-1", refs["decision-2"]); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a reference to another decision's payload: %v", err)
	}
}

func TestOnlyTheOwnerReadsPayloads(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(DirDisk(dir), time.Now)
	defer s.Close()
	if _, err := s.Append("s", plenty, line(t, "d", 1)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Join(dir, folderName), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoLinkLeadsOut(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, folderName)); err != nil {
		t.Fatal(err)
	}
	s := NewStore(DirDisk(dir), time.Now)
	if _, err := s.Append("s", plenty, line(t, "d", 1)); err == nil {
		t.Error("a payload is written outside the data directory")
	}
}

func TestOldFilesGo(t *testing.T) {
	dir := t.TempDir()
	c := &clock{at("2026-11-01T12:00:00Z")}
	s := NewStore(DirDisk(dir), c.time)
	defer s.Close()
	var refs []string
	for range 12 {
		ref, err := s.Append("s", plenty, line(t, "d", 10))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
		c.now = c.now.Add(24 * time.Hour)
	}
	keep := func(why string, want ...string) {
		t.Helper()
		if err := s.Sweep("s", plenty); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", why, got, want)
		}
	}
	c.now = at("2026-11-12T23:59:59Z")
	eight := []string{
		"2026-11-05-001.jsonl", "2026-11-06-001.jsonl", "2026-11-07-001.jsonl", "2026-11-08-001.jsonl",
		"2026-11-09-001.jsonl", "2026-11-10-001.jsonl", "2026-11-11-001.jsonl", "2026-11-12-001.jsonl",
	}
	keep("seven days behind their day's end", eight...)
	if _, err := Read(dir, "s", "d", refs[0]); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("what is removed: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, folderName, "s", "2020-01-01-notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.now = at("2026-11-11T23:59:59Z")
	keep("a clock set back", append(slices.Clone(eight), "2020-01-01-notes.txt")[8], eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7])
	c.now = at("2026-11-13T23:59:59Z")
	keep("a clock a day ahead", "2020-01-01-notes.txt", eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7])
	c.now = at("2027-01-01T00:00:00Z")
	keep("a service nobody asks", "2020-01-01-notes.txt")
}

func TestFilesStayWithinTheirSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "payload")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		c := &clock{at("2026-11-21T00:00:00Z")}
		s := NewStore(DirDisk(dir), c.time)
		l := Limits{Keep: 1000 * time.Hour, MaxSize: rapid.Int64Range(20_000, 50_000).Draw(t, "size")}
		for range rapid.IntRange(1, 60).Draw(t, "lines") {
			switch rapid.IntRange(0, 20).Draw(t, "event") {
			case 0:
				c.now = c.now.Add(time.Duration(rapid.IntRange(-30, 30).Draw(t, "hours")) * time.Hour)
			case 1:
				s = NewStore(DirDisk(dir), c.time)
			case 2:
				if err := s.Sweep("s", l); err != nil {
					t.Fatal(err)
				}
			}
			r := Record{Decision: "d"}
			r.SetBodies(Cut(make([]byte, rapid.IntRange(0, 300).Draw(t, "bytes")), 300), Body{}, nil) // six bytes each
			b, err := r.Line()
			if err != nil {
				t.Fatal(err)
			}
			ref, err := s.Append("s", l, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Read(dir, "s", "d", ref); err != nil {
				t.Fatal(err)
			}
			files, err := DirDisk(dir).List("s")
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for _, f := range files {
				total += f.Size
			}
			if total > l.MaxSize {
				t.Fatalf("%d bytes in %d files, %d are allowed", total, len(files), l.MaxSize)
			}
		}
	})
}

func TestAFullDiskCostsWhatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	d := &full{Disk: DirDisk(dir), room: -1}
	s := NewStore(d, time.Now)
	defer s.Close()
	refs := map[string]string{}
	for i := range 40 {
		switch i {
		case 10:
			d.room = 150 // the middle of a line
		case 20:
			d.room = 0 // not a byte
		case 30:
			d.room = -1
		}
		id := fmt.Sprintf("d%d", i)
		ref, err := s.Append("s", plenty, line(t, id, 100))
		if failed := err != nil; failed != (i >= 10 && i < 30) {
			t.Fatalf("line %d: %v", i, err)
		}
		if err == nil {
			refs[id] = ref
		} else if !errors.Is(err, syscall.ENOSPC) || fault.KindOf(err) != fault.Unavailable || ref != "" {
			t.Errorf("%q, %v", ref, err)
		}
	}
	if len(refs) != 20 {
		t.Errorf("%d payloads are written, want 20", len(refs))
	}
	for id, ref := range refs {
		if _, err := Read(dir, "s", id, ref); err != nil {
			t.Error(err)
		}
	}
	if decisions, broken := lines(t, dir); len(decisions) != 20 || broken != 1 {
		t.Errorf("%d payloads and %d broken lines are in the files, want 20 and 1", len(decisions), broken)
	}
}

func TestACrashInTheMiddleOfALineCostsThatLine(t *testing.T) {
	for name, tail := range map[string]string{"cut": `{"v":1,"decision":"lost","requ`, "zeros": "\x00\x00\x00\x00", "only its end is missing": `{"v":1,"decision":"lost"}`} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := &clock{at("2026-11-21T12:00:00Z")}
			s := NewStore(DirDisk(dir), c.time)
			before, err := s.Append("s", plenty, line(t, "before", 10))
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			path := filepath.Join(dir, folderName, "s", "2026-11-21-001.jsonl")
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(tail); err != nil {
				t.Fatal(err)
			}
			f.Close()
			lost := fmt.Sprintf("2026-11-21-001:%d", info.Size())
			if _, err := Read(dir, "s", "lost", lost); fault.KindOf(err) != fault.NotFound {
				t.Errorf("the torn line: %v", err)
			}
			s = NewStore(DirDisk(dir), c.time)
			defer s.Close()
			after, err := s.Append("s", plenty, line(t, "after", 10))
			if err != nil {
				t.Fatal(err)
			}
			for id, ref := range map[string]string{"before": before, "after": after} {
				if _, err := Read(dir, "s", id, ref); err != nil {
					t.Error(err)
				}
			}
			if got := names(t, dir); len(got) != 1 {
				t.Errorf("files %v", got)
			}
			if decisions, _ := lines(t, dir); !slices.Contains(decisions, "before") || !slices.Contains(decisions, "after") {
				t.Errorf("the file has %v", decisions)
			}
		})
	}
}

func TestAFolderRemovedByHandIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(DirDisk(dir), time.Now)
	defer s.Close()
	if _, err := s.Append("s", plenty, line(t, "a", 1)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, folderName)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep("s", plenty); err != nil {
		t.Fatal(err)
	}
	ref, err := s.Append("s", plenty, line(t, "b", 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir, "s", "b", ref); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoReferenceIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, ref := range []string{
		"", "2026-11-21-001", "2026-11-21-001:", "2026-11-21-001:-1", "2026-11-21-001:+1", "2026-11-21-001:01", "2026-11-21-1:0", "2026-11-21-0001:0",
		"2026-13-21-001:0", "../../etc/passwd:0", "2026-11-21-001:99999999999999999999",
	} {
		if _, err := Read(dir, "s", "d", ref); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", ref, err)
		}
	}
	for _, service := range []string{"", "..", "../..", "/etc", "a/b"} {
		if _, err := Read(dir, service, "d", "2026-11-21-001:0"); err == nil {
			t.Errorf("service %q is read", service)
		}
	}
}
