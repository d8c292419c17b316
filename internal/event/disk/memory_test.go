package disk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
)

// memory is an FS that knows what would outlive a loss of power: what was synced, and of the rest whatever chance keeps.
type memory struct {
	mu      sync.Mutex
	names   map[string]*inode // as the process sees them
	durable map[string]*inode
	pending []naming // since the last Sync of the folder

	random *rand.Rand
	before func(op, name string) error // as in store/disk; its error takes the place of the call. nil: nothing fails
	room   int                         // bytes that files may have together; 0: any number
}

// naming is a change of the folder: name is inode, or no file if that is nil.
type naming struct {
	name  string
	inode *inode
}

type inode struct {
	now, durable []byte
	pending      []change // since the last Sync of the file
}

// change is a write at pos or, if data is nil, a change of size to pos.
type change struct {
	pos  int
	data []byte
}

func newMemory(seed uint64) *memory {
	return &memory{names: map[string]*inode{}, durable: map[string]*inode{}, random: rand.New(rand.NewPCG(seed, 1))}
}

func apply(b []byte, c change) []byte {
	if end := c.pos + len(c.data); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	if c.data == nil {
		return b[:c.pos:c.pos]
	}
	copy(b[c.pos:], c.data)
	return b
}

func (m *memory) call(op, name string) error {
	if m.before == nil {
		return nil
	}
	return m.before(op, name)
}

// kill is what a crash of the process leaves: all that it wrote, synced or not.
func (m *memory) kill() { m.before = nil }

// lose is what a loss of power leaves. Of names a first part of the changes is kept or, in an unkind case, any of them; of files any
// sectors, and anything where a file had grown.
func (m *memory) lose() {
	m.before = nil
	kept, unkind := m.random.IntN(len(m.pending)+1), m.random.IntN(2) == 0
	for i, p := range m.pending {
		if unkind && m.random.IntN(2) == 0 || !unkind && i < kept {
			m.rename(m.durable, p)
		}
	}
	m.pending, m.names = nil, maps.Clone(m.durable)
	for _, f := range m.names {
		for _, c := range f.pending {
			m.keepSome(f, c)
		}
		f.pending, f.now = nil, slices.Clone(f.durable)
	}
}

const sector = 512

func (m *memory) keepSome(f *inode, c change) {
	if c.data == nil {
		if m.random.IntN(2) == 0 {
			f.durable = apply(f.durable, c)
		}
		return
	}
	share := m.random.IntN(4) // of 3
	for len(c.data) > 0 {
		n := min(len(c.data), sector-c.pos%sector)
		switch {
		case m.random.IntN(3) < share:
			f.durable = apply(f.durable, change{c.pos, c.data[:n]})
		case c.pos >= len(f.durable) && m.random.IntN(3) == 0: // it grew, with what was on the disk before
			junk := make([]byte, n)
			for i := range junk {
				junk[i] = byte(m.random.Uint32())
			}
			f.durable = apply(f.durable, change{c.pos, junk})
		}
		c.pos, c.data = c.pos+n, c.data[n:]
	}
}

func (m *memory) rename(names map[string]*inode, n naming) {
	if n.inode == nil {
		delete(names, n.name)
		return
	}
	names[n.name] = n.inode
}

func (m *memory) change(n naming) {
	m.rename(m.names, n)
	m.pending = append(m.pending, n)
}

func (m *memory) Open(name string, flag int) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("open", name); err != nil {
		return nil, err
	}
	f := m.names[name]
	switch {
	case f == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: "/secret/" + name, Err: syscall.ENOENT}
	case f == nil:
		f = &inode{}
		m.change(naming{name, f})
	case flag&os.O_TRUNC != 0:
		f.resize(0)
	}
	return &handle{m, f, name}, nil
}

func (m *memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("rename", to); err != nil {
		return err
	}
	f := m.names[from]
	if f == nil {
		return syscall.ENOENT
	}
	m.change(naming{to, f})
	m.change(naming{from, nil})
	return nil
}

func (m *memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("remove", name); err != nil {
		return err
	}
	if m.names[name] == nil {
		return syscall.ENOENT
	}
	m.change(naming{name, nil})
	return nil
}

func (m *memory) List() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("list", ""); err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(m.names)), nil
}

func (m *memory) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("syncdir", ""); err != nil {
		return err
	}
	for _, p := range m.pending {
		m.rename(m.durable, p)
	}
	m.pending = nil
	return nil
}

func (m *memory) Close() error { return nil }

func (m *memory) used() (n int) {
	for _, f := range m.names {
		n += len(f.now)
	}
	return n
}

// handle is an open file.
type handle struct {
	m    *memory
	f    *inode
	name string
}

func (f *inode) resize(size int) {
	f.now = apply(f.now, change{pos: size})
	f.pending = append(f.pending, change{pos: size})
}

func (h *handle) ReadAt(p []byte, at int64) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.m.call("read", h.name); err != nil {
		return 0, err
	}
	if at >= int64(len(h.f.now)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.now[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes a part when it fails, as a disk that is full does.
func (h *handle) WriteAt(p []byte, at int64) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	n, err := len(p), h.m.call("write", h.name)
	if err != nil && !errors.Is(err, errStop) {
		n = h.m.random.IntN(len(p) + 1)
	}
	if grows := int(at) + len(p) - len(h.f.now); err == nil && h.m.room > 0 && h.m.used()+grows > h.m.room {
		n, err = max(0, min(n, h.m.room-h.m.used())), syscall.ENOSPC
	}
	if n > 0 {
		c := change{int(at), slices.Clone(p[:n])}
		h.f.now = apply(h.f.now, c)
		h.f.pending = append(h.f.pending, c)
	}
	return n, err
}

func (h *handle) Size() (int64, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return int64(len(h.f.now)), h.m.call("size", h.name)
}

func (h *handle) Truncate(size int64) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.m.call("truncate", h.name); err != nil {
		return err
	}
	h.f.resize(int(size))
	return nil
}

// Sync, where it fails, does as Linux does: some of what was pending is lost, and is not pending any more.
func (h *handle) Sync() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	err := h.m.call("sync", h.name)
	for _, c := range h.f.pending {
		if errors.Is(err, errStop) {
			return err
		}
		if err != nil {
			h.m.keepSome(h.f, c)
			continue
		}
		h.f.durable = apply(h.f.durable, c)
	}
	h.f.pending = nil
	return err
}

func (h *handle) Close() error { return nil }

// errStop takes the place of every call from some moment on: the process is dead.
var errStop = errors.New("stopped here")
