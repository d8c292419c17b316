package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/fault"
)

// Exporter writes the rows of a view that began at or after a time (zero: all) as a Parquet file. An unknown view is NotFound, and
// then nothing was written.
type Exporter interface {
	ExportParquet(ctx context.Context, view string, since time.Time, w io.Writer) error
}

const parquetType = "application/vnd.apache.parquet"

func (c *control) routeExport(h huma.API) {
	type input struct {
		File  string    `path:"file" example:"outcomes.parquet" doc:"a view's name and .parquet"`
		Since time.Time `query:"since" doc:"only rows of this time and after"`
	}
	handle(h, huma.Operation{
		OperationID: "export-view", Method: http.MethodGet, Path: "/api/v1/export/{file}", Summary: "The rows of a view as a Parquet file",
		Responses: map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{
			parquetType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}},
	}, func(ctx context.Context, in *input) (*huma.StreamResponse, error) {
		view, ok := strings.CutSuffix(in.File, ".parquet")
		switch {
		case !ok:
			return nil, fault.NotFoundf("there is no export %.80q", in.File).WithHint("ask for a view's name and .parquet, such as outcomes.parquet")
		case c.Export == nil:
			return nil, NoTelemetry()
		}
		return &huma.StreamResponse{Body: func(h huma.Context) { c.export(ctx, h, view, in.Since) }}, nil
	})
}

// export sends the file as it is written. An error before its first byte is answered as any other; a later one cuts the connection,
// so that nobody takes the part for the whole.
func (c *control) export(ctx context.Context, h huma.Context, view string, since time.Time) {
	w := &begun{Writer: h.BodyWriter(), begin: func() {
		h.SetHeader("Content-Type", parquetType)
		h.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", view+".parquet"))
		h.SetStatus(http.StatusOK)
	}}
	err := c.Export.ExportParquet(ctx, view, since, w)
	switch {
	case err == nil:
	case w.any:
		if c.Log != nil {
			c.Log.Error("an export was cut off", "view", view, "error", err)
		}
		panic(http.ErrAbortHandler)
	default:
		p := problemOf(fault.HTTPStatus(err), err)
		h.SetHeader("Content-Type", p.ContentType(""))
		h.SetStatus(p.Status)
		_, _ = h.BodyWriter().Write(p.text()) // the client may have gone
	}
}

// begun calls begin before the first byte.
type begun struct {
	io.Writer
	begin func()
	any   bool
}

// Write writes.
func (w *begun) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if !w.any {
		w.any = true
		w.begin()
	}
	return w.Writer.Write(b)
}

// ExportParquet writes the rows of a view that began at or after a time (zero: all) as a Parquet file. After an error, what was
// written is not the whole file.
func (c *Client) ExportParquet(ctx context.Context, view string, since time.Time, w io.Writer) error {
	where := path("export", view+".parquet")
	if !since.IsZero() {
		where += "?" + url.Values{"since": {since.UTC().Format(time.RFC3339Nano)}}.Encode()
	}
	resp, err := c.send(ctx, http.MethodGet, where, "application/json", http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fault.Unavailablef("the export was cut off: %w", err).WithHint("the server's log says why; try again")
		}
		return err
	}
	return nil
}
