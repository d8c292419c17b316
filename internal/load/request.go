package load

import (
	"net/http"
	"strconv"
	"strings"
)

// plain are the requests of a run as HTTP/1.1 sends them, made before it begins.
type plain struct {
	texts *texts
	heads [][]byte // of each payload: up to where the unit's field goes
	tails [][]byte // the rest; without a unit, the whole request
}

func newPlain(o *Options, t *texts, to *target) *plain {
	p := &plain{texts: t}
	uri := to.url.RequestURI()
	for i := range o.Payloads {
		body := o.Payloads[i].Body
		var head strings.Builder
		head.WriteString(o.Method + " " + uri + " HTTP/1.1\r\n")
		fields := o.fields(&o.Payloads[i])
		if !hasField(fields, "Host") {
			head.WriteString("Host: " + to.host + "\r\n")
		}
		for _, f := range fields {
			head.WriteString(f.Name + ": " + f.Value + "\r\n")
		}
		if len(body) > 0 || o.Method != http.MethodGet && o.Method != http.MethodHead {
			head.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
		}
		tail := append([]byte("\r\n"), body...)
		if t.unit.Header == "" {
			p.tails = append(p.tails, append([]byte(head.String()), tail...))
			continue
		}
		head.WriteString(t.unit.Header + ": ")
		p.heads = append(p.heads, []byte(head.String()))
		p.tails = append(p.tails, append([]byte("\r\n"), tail...))
	}
	return p
}

func hasField(fields []Field, name string) bool {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// bytes returns the bytes of a request, put together in scratch if they are not there already.
func (p *plain) bytes(n int, scratch *[]byte) []byte {
	at := p.texts.payload(n)
	if p.heads == nil {
		return p.tails[at]
	}
	*scratch = p.texts.appendUser(append((*scratch)[:0], p.heads[at]...), n)
	*scratch = append(*scratch, p.tails[at]...)
	return *scratch
}
