package gateway

import (
	"net/http"

	"github.com/serin-ml/serin/internal/fault"
)

// maxDocumentBody bounds the body of what is asked of the server rather than of a model.
const maxDocumentBody = 1 << 20

// document returns the handler of a document that is asked for with one method (with HEAD too where that is GET). Its errors are told in
// the form of d. What answer returns beside an error is not sent.
func (g *Gateway) document(d Dialect, method string, answer func(r *http.Request, body []byte) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var out []byte
		err := allow(w, r, method)
		if err == nil {
			b := scratch.Get().(*buffers)
			defer b.release()
			b.reset()
			if method == http.MethodPost {
				err = readBody(&b.in, w, r, maxDocumentBody)
			}
			if err == nil {
				out, err = answer(r, b.in.Bytes())
			}
		}
		status := statusOf(err)
		if err != nil {
			retryAfter(w.Header(), err)
			out = d.Error(nil, status, public(err))
		}
		if status == statusGone {
			hangUp()
		}
		g.write(w, r, status, out)
	}
}

// allow refuses another method than the one given.
func allow(w http.ResponseWriter, r *http.Request, method string) error {
	switch {
	case r.Method == method, method == http.MethodGet && r.Method == http.MethodHead:
		return nil
	case method == http.MethodGet:
		w.Header().Set("Allow", "GET, HEAD")
		return &statusError{http.StatusMethodNotAllowed, fault.Invalidf("%.200s is read with GET", r.URL.Path)}
	}
	w.Header().Set("Allow", method)
	return &statusError{http.StatusMethodNotAllowed, fault.Invalidf("%.200s is asked with %s", r.URL.Path, method)}
}
