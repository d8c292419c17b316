package gateway

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A deadline has to be what context.WithDeadline makes, whether or not somebody has waited for it.
func TestADeadlineIsThatOfPackageContext(t *testing.T) {
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	type key struct{}
	live := context.WithValue(t.Context(), key{}, "v")
	cancelled, cancel := context.WithCancel(live)
	cancel()
	late, cancel := context.WithDeadline(live, past)
	defer cancel()
	early, cancel := context.WithDeadline(live, future.Add(-time.Minute))
	defer cancel()
	for _, tt := range []struct {
		name   string
		caller context.Context
		at     time.Time
	}{
		{"has not ended", live, future},
		{"has ended", live, past},
		{"its caller has gone", cancelled, future},
		{"its caller has gone, and it has ended", cancelled, past},
		{"its caller's has ended", late, future},
		{"its caller's ends first", early, future},
	} {
		for _, waited := range []bool{false, true} {
			want, cancel := context.WithDeadline(tt.caller, tt.at)
			got := withDeadline(tt.caller, tt.at)
			if waited {
				got.Done()
			}
			if g, w := got.Err(), want.Err(); !errors.Is(g, w) {
				t.Errorf("%s (waited for: %v): %v, want %v", tt.name, waited, g, w)
			}
			gotAt, _ := got.Deadline()
			if wantAt, _ := want.Deadline(); !gotAt.Equal(wantAt) {
				t.Errorf("%s (waited for: %v): until %v, want %v", tt.name, waited, gotAt, wantAt)
			}
			if got.Value(key{}) != "v" {
				t.Errorf("%s (waited for: %v): its caller's value is lost", tt.name, waited)
			}
			select {
			case <-got.Done():
				if want.Err() == nil {
					t.Errorf("%s (waited for: %v): done", tt.name, waited)
				}
			default:
				if want.Err() != nil {
					t.Errorf("%s (waited for: %v): not done", tt.name, waited)
				}
			}
			cancel()
			got.stop()
		}
	}
}

func TestADeadlineWakesWhoWaits(t *testing.T) {
	caller, leave := context.WithCancel(t.Context())
	d := withDeadline(caller, time.Now().Add(time.Millisecond))
	<-d.Done()
	leave()
	if err := d.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v where its time is over, and its caller went after that", err)
	}

	caller, leave = context.WithCancel(t.Context())
	d = withDeadline(caller, time.Now().Add(time.Hour))
	defer d.stop()
	child, cancel := context.WithCancel(d)
	defer cancel()
	leave()
	<-child.Done()
	if err := d.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v where its caller has gone", err)
	}
}

func TestADeadlineThatWasSeenStays(t *testing.T) {
	caller, leave := context.WithCancel(t.Context())
	d := withDeadline(caller, time.Now())
	if err := d.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v at the time itself", err)
	}
	leave()
	if err := d.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v where its time was over before its caller went", err)
	}
}

// BenchmarkDeadline is a deadline that nobody waits for, and package context's.
func BenchmarkDeadline(b *testing.B) {
	caller, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			now := time.Now()
			d := withDeadline(caller, now.Add(time.Second))
			if d.errAt(now) != nil {
				b.Fatal("ended")
			}
			d.stop()
		}
	})
	b.Run("context", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(caller, time.Second)
			if ctx.Err() != nil {
				b.Fatal("ended")
			}
			cancel()
		}
	})
}
