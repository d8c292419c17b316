// Package prometheus asks a Prometheus server, or one that speaks its HTTP API, for a number that a release is judged by.
//
// Serin's own figures need no server. This is for those that only the user's monitoring has. Whatever is not exactly one finite number is an
// error that says why: nothing, several series, NaN, a server that is down or says that its answer is not complete.
package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// DefaultTimeout is how long an answer may take.
const DefaultTimeout = 5 * time.Second

const largestAnswer = 1 << 20 // one number takes some hundred bytes

// Options say where a server is and how it is asked.
type Options struct {
	URL        string        // http or https, with the path before /api/v1 if there is one; a user and password in it are sent
	BearerFile string        // a file whose content is the token to send, read at each request; "" sends none
	Timeout    time.Duration // of an answer; 0 means DefaultTimeout
}

// Server asks one server. It is safe for concurrent use.
type Server struct {
	url, shown, bearerFile string
	client                 http.Client
}

// New returns an Invalid error where the URL is none.
func New(o Options) (*Server, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fault.Invalidf("%q is not the address of a Prometheus server", o.URL).WithHint("as http://prometheus:9090")
	}
	base.RawQuery, base.Fragment = "", ""
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Server{
		url: base.JoinPath("api/v1/query").String(), shown: base.Redacted(), bearerFile: o.BearerFile,
		client: http.Client{Timeout: o.Timeout},
	}, nil
}

// Ask returns what a query in PromQL gives now: a scalar, or the value of the only series. All else is an Unavailable error that says why there
// is no such number, or an Invalid one where the server refuses the query.
func (s *Server) Ask(ctx context.Context, query string) (float64, error) {
	form := url.Values{"query": {query}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, fault.Internalf("prometheus server %s: %w", s.shown, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.bearerFile != "" {
		token, err := os.ReadFile(s.bearerFile)
		if err != nil {
			return 0, fault.Unavailablef("prometheus server %s: its token cannot be read: %w", s.shown, err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		var where *url.Error
		if errors.As(err, &where) { // whose text has the address, which was said already
			err = where.Err
		}
		return 0, fault.Unavailablef("prometheus server %s does not answer: %w", s.shown, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer+1))
	switch {
	case err != nil:
		return 0, fault.Unavailablef("prometheus server %s broke off its answer: %w", s.shown, err)
	case len(body) > largestAnswer:
		return 0, fault.Unavailablef("prometheus server %s answers with more than %d bytes: the query gives many series, or it is no such server", s.shown, largestAnswer)
	}
	value, err := number(body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fault.Unavailablef("with a number all the same, which is not to be trusted")
	}
	if err != nil && resp.StatusCode/100 != 2 {
		return 0, fault.New(fault.KindOf(err), "prometheus server %s answers %d: %w", s.shown, resp.StatusCode, err)
	}
	if err != nil {
		return 0, fault.New(fault.KindOf(err), "prometheus server %s: %w", s.shown, err)
	}
	return value, nil
}

// answer is the format of Prometheus' HTTP API, as far as numbers go.
type answer struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Partial   bool     `json:"isPartial"` // of VictoriaMetrics
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// series is one of a vector.
type series struct {
	Value     sample          `json:"value"`
	Histogram json.RawMessage `json:"histogram"`
}

// sample is a time and a value, [1700000000.123, "0.5"].
type sample []json.RawMessage

// number reads an answer.
func number(body []byte) (float64, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return 0, fault.Unavailablef("what it answers is not of Prometheus' API: %w", err)
	}
	switch {
	case a.Status == "error" && a.ErrorType == "bad_data":
		return 0, fault.Invalidf("it refuses the query: %.300s", a.Error)
	case a.Status == "error":
		return 0, fault.Unavailablef("it says %.100s: %.300s", a.ErrorType, a.Error)
	case a.Status != "success":
		return 0, fault.Unavailablef("what it answers is not of Prometheus' API: its status is %.40q", a.Status)
	case a.Partial:
		return 0, fault.Unavailablef("it says that its answer is partial, as some of its storage does not answer")
	case len(a.Warnings) > 0:
		return 0, fault.Unavailablef("it warns of its own answer: %.300s", a.Warnings[0])
	}
	switch a.Data.ResultType {
	case "scalar":
		var s sample
		if err := json.Unmarshal(a.Data.Result, &s); err != nil {
			return 0, fault.Unavailablef("its scalar cannot be read: %w", err)
		}
		return s.number()
	case "vector":
		var all []series
		if err := json.Unmarshal(a.Data.Result, &all); err != nil {
			return 0, fault.Unavailablef("its series cannot be read: %w", err)
		}
		switch {
		case len(all) == 0:
			return 0, fault.Unavailablef("no series: nothing of that name and those labels was measured lately")
		case len(all) > 1:
			return 0, fault.Unavailablef("%d series, where one number is wanted: sum() makes one of many", len(all))
		case all[0].Value == nil && all[0].Histogram != nil:
			return 0, fault.Unavailablef("a histogram, where a number is wanted: histogram_quantile() or histogram_avg() makes one of it")
		}
		return all[0].Value.number()
	}
	return 0, fault.Unavailablef("a %.40s, where one number is wanted", a.Data.ResultType)
}

func (s sample) number() (float64, error) {
	var text string
	if len(s) != 2 {
		return 0, fault.Unavailablef("a value of %d parts, where a time and a number are wanted", len(s))
	}
	if err := json.Unmarshal(s[1], &text); err != nil {
		return 0, fault.Unavailablef("a value that cannot be read: %w", err)
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return 0, fault.Unavailablef("%.40q is no number", text)
	case math.IsNaN(v):
		return 0, fault.Unavailablef("NaN, as of a division of nothing by nothing: probably there were no requests")
	case math.IsInf(v, 0):
		return 0, fault.Unavailablef("%s, as of a division by nothing", fmt.Sprint(v))
	}
	return v, nil
}
