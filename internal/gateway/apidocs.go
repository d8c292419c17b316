package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the page of the documentation
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"sync"

	"github.com/serin-ml/serin/internal/wire"
)

// The page that shows the documentation, in three parts that are sent as one.
var (
	//go:embed apidocs.html
	docsHTML []byte
	//go:embed apidocs.css
	docsCSS []byte
	//go:embed apidocs.js
	docsJS []byte
)

// docs is the documentation of what is served now: an OpenAPI document, and a page that shows it.
type docs struct {
	gateway *Gateway
	page    []byte
	policy  string // the page's Content-Security-Policy: nothing runs or is loaded but its own parts

	mu   sync.Mutex
	of   *table  // what the document was made of
	live []*Live // and of which versions, one for each variant
	made document
}

// document is bytes and the tag by which a client that has them is told so.
type document struct {
	body []byte
	tag  string
}

// routeDocs mounts GET /openapi.json, what every service takes and gives in every dialect as OpenAPI 3.1, and GET /docs, a page for people
// that shows it and tries it out.
func (g *Gateway) routeDocs() {
	d := &docs{gateway: g}
	d.page = bytes.Replace(bytes.Replace(docsHTML, []byte("/*style*/"), docsCSS, 1), []byte("/*script*/"), docsJS, 1)
	d.policy = "default-src 'none'; script-src 'sha256-" + digest(docsJS) + "'; style-src 'sha256-" + digest(docsCSS) + "'; connect-src 'self'; " +
		"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	g.mux.HandleFunc("/openapi.json", d.serveDocument)
	g.mux.HandleFunc("/docs", d.servePage)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (d *docs) servePage(w http.ResponseWriter, r *http.Request) {
	if err := allow(w, r, http.MethodGet); err != nil {
		d.refuse(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", d.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	d.gateway.send(w, r, http.StatusOK, wire.Frame{ContentType: "text/html; charset=utf-8"}, d.page)
}

func (d *docs) serveDocument(w http.ResponseWriter, r *http.Request) {
	err := allow(w, r, http.MethodGet)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	now, err := d.document(context.WithoutCancel(r.Context())) // it is for those who ask next, too
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", now.tag)
	if r.Header.Get("If-None-Match") == now.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d.gateway.send(w, r, http.StatusOK, wire.Frame{}, now.body)
}

func (d *docs) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	d.gateway.write(w, r, status, wire.OpenInference{}.Error(nil, status, public(err)))
}

// document returns the document of what is served now. It is made anew where services or versions have changed, or where a model was too
// busy to answer its example, and kept otherwise.
func (d *docs) document(ctx context.Context) (document, error) {
	t := d.gateway.services.Load()
	var live []*Live
	for _, s := range t.list {
		for _, v := range s.variants {
			live = append(live, v.Live())
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == t && slices.Equal(d.live, live) && d.made.body != nil {
		return d.made, nil
	}
	body, whole, err := describe(ctx, d.gateway, t)
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(body)
	made := document{body, `"` + hex.EncodeToString(sum[:8]) + `"`}
	if whole {
		d.of, d.live, d.made = t, live, made
	}
	return made, nil
}
