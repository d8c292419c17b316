package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
)

// record is what the public did and saw.
type record struct {
	asked    int
	versions map[int]*truth // by the registry's number
	moved    int            // answers from another version than the user's last one
	refused  int            // forged tokens that were
	repeats  int            // of what was said before
	failures int
	failure  error // the first
}

// truth is what is known of a version.
type truth struct {
	answers, told, right int
}

func newRecord() *record { return &record{versions: map[int]*truth{}} }

func (r *record) version(number int) *truth {
	if r.versions[number] == nil {
		r.versions[number] = &truth{}
	}
	return r.versions[number]
}

func (r *record) fail(what string, status int, err error) {
	r.failures++
	switch {
	case r.failure != nil:
	case err != nil:
		r.failure = fmt.Errorf("%s, status %d: %w", what, status, err)
	default:
		r.failure = fmt.Errorf("%s, status %d", what, status)
	}
}

func (r *record) add(o *record) {
	r.asked += o.asked
	r.moved += o.moved
	r.refused += o.refused
	r.repeats += o.repeats
	r.failures += o.failures
	if r.failure == nil {
		r.failure = o.failure
	}
	for number, t := range o.versions {
		v := r.version(number)
		v.answers += t.answers
		v.told += t.told
		v.right += t.right
	}
}

// told is how much feedback counts.
func (r *record) told() (n int) {
	for _, v := range r.versions {
		n += v.told
	}
	return n
}

func (r *record) err() error {
	if r.failures == 0 {
		return nil
	}
	return fmt.Errorf("%d times something went wrong, the first time: %w", r.failures, r.failure)
}

// print says what the public did.
func (r *record) print(w io.Writer, o *options) {
	fmt.Fprintf(w, "%d users asked %d times", o.users, r.asked)
	if r.moved > 0 {
		fmt.Fprintf(w, ", %d times answered by another version than before", r.moved)
	}
	fmt.Fprintf(w, "; feedback: %d counted, %d repeated, %d refused for a forged token; %d failures\n\n", r.told(), r.repeats, r.refused, r.failures)
}

// compare prints what Serin measured beside what is known. It is an error if they do not agree.
func compare(w io.Writer, known accuracies, seen *record, s *summary, numbers map[string]int) error {
	var wrong []error
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VERSION\tVARIANT\tANSWERS\tACCURACY\tTOLD\tSERIN MEASURED\tVERDICT")
	found, more := map[int]bool{}, false
	for _, v := range s.Variants {
		number := numbers[v.Version]
		accuracy, isKnown := known[number]
		measured := v.Feedback.Accuracy
		truth := seen.version(number)
		if !isKnown || measured.N == 0 {
			continue
		}
		found[number], more = true, more || measured.N > truth.told
		verdict := "within"
		if !measured.holds(accuracy) {
			verdict = "OUTSIDE"
			wrong = append(wrong, fmt.Errorf("the known accuracy of version %d is outside of what was measured", number))
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%.2f%%\t%d of %d\t%s\t%s\n", number, v.Variant, truth.answers, 100*accuracy, truth.right, truth.told, measured, verdict)
	}
	for _, number := range sortedKeys(known) {
		if !found[number] {
			wrong = append(wrong, fmt.Errorf("nothing was measured of version %d", number))
		}
	}
	err := t.Flush()
	if more {
		fmt.Fprintln(w, "(Serin's figures are of whole minutes: feedback from before the visit is in them too)")
	}
	for _, r := range s.Ratios {
		verdict := "users split as the weights say"
		if r.Alarm {
			verdict = "users do NOT split as the weights say"
			wrong = append(wrong, errors.New(verdict))
		}
		fmt.Fprintf(w, "\n%s: %d seen in epoch %d, p = %.3g\n", verdict, r.users(), r.Epoch, r.P)
	}
	return errors.Join(append(wrong, err)...)
}
