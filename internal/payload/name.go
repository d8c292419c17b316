package payload

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// fileName is the name of a file: its day, in UTC, and which of that day's files it is, from 1 on.
type fileName struct {
	day    string // 2026-11-21
	number int
}

const extension = ".jsonl"

var fileNamePattern = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})-([0-9]{3,9})$`)

// parseFileName reads a name; ok is false for that of a file which is none of ours.
func parseFileName(name string) (n fileName, ok bool) {
	stem, ok := strings.CutSuffix(name, extension)
	if !ok {
		return n, false
	}
	return parseStem(stem)
}

func parseStem(stem string) (n fileName, ok bool) {
	parts := fileNamePattern.FindStringSubmatch(stem)
	if parts == nil {
		return n, false
	}
	number, err := strconv.Atoi(parts[2])
	if err != nil {
		return n, false
	}
	n = fileName{parts[1], number}
	_, err = time.Parse(time.DateOnly, n.day)
	return n, err == nil && n.stem() == stem
}

func (n fileName) stem() string { return fmt.Sprintf("%s-%03d", n.day, n.number) }

// String returns the name of the file.
func (n fileName) String() string { return n.stem() + extension }

// end returns when the file's day is over.
func (n fileName) end() time.Time {
	day, err := time.Parse(time.DateOnly, n.day)
	if err != nil {
		return time.Time{} // it was read, or made of a time
	}
	return day.AddDate(0, 0, 1)
}

// compare orders files as they were begun.
func (n fileName) compare(m fileName) int {
	return cmp.Or(strings.Compare(n.day, m.day), cmp.Compare(n.number, m.number))
}

// place is where a line begins.
type place struct {
	file   fileName
	offset int64
}

// String returns the reference that names p.
func (p place) String() string { return p.file.stem() + ":" + strconv.FormatInt(p.offset, 10) }

func parseRef(ref string) (p place, err error) {
	stem, offset, _ := strings.Cut(ref, ":")
	n, ok := parseStem(stem)
	at, err := strconv.ParseInt(offset, 10, 64)
	p = place{n, at}
	if !ok || err != nil || at < 0 || p.String() != ref {
		return place{}, fault.Invalidf("%.80q is no reference of a payload", ref).WithHint("a decision's payload is such as 2026-11-21-001:4096")
	}
	return p, nil
}

// readLine reads one line with its end. One without end was never written whole.
func readLine(r io.Reader) ([]byte, error) {
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return nil, fault.NotFoundf("its line is not whole")
	}
	return line, err
}
