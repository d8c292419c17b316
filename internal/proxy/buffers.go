package proxy

import "sync"

// buffers are kept for answers that do not fit into a call's own.
type buffers struct{ sizes [3]sync.Pool }

// smallest is the size of the buffers in the first pool; each next has them four times as large.
const smallest = 32 << 10

// get returns a buffer of n bytes or more, which put takes back.
func (b *buffers) get(n int) []byte {
	for i, size := 0, smallest; i < len(b.sizes); i, size = i+1, size*4 {
		if n > size {
			continue
		}
		if p, _ := b.sizes[i].Get().(*[]byte); p != nil {
			return *p
		}
		return make([]byte, size)
	}
	return make([]byte, n)
}

// put keeps a buffer that get made; any other it lets go.
func (b *buffers) put(p []byte) {
	for i, size := 0, smallest; i < len(b.sizes); i, size = i+1, size*4 {
		if len(p) == size {
			kept := p // a variable of its own: only what is kept is allocated
			b.sizes[i].Put(&kept)
			return
		}
	}
}
