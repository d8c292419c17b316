package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
)

type sqlCmd struct {
	SQL    string `arg:"" optional:"" name:"sql" help:"One SELECT over the views."`
	CSV    bool   `name:"csv" help:"Print comma-separated values with a header."`
	Limit  int    `default:"1000" placeholder:"ROWS" help:"Print at most this many rows, up to 100000 (default: 1000)."`
	Schema bool   `help:"List the views and their columns."`
}

// Run asks, or lists what can be asked.
func (s *sqlCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	switch {
	case s.Schema == (s.SQL != ""):
		return fault.Invalidf("say either what to ask, or --schema").WithHint(`serin sql "SELECT variant, sum(requests) FROM variant_minutes GROUP BY variant"`)
	case s.CSV && c.JSON:
		return fault.Invalidf("--csv and --json are two answers").WithHint("give one of them")
	}
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	if s.Schema {
		views, err := control.Views(ctx)
		if err != nil {
			return err
		}
		return say.answer(views, func(w io.Writer) { showViews(w, views) })
	}
	table, err := control.Query(ctx, api.Statement{SQL: s.SQL, Limit: s.Limit})
	if err != nil {
		return err
	}
	if err := say.answer(table, func(w io.Writer) {
		if s.CSV {
			writeCSV(w, table)
			return
		}
		showTable(w, table)
	}); err != nil {
		return err
	}
	if table.Truncated {
		fmt.Fprintf(say.errs, "serin: there are more rows than these %d: --limit takes up to 100000, and `serin export parquet` writes whole views\n", len(table.Rows))
	}
	return nil
}

func showViews(w io.Writer, views []api.View) {
	for i, v := range views {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", v.Name, v.Doc)
		var rows [][]string
		for _, column := range v.Columns {
			rows = append(rows, []string{"  " + column.Name, column.Type, column.Doc})
		}
		aligned(w, rows)
	}
}

func showTable(w io.Writer, table api.Table) {
	rows := [][]string{table.Columns}
	for _, row := range table.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cellText(v)
		}
		rows = append(rows, cells)
	}
	aligned(w, rows)
	if len(table.Rows) == 0 {
		fmt.Fprintln(w, "no rows")
	}
}

// aligned prints rows in columns; a cell may hold spaces.
func aligned(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // into memory
}

func writeCSV(w io.Writer, table api.Table) {
	out := csv.NewWriter(w)
	_ = out.Write(table.Columns) // into memory
	for _, row := range table.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case nil:
			case string:
				cells[i] = v
			default:
				cells[i] = fmt.Sprint(v) // a number, with all its digits
			}
		}
		_ = out.Write(cells)
	}
	out.Flush()
}

// cellText is a value of SQL as people read it: numbers to six digits, and nothing that would break a line.
func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") {
			return strconv.FormatFloat(f, 'g', 6, 64)
		}
		return v.String()
	case string:
		return oneLine(v)
	}
	return fmt.Sprint(v)
}

// oneLine takes from a text what would break a line or a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
