package limit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// bytes is the memory that a limiter's keys take.
func (l *Limiter) bytes() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		n += cap(s.entries)*int(unsafe.Sizeof(entry{})) + cap(s.index)*4 + cap(s.logs)*int(unsafe.Sizeof(arena{}))
		for _, a := range s.logs {
			n += cap(a.runs) * 4
		}
	}
	return n
}

// check finds whatever is wrong in a shard's books.
func (s *shard) check(r *rule) error {
	tracked, logged := 0, make([]int, len(r.sizes))
	for i := range s.entries {
		e := &s.entries[i]
		if e.level == unused {
			continue
		}
		tracked++
		if s.find(e.key) != int32(i) {
			return fmt.Errorf("key %d is not found", e.key)
		}
		if e.at != 0 {
			logged[e.class]++
		}
		used := uint32(0)
		for j := range int(e.length) {
			ring := s.ring(r, &e.log)
			used += r.requests(ring[(int(e.head)+j)%len(ring)])
		}
		if used != e.used {
			return fmt.Errorf("key %d has used %d, its log says %d", e.key, e.used, used)
		}
	}
	listed := 0
	for level, l := range s.levels {
		before := int32(0)
		for i := l.oldest; i != 0; before, i = i, s.entries[i].newer {
			if e := &s.entries[i]; int(e.level) != level || e.older != before {
				return fmt.Errorf("key %d is in the wrong place", e.key)
			}
			listed++
		}
		if l.newest != before {
			return fmt.Errorf("level %d does not end where it ends", level)
		}
	}
	if tracked != s.tracked || listed != tracked || tracked > r.keys {
		return fmt.Errorf("%d keys, %d in levels, %d counted, %d allowed", tracked, listed, s.tracked, r.keys)
	}
	for class, a := range s.logs {
		free := 0
		for at := a.free; at != 0; at = a.runs[at] {
			free++
		}
		if rings := max(len(a.runs)/r.sizes[class]-1, 0); rings != free+logged[class] {
			return fmt.Errorf("of %d rings of class %d, %d are free and %d in use", rings, class, free, logged[class])
		}
	}
	return nil
}

// Whatever comes, the books are right, there are no more keys than there may be, who is new is let in, and one that is at its limit is
// forgotten only where all are.
func TestAFullLimiterForgetsWhoHasUsedLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{
			Requests: rapid.SampledFrom([]int{1, 2, 5, 20, 200}).Draw(t, "n"), Window: time.Second, Keys: shards * rapid.IntRange(1, 8).Draw(t, "room"),
			Burst: rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "burst"),
		}
		o.Above = rapid.IntRange(0, o.Requests-1).Draw(t, "above")
		l, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		s, r := &l.shards[0], &l.rule
		var at time.Duration
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			at += time.Duration(rapid.SampledFrom([]int64{0, 0, 1e6, 1e8, 1e9, 5e9}).Draw(t, "step"))
			k := Key(rapid.Uint64Range(0, 20).Draw(t, "key") * shards)
			known := s.find(k) != 0
			full, open, gone := s.tracked == r.keys, map[Key]bool{}, s.gone
			for _, e := range s.entries {
				if e.level != unused && (e.level < levels-1 || e.until <= int64(at)) {
					open[e.key] = true
				}
			}
			before := map[Key]bool{}
			for _, e := range s.entries {
				if e.level != unused {
					before[e.key] = true
				}
			}
			for range rapid.IntRange(1, 4).Draw(t, "requests") {
				if v := l.Take(k, at); !known && !v.Allowed {
					t.Fatalf("a new key was told %+v", v)
				}
				if rapid.Bool().Draw(t, "count") {
					l.Count(at)
				}
				if err := s.check(r); err != nil {
					t.Fatal(err)
				}
				known = true
			}
			for was := range before {
				if s.find(was) == 0 && len(open) > 0 && !open[was] {
					t.Fatalf("key %d was at its limit, and was forgotten before %v", was, open)
				}
			}
			if s.gone > gone && !full {
				t.Fatal("a key was forgotten though there was room")
			}
		}
	})
}

func TestAFloodOfNewKeysFreesNobody(t *testing.T) {
	const flood = 20_000
	l, err := New(Options{Requests: 3, Window: time.Minute, Keys: 1000})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	limited := Key(random.Uint64())
	for range 3 {
		l.Take(limited, 0)
	}
	for i := range flood {
		at := time.Duration(i) * time.Second * 50 / flood
		if v := l.Take(Key(random.Uint64()), at); !v.Allowed {
			t.Fatalf("a new client was locked out: %+v", v)
		}
		if i%100 == 0 && l.Take(limited, at).Allowed {
			t.Fatal("a client at its limit started afresh")
		}
	}
	c := l.Count(50 * time.Second)
	if most := shards * l.rule.keys; c.Keys > most || c.Forgotten < flood-uint64(most) {
		t.Errorf("%+v, of %d and room for %d", c, flood, most)
	}
	if !l.Take(limited, 2*time.Minute).Allowed {
		t.Error("it is still refused when its time has come")
	}
}

// With one request a window, each key of a flood is at its limit: who goes on asking stays.
func TestWhoGoesOnAskingIsForgottenLast(t *testing.T) {
	l, err := New(Options{Requests: 1, Window: time.Minute, Keys: 10 * shards})
	if err != nil {
		t.Fatal(err)
	}
	l.Take(0, 0)
	for i := range Key(1000) {
		l.Take((i+1)*shards, time.Second)
		if i%9 == 0 && l.Take(0, time.Second).Allowed {
			t.Fatalf("it was let through after %d others", i)
		}
	}
}

// A million keys are what reliability asks for: at most 100 bytes each, where few ask often.
func TestAKeyTakesFewBytes(t *testing.T) {
	const keys = 100_000
	for _, c := range []struct {
		name           string
		o              Options
		requests, most int
	}{
		{"one request of 20", Options{Requests: 20}, 1, 80},
		{"20 requests of 20", Options{Requests: 20}, 20, 180},
		{"one request of 1000", Options{Requests: 1000}, 1, 80},
		{"a burst of 5", Options{Requests: 20, Burst: 5}, 5, 70},
	} {
		c.o.Window, c.o.Keys = time.Minute, 2*keys
		l, err := New(c.o)
		if err != nil {
			t.Fatal(err)
		}
		empty := l.bytes()
		random := rand.New(rand.NewPCG(1, 2))
		for range keys {
			k := Key(random.Uint64())
			for i := range c.requests {
				l.Take(k, time.Duration(i)*time.Second)
			}
		}
		got := (l.bytes() - empty) / keys
		t.Logf("%s: %d bytes a key", c.name, got)
		if got > c.most {
			t.Errorf("%s: %d bytes a key, at most %d are meant", c.name, got, c.most)
		}
		l.Count(time.Hour)
		if l.bytes() != empty {
			t.Errorf("%s: %d bytes are left when all are gone", c.name, l.bytes())
		}
	}
}
