// Package notifytest holds what every notify.Sender has to do.
package notifytest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/notify"
)

// Place is where a sender's messages come out.
type Place interface {
	// Sender returns a sender that tells people here.
	Sender() notify.Sender
	// Got returns what came, each message as one text, and takes it away.
	Got() []string
	// Refuse lets the place refuse what comes: for good, or for now. Neither: it takes it again.
	Refuse(forGood, forNow bool)
	// Hang lets the place answer nothing until the function that it returns is called.
	Hang() (end func())
}

// Run holds a sender against what every sender has to do.
func Run(t *testing.T, open func(t *testing.T) Place) {
	message := notify.Message{
		Key: "release/movies-1/3", At: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), Kind: "release", Level: notify.Bad,
		Subject: "movies: back to stable\r\nBcc: everybody@example.com", Text: "The error rate <b>doubled</b> & more: 4%.\nGrüße", Fields: map[string]string{"errors": "4% (3.1% to 5.2%), 2000 requests"},
		Link: "http://127.0.0.1:8090/releases/movies-1",
	}
	t.Run("what is sent comes out", func(t *testing.T) {
		p := open(t)
		s := p.Sender()
		if err := s.Send(t.Context(), message); err != nil {
			t.Fatal(err)
		}
		got := p.Got()
		if len(got) != 1 {
			t.Fatalf("%d messages came out", len(got))
		}
		for _, want := range []string{message.Key, "back to stable", "doubled", "Grüße", "3.1% to 5.2%", message.Link} {
			if !strings.Contains(got[0], want) {
				t.Errorf("%q is not in what came out:\n%s", want, got[0])
			}
		}
		if strings.Contains(got[0], "\nBcc:") || s.Name() == "" {
			t.Errorf("a subject made a header, or the sender has no name (%q):\n%s", s.Name(), got[0])
		}
	})
	t.Run("the same message is known as the same", func(t *testing.T) {
		p := open(t)
		for range 2 {
			if err := p.Sender().Send(t.Context(), message); err != nil {
				t.Fatal(err)
			}
		}
		got := p.Got()
		if len(got) != 2 || got[0] != got[1] {
			t.Errorf("they differ, or there are not two:\n%s", strings.Join(got, "\n-----\n"))
		}
	})
	t.Run("who refuses for good is not asked again", func(t *testing.T) {
		p := open(t)
		p.Refuse(true, false)
		if err := p.Sender().Send(t.Context(), message); fault.KindOf(err) != fault.Invalid {
			t.Errorf("got %v", err)
		}
	})
	t.Run("who refuses for now is asked again", func(t *testing.T) {
		p := open(t)
		p.Refuse(false, true)
		s := p.Sender()
		if err := s.Send(t.Context(), message); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
		p.Refuse(false, false)
		if err := s.Send(t.Context(), message); err != nil {
			t.Error(err)
		}
	})
	t.Run("who hangs is left", func(t *testing.T) {
		p := open(t)
		defer p.Hang()()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := p.Sender().Send(ctx, message); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}
