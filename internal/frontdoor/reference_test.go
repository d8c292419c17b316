package frontdoor

import (
	"regexp"
	"strconv"
	"strings"
)

// seen is a request as a server understood it.
type seen struct {
	Method, Target, Body string
	Broken               bool // its body did not end as its framing says
}

// The grammar of RFC 9112, narrowed to what has one reading, on whole streams: the guard's oracle, which shares nothing with it.
var (
	requestForm = regexp.MustCompile("^(?:\r\n)?([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\\x00-\\x20\\x7f]+) HTTP/1[.]([0-9])\r\n")
	fieldForm   = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\\x00-\\x08\\x0a-\\x1f\\x7f]*?)[ \t]*\r\n")
	chunkForm   = regexp.MustCompile("^([0-9a-fA-F]{1,15})(;[^\\x00-\\x08\\x0a-\\x1f\\x7f]+)?\r\n")
)

// reference reads a stream strictly: the requests up to the first mistake, of which the last may have a broken body.
func reference(stream string) (list []seen) {
	if rest, ok := strings.CutPrefix(stream, "PRI * HTTP/2.0\r\n\r\n"); ok {
		if !strings.HasPrefix(rest, "SM\r\n\r\n") { // net/http shows a preface of h2 that goes wrong to the handler; nothing comes after it
			list = []seen{{Method: "PRI", Target: "*"}}
		}
		return list
	}
	for {
		m := requestForm.FindStringSubmatch(stream)
		if m == nil {
			return list
		}
		fields, rest, ok := section(stream[len(m[0]):])
		lengths, codings := fields["content-length"], fields["transfer-encoding"]
		switch {
		case !ok, len(fields["host"]) > 1, len(fields["host"]) == 0 && m[3] != "0" && m[1] != "CONNECT", len(lengths) > 1, len(codings) > 1:
			return list
		case len(codings) == 1 && (len(lengths) > 0 || m[3] == "0" || !strings.EqualFold(codings[0], "chunked")):
			return list
		}
		request := seen{Method: m[1], Target: m[2]}
		if len(codings) == 1 {
			request.Body, rest, ok = dechunk(rest)
		} else if len(lengths) == 1 {
			n, err := strconv.ParseUint(lengths[0], 10, 59)
			if err != nil {
				return list
			}
			ok = n <= uint64(len(rest))
			n = min(n, uint64(len(rest)))
			request.Body, rest = rest[:n], rest[n:]
		}
		request.Broken = !ok
		list = append(list, request)
		if !ok {
			return list
		}
		stream = rest
	}
}

// section reads lines of fields up to the empty line.
func section(stream string) (fields map[string][]string, rest string, ok bool) {
	fields = map[string][]string{}
	for {
		if rest, ok = strings.CutPrefix(stream, "\r\n"); ok {
			return fields, rest, true
		}
		m := fieldForm.FindStringSubmatch(stream)
		if m == nil {
			return nil, "", false
		}
		name := strings.ToLower(m[1])
		fields[name] = append(fields[name], m[2])
		stream = stream[len(m[0]):]
	}
}

// dechunk reads a chunked body.
func dechunk(stream string) (body, rest string, ok bool) {
	for {
		m := chunkForm.FindStringSubmatch(stream)
		if m == nil || len(m[0]) > maxChunkLine {
			return body, "", false
		}
		stream = stream[len(m[0]):]
		n, _ := strconv.ParseUint(m[1], 16, 64)
		if n == 0 {
			_, rest, ok = section(stream)
			return body, rest, ok
		}
		k := min(n, uint64(len(stream)))
		body += stream[:k]
		if stream, ok = strings.CutPrefix(stream[k:], "\r\n"); !ok {
			return body, "", false
		}
	}
}
