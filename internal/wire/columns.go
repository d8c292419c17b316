package wire

import (
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// columnOrder tells where each of the model's columns stands in a request that calls its columns names: column i of the model is
// column order[i] of the request. It is nil where they stand in order already.
//
// Names that carry nothing but a position (f0, f1, ...; see positional) say nothing new. Any other name must be one of the model's: to
// guess that names nobody knows mean the model's order would answer with a wrong number where the client meant another order.
func columnOrder(names, columns []string) ([]int, error) {
	if slices.Equal(names, columns) {
		return nil, nil
	}
	at := make(map[string]int, len(names))
	for i, name := range names {
		if _, twice := at[name]; twice {
			return nil, fault.Invalidf("the column name %.60q is given twice", name)
		}
		at[name] = i
	}
	order := make([]int, len(columns))
	var missing []string
	for i, name := range columns {
		from, ok := at[name]
		if !ok {
			missing = append(missing, name)
			continue
		}
		order[i] = from
		delete(at, name)
	}
	switch {
	case len(missing) == 0 && len(at) == 0:
		return order, nil
	case len(missing) == len(columns) && len(names) == len(columns) && positional(names):
		return nil, nil
	}
	unknown := slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, left := at[name]; return !left })
	message := "the column names are not the model's"
	if len(unknown) > 0 {
		message += "; unknown: " + few(unknown)
	}
	if len(missing) > 0 {
		message += "; missing: " + few(missing)
	}
	return nil, fault.Invalidf("%s", message).WithHint("send the model's names in any order, or none and the model's order")
}

// positional tells whether names are a common prefix and a running number from 0 or 1: t:0, t:1, ... or input-0. Clients make up
// such names where they have none.
func positional(names []string) bool {
	if len(names) == 0 {
		return false
	}
	prefix := strings.TrimRight(names[0], "0123456789")
	first := names[0][len(prefix):]
	if first != "0" && first != "1" {
		return false
	}
	for i, name := range names {
		number, ok := strings.CutPrefix(name, prefix)
		if !ok || number != strconv.Itoa(i+int(first[0]-'0')) {
			return false
		}
	}
	return true
}

// few lists names for a message, the first five of them.
func few(names []string) string {
	shown := names[:min(len(names), 5)]
	quoted := make([]string, len(shown))
	for i, name := range shown {
		quoted[i] = strconv.Quote(name[:min(len(name), 60)])
	}
	list := strings.Join(quoted, ", ")
	if more := len(names) - len(shown); more > 0 {
		list += " and " + strconv.Itoa(more) + " more"
	}
	return list
}

// reorder puts the columns of rows of the given width in order, in place.
func reorder[T tensor.Element](data []T, order []int) {
	row := make([]T, len(order))
	for ; len(data) >= len(order); data = data[len(order):] {
		copy(row, data)
		for i, from := range order {
			data[i] = row[from]
		}
	}
}

// inputNames lists what a model takes, for a message.
func inputNames(signature tensor.Signature) string {
	names := make([]string, len(signature.Inputs))
	for i, p := range signature.Inputs {
		names[i] = p.Name
	}
	return few(names)
}
