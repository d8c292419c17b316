package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
)

// rowGroup is how many rows a group of the Parquet file has, which are held in memory until it is written.
const rowGroup = 64 * 1024

// ExportParquet writes all rows of a view as a Parquet file: each column nullable, times as timestamps of milliseconds in UTC, numbers
// as int64 and double, the rest as strings. It takes as long as it takes, and sees one state of the file.
func (r *Reader) ExportParquet(ctx context.Context, view string, w io.Writer) error {
	return r.ExportParquetSince(ctx, view, time.Time{}, w)
}

// ExportParquetSince is ExportParquet of the rows from a time on, by the server's clock; the zero time is all. A view whose rows have
// no time is Invalid.
func (r *Reader) ExportParquetSince(ctx context.Context, view string, since time.Time, w io.Writer) error {
	v, err := viewNamed(view)
	if err != nil {
		return err
	}
	text, args := "SELECT * FROM "+v.Name, []any(nil)
	if !since.IsZero() {
		column := v.rowTime()
		if column == "" {
			return fault.Invalidf("the rows of the view %s have no time", v.Name).WithHint("export all of it")
		}
		from := timeText(since)
		if column == "minute" { // which has no milliseconds; the one that since lies in is among them
			from = minuteText(measure.Minute(since))
		}
		text, args = text+" WHERE "+column+" >= ?", []any{from}
	}
	patient := &Reader{db: r.db, limit: 365 * 24 * time.Hour}
	rows, err := patient.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	buffered := bufio.NewWriterSize(w, 1<<20)
	writer := parquet.NewWriter(buffered, parquetSchema(v), parquet.Compression(&zstd.Codec{}))
	group := 0
	row := make(parquet.Row, len(v.Columns))
	for values, err := range rows.All() {
		if err != nil {
			return err
		}
		for i, value := range values {
			if row[i], err = parquetValue(v.Columns[i], value, i); err != nil {
				return err
			}
		}
		if _, err := writer.WriteRows([]parquet.Row{row}); err != nil {
			return err
		}
		if group++; group == rowGroup {
			group = 0
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// rowTime returns the column that says when a row came to be, "" if none does. Of outcomes at is the client's clock.
func (v View) rowTime() string {
	for _, name := range []string{"minute", "received_at", "at"} {
		if slices.ContainsFunc(v.Columns, func(c Column) bool { return c.Name == name }) {
			return name
		}
	}
	return ""
}

// parquetSchema is made from a struct type, as that keeps the order of the columns.
func parquetSchema(v View) *parquet.Schema {
	fields := make([]reflect.StructField, len(v.Columns))
	for i, c := range v.Columns {
		tag, of := c.Name+",optional", reflect.TypeFor[string]()
		switch c.Type {
		case Int:
			of = reflect.TypeFor[int64]()
		case Real:
			of = reflect.TypeFor[float64]()
		case Time:
			tag, of = c.Name+",optional,timestamp(millisecond)", reflect.TypeFor[int64]()
		}
		fields[i] = reflect.StructField{Name: fmt.Sprintf("C%d", i), Type: of, Tag: reflect.StructTag(`parquet:"` + tag + `"`)}
	}
	return parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface())
}

func parquetValue(c Column, value any, i int) (parquet.Value, error) {
	var out parquet.Value
	switch v := value.(type) {
	case nil:
		return parquet.NullValue().Level(0, 0, i), nil
	case int64:
		out = parquet.Int64Value(v)
		if c.Type == Real {
			out = parquet.DoubleValue(float64(v))
		}
	case float64:
		out = parquet.DoubleValue(v)
	case string:
		if c.Type == Time {
			t, err := time.Parse("2006-01-02 15:04:05.999", v)
			if err != nil {
				return out, err
			}
			out = parquet.Int64Value(t.UnixMilli())
		} else {
			out = parquet.ByteArrayValue([]byte(v))
		}
	default:
		return out, fmt.Errorf("column %s has a value of type %T", c.Name, value)
	}
	return out.Level(0, 1, i), nil
}
