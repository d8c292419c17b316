package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestKindAndStatusSurviveWrapping(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		kind   Kind
		status int
		text   string
	}{
		{"nil", nil, Internal, 200, ""},
		{"plain", errors.New("boom"), Internal, 500, "boom"},
		{"invalid", Invalidf("weight is %d", 90), Invalid, 400, "weight is 90"},
		{"wrapped", fmt.Errorf("service a: %w", NotFoundf("no model m")), NotFound, 404, "service a: no model m"},
		{"cause", Unavailablef("open log: %w", fs.ErrPermission), Unavailable, 503, "open log: permission denied"},
		{"outermost wins", Conflictf("start: %w", Invalidf("no steps")), Conflict, 409, "start: no steps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := KindOf(tt.err); got != tt.kind {
				t.Errorf("KindOf = %v, want %v", got, tt.kind)
			}
			if got := HTTPStatus(tt.err); got != tt.status {
				t.Errorf("HTTPStatus = %d, want %d", got, tt.status)
			}
			if tt.err != nil && tt.err.Error() != tt.text {
				t.Errorf("Error() = %q, want %q", tt.err, tt.text)
			}
		})
	}
	if !errors.Is(Unavailablef("open: %w", fs.ErrPermission), fs.ErrPermission) {
		t.Error("the cause is lost to errors.Is")
	}
}

func TestHintIsTheOutermost(t *testing.T) {
	inner := NotFoundf("no model m").WithHint("run serin model list")
	if got := HintOf(fmt.Errorf("serve: %w", inner)); got != "run serin model list" {
		t.Errorf("HintOf through fmt = %q", got)
	}
	if got := HintOf(Internalf("serve: %w", inner)); got != "run serin model list" {
		t.Errorf("HintOf through an error without a hint = %q", got)
	}
	if got := HintOf(Invalidf("serve: %w", inner).WithHint("see the log")); got != "see the log" {
		t.Errorf("HintOf = %q, want the outermost", got)
	}
	if got := HintOf(errors.New("x")); got != "" {
		t.Errorf("HintOf of a plain error = %q", got)
	}
}

func TestListTellsEverything(t *testing.T) {
	var l List
	if l.Err() != nil {
		t.Fatal("an empty list is no error")
	}
	l.If(false, "not this")
	l.If(true, "port %d is taken", 80)
	l.Addf("no services")
	err := l.Err()
	if KindOf(err) != Invalid || err.Error() != "port 80 is taken\nno services" {
		t.Errorf("got %v: %q", KindOf(err), err)
	}
}
