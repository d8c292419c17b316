package wire

import (
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// mediaType returns the type that a Content-Type names, in small letters and without its parameters.
func mediaType(header string) string {
	kind, _, _ := strings.Cut(header, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// jsonMedia tells whether a body of the type kind, which is mediaType's, is read as JSON. Clients are careless with this header: none, a
// form's (which curl -d sends), text of any kind and application/octet-stream mean JSON too. Any other type is ErrUnsupportedMedia.
func jsonMedia(kind string) error {
	switch {
	case kind == "", kind == "application/json", kind == "application/x-www-form-urlencoded", kind == octetStream,
		strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "+json"):
		return nil
	}
	return fault.Invalidf("%w: the content type is %.60q", ErrUnsupportedMedia, kind).WithHint("send application/json")
}
