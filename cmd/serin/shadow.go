package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
)

// shadowCmd is the commands about shadows.
type shadowCmd struct {
	Show shadowShowCmd `cmd:"" help:"Show how far shadows agree, how fast they are, where they fail, and examples of disagreement."`
}

type shadowShowCmd struct {
	Service  string `arg:"" optional:"" help:"Name of the service; without it, all."`
	Variant  string `placeholder:"NAME" help:"Only the shadow of that name."`
	Since    string `default:"7d" placeholder:"TIME" help:"From how long ago on, such as 30m, 12h or 7d (default: 7d)."`
	Examples int    `default:"6" placeholder:"N" help:"How many disagreements to show of each, up to 100 (default: 6)."`
}

// Run shows what comparisons of shadows have found.
func (s *shadowShowCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	since, err := ago(s.Since)
	if err != nil {
		return err
	}
	if s.Examples < 0 || s.Examples > 100 {
		return fault.Invalidf("--examples %d is out of range", s.Examples).WithHint("give 0 to 100")
	}
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	report, err := control.Shadows(ctx, s.Service, s.Variant, time.Now().Add(-since), time.Time{}, s.Examples)
	if err != nil {
		return err
	}
	return say.answer(report, func(w io.Writer) { showShadows(say, w, report, s.Service) })
}

func showShadows(say *speaker, w io.Writer, r api.ShadowReport, service string) {
	if len(r.Shadows) == 0 {
		of := "any service"
		if service != "" {
			of = service
		}
		fmt.Fprintf(w, "no data yet: from %s to %s no shadow of %s was sent a copy, or was to be\n", when(r.From), when(r.To), of)
		return
	}
	fmt.Fprintf(w, "from %s to %s; intervals hold with %.4g%% however often one looks\n", when(r.From), when(r.To), 100*r.Confidence)
	for i := range r.Shadows {
		fmt.Fprintln(w)
		showShadow(say, w, &r.Shadows[i])
	}
}

func showShadow(say *speaker, w io.Writer, s *api.Shadow) {
	fmt.Fprintf(w, "%s: %s %s beside %s %s, by %s\n", s.Service, s.Shadow, shortVersion(s.ShadowVersion), s.Variant, shortVersion(s.Version), s.Rule)
	fmt.Fprintf(w, "  %s\n", s.Says)
	if s.Pairs > 0 {
		fmt.Fprintf(w, "  it goes by users: were all answers to a user alike, these would be worth %.0f users who ask once\n", s.Users)
	}
	var rows [][]string
	fact := func(name, text string) { rows = append(rows, []string{"  " + name, text}) }
	if s.Overlap.Estimate != nil {
		fact("overlap", intervalText(s.Overlap, percent)+" of the first places on average")
	}
	if s.Score.N > 0 {
		fact("scores", fmt.Sprintf("%s is %s on average, of %d", s.Shadow, signed(s.Score, "higher", "lower", plain), s.Score.N))
	}
	if s.SlowerMicros.N > 0 {
		fact("latency", fmt.Sprintf("%s is %s on average; p50 %s beside %s, p99 %s beside %s", s.Shadow, signed(s.SlowerMicros, "slower", "faster", millis),
			speed(s.ShadowSpeeds.P50), speed(s.Latency.P50), speed(s.ShadowSpeeds.P99), speed(s.Latency.P99)))
	}
	fact("failed", failuresText(s))
	fact("not copied", countsText(s.Dropped, "nothing"))
	if j := s.Judged; j.PrimaryRight+j.ShadowRight+j.NeitherRight > 0 {
		fact("feedback", fmt.Sprintf("of %d users whose first judged disagreement it was, %s was right for %d and %s for %d (p = %.3g)",
			j.PrimaryRight+j.ShadowRight+j.NeitherRight, s.Variant, j.PrimaryRight, s.Shadow, j.ShadowRight, j.P))
	}
	say.aligned(w, rows)
	if len(s.ScoreBins) > 1 {
		fmt.Fprintf(w, "  score of %s less that of %s:\n", s.Shadow, s.Variant)
		say.aligned(w, histogram(s.ScoreBins))
	}
	showDisagreements(say, w, s)
}

// failuresText tells the copies that gave no pair.
func failuresText(s *api.Shadow) string {
	return countsText(map[string]uint64{
		s.Shadow: s.Unpaired["shadowFailed"], s.Shadow + " too late": s.Unpaired["timeout"], s.Variant: s.Unpaired["primaryFailed"],
		"both": s.Unpaired["bothFailed"], "nothing to compare": s.Unpaired["incomparable"],
	}, "nobody")
}

// countsText lists the counts that are not 0, the largest first.
func countsText(counts map[string]uint64, nothing string) string {
	type count struct {
		name string
		n    uint64
	}
	var all []count
	for name, n := range counts {
		if n > 0 {
			all = append(all, count{name, n})
		}
	}
	if len(all) == 0 {
		return nothing
	}
	slices.SortFunc(all, func(a, b count) int {
		if a.n != b.n {
			return int(min(max(int64(b.n)-int64(a.n), -1), 1))
		}
		return strings.Compare(a.name, b.name)
	})
	texts := make([]string, len(all))
	for i, c := range all {
		texts[i] = fmt.Sprintf("%s %d", c.name, c.n)
	}
	return strings.Join(texts, ", ")
}

// signed tells a difference in words, and its interval with its signs.
func signed(i api.Interval, above, below string, number func(float64) string) string {
	switch {
	case i.Estimate == nil:
		return "-"
	case *i.Estimate == 0:
		return "the same " + limits(i, number)
	case *i.Estimate < 0:
		return below + " by " + number(-*i.Estimate) + " " + limits(i, number)
	}
	return above + " by " + number(*i.Estimate) + " " + limits(i, number)
}

// limits are those of an interval.
func limits(i api.Interval, number func(float64) string) string {
	limit := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return number(*v)
	}
	return "[" + limit(i.Low) + ".." + limit(i.High) + "]"
}

func speed(micros *float64) string {
	if micros == nil {
		return "-"
	}
	return millis(*micros)
}

// histogram is a row for each bin that is not empty.
func histogram(bins []api.ScoreBin) (rows [][]string) {
	most := uint64(1)
	for _, b := range bins {
		most = max(most, b.N)
	}
	const width = 30
	for _, b := range bins {
		if b.N == 0 {
			continue
		}
		bar := strings.Repeat("#", max(1, int(width*b.N/most)))
		rows = append(rows, []string{"    " + binText(b), strconv.FormatUint(b.N, 10), bar})
	}
	return rows
}

func binText(b api.ScoreBin) string {
	switch {
	case b.From == nil:
		return "below " + plain(*b.To)
	case b.To == nil:
		return plain(*b.From) + " and more"
	case *b.From == *b.To:
		return "the same"
	}
	return plain(*b.From) + " to " + plain(*b.To)
}

func showDisagreements(say *speaker, w io.Writer, s *api.Shadow) {
	if len(s.Examples) == 0 {
		return
	}
	fmt.Fprintln(w, "  disagreements, the newest and then the largest, of those alike one; `serin decisions show` tells more of each:")
	rows := [][]string{{"    AT", "DECISION", strings.ToUpper(s.Variant), strings.ToUpper(s.Shadow), "DIFFERENCE", "WHERE"}}
	for _, d := range s.Examples {
		difference := "-"
		if d.Difference != nil {
			difference = plain(*d.Difference)
		}
		rows = append(rows, []string{
			"    " + d.At.Local().Format("2006-01-02 15:04:05.000"), d.Decision, answerText(d.Label, d.Score, d.Status), answerText(d.ShadowLabel, d.ShadowScore, d.ShadowStatus),
			difference, oneLine(d.Where),
		})
	}
	say.aligned(w, rows)
	for _, d := range s.Examples {
		if d.Answer != "" || d.ShadowAnswer != "" {
			fmt.Fprintf(w, "    %s\n      %s: %s\n      %s: %s\n", d.Decision, s.Variant, oneLine(d.Answer), s.Shadow, oneLine(d.ShadowAnswer))
		}
	}
}

// answerText is an answer in a word: its label and score, else its status.
func answerText(label string, score *float64, status int) string {
	text := oneLine(label)
	if score != nil {
		text = strings.TrimSpace(text + " " + plain(*score))
	}
	if text == "" {
		return strconv.Itoa(status)
	}
	return text
}
