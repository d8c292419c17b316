package registry

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"strconv"
)

// pickler follows a pickle as Python's Unpickler would, without making anything: it knows how many values the stack holds, and so
// when a byte cannot be an opcode there. Text and other formats fail within a few bytes; what goes on until it would run code is a
// pickle. Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py.
type pickler struct {
	r       *bufio.Reader
	depth   int   // values on the stack
	marks   []int // depth at each MARK
	ops     int
	memo    bool // a value was remembered, as every real pickle does
	global  bool // something was imported by name
	several bool // a pickle ended before
	loose   bool // an argument was not spelt as Python spells it
	err     error
}

// isPickle tells whether the Unpickler would take r for more than a few opcodes: to the end of a pickle, or to where it would import
// or call something.
//
// Protocol 2 and later begin with a header, so that little more is asked: one import, or the end. Protocols 0 and 1 have none,
// and an Unpickler takes opcodes of all protocols without it: there, an import must be followed by a use of what was imported,
// or by the end of the file, where plain data must end too.
func isPickle(r io.Reader) bool {
	p := pickler{r: bufio.NewReaderSize(r, 32<<10)}
	head, _ := p.r.Peek(2)
	header := len(head) == 2 && head[0] == 0x80 && head[1] < 16
	for {
		op, err := p.r.ReadByte()
		if err != nil {
			return false
		}
		p.ops++
		if op == '.' {
			if p.fence() >= p.depth {
				return false
			}
			if header || p.global && p.memo {
				return true
			}
			if _, err := p.r.Peek(1); err != nil {
				return p.global || p.plain()
			}
			// More follows: some loaders read one pickle after another.
			p.depth, p.marks, p.several = 0, nil, true
			continue
		}
		runs := p.step(op)
		if p.err != nil {
			return false
		}
		if p.global && (runs || header) || len(p.marks) > 1<<16 {
			return true
		}
	}
}

// plain tells, at STOP and at the end of the content, whether this is a whole pickle of plain data.
func (p *pickler) plain() bool {
	return p.depth == 1 && len(p.marks) == 0 && !p.loose && !p.several && (p.memo || p.ops > 3)
}

// fence is where the values above the last MARK begin.
func (p *pickler) fence() int {
	if len(p.marks) == 0 {
		return 0
	}
	return p.marks[len(p.marks)-1]
}

func (p *pickler) fail() { p.err = errNoPickle }

var errNoPickle = io.ErrUnexpectedEOF

// need takes n values off the stack and puts m on it.
func (p *pickler) need(n, m int) {
	if p.depth-p.fence() < n {
		p.fail()
		return
	}
	p.depth += m - n
}

// toMark takes all down to the last MARK off, at least n of them, and then as need.
func (p *pickler) toMark(n, below, m int) {
	if len(p.marks) == 0 || p.depth-p.fence() < n {
		p.fail()
		return
	}
	p.depth = p.fence()
	p.marks = p.marks[:len(p.marks)-1]
	p.need(below, m)
}

// skip passes over n bytes.
func (p *pickler) skip(n uint64) {
	for n > 0 && p.err == nil {
		part := min(n, 1<<30)
		if _, err := p.r.Discard(int(part)); err != nil {
			p.fail()
		}
		n -= part
	}
}

// sized passes over a length of that many bytes, little-endian, and over what it counts.
func (p *pickler) sized(bytes int) {
	var n uint64
	for i := range bytes {
		c, err := p.r.ReadByte()
		if err != nil {
			p.fail()
			return
		}
		n |= uint64(c) << (8 * i)
	}
	p.skip(n)
}

// line reads an argument that ends with a line feed; of a long one the beginning is returned, and cut is set.
func (p *pickler) line() (text []byte, cut bool) {
	text, err := p.r.ReadSlice('\n')
	if err == nil {
		return text[:len(text)-1], false
	}
	text = bytes.Clone(text)
	for err == bufio.ErrBufferFull { //nolint:errorlint // ReadSlice promises it itself
		_, err = p.r.ReadSlice('\n')
	}
	if err != nil {
		p.fail()
	}
	return text, true
}

var dotted = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// name reads the name of a module or of what is in it.
func (p *pickler) name() {
	text, cut := p.line()
	if cut || !dotted.Match(text) {
		p.fail()
	}
}

// step follows one opcode, and tells whether it calls or changes a value that may have been imported.
func (p *pickler) step(op byte) (runs bool) {
	switch op {
	case '(':
		p.marks = append(p.marks, p.depth)
	case '0':
		if len(p.marks) > 0 && p.depth == p.fence() { // POP takes a MARK too
			p.marks = p.marks[:len(p.marks)-1]
			return false
		}
		p.need(1, 0)
	case '1':
		p.toMark(0, 0, 0)
	case '2':
		p.need(1, 2)
	case 'l', 'd', 't', 0x91:
		p.toMark(0, 0, 1)
	case 'e', 'u', 0x90: // the object at the bottom takes the rest in, with a method of its own
		p.toMark(0, 1, 1)
		return true
	case 'a':
		p.need(2, 1)
		return true
	case 's':
		p.need(3, 1)
		return true
	case 'R', 'b', 0x81:
		p.need(2, 1)
		return true
	case 0x92:
		p.need(3, 1)
		return true
	case 'o':
		p.toMark(1, 0, 1)
		return true
	case 'i':
		p.toMark(0, 0, 1)
		p.name()
		p.name()
		p.global = true
		return true
	case 'c':
		p.name()
		p.name()
		p.need(0, 1)
		p.global = true
	case 0x93:
		p.need(2, 1)
		p.global = true
	case 0x82, 0x83, 0x84: // by number, of a registered extension
		p.skip(1 << (op - 0x82))
		p.need(0, 1)
		p.global = true
	case 0x85, 0x86, 0x87:
		p.need(int(op-0x84), 1)
	default:
		p.value(op)
	}
	return false
}

// value follows the opcodes that bring a value of their own, and those that note one.
func (p *pickler) value(op byte) {
	switch op {
	case 0x80:
		p.skip(1)
	case 0x95:
		p.skip(8)
	case 'p':
		p.number()
		p.remember()
	case 'q':
		p.skip(1)
		p.remember()
	case 'r':
		p.skip(4)
		p.remember()
	case 0x94:
		p.remember()
	case 0x98:
		p.need(1, 1)
	case 'Q':
		p.need(1, 1)
	default:
		p.push(op)
		p.need(0, 1)
	}
}

func (p *pickler) remember() {
	p.need(1, 1)
	p.memo = true
}

// push reads the argument of an opcode that pushes one value; any other byte fails.
func (p *pickler) push(op byte) {
	switch op {
	case 'N', '}', ']', ')', 0x88, 0x89, 0x8f, 0x97:
	case 'I', 'L', 'F', 'g':
		p.number()
	case 'S':
		text, _ := p.line()
		p.loose = p.loose || len(text) == 0 || text[0] != '\'' && text[0] != '"'
	case 'V', 'P':
		p.line()
	case 'K', 'h':
		p.skip(1)
	case 'M':
		p.skip(2)
	case 'J', 'j':
		p.skip(4)
	case 'G':
		p.skip(8)
	case 'U', 'C', 0x8a, 0x8c:
		p.sized(1)
	case 'T', 'X', 'B', 0x8b:
		p.sized(4)
	case 0x8d, 0x8e, 0x96:
		p.sized(8)
	default:
		p.fail()
	}
}

// number reads a line that should be a number. The Unpickler takes odd spellings, so none is refused here.
func (p *pickler) number() {
	text, _ := p.line()
	_, err := strconv.ParseFloat(string(bytes.TrimSuffix(text, []byte("L"))), 64)
	p.loose = p.loose || err != nil && len(text) < 300 // Python's integers have any length
}
