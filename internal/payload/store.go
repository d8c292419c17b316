package payload

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Limits are how long, and how many, of a service's payloads are kept. Whole files go: one lives until Keep after its day is over.
type Limits struct {
	Keep    time.Duration
	MaxSize int64 // bytes of all its files; at least 100 times the most that is kept of a body, so that several files fit
}

// fileSize is how large a file may become: an eighth of all, so that what goes is the oldest eighth at most.
func (l Limits) fileSize() int64 { return min(64<<20, l.MaxSize/8) }

// Store writes payloads. One goroutine uses it at a time, and no other process writes to the same disk.
type Store struct {
	disk    Disk
	now     func() time.Time
	folders map[string]*folder
}

// folder is the file that a service's payloads go to now.
type folder struct {
	file io.WriteCloser // nil: none is open
	name fileName
	size int64
	torn bool // it ends in the middle of a line
}

// NewStore returns a Store on the disk. Close it after use.
func NewStore(disk Disk, now func() time.Time) *Store {
	return &Store{disk: disk, now: now, folders: map[string]*folder{}}
}

// Append writes a line, which ends with a line end and has no other, and returns its reference. After an error nothing refers to what may
// have been written of it; the next line begins anew.
func (s *Store) Append(service string, l Limits, line []byte) (ref string, err error) {
	f := s.folders[service]
	if f == nil {
		f = &folder{}
		s.folders[service] = f
	}
	day := s.today()
	if f.file != nil && (f.name.day != day || !f.fits(line, l)) {
		if err := f.close(); err != nil {
			return "", fault.Unavailablef("close payloads of %s: %w", service, err)
		}
	}
	if f.file == nil {
		if err := s.open(service, f, day, l, line); err != nil {
			return "", fault.Unavailablef("open a file for payloads of %s: %w", service, err)
		}
	}
	at := place{f.name, f.size}
	if f.torn { // by a crash, or a disk that was full: what there is becomes a line of its own, which readers pass over
		line = append([]byte{'\n'}, line...)
		at.offset++
	}
	n, err := f.file.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err != nil {
		_ = f.close() // what the file ends with now is seen when it is opened again
		return "", fault.Unavailablef("write a payload of %s: %w", service, err)
	}
	f.size += int64(n)
	f.torn = false
	return at.String(), nil
}

func (s *Store) today() string { return s.now().UTC().Format(time.DateOnly) }

// fits tells whether there is room for another line. A file takes one line at least.
func (f *folder) fits(line []byte, l Limits) bool {
	return f.size == 0 || f.size+int64(len(line)) < l.fileSize()
}

func (f *folder) close() error {
	file := f.file
	*f = folder{}
	if file == nil {
		return nil
	}
	return file.Close()
}

// open opens the day's last file, or the next one where that has no room for the line, and makes room for it among the files there are.
func (s *Store) open(service string, f *folder, day string, l Limits, line []byte) error {
	files, err := s.list(service)
	if err != nil {
		return err
	}
	next := folder{name: fileName{day, 1}}
	for _, have := range files { // in order
		if have.name.day == day {
			next.name, next.size = have.name, have.size
		}
	}
	if !next.fits(line, l) {
		next.name.number, next.size = next.name.number+1, 0
	}
	files = slices.DeleteFunc(files, func(have stored) bool { return have.name == next.name })
	if err := s.remove(service, files, l, max(l.fileSize(), int64(len(line)))); err != nil {
		return err
	}
	next.file, next.size, next.torn, err = s.disk.Append(service, next.name.String())
	if err == nil {
		*f = next
	}
	return err
}

// Sweep removes what the limits say. Call it now and then: files are removed when a new one is begun too, but a quiet service begins none.
func (s *Store) Sweep(service string, l Limits) error {
	files, err := s.list(service)
	if err != nil {
		return fault.Unavailablef("list payloads of %s: %w", service, err)
	}
	var current int64
	if f := s.folders[service]; f != nil && f.file != nil {
		i := slices.IndexFunc(files, func(have stored) bool { return have.name == f.name })
		if i < 0 || f.name.day != s.today() { // somebody has removed it, or its day is over
			if err := f.close(); err != nil {
				return fault.Unavailablef("close payloads of %s: %w", service, err)
			}
		} else {
			current = files[i].size
			files = slices.Delete(files, i, i+1)
		}
	}
	if err := s.remove(service, files, l, current); err != nil {
		return fault.Unavailablef("remove payloads of %s: %w", service, err)
	}
	return nil
}

// stored is a file of ours.
type stored struct {
	name fileName
	size int64
}

// list returns the files of a service, the oldest first.
func (s *Store) list(service string) ([]stored, error) {
	files, err := s.disk.List(service)
	if err != nil {
		return nil, err
	}
	var ours []stored
	for _, f := range files {
		if name, ok := parseFileName(f.Name); ok {
			ours = append(ours, stored{name, f.Size})
		}
	}
	slices.SortFunc(ours, func(a, b stored) int { return a.name.compare(b.name) })
	return ours, nil
}

// remove removes those of files, the oldest first, that are too old, or for which there is no room beside reserved bytes.
func (s *Store) remove(service string, files []stored, l Limits, reserved int64) error {
	total := reserved
	for _, f := range files {
		total += f.size
	}
	now := s.now()
	for _, f := range files {
		if total <= l.MaxSize && f.name.end().Add(l.Keep).After(now) {
			continue
		}
		if err := s.disk.Remove(service, f.name.String()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.size
	}
	return nil
}

// Close closes every file.
func (s *Store) Close() error {
	all := make([]error, 0, len(s.folders))
	for _, f := range s.folders {
		all = append(all, f.close())
	}
	return errors.Join(all...)
}
