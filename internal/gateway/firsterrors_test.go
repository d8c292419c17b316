package gateway

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/traffic"
)

func TestFirstErrorsAreCountedByUnit(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1"), Sticky: byUser}, 0)
	for i := range 40 {
		s.ask(t, fmt.Sprintf("user-%d", i%4), fmt.Sprintf(`{"data": {"ndarray": [[%d, 0]]}}`, errs))
	}
	s.service.SetPolicy(s.policy(t, weights(t, "stable", "1"), 2))
	s.ask(t, "user-0", fmt.Sprintf(`{"data": {"ndarray": [[%d, 0]]}}`, errs))
	s.write(t)
	if got := s.log.policies(); len(got) != 1 || !got[7] {
		t.Errorf("tallies are of policies %v", got)
	}
	if n := s.log.tallied()["stable"].FirstErrors; n != 5 {
		t.Errorf("%d first errors, want 4 in the first epoch and one in the second", n)
	}
}

func TestErrorsOfSeveralUsersAreTalliedSoon(t *testing.T) {
	for users, soon := range map[int]bool{pressing - 1: false, pressing: true} {
		s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1"), Sticky: byUser}, 0)
		ticks := make(chan time.Time)
		s.recorder.options.Ticks = ticks
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.recorder.Run(ctx) }()
		for i := range 20 {
			s.ask(t, fmt.Sprintf("user-%d", i%users), fmt.Sprintf(`{"data": {"ndarray": [[%d, 0]]}}`, errs))
		}
		ticks <- time.Now()
		ticks <- time.Now() // what belongs to the one before is written
		if written := s.log.tallied()["stable"] != nil; written != soon {
			t.Errorf("errors of %d users: tallied at once: %v", users, written)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// Who keeps a variant that other weights have drawn makes the first errors of the present ones no split that these would make.
func TestFirstErrorsAreOfThoseWhomThePresentWeightsHaveDrawn(t *testing.T) {
	s := newSplit(t, traffic.Spec{
		Weights: weights(t, "stable", "1", "canary", "1"),
		Sticky:  &traffic.Sticky{Cookie: "variant", Mode: traffic.ModePlain, MaxAge: time.Hour, Record: traffic.RecordHashed},
	}, 0)
	var users [20][]*http.Cookie
	for i := range users {
		w, _ := s.ask(t, "", oneRow)
		users[i] = w.Result().Cookies()
	}
	fail := func(cookies []*http.Cookie) {
		s.ask(t, "", fmt.Sprintf(`{"data": {"ndarray": [[%d, 0]]}}`, errs), func(r *http.Request) {
			for _, c := range cookies {
				r.AddCookie(c)
			}
		})
	}
	firstErrors := func() (n uint64) {
		s.write(t)
		for _, tally := range s.log.tallied() {
			n += tally.FirstErrors
		}
		return n
	}
	for _, cookies := range users[:10] {
		fail(cookies)
	}
	if n := firstErrors(); n != 10 {
		t.Errorf("%d first errors, want those of 10 users", n)
	}
	s.service.SetPolicy(s.policy(t, weights(t, "stable", "9", "canary", "1"), 1))
	for _, cookies := range users[10:] {
		fail(cookies)
	}
	fail(nil)
	if n := firstErrors(); n != 11 {
		t.Errorf("%d first errors, want that of the one whom the new weights drew besides", n)
	}
}

// policies are the policy versions of the tallies.
func (m *memory) policies() map[uint64]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[uint64]bool{}
	for _, r := range m.records {
		if r.Tally != nil {
			all[r.Tally.PolicyVersion] = true
		}
	}
	return all
}

// A reload makes a service anew, in the same epoch. Nothing may hold on to the one before, which has models.
func TestFirstErrorsAreCountedOnceAcrossReloads(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1"), Sticky: byUser}, 0)
	row := fmt.Sprintf(`{"data": {"ndarray": [[%d, 0]]}}`, errs)
	for epoch := range uint32(3) {
		for range 3 {
			again := NewService(s.service.options)
			for i, v := range again.variants {
				v.Swap(s.service.variants[i].Live())
			}
			s.service = again
			s.service.SetPolicy(s.policy(t, weights(t, "stable", "1"), epoch+1))
			s.SetServices([]*Service{s.service})
			s.ask(t, "user", row)
			s.recorder.tallies.giveBack(s.recorder.tallies.take(time.Now())) // as when a log cannot be written for a while
		}
	}
	kept := 0
	for i := range s.recorder.tallies.shards {
		kept += len(s.recorder.tallies.shards[i].erred)
	}
	if kept != 1 {
		t.Errorf("the units of %d epochs are kept, want those of the present one", kept)
	}
	s.write(t)
	if n := s.log.tallied()["stable"].FirstErrors; n != 3 {
		t.Errorf("%d first errors in three epochs, want one in each", n)
	}
}
