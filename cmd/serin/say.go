package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/serin-ml/serin/internal/fault"
)

// How serin speaks, here and nowhere else:
//   - answers go to stdout, everything about the work (progress, warnings, errors) to stderr, so that output can be piped;
//   - with --json every answer is one JSON document, an error too;
//   - an error is one line that says what is wrong and where, then a hint that says what to do next;
//   - no capital at the start of a line that follows a colon, no full stop at its end, no exclamation marks, no colours.
type speaker struct {
	in   io.Reader
	out  io.Writer
	errs io.Writer
	json bool
}

// answer prints value as JSON where that was asked for, else what text writes.
func (s *speaker) answer(value any, text func(w io.Writer)) error {
	var b bytes.Buffer
	if s.json {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(value); err != nil {
			return err
		}
	} else {
		text(&b)
	}
	if _, err := s.out.Write(b.Bytes()); err != nil {
		return fault.Unavailablef("the answer cannot be written: %w", err).WithHint("what was asked for is done; only its answer is lost")
	}
	return nil
}

// event prints one line of JSON about something that happened.
func (s *speaker) event(value any) error { return json.NewEncoder(s.out).Encode(value) }

// table prints rows in aligned columns under a header.
func (s *speaker) table(w io.Writer, header string, rows [][]string) {
	s.aligned(w, append([][]string{strings.Split(header, " ")}, rows...))
}

// aligned prints rows in aligned columns.
func (*speaker) aligned(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // into memory
}

// failure is what an error looks like to a program.
type failure struct {
	Error string `json:"error"`
	Kind  string `json:"kind"`
	Hint  string `json:"hint"`
}

// failure tells err, and what to do about it.
func (s *speaker) failure(err error) {
	f := failure{Error: err.Error(), Kind: fault.KindOf(err).String(), Hint: fault.HintOf(err)}
	if f.Hint == "" {
		f.Hint = usual(fault.KindOf(err))
	}
	if s.json {
		e := json.NewEncoder(s.errs)
		e.SetEscapeHTML(false)
		_ = e.Encode(f) // stderr is the last place there is
		return
	}
	lines := strings.Split(f.Error, "\n")
	if len(lines) == 1 {
		fmt.Fprintf(s.errs, "serin: error: %s\n", lines[0])
	} else {
		fmt.Fprintf(s.errs, "serin: %d errors:\n", len(lines))
		for _, line := range lines {
			fmt.Fprintf(s.errs, "  %s\n", line)
		}
	}
	fmt.Fprintf(s.errs, "serin: hint: %s\n", f.Hint)
}

// usual is the hint of an error that brings none of its own.
func usual(k fault.Kind) string {
	switch k {
	case fault.Invalid:
		return "mend the input named above and run the command again; nothing was changed"
	case fault.NotFound:
		return "`serin model list` shows what there is"
	case fault.Conflict:
		return "look at what is there with `serin model list`, and run the command again"
	case fault.Unavailable:
		return "this may pass; try again"
	}
	return "this is a fault of Serin or of the machine; please report it with the lines above"
}
