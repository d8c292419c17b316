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
	stack   []kind
	marks   []int // height of the stack at each MARK
	ops     int
	memo    bool // a value was remembered, as every real pickle does
	global  bool // something was imported by name
	several bool // a pickle ended before
	changes bool // something that may be imported was given a value to keep
	header  bool // it says its protocol
	loose   bool // an argument was not spelt as Python spells it
	err     error
}

// kind is what a value on the stack may be, as bits. What was imported, or made by that, may be anything.
type kind uint8

const (
	kindOther    kind = 0
	kindText     kind = 1
	kindTuple    kind = 2
	kindImported kind = 4 | kindText | kindTuple
	kindAny           = kindImported // from the memo, of which nothing is kept here

	mayBeImported kind = 4
)

// maxStack bounds the stack that is followed. What needs more is taken for a pickle: no text comes near.
const maxStack = 1 << 22

// isPickle tells whether the Unpickler would take r for more than a few opcodes: to the end of a pickle, or to where it would import
// or call something.
//
// Protocol 2 and later begin with a header, so that little more is asked: one import, or the end. Protocols 0 and 1 have none,
// and an Unpickler takes opcodes of all protocols without it: there, an import must be followed by a use of what was imported,
// or by the end of the file, where plain data must end too.
func isPickle(r io.Reader) bool {
	p := pickler{r: bufio.NewReaderSize(r, 32<<10)}
	head, _ := p.r.Peek(2)
	p.header = len(head) == 2 && head[0] == 0x80 && head[1] < 16
	for {
		op, err := p.r.ReadByte()
		if err != nil {
			return false
		}
		p.ops++
		if op == '.' {
			if p.fence() >= len(p.stack) {
				return false
			}
			if p.header || p.global && (p.memo || p.changes) {
				return true
			}
			if _, err := p.r.Peek(1); err != nil {
				return p.global || p.plain()
			}
			// More follows: some loaders read one pickle after another.
			p.stack, p.marks, p.several = nil, nil, true
			continue
		}
		calls := p.step(op)
		if p.err != nil {
			return false
		}
		if p.global && (calls || p.header) || len(p.marks)+len(p.stack) > maxStack {
			return true
		}
	}
}

// plain tells, at STOP and at the end of the content, whether this is a whole pickle of plain data.
func (p *pickler) plain() bool {
	return len(p.stack) == 1 && len(p.marks) == 0 && !p.loose && !p.several && (p.memo || p.ops > 3)
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

// at returns the n-th value from the top, from 1, as long as it lies above the last MARK.
func (p *pickler) at(n int) kind {
	if len(p.stack)-p.fence() < n {
		p.fail()
		return kindOther
	}
	return p.stack[len(p.stack)-n]
}

// pop takes n values off.
func (p *pickler) pop(n int) {
	if p.at(n); p.err == nil {
		p.stack = p.stack[:len(p.stack)-n]
	}
}

// replace takes n values off and puts k on.
func (p *pickler) replace(n int, k kind) {
	if n > 0 {
		p.pop(n)
	}
	p.stack = append(p.stack, k)
}

// toMark takes the last MARK and all above it off, and returns how many values that were and the lowest of them.
func (p *pickler) toMark() (n int, lowest kind) {
	if len(p.marks) == 0 {
		p.fail()
		return 0, kindOther
	}
	fence := p.fence()
	if n = len(p.stack) - fence; n > 0 {
		lowest = p.stack[fence]
	}
	p.stack = p.stack[:fence]
	p.marks = p.marks[:len(p.marks)-1]
	return n, lowest
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

// step follows one opcode, and tells whether it calls a value that may have been imported.
func (p *pickler) step(op byte) (calls bool) {
	switch op {
	case '(':
		p.marks = append(p.marks, len(p.stack))
	case '0':
		if len(p.marks) > 0 && len(p.stack) == p.fence() { // POP takes a MARK too
			p.marks = p.marks[:len(p.marks)-1]
			return false
		}
		p.pop(1)
	case '1':
		p.toMark()
	case '2':
		p.stack = append(p.stack, p.at(1))
	case 'l', 'd', 0x91:
		p.toMark()
		p.replace(0, kindOther)
	case 't':
		p.toMark()
		p.replace(0, kindTuple)
	case 0x85, 0x86, 0x87:
		p.replace(int(op-0x84), kindTuple)
	case 'e', 'u', 0x90: // the value below the MARK takes the rest in, by a method of its own
		p.toMark()
		p.change(0)
	case 'a', 'b':
		p.change(1)
	case 's':
		p.change(2)
	case 'R', 0x81:
		return p.call(2, p.at(1))
	case 0x92:
		return p.call(3, p.at(2))
	case 'o':
		n, lowest := p.toMark()
		if n == 0 {
			p.fail()
		}
		p.replace(0, kindImported)
		return lowest&mayBeImported != 0
	case 'i':
		p.toMark()
		p.name()
		p.name()
		p.imports(0)
		return true
	case 'c':
		p.name()
		p.name()
		p.imports(0)
	case 0x93:
		if p.at(1)&kindText == 0 || p.at(2)&kindText == 0 {
			p.fail()
			return false
		}
		p.imports(2)
	default:
		p.note(op)
	}
	return false
}

// call takes n values off, the lowest of which is called with a tuple, and puts the result on.
func (p *pickler) call(n int, arguments kind) bool {
	callee := p.at(n)
	if arguments&kindTuple == 0 {
		p.fail()
	}
	p.replace(n, kindImported)
	return callee&mayBeImported != 0
}

// change takes n values off, which the one below takes in.
func (p *pickler) change(n int) {
	target := p.at(n + 1)
	if n > 0 {
		p.pop(n)
	}
	p.changes = p.changes || target&mayBeImported != 0
}

// imports takes n values off and puts what they name on.
func (p *pickler) imports(n int) {
	p.replace(n, kindImported)
	p.global = true
}

// note follows the opcodes that leave the stack's height, or bring a value of their own.
func (p *pickler) note(op byte) {
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
		p.at(1)
	case 'Q':
		p.replace(1, kindAny)
	case 0x82, 0x83, 0x84: // by number, of a registered extension; nothing is registered in a plain Python
		p.skip(1 << (op - 0x82))
		p.replace(0, kindImported)
		p.global = p.global || p.header
	default:
		p.replace(0, p.push(op))
	}
}

func (p *pickler) remember() {
	p.at(1)
	p.memo = true
}

// push reads the argument of an opcode that pushes one value, and returns its kind; any other byte fails.
func (p *pickler) push(op byte) kind {
	switch op {
	case 'N', '}', ']', ')', 0x88, 0x89, 0x8f, 0x97:
	case 'I', 'L', 'F':
		p.number()
	case 'g':
		p.number()
		return kindAny
	case 'S':
		p.quoted()
		return kindText
	case 'V':
		p.line()
		return kindText
	case 'P':
		p.line()
		return kindAny
	case 'h':
		p.skip(1)
		return kindAny
	case 'j':
		p.skip(4)
		return kindAny
	case 'K':
		p.skip(1)
	case 'M':
		p.skip(2)
	case 'J':
		p.skip(4)
	case 'G':
		p.skip(8)
	case 'U', 0x8c:
		p.sized(1)
		return kindText
	case 'T', 'X':
		p.sized(4)
		return kindText
	case 0x8d:
		p.sized(8)
		return kindText
	case 'C', 0x8a:
		p.sized(1)
	case 'B', 0x8b:
		p.sized(4)
	case 0x8e, 0x96:
		p.sized(8)
	default:
		p.fail()
	}
	return kindOther
}

var numeric = regexp.MustCompile(`^[-+0-9a-zA-Z_. \t]*([0-9]|nan|inf)[-+0-9a-zA-Z_. \t]*$`)

// number reads a line that must be a number. The Unpickler takes odd spellings (0x1_0), so that only what cannot be one is refused.
func (p *pickler) number() {
	line, _ := p.line()
	if !numeric.Match(line) {
		p.fail()
		return
	}
	_, err := strconv.ParseFloat(string(bytes.TrimSuffix(line, []byte("L"))), 64)
	p.loose = p.loose || err != nil && len(line) < 300 // Python's integers have any length
}

// quoted reads a line that must be a string of Python's.
func (p *pickler) quoted() {
	line, cut := p.line()
	if line = bytes.TrimRight(line, " \t\r"); len(line) < 2 || line[0] != '\'' && line[0] != '"' || !cut && line[len(line)-1] != line[0] {
		p.fail()
	}
}
