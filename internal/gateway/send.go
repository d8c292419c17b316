package gateway

import (
	"net/http"
	"strconv"

	"github.com/serin-ml/serin/internal/wire"
)

// binaryHeader tells how much of a body is JSON, before binary tensors.
const binaryHeader = "Inference-Header-Content-Length"

// write sends an answer in JSON.
func (g *Gateway) write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	g.send(w, r, status, wire.Frame{}, body)
}

// send sends the answer to r, compressed if that is worth while and r's client understands it.
func (g *Gateway) send(w http.ResponseWriter, r *http.Request, status int, frame wire.Frame, body []byte) {
	h := w.Header()
	if frame.ContentType == "" {
		frame.ContentType = "application/json"
	}
	if frame.HeaderBytes > 0 {
		h.Set(binaryHeader, strconv.Itoa(frame.HeaderBytes))
	}
	g.allowWrite(w)
	if len(body) >= worthCompressing {
		h.Add("Vary", "Accept-Encoding")
		if encoding := acceptedEncoding(r.Header["Accept-Encoding"]); encoding != "" {
			d := deflaters.Get().(*deflater)
			defer d.release()
			if compressed, ok := d.compress(encoding, body); ok {
				h.Set("Content-Encoding", encoding)
				body = compressed
			}
		}
	}
	values := []string{frame.ContentType, strconv.Itoa(len(body))}
	h["Content-Type"], h["Content-Length"] = values[:1:1], values[1:]
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone; there is nobody to tell
}
