package wire

import (
	"net/http"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// MLflow is the call of MLflow's scoring server, /invocations: a data frame or tensors in JSON, or a data frame as CSV.
//
// The JSON is an object with one of dataframe_split, dataframe_records, instances and inputs. Columns are found by name, in any order; a
// model whose columns have no names, or names that only count, takes them in order. Unlike pandas, which drops columns that the model does
// not have, it refuses them: a name that is misspelt is not told from one that is too much. Parameters are not taken.
type MLflow struct{}

// mlflowCall is a request and what reading it needs.
type mlflowCall struct {
	rowsCall
	given bool
}

// exactlyOne is what a body says that has none of the fields, or several. MLflow's clients look for its beginning.
const exactlyOne = "The input must be a JSON dictionary with exactly one of the input fields " +
	"dataframe_split, dataframe_records, instances, inputs; this one "

// Decode reads JSON for a model of the given signature.
func (MLflow) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	if len(signature.Inputs) == 0 {
		return nil, fault.Invalidf("the model takes no input")
	}
	c := new(mlflowCall)
	c.begin(body, signature, l)
	if kind := c.s.Peek(); kind != jsonscan.Object && kind != jsonscan.None {
		return nil, fault.Invalidf("%sis %s", exactlyOne, describeKind(kind))
	}
	c.message()
	if err := c.end(); err != nil {
		return nil, err
	}
	if !c.given {
		return nil, fault.Invalidf("%shas none", exactlyOne)
	}
	return c, nil
}

// DecodeCall reads JSON or CSV, as the Content-Type says; JSON where there is none. Of other types, and of their parameters but for a
// charset of utf-8, it says that they are not supported.
func (d MLflow) DecodeCall(body []byte, call Call, signature tensor.Signature, l Limits) (Exchange, error) {
	text, times := call.Lookup(Header, "Content-Type")
	if times == 0 {
		return d.Decode(body, signature, l)
	}
	if times > 1 {
		return nil, fault.Invalidf("%w: there are %d Content-Type headers", ErrUnsupportedMedia, times)
	}
	kind, parameters, _ := strings.Cut(text, ";")
	for parameters != "" {
		var parameter string
		parameter, parameters, _ = strings.Cut(parameters, ";")
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		switch {
		case key == "":
		case !strings.EqualFold(key, "charset"):
			return nil, fault.Invalidf("%w: the content type has the parameter %.40q; charset alone is known", ErrUnsupportedMedia, key)
		case !strings.EqualFold(strings.Trim(value, `"`), "utf-8"):
			return nil, fault.Invalidf("%w: the charset is %.40q; only utf-8 is read", ErrUnsupportedMedia, value)
		}
	}
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/json":
		return d.Decode(body, signature, l)
	case "text/csv":
		return d.csv(body, signature, l)
	}
	return nil, fault.Invalidf("%w: content type %.80q; send application/json or text/csv", ErrUnsupportedMedia, kind)
}

// message reads the whole body.
func (c *mlflowCall) message() {
	const split, records, instances, inputs, params = 0, 1, 2, 3, 4
	var seen keys
	s := &c.s
	s.Object()
	for s.Next() {
		switch key := string(s.Key()); key {
		case "dataframe_split":
			if seen.once(s, split, key) && c.only(key) {
				c.split(key)
			}
		case "dataframe_records":
			if seen.once(s, records, key) && c.only(key) {
				c.records(key)
			}
		case "instances":
			if seen.once(s, instances, key) && c.only(key) {
				c.instances(key)
			}
		case "inputs":
			if seen.once(s, inputs, key) && c.only(key) {
				c.columnar(key)
			}
		case "params":
			if seen.once(s, params, key) {
				c.params()
			}
		default:
			s.Skip()
		}
	}
}

// only notes that the data has come, which may be once.
func (c *mlflowCall) only(key string) bool {
	if c.given {
		c.fail(fault.Invalidf("%shas several, %s among them", exactlyOne, key))
		return false
	}
	c.given = true
	return true
}

// params refuses parameters: to ignore one would answer another question than was asked.
func (c *mlflowCall) params() {
	s := &c.s
	s.Object()
	for s.Next() {
		name := string(s.Key())
		c.fail(fault.Invalidf("params has %.60q, but this model takes no parameters; leave params out", name))
	}
}

// records reads a list of objects by column.
func (c *mlflowCall) records(key string) {
	if kind := c.s.Peek(); kind != jsonscan.Array {
		c.notList(key, kind)
		return
	}
	c.table(key)
}

// split reads {"columns": [...], "index": [...], "data": [[...], ...]}.
func (c *mlflowCall) split(key string) {
	const columns, data = 0, 1
	var (
		seen  keys
		s     = &c.s
		names []string
		later *jsonscan.Scanner // at the data, where that came before the columns
		named bool
	)
	t, err := newRowTable(key+".data", c.signature, c.limits)
	if err != nil {
		c.fail(err)
		return
	}
	s.Object()
	for s.Next() {
		switch key := string(s.Key()); key {
		case "columns":
			if seen.once(s, columns, key) {
				names, named = c.names(t.most()), true
			}
		case "data":
			if !seen.once(s, data, key) {
				continue
			}
			if named {
				c.frame(t, names)
				later = nil
				continue
			}
			here := *s // the scanner is a value: a copy of it comes back to this place
			later = &here
			s.Skip()
		default:
			s.Skip()
		}
	}
	switch {
	case s.Err() != nil:
		return
	case later != nil:
		after := *s
		*s = *later
		c.frame(t, names)
		if s.Err() == nil {
			*s = after
		}
	case t.rows == 0:
		c.fail(fault.Invalidf("%s has no data", key))
	}
	c.take(t)
}

// names reads column names, which pandas writes as numbers where a frame has none. There may be so many.
func (c *mlflowCall) names(most int) []string {
	names := []string{}
	s := &c.s
	s.Array()
	for s.Next() {
		if len(names) == most {
			c.fail(fault.Invalidf("dataframe_split has more than %d columns", most))
			break
		}
		if s.Peek() == jsonscan.Number {
			names = append(names, string(s.Number()))
		} else {
			names = append(names, s.String())
		}
	}
	return names
}

// frame reads the rows of a data frame whose columns have names; nil: none.
func (c *mlflowCall) frame(t *rowTable, names []string) {
	s := &c.s
	if kind := s.Peek(); kind != jsonscan.Array {
		c.notList(t.what, kind)
		return
	}
	var order []int
	if names != nil {
		var err error
		if order, err = t.order(names, true); err != nil {
			c.fail(fault.Invalidf("dataframe_split.columns: %w", err))
			return
		}
	}
	s.Array()
	for s.Next() {
		if order == nil {
			c.widen(t)
		}
		if err := t.begin(); err != nil {
			c.fail(err)
			return
		}
		c.values(t, order)
	}
	if s.Err() == nil && t.rows == 0 {
		c.fail(fault.Invalidf("%s holds no rows; send at least one", t.what))
	}
}

// widen gives an open model as many columns as the first row has.
func (c *mlflowCall) widen(t *rowTable) {
	if !t.open || t.rows > 0 {
		return
	}
	n, at := 0, c.s
	if at.Peek() == jsonscan.Array {
		for at.Array(); at.Next(); n++ {
			at.Skip()
		}
	}
	t.widen(n)
}

// Answer writes {"predictions": [...]} in the shape of the model's output: a value or a list for each row, or an object with each output by
// its name where the model gives several. A float32 is written as the double it equals, as numpy's tolist gives it.
func (c *mlflowCall) Answer(dst []byte, _ Meta, resp *tensor.Response) ([]byte, error) {
	return answerMLflow(dst, resp, c.rows())
}

func answerMLflow(dst []byte, resp *tensor.Response, rows int) ([]byte, error) {
	dst, err := appendPredictions(append(dst, `{"predictions":`...), resp, rows, false)
	return append(dst, '}'), err
}

// Error appends MLflow's error object. It never fails.
func (MLflow) Error(dst []byte, status int, err error) []byte {
	code := "BAD_REQUEST"
	switch {
	case status == http.StatusNotFound:
		code = "RESOURCE_DOES_NOT_EXIST"
	case status == http.StatusTooManyRequests:
		code = "REQUEST_LIMIT_EXCEEDED"
	case status == http.StatusServiceUnavailable:
		code = "TEMPORARILY_UNAVAILABLE"
	case status >= http.StatusInternalServerError:
		code = "INTERNAL_ERROR"
	}
	dst = append(dst, `{"error_code":"`...)
	dst = append(dst, code...)
	dst = append(dst, `","message":`...)
	dst = appendText(dst, explain(err))
	return append(dst, '}')
}
