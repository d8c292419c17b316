package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// exitRolledBack is the exit code of watching a release that is rolled back.
const exitRolledBack = 3

type releaseWatchCmd struct {
	ID       string        `arg:"" name:"release" help:"The release, such as movies-12, or a template's name: its newest."`
	Every    time.Duration `default:"10s" placeholder:"TIME" help:"How often to tell how the metrics stand where nothing else happens and stdout is no terminal (default: 10s)."`
	Patience time.Duration `default:"5m" placeholder:"TIME" help:"How long to wait for a server that is gone (default: 5m)."`
}

// watchAgain is how long to wait before a server that is gone is asked again.
const watchAgain = 500 * time.Millisecond

// Run tells what happens until the release ends.
func (r *releaseWatchCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	if r.Every <= 0 || r.Patience < 0 {
		return fault.Invalidf("--every %v or --patience %v is out of range", r.Every, r.Patience).WithHint("give times with a unit, like 30s")
	}
	w := &watcher{id: r.ID, every: r.Every, now: time.Now, say: say}
	if !say.json && isTerminal(say.out) {
		w.width = func() int { return terminalWidth(say.out) }
	}
	err := r.follow(ctx, c, say, w)
	w.clear()
	switch {
	case err != nil:
		return err
	case w.last.Phase != release.Promoted:
		return judged{fault.Conflictf("%s is rolled back", w.last.ID).
			WithHint("all traffic is with stable; `serin release show %s` tells all that happened", w.last.ID), exitRolledBack}
	}
	return nil
}

// follow hands everything that happens to w until the release has ended. A server that goes is waited for.
func (r *releaseWatchCmd) follow(ctx context.Context, c *cli, say *speaker, w *watcher) error {
	for gone := (time.Time{}); ; {
		heard := false
		server, err := app.Running(c.DataDir)
		if err == nil {
			err = server.FollowRelease(ctx, w.id, w.last.Seq, func(r api.Release) error {
				heard = true
				return w.tell(&r)
			})
		} else {
			err = w.look(ctx, c, err)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || fault.KindOf(err) != fault.Unavailable:
			return err
		case heard || gone.IsZero():
			gone = w.now()
			w.clear()
			fmt.Fprintf(say.errs, "serin: %v; nothing moves until a server is back, and the candidate gets nobody once its lease has ended; waiting\n", err)
		case w.now().Sub(gone) > r.Patience:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchAgain):
		}
	}
}

// watcher tells people what happens to a release: each transition once, and now and then how the metrics stand.
type watcher struct {
	id    string
	every time.Duration
	now   func() time.Time
	say   *speaker
	width func() int // of the terminal that stdout is; nil: it is none

	last  api.Release
	shown string    // the outcomes that were told last
	at    time.Time // when
	drawn bool      // a status is on the terminal's last line
}

// look tells what is written down where no server runs. It returns nil where the release has ended, else why there is no more.
func (w *watcher) look(ctx context.Context, c *cli, why error) error {
	control, err := app.Reader(ctx, c.options(w.say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	r, err := control.Release(ctx, w.id)
	if err != nil {
		return err
	}
	if err := w.tell(&r); err != nil || r.Over() {
		return err
	}
	return why
}

// tell takes in how the release stands.
func (w *watcher) tell(r *api.Release) error {
	w.clear()
	var b strings.Builder
	if w.last.ID == "" && !w.say.json {
		fmt.Fprintf(&b, "%s: %s takes the place of %s in service %s\n", r.ID, r.Plan.Candidate, r.Plan.Stable, r.Plan.Service)
	}
	for _, t := range r.Journal {
		if t.Seq <= w.last.Seq {
			continue
		}
		if !w.say.json {
			fmt.Fprintf(&b, "%s %6s  %s\n", when(t.At), shareThen(t), oneLine(t.Sentence))
			continue
		}
		if err := w.say.event(t); err != nil {
			return unwritten(err)
		}
	}
	w.last, w.id = *r, r.ID
	w.last.Journal = nil
	if !w.say.json && !r.Over() {
		w.status(&b)
	}
	if _, err := io.WriteString(w.say.out, b.String()); err != nil {
		return unwritten(err)
	}
	return nil
}

// unwritten is no error that passes, as that of a server is.
func unwritten(err error) error {
	return fault.Internalf("what happens cannot be written: %w", err).WithHint("see where the output goes; the release itself goes on")
}

// status writes how the metrics stand: on the last line of a terminal, else in a line of its own when an outcome is another, or after a while.
func (w *watcher) status(b *strings.Builder) {
	r := &w.last
	now := r.StepName + left(r)
	switch {
	case r.Unled != "":
		now = oneLine(r.Unled)
	case r.Held != "":
		now = "held"
	case r.Phase == release.Promoting:
		now = "being promoted"
	case r.Phase == release.RollingBack:
		now = "going back"
	}
	text := fmt.Sprintf("%s %6s  now: %s", when(w.now()), share(r.Percent), now)
	outcomes := r.Unled + " "
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		text += fmt.Sprintf("; %s %s %s", v.Metric, valueText(metricOf(r, v.Metric), v.Value), v.Outcome)
		outcomes += string(v.Outcome) + " "
	}
	if w.width != nil {
		runes := []rune(text)
		b.WriteString(string(runes[:min(len(runes), max(w.width()-1, 20))]))
		w.drawn = true
		return
	}
	if outcomes == w.shown && w.now().Sub(w.at) < w.every {
		return
	}
	w.shown, w.at = outcomes, w.now()
	b.WriteString(text + "\n")
}

// clear takes the status off the terminal.
func (w *watcher) clear() {
	if w.drawn {
		fmt.Fprint(w.say.out, "\r\x1b[K")
		w.drawn = false
	}
}

// terminalWidth is how many characters a line of the terminal w holds.
func terminalWidth(w io.Writer) int {
	const usual = 80
	file, ok := w.(*os.File)
	if !ok {
		return usual
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return usual
	}
	return int(size.Col)
}
