package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// rowGroup is how many rows a group of the Parquet file has, which are held in memory until it is written.
const rowGroup = 64 * 1024

// ExportParquet writes all rows of a view as a Parquet file: each column nullable, times as timestamps of milliseconds in UTC, numbers
// as int64 and double, the rest as strings. It takes as long as it takes, and sees one state of the file.
func (r *Reader) ExportParquet(ctx context.Context, view string, w io.Writer) error {
	v, err := viewNamed(view)
	if err != nil {
		return err
	}
	patient := &Reader{db: r.db, limit: 365 * 24 * time.Hour}
	rows, err := patient.Query(ctx, "SELECT * FROM "+v.Name)
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
