package release

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the stories say now")

// TestStories plays the stories in testdata/stories: lines that begin with > are what happens, all others what the release says to it. They
// are for people who do not program.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d stories (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("the story goes another way (-want +got; -update writes it):\n%s", d)
			}
		})
	}
}

// story is a release being played.
type story struct {
	t     *testing.T
	out   strings.Builder
	plan  Plan
	state State
	now   time.Time
	world *world
	like  behaviour
	rate  float64 // requests a minute
	asked uint64

	monitor string // what it says of complaints
}

// play returns the story with what the release says now.
func play(t *testing.T, text string) string {
	s := &story{
		t: t, now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), rate: 60, like: behaviour{errors: 1, slower: 1},
		plan: Plan{
			Name: "movies", Service: "movies", Stable: "stable", Candidate: "canary", Strategy: Canary, OnRestart: Hold, OnNoData: Hold, OnInconclusive: Hold,
			NoData: 30 * time.Minute, FalseRollback: 0.05, FalsePromotion: 0.05, Lease: 15 * time.Minute, Model: "movies", Alias: "champion",
		},
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || line == "" {
			fmt.Fprintln(&s.out, line)
		}
		if happens, ok := strings.CutPrefix(line, "> "); ok {
			fmt.Fprintln(&s.out, line)
			s.happen(happens)
		}
	}
	return s.out.String()
}

func (s *story) happen(line string) {
	s.t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "plan:":
		for _, part := range strings.Split(rest, ", ") {
			s.plan.Steps = append(s.plan.Steps, s.planStep(part))
		}
	case "judged":
		s.plan.Metrics = append(s.plan.Metrics, s.metric(rest))
	case "setting":
		s.setting(rest)
	case "start":
		state, told, err := Begin("movies-1", s.plan, Bound{Version: "sha256:old", Number: 1}, Bound{Version: "sha256:new", Number: 2}, "ann", s.now)
		if err != nil {
			fmt.Fprintln(&s.out, "  refused:", err)
			return
		}
		s.world = newWorld(1, 20000, state.Percent()/100, 0.02)
		s.adopt(state, told)
		s.finish("")
	case "the": // the candidate is as good as stable | fails 3 times as often | is 20% slower | is right 5% less
		s.behave(rest)
	case "monitor": // says 3 | says nothing
		s.monitor = strings.TrimPrefix(rest, "says ")
	case "requests":
		s.scan(rest, "%g a minute", &s.rate)
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		s.wait(d)
	case "everybody":
		s.now = s.now.Add(2 * time.Hour)
		s.state = reread(s.t, s.state)
		s.step(Input{Taken: true})
	case "clock":
		s.now = s.now.Add(-48 * time.Hour)
	case "fails:":
		s.finish(rest)
	case "lost:":
		s.step(Input{Lost: rest})
		s.finish("")
	case "ann", "bob":
		wish, why, _ := strings.Cut(rest, " ")
		s.step(Input{Command: &Command{What: Wish(wish), By: word, Why: strings.Trim(why, "()")}})
		s.finish("")
	default:
		s.t.Fatalf("a story cannot say %q", line)
	}
}

// wait lets time pass, with a look every five minutes.
func (s *story) wait(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(5 * time.Minute)
		if p := s.state.Percent() / 100; p != s.world.share {
			s.world.setWeight(p)
		}
		for range int(5 * s.rate) {
			s.world.ask(s.like)
		}
		var z float64
		for i := range s.world.segments {
			for _, p := range s.world.segments[i].Candidate.Failed {
				z += p.Z
			}
		}
		s.asked = uint64(z)
		s.step(Input{Look: &Look{Segments: s.world.segments, Asked: s.asked, Others: s.others()}})
		s.finish("")
		if s.state.Over() {
			return
		}
	}
	fmt.Fprintf(&s.out, "  %s %s, candidate at %g%%\n", s.now.Format("Mon 15:04"), s.standing(), s.state.Percent())
}

func (s *story) standing() string {
	if s.state.Held != "" {
		return "held at " + s.state.StepName()
	}
	return string(s.state.Phase) + " at " + s.state.StepName()
}

// finish does what is due; the first hook or alias fails, if why says so.
func (s *story) finish(why string) {
	for len(s.state.Due) > 0 && s.plan.Hooks == nil || why != "" {
		if len(s.state.Due) == 0 {
			return
		}
		e := s.state.Due[0]
		fmt.Fprintf(&s.out, "  %s do %s %s\n", s.now.Format("Mon 15:04"), e.Kind, e.Hook)
		s.step(Input{Done: &Done{Key: e.Key, Err: why}})
		if why != "" {
			return
		}
	}
}

func (s *story) step(in Input) {
	before := s.state
	state, told, err := Step(reread(s.t, s.state), in, s.now)
	if err != nil {
		fmt.Fprintln(&s.out, "  refused:", err)
		return
	}
	state2, told2, err2 := Step(before, in, s.now)
	if d := cmp.Diff(told, told2, cmp.Comparer(alike)); d != "" || err2 != nil || state.Phase != state2.Phase {
		s.t.Errorf("a state that was written down and read goes another way: %s", d)
	}
	s.adopt(state2, told2)
}

func (s *story) adopt(state State, told []Transition) {
	s.state = state
	for _, x := range told {
		mark := " "
		if x.What.Announced() {
			mark = "*"
		}
		fmt.Fprintf(&s.out, "%s %s %g%% %s\n", mark, x.At.Format("Mon 15:04"), x.Percent, x.Sentence)
	}
}
