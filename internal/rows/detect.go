package rows

import (
	"bytes"
	"path/filepath"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Detect tells the format of a file from the extension of its name (.csv, .tsv, .tab, .jsonl, .ndjson, .libsvm, .svm, .svmlight), and
// where that says nothing from head, its first bytes: at least a line of it, if it can be had. A .txt is libsvm unless its first line is
// plainly something else.
func Detect(name string, head []byte) (Format, error) {
	extension := strings.ToLower(filepath.Ext(name))
	switch extension {
	case ".csv":
		return CSV, nil
	case ".tsv", ".tab":
		return TSV, nil
	case ".jsonl", ".ndjson":
		return JSONL, nil
	case ".libsvm", ".svm", ".svmlight":
		return LibSVM, nil
	}
	line, _ := firstLine(head)
	switch {
	case len(line) > 0 && (line[0] == '[' || line[0] == '{'):
		return JSONL, nil
	case pairs(line):
		return LibSVM, nil
	case bytes.IndexByte(line, '\t') >= 0:
		return TSV, nil
	case bytes.IndexByte(line, ',') >= 0:
		return CSV, nil
	case extension == ".txt":
		return LibSVM, nil
	}
	if _, ok := parse(string(line)); ok {
		return CSV, nil // one column, or an empty file, which is alike in every format
	}
	return "", fault.Invalidf("%s: the format of the rows cannot be told from the name or the first line", name).
		WithHint("say it: libsvm, csv, tsv or jsonl")
}

// firstLine returns the first line that holds something, but for libsvm's comments, and whether its end is there. One that is cut off is
// returned up to its last separator: its end may be within a number.
func firstLine(head []byte) (line []byte, whole bool) {
	for line := range bytes.Lines(bytes.TrimPrefix(head, []byte("\ufeff"))) {
		trimmed := bytes.TrimSpace(line)
		if len(trimmed) == 0 || trimmed[0] == '#' {
			continue
		}
		whole = line[len(line)-1] == '\n'
		if !whole && len(head) >= bufferSize {
			trimmed = trimmed[:bytes.LastIndexAny(trimmed, " \t,")+1]
		}
		return trimmed, whole
	}
	return nil, false
}

// pairs tells whether a line is of libsvm's index:value pairs, perhaps after a label.
func pairs(line []byte) bool {
	before, _, _ := bytes.Cut(line, []byte("#"))
	found := false
	for i, field := range bytes.Fields(before) {
		key, value, ok := bytes.Cut(field, []byte(":"))
		if !ok && i == 0 {
			key, value = []byte("0"), field
		} else if !ok {
			return false
		} else {
			found = true
		}
		if string(key) == "qid" {
			continue
		}
		_, isNumber := parse(string(value))
		if _, isIndex := index(key); !isNumber || !isIndex {
			return false
		}
	}
	return found
}
