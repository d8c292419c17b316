package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/load"
	"github.com/serin-ml/serin/internal/rows"
)

// loadRows are rows that a service is asked about.
type loadRows struct {
	Input          string `placeholder:"ROWS" help:"File of rows to send in turn, over and over; - for standard input."`
	Service        string `placeholder:"NAME" help:"The service they are for."`
	Dialect        string `default:"" enum:",v2,v2-binary,v2-grpc,seldon,seldon-ndarray,seldon-grpc,v1,mlflow" placeholder:"DIALECT" help:"v2, v2-binary, v2-grpc, seldon, seldon-ndarray, seldon-grpc, v1 or mlflow (default: v2, or v2-grpc to grpc://)."`
	RowsPerRequest int    `default:"1" placeholder:"K" help:"Rows of a request (default: 1)."`
	Rows           int    `placeholder:"N" help:"How many rows are read (default: the first 100,000)."`
	Format         string `enum:",libsvm,csv,tsv,jsonl" default:"" placeholder:"FORMAT" help:"libsvm, csv, tsv or jsonl (default: told by name and first line)."`
	Label          string `placeholder:"COLUMN" help:"A column of CSV or TSV that is no input: its name, or its number from 0."`
	Names          string `enum:"auto,yes,no" default:"auto" help:"Whether the first row of CSV or TSV names the columns: auto, yes or no."`
	AbsentZero     bool   `help:"What a row of libsvm leaves out is 0, as for LightGBM; else it is missing."`
	Describe       string `placeholder:"URL" help:"The server that says what the service takes (default: the one that is sent to)."`
}

// rows makes requests of rows.
func (l *loadCmd) rows(ctx context.Context, say *speaker, o *load.Options, bodyToo bool) error {
	switch {
	case bodyToo:
		return fault.Invalidf("both --input and a body say what to send").WithHint("leave one of them out")
	case l.Service == "":
		return fault.Invalidf("--input needs --service").WithHint("`curl SERVER/v2/models` lists the services")
	case l.RowsPerRequest < 1 || l.Rows < 0:
		return fault.Invalidf("%d rows a request, of %d, cannot be sent", l.RowsPerRequest, l.Rows)
	}
	dialect := load.Dialect(l.Dialect)
	if dialect == "" {
		dialect = load.V2
		if o.Protocol == load.GRPC {
			dialect = load.V2GRPC
		}
	}
	var err error
	if o.URL, err = dialect.URL(l.URL, l.Service); err != nil {
		return err
	}
	ask := *o
	ask.URL, ask.Protocol, ask.Payloads, ask.Method = l.URL, load.HTTP1, nil, ""
	if l.Describe != "" {
		ask.URL = l.Describe
	}
	inputs, err := load.Inputs(ctx, ask, l.Service)
	if err != nil {
		return err
	}
	input, width, err := load.RowsInput(inputs)
	if err != nil {
		return err
	}
	file := rowFile{Input: l.Input}
	in, name, err := file.open(say)
	if err != nil {
		return err
	}
	defer in.Close()
	headers := map[string]rows.Header{"auto": rows.HeaderAuto, "yes": rows.HeaderYes, "no": rows.HeaderNo}
	reader, err := rows.Open(in, rows.Format(l.Format), rows.Options{
		Name: name, Width: width, Header: headers[l.Names], Label: l.Label, AbsentZero: l.AbsentZero,
	})
	if err != nil {
		return err
	}
	payloads, n, more, err := load.RowPayloads(reader, load.RowOptions{
		Dialect: dialect, Service: l.Service, Input: input, PerRequest: l.RowsPerRequest, Most: l.Rows,
	})
	if err != nil {
		return fault.New(fault.KindOf(err), "%s: %w", strings.TrimSuffix(name, ":"), err)
	}
	if more && l.Rows == 0 {
		fmt.Fprintf(say.errs, "serin: only the first %d rows of %s are sent; --rows N takes more\n", n, name)
	}
	o.Payloads = payloads
	return nil
}
