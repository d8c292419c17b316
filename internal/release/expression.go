package release

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/serin-ml/serin/internal/fault"
)

// Condition is an expression in CEL, the Common Expression Language, that holds while a candidate is good:
//
//	candidate.errors < 2 * stable.errors && candidate.latency.p99 < 0.5
//
// What it knows of candidate and of stable: requests, errors, fallbacks, labels, accuracy, agreement, latency.mean, latency.p50, p90, p95, p99
// and p999 in seconds, and value.KIND, the mean of outcomes of that kind. All are numbers over the whole release, as far as both had a share of
// the traffic, and of at least Metric.MinSample observations each. It takes them as they are: no false alarm rate is promised of it, however
// often it is looked at.
type Condition struct {
	text    string
	program cel.Program
	names   []string // that it uses, sorted
}

const (
	longestExpr = 4096
	costliest   = 100_000 // steps of an evaluation
	armNames    = "requests errors fallbacks labels accuracy agreement latency.mean latency.p50 latency.p90 latency.p95 latency.p99 latency.p999"
	divided     = "divided" // is what a division becomes: one that gives no number is an error, where CEL says NaN
)

// CheckExpr tells whether an expression is one that a metric can have: an Invalid error tells what is wrong and where.
func CheckExpr(expr string) error {
	_, err := NewCondition(expr)
	return err
}

// NewCondition reads an expression. It costs some tenths of a millisecond.
func NewCondition(expr string) (*Condition, error) {
	if len(expr) > longestExpr {
		return nil, fault.Invalidf("an expression of %d bytes is longer than %d", len(expr), longestExpr)
	}
	env, err := expressionEnv()
	if err != nil {
		return nil, fault.Internalf("expressions: %w", err)
	}
	parsed, issues := env.Parse(expr)
	if err := issues.Err(); err != nil {
		return nil, invalidExpr(expr, err)
	}
	onlyFloats(parsed.NativeRep())
	checked, issues := env.Check(parsed)
	if err := issues.Err(); err != nil {
		return nil, invalidExpr(expr, err)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, fault.Invalidf("expression %q is a %s, and no condition", expr, checked.OutputType()).WithHint("compare: candidate.errors < 0.01")
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptPartialEval), cel.CostLimit(costliest))
	if err != nil {
		return nil, invalidExpr(expr, err)
	}
	c := &Condition{text: expr, program: program}
	for _, r := range checked.NativeRep().ReferenceMap() { // functions, and what a list's elements are called, too
		if (strings.HasPrefix(r.Name, "candidate.") || strings.HasPrefix(r.Name, "stable.")) && !slices.Contains(c.names, r.Name) {
			c.names = append(c.names, r.Name)
		}
	}
	if c.names == nil {
		return nil, fault.Invalidf("expression %q says nothing of candidate or stable", expr).WithHint("compare: candidate.errors < 0.01")
	}
	slices.Sort(c.names)
	return c, nil
}

func invalidExpr(expr string, err error) error {
	return fault.Invalidf("expression %q: %s", expr, strings.Join(strings.Fields(err.Error()), " ")).
		WithHint("it may use, of candidate and of stable: %s, value.KIND", strings.ReplaceAll(armNames, " ", ", "))
}

// expressionEnv is what expressions know.
func expressionEnv() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.Function(divided, cel.Overload("divided_double", []*cel.Type{cel.DoubleType, cel.DoubleType}, cel.DoubleType, cel.BinaryBinding(divide))),
	}
	for _, arm := range []string{"candidate", "stable"} {
		for _, name := range strings.Fields(armNames) {
			options = append(options, cel.Variable(arm+"."+name, cel.DoubleType))
		}
		options = append(options, cel.Variable(arm+".value", cel.MapType(cel.StringType, cel.DoubleType)))
	}
	return cel.NewEnv(options...)
}

func divide(a, b ref.Val) ref.Val {
	x, okX := a.(types.Double)
	y, okY := b.(types.Double)
	if q := float64(x / y); okX && okY && !math.IsNaN(q) && !math.IsInf(q, 0) {
		return types.Double(q)
	}
	return types.NewErr("a division by %v gives no number", b.Value())
}

// onlyFloats makes whole numbers floats, as CEL multiplies only what is of one type and all that is known of variants are floats, and makes
// divisions those that give a number or an error.
func onlyFloats(tree *ast.AST) {
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
			if n, ok := e.AsLiteral().(types.Int); ok {
				e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(n)))
			}
		case ast.CallKind:
			if call := e.AsCall(); call.FunctionName() == "_/_" {
				e.SetKindCase(factory.NewCall(e.ID(), divided, call.Args()...))
			}
		default:
		}
	}))
}

// Verdict tells whether the condition holds. It is inconclusive where what it depends on is not known, or is known of too few requests.
func (c *Condition) Verdict(m *Metric, segments []Segment) Verdict {
	v := Verdict{Metric: m.Name, Role: m.Role, Outcome: Inconclusive, Value: Number(math.NaN()), Low: Number(math.NaN()), High: Number(math.NaN()), Limit: Number(math.NaN())}
	figures := c.figures(segments, float64(m.minSample()))
	for arm, requests := range map[string]float64{"candidate": figures["candidate.requests"].(float64), "stable": figures["stable.requests"].(float64)} {
		used := slices.ContainsFunc(c.names, func(name string) bool { return strings.HasPrefix(name, arm+".") })
		if used {
			v.N += uint64(requests)
		}
		if used && requests < float64(m.minSample()) {
			v.Sentence = fmt.Sprintf("%q is not judged before there are %d requests to either arm", c.text, m.minSample())
		}
	}
	if v.Sentence != "" {
		return v
	}
	known, told, unknown := map[string]any{}, []string(nil), []*cel.AttributePatternType(nil)
	for _, name := range c.names {
		switch value := figures[name].(type) {
		case float64:
			if math.IsNaN(value) {
				unknown = append(unknown, cel.AttributePattern(name))
				told = append(told, fmt.Sprintf("%s unknown, of fewer than %d observations", name, m.minSample()))
				continue
			}
			known[name] = value
			told = append(told, fmt.Sprintf("%s %.4g", name, value))
		default:
			known[name] = value
		}
	}
	with := ""
	if told != nil {
		with = " with " + strings.Join(told, ", ")
	}
	holds, err := c.eval(known, unknown)
	switch {
	case err != nil:
		v.Sentence = fmt.Sprintf("%q cannot be told%s: %v", c.text, with, err)
	case holds:
		v.Outcome, v.Sentence = Pass, fmt.Sprintf("%q holds%s", c.text, with)
	default:
		v.Outcome, v.Sentence = Fail, fmt.Sprintf("%q does not hold%s", c.text, with)
	}
	return v
}

func (c *Condition) eval(known map[string]any, unknown []*cel.AttributePatternType) (bool, error) {
	activation, err := cel.PartialVars(known, unknown...)
	if err != nil {
		return false, err
	}
	out, _, err := c.program.Eval(activation)
	switch {
	case err != nil:
		return false, err
	case types.IsUnknown(out):
		return false, errors.New("what it depends on is not known yet")
	}
	holds, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("it is a %s", out.Type().TypeName())
	}
	return holds, nil
}
