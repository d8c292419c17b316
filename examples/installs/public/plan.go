package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// reaction is what a user does about an answer.
type reaction uint8

const (
	silent  reaction = iota
	once             // says how it went
	twice            // says it again: an impatient click, or a client that did not hear that it was heard
	opposes          // says the opposite the second time
	forges           // says it with a token that is not genuine
)

// slowness is how many times longer slow users take.
const slowness = 4

// ask is one request, with all that chance has in store for it. What happens then depends only on which version answers.
type ask struct {
	at       time.Duration // since the start
	user     int
	row      int
	seldon   bool    // else Open Inference
	luck     float64 // the answer is right if this is below the version's accuracy
	reaction reaction
	after    time.Duration // from the answer to what is said of it
}

// plan draws all requests, in the order of time: every user asks about equally often, at random times.
func plan(o *options, rows int) []ask {
	random := rand.New(rand.NewPCG(o.seed, 0))
	asks := make([]ask, o.requests)
	turns := random.Perm(o.requests)
	at := 0.0 // seconds
	for i := range asks {
		at += random.ExpFloat64() / o.rate
		asks[i] = ask{
			at: seconds(at), user: turns[i] % o.users, row: random.IntN(rows), seldon: random.IntN(2) == 0,
			luck: random.Float64(), reaction: o.react(random), after: seconds(o.delay.Seconds() * random.ExpFloat64()),
		}
		if random.Float64() < o.slow {
			asks[i].after *= slowness
		}
	}
	return asks
}

func (o *options) react(random *rand.Rand) reaction {
	if random.Float64() >= o.share {
		return silent
	}
	switch u := random.Float64(); {
	case u < o.forged:
		return forges
	case u < o.forged+o.twice/2:
		return twice
	case u < o.forged+o.twice:
		return opposes
	}
	return once
}

// seconds is a number of seconds, at most a year of them.
func seconds(v float64) time.Duration {
	const year = 365 * 24 * 3600
	return time.Duration(min(v, year) * float64(time.Second))
}

// readRows reads a CSV file with a header. An empty cell is a missing value.
func readRows(file string) (rows [][]*float64, err error) {
	f, err := os.Open(file) //nolint:gosec // the user names it on the command line
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(records) < 2 {
		return nil, fmt.Errorf("%s has no rows", file)
	}
	for _, record := range records[1:] {
		row := make([]*float64, len(record))
		for i, cell := range record {
			if v, err := strconv.ParseFloat(cell, 64); err == nil && !math.IsNaN(v) {
				row[i] = &v
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
