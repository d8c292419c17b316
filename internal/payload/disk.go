package payload

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/serin-ml/serin/internal/fault"
)

// Disk is the file system as far as a Store needs it. Files are named by service and file name.
type Disk interface {
	// List returns the files of a service; none is no error.
	List(service string) ([]File, error)
	// Append opens a file for writing at its end, making it and its folder where they are absent. It tells its size and whether it
	// ends in the middle of a line.
	Append(service, name string) (file io.WriteCloser, size int64, torn bool, err error)
	// Remove removes a file.
	Remove(service, name string) error
}

// File is a file of payloads.
type File struct {
	Name string
	Size int64 // bytes
}

// folderName is where payloads are, inside the data directory.
const folderName = "payloads"

// DirDisk is the Disk in a data directory. Folders and files can be read by their owner alone. No link leads out of the directory.
type DirDisk string

// in calls do with the data directory.
func (d DirDisk) in(do func(*os.Root) error) error {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return err
	}
	defer root.Close()
	return do(root)
}

// List implements Disk.
func (d DirDisk) List(service string) (files []File, err error) {
	err = d.in(func(root *os.Root) error {
		entries, err := fs.ReadDir(root.FS(), path.Join(folderName, service))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, e := range entries {
			info, gone := e.Info()
			if gone == nil && info.Mode().IsRegular() {
				files = append(files, File{e.Name(), info.Size()})
			}
		}
		return err
	})
	return files, err
}

// Append implements Disk.
func (d DirDisk) Append(service, name string) (file io.WriteCloser, size int64, torn bool, err error) {
	err = d.in(func(root *os.Root) error {
		if err := root.MkdirAll(path.Join(folderName, service), 0o700); err != nil {
			return err
		}
		f, err := root.OpenFile(path.Join(folderName, service, name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		if size, torn, err = tail(f); err != nil {
			f.Close()
			return err
		}
		file = f
		return nil
	})
	return file, size, torn, err
}

// tail tells how long f is and whether its last line has no end.
func tail(f *os.File) (size int64, torn bool, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, false, err
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return info.Size(), last[0] != '\n', err
}

// Remove implements Disk.
func (d DirDisk) Remove(service, name string) error {
	return d.in(func(root *os.Root) error { return root.Remove(path.Join(folderName, service, name)) })
}

// Read returns the payload that a decision of a service refers to. NotFound says that it is not there: removed as too old or for want of
// room, or lost in a crash. It needs no lock and may be called while a server writes.
func Read(dataDir, service, decision, ref string) (Record, error) {
	at, err := parseRef(ref)
	if err != nil {
		return Record{}, err
	}
	var r Record
	err = DirDisk(dataDir).in(func(root *os.Root) error {
		f, err := root.Open(path.Join(folderName, service, at.file.String()))
		if err != nil {
			return err
		}
		defer f.Close()
		line, err := readLine(io.NewSectionReader(f, at.offset, maxLine))
		if err == nil {
			r, err = parseLine(line)
		}
		if err == nil && r.Decision != decision {
			err = fault.NotFoundf("the payload there is of another decision")
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Record{}, fault.NotFoundf("payload %s of service %.80q is not there any more", ref, service).
			WithHint("payloads are removed after capture.keep, and the oldest beyond capture.maxSize")
	case err != nil:
		return Record{}, fault.New(fault.KindOf(err), "payload %s of service %.80q: %w", ref, service, err)
	}
	return r, nil
}

// maxLine bounds a line: two bodies of MaxBody, each byte of which may need six in JSON, and the rest.
const maxLine = 12*MaxBody + 64<<10

// MaxBody is the most that may be kept of one body, in bytes.
const MaxBody = 1 << 20
