package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
	"github.com/serin-ml/serin/internal/release"
)

// ended waits for the end of a release.
func (s *surviving) ended(id string) (r api.Release) {
	s.t.Helper()
	waitFor(s.t, id+" ends", func() bool {
		r = s.release(id)
		return r.Over()
	})
	return r
}

func (s *surviving) release(id string) api.Release {
	s.t.Helper()
	r, err := app.Server(s.dir).Release(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *surviving) begin(name string) {
	s.t.Helper()
	if _, err := app.Server(s.dir).StartRelease(s.t.Context(), name, api.ReleaseStart{By: "test"}); err != nil {
		s.t.Fatal(err)
	}
}

// share is what a variant has of the traffic, in percent.
func (s *surviving) share(service, variant string) float64 {
	s.t.Helper()
	traffic, err := app.Server(s.dir).ServiceTraffic(s.t.Context(), service)
	if err != nil {
		s.t.Fatal(err)
	}
	return 100 * traffic.Shares[variant]
}

// users ask a service of an upstream until they are sent home.
func (s *surviving) users() *crowd {
	return gather(4, func(client *http.Client, n int) (string, bool) {
		time.Sleep(5 * time.Millisecond) // a few hundred requests a second are enough
		return good(askOnce(client, http.MethodGet, "http://"+s.address+"/", "", "X-User", fmt.Sprint("user-", n%997)))
	})
}

// TestAReleaseGoesOnThroughReloads changes the file under a release: the template, the weights, and in the end the candidate is gone.
func TestAReleaseGoesOnThroughReloads(t *testing.T) {
	t.Parallel()
	stable, canary := proxytest.Serve(t, nil), proxytest.Serve(t, nil)
	file := func(weight int, candidate, releases string) string {
		return fmt.Sprintf(`
services:
  - {name: movies, path: /, variants: [{name: stable, version: "1", upstream: %q}, {name: %s, version: "2", upstream: %q}], traffic: {weights: {stable: %d}, sticky: {unit: "header:X-User"}}}
%s`, stable.URL(), candidate, canary.URL(), weight, releases)
	}
	s := survive(t, file(1, "canary", "releases: [{name: movies, service: movies, candidate: canary, steps: [{setWeight: 20}, {pause: 12h}]}]"))
	c := s.users()
	defer c.home(t)
	reload := s.reloader()
	s.begin("movies")
	for n, releases := range []string{
		"releases: [{name: movies, service: movies, candidate: canary, steps: [{setWeight: 90}, {pause: 1s}]}]",
		"releases: []",
		"releases: [{name: others, service: movies, candidate: canary, steps: [{setWeight: 5}, {approval: {}}]}]",
	} {
		s.write(file(2+n, "canary", releases))
		if err := reload(); err != nil {
			t.Fatal(err)
		}
		before := c.count("")
		s.until("more requests", func() bool { return c.count("") > before+50 })
		if r := s.release("movies"); r.Phase != release.Running || r.Held != "" || !near(r.Percent, 20) || !near(s.share("movies", "canary"), 20) {
			t.Errorf("after reload %d it is %s, %q, with %v%%; the canary has %v%%", n, r.Phase, r.Held, r.Percent, s.share("movies", "canary"))
		}
	}
	s.write(file(1, "other", ""))
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	r := s.ended("movies")
	if r.Phase != release.RolledBack || !strings.Contains(r.Reason, "no variant canary") {
		t.Errorf("without its candidate it is %s: %s", r.Phase, r.Reason)
	}
	checkJournal(t, &r)
	if has := s.share("movies", "stable"); !near(has, 100) {
		t.Errorf("stable has %v%%", has)
	}
}

// TestACandidateThatDiesIsRolledBack has the only process of a candidate killed. Its users are with stable, as failover says, and the release
// goes back.
func TestACandidateThatDiesIsRolledBack(t *testing.T) {
	t.Parallel()
	stable, canary := proxytest.Serve(t, nil), proxytest.Serve(t, nil)
	s := survive(t, fmt.Sprintf(`
services:
  - name: movies
    path: /
    failover: true
    variants: [{name: stable, version: "1", upstream: %q}, {name: canary, version: "2", upstream: %q}]
    traffic: {weights: {stable: 1}, sticky: {unit: "header:X-User"}}
releases: [{name: movies, service: movies, candidate: canary, steps: [{setWeight: 50}, {pause: 12h}]}]
`, stable.URL(), canary.URL()))
	c := s.users()
	defer c.home(t)
	s.begin("movies")
	s.until("the canary is asked", func() bool { return canary.Requests() > 20 })
	canary.Stop()
	r := s.ended("movies")
	if r.Phase != release.RolledBack || r.Reason == "" {
		t.Errorf("it is %s: %s", r.Phase, r.Reason)
	}
	t.Log(r.Reason)
	checkJournal(t, &r)
	if has := s.share("movies", "canary"); !near(has, 0) {
		t.Errorf("the canary has %v%%", has)
	}
}

// TestAnAliasUnderAReleaseMovesOnlyWhenThatIsMeant moves the alias of the candidate while a release is under way.
func TestAnAliasUnderAReleaseMovesOnlyWhenThatIsMeant(t *testing.T) {
	t.Parallel()
	s := &surviving{t: t, dir: t.TempDir(), file: t.TempDir() + "/serin.yaml"}
	options := app.Options{DataDir: s.dir, Create: true, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
	importStumps(t, options)
	control, err := app.Writer(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Import(t.Context(), "m", api.ImportOptions{By: "test"}, stump(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := control.MoveAlias(t.Context(), "m", "candidate", api.AliasChange{To: "2", By: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	s.write(`
services: [{name: m, variants: [{name: stable, model: "models:/m@champion"}, {name: canary, model: "models:/m@candidate"}], traffic: {weights: {stable: 1}}}]
releases: [{name: m, service: m, candidate: canary, steps: [{setWeight: 30}, {approval: {}}]}]
`)
	server, _ := startServer(t, s.dir, s.file)
	s.server = server
	client := app.Server(s.dir)
	s.begin("m")
	for alias, to := range map[string]string{"candidate": "3", "champion": "3"} {
		if _, err := client.MoveAlias(t.Context(), "m", alias, api.AliasChange{To: to, By: "test"}); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
			t.Errorf("alias %s under a release: %v, %s", alias, err, fault.HintOf(err))
		}
	}
	if _, err := client.MoveAlias(t.Context(), "m", "candidate", api.AliasChange{To: "3", By: "test", Supersede: true}); err != nil {
		t.Fatal(err)
	}
	if r := s.ended("m-1"); r.Phase != release.RolledBack {
		t.Errorf("the release of version 2 is %s", r.Phase)
	}
	waitFor(t, "a release of version 3 begins", func() bool { r := s.release("m"); return r.ID == "m-2" && r.Bound.Number == 3 && near(r.Percent, 30) })
	if _, err := client.CommandRelease(t.Context(), "m", release.Command{What: release.WantApproval, By: "test"}); err != nil {
		t.Fatal(err)
	}
	r := s.ended("m")
	checkJournal(t, &r)
	m, err := client.Model(t.Context(), "m")
	if err != nil {
		t.Fatal(err)
	}
	if r.Phase != release.Promoted || m.Aliases["champion"] != 3 {
		t.Errorf("it is %s (%s), and the champion is version %d", r.Phase, r.Reason, m.Aliases["champion"])
	}
}

// mailbox is a mail server, and the mails that it took by their keys.
type mailbox struct{ told *toldPeople }

// NewSession implements smtp.Backend.
func (m mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }

func (mailbox) Reset()                               {}
func (mailbox) Logout() error                        { return nil }
func (mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data implements smtp.Session.
func (m mailbox) Data(r io.Reader) error {
	message, err := mail.ReadMessage(bufio.NewReader(r))
	if err != nil {
		return err
	}
	m.told.mu.Lock()
	defer m.told.mu.Unlock()
	key := message.Header.Get("Serin-Message")
	m.told.all[key] = append(m.told.all[key], message.Header.Get("Subject"))
	return nil
}

// TestPeopleWhoCannotBeToldAreToldLater has neither the mail server nor the webhook answer while a release begins, is held and ends. The
// release does not wait for them; when they are back, both are told of everything, once.
func TestPeopleWhoCannotBeToldAreToldLater(t *testing.T) {
	t.Parallel()
	hook, mails, address := tellPeople(t), &toldPeople{all: map[string][]string{}}, freeAddress(t)
	hook.goDown(true)
	stable, canary := proxytest.Serve(t, nil), proxytest.Serve(t, nil)
	s := survive(t, fmt.Sprintf(`
services: [{name: movies, path: /, variants: [{name: stable, version: "1", upstream: %q}, {name: canary, version: "2", upstream: %q}], traffic: {weights: {stable: 1}}}]
releases: [{name: movies, service: movies, candidate: canary, noData: 1s, steps: [{setWeight: 20}, {pause: 12h}]}]
notify:
  - {kind: webhook, url: %q}
  - {kind: email, to: [a@example.com], from: serin@example.com, smtp: "smtp://%s"}
`, stable.URL(), canary.URL(), hook.url, address))
	s.begin("movies")
	s.until("it is held, as nobody asks the candidate", func() bool { return s.release("movies").Held != "" })
	if _, err := app.Server(s.dir).CommandRelease(t.Context(), "movies", release.Command{What: release.WantAbort, By: "test", Why: "enough"}); err != nil {
		t.Fatal(err)
	}
	r := s.ended("movies")
	checkJournal(t, &r)
	s.until("the webhook was tried again", func() bool { return hook.requests() > 4 })
	if hook.count() > 0 {
		t.Errorf("%d messages are told to one who is down", hook.count())
	}
	hook.goDown(false)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(mailbox{mails})
	server.Domain = "localhost"
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	defer func() {
		server.Close()
		<-done
	}()
	expected := map[string]string{}
	for _, j := range r.Journal {
		if j.What.Announced() {
			expected[fmt.Sprintf("release/%s/%020d", r.ID, j.Seq)] = j.Sentence
		}
	}
	for name, told := range map[string]*toldPeople{"webhook": hook, "mail": mails} {
		waitFor(t, "all is told by "+name, func() bool { return told.count() >= len(expected) })
		if again := told.check(t, expected); again > 0 {
			t.Errorf("%s: %d messages came again, and nobody was killed", name, again)
		}
	}
	t.Logf("%d messages", len(expected))
}
