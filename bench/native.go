package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// native is a shared object of C functions that return 0, or -1 and an error to be asked for. It keeps what they point to.
type native struct {
	version   string // of the package it is in
	handle    uintptr
	lastError func() string
	kept      []any
}

// openNative opens a package's shared object in its virtual environment: the library as its users have it.
func openNative(name, object, version, lastError string) (*native, error) {
	found, err := filepath.Glob(filepath.Join(".venv", name, "lib/python3.*/site-packages", name))
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("package %s is not in .venv/%s: run scripts/venv.sh %s", name, name, name)
	}
	text, err := os.ReadFile(filepath.Join(found[0], version))
	if err != nil {
		return nil, err
	}
	handle, err := purego.Dlopen(filepath.Join(found[0], "lib", object), purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	n := &native{handle: handle, version: strings.TrimSpace(string(text))}
	purego.RegisterLibFunc(&n.lastError, handle, lastError)
	return n, nil
}

// bind looks functions up by name.
func (n *native) bind(functions map[string]*uintptr) (err error) {
	for name, function := range functions {
		if *function, err = purego.Dlsym(n.handle, name); err != nil {
			return err
		}
	}
	return nil
}

// keep makes values live as long as n. C sees only addresses in what is kept, and so on the heap.
func (n *native) keep(values ...any) { n.kept = append(n.kept, values...) }

// call calls a function, about a tenth of a microsecond slower than C would.
func (n *native) call(function uintptr, args ...uintptr) error {
	result, _, _ := purego.SyscallN(function, args...)
	runtime.KeepAlive(n)
	if int32(result) != 0 {
		return fmt.Errorf("the rival's library: %s", n.lastError())
	}
	return nil
}

// cString is a string as C takes it, kept.
func (n *native) cString(s string) uintptr {
	p := &append([]byte(s), 0)[0]
	n.keep(p)
	return address(p)
}

// address is a pointer as C takes it.
func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) } //nolint:gosec // G103: C takes addresses

// foreign is n values in C's memory.
func foreign[T any](p *T, n int) []T { return unsafe.Slice(p, n) } //nolint:gosec // G103: C gives addresses
