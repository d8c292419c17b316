package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

// ImportOptions say what a new version is, besides its files. Everything but By may be empty.
type ImportOptions struct {
	By      string            `json:"by" doc:"who imports it"`
	Why     string            `json:"why,omitempty"`
	Alias   string            `json:"alias,omitempty" doc:"an alias to point at the new version; the first version of a model becomes champion"`
	NoAlias bool              `json:"noAlias,omitempty" doc:"point no alias at it, even if it is the first version"`
	Version string            `json:"version,omitempty" doc:"its semantic version, in place of the computed one"`
	Parent  string            `json:"parent,omitempty" doc:"the version it was made from, as a reference; the newest one by default"`
	Runtime string            `json:"runtime,omitempty" doc:"the runtime that opens it, where content does not tell"`
	Options map[string]string `json:"options,omitempty" doc:"settings for the runtime" example:"{\"iterations\":\"best\"}"`
	Data    string            `json:"data,omitempty" doc:"digest of the data it was trained on"`
	Params  map[string]string `json:"params,omitempty" doc:"what training was told"`
	Code    string            `json:"code,omitempty" doc:"revision of the code that trained it"`
	Labels  map[string]string `json:"labels,omitempty"`
	Golden  *registry.Golden  `json:"golden,omitempty" doc:"rows whose answers are known"`
}

// Imported is the answer to an import.
type Imported struct {
	Version registry.Version `json:"version"`
	Created bool             `json:"created" doc:"false when the registry already held exactly this content"`
	Aliases []string         `json:"aliases" doc:"the aliases that point at it now"`
}

// Source is a file to import. Open is called when its turn has come, and once.
type Source struct {
	Path string // slash-separated, inside the model
	Open func() (io.ReadCloser, error)
}

// The two kinds of parts that an import's form has: first the options, then a part a file whose filename is its path.
const (
	optionsPart = "options"
	filePart    = "file"
)

// maxImportOptions bounds the options of an import, golden rows included.
const maxImportOptions = 8 << 20

// routeImport mounts the import, which streams its files and so reads the form by itself.
func (c *control) routeImport(h huma.API) {
	op := &huma.Operation{
		OperationID: "import-version", Method: http.MethodPost, Path: "/api/v1/models/{model}/versions",
		Summary:     "Import a version",
		Description: "A form with the part `options` (JSON), then a part `file` for each file, with its path as filename.",
		Parameters:  []*huma.Param{{Name: "model", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
			Type: "object",
			Properties: map[string]*huma.Schema{
				optionsPart: schemaOf[ImportOptions](h),
				filePart:    {Type: "array", Items: &huma.Schema{Type: "string", Format: "binary"}},
			},
		}}}},
		Responses: map[string]*huma.Response{
			"200":     {Description: "The registry held this content already", Content: jsonOf[Imported](h)},
			"201":     {Description: "Imported", Content: jsonOf[Imported](h)},
			"default": {Description: "Refused; nothing was changed", Content: jsonOf[problem](h)},
		},
	}
	h.OpenAPI().AddOperation(op)
	h.Adapter().Handle(op, func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		imported, err := c.importVersion(r)
		if err != nil {
			refuse(w, fault.HTTPStatus(err), err)
			return
		}
		body, err := json.Marshal(imported)
		if err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		c.Changed() // also where nothing is new: the same bytes again repair damaged ones
		if imported.Created {
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = w.Write(body) // the client may have gone; the version stays
	})
}

// importVersion reads the form into a draft, part by part, and commits it.
func (c *control) importVersion(r *http.Request) (imported Imported, err error) {
	form, err := r.MultipartReader()
	if err != nil {
		return imported, fault.Invalidf("an import is a form (multipart/form-data): %w", err)
	}
	draft, err := c.Registry.Begin(r.PathValue("model"))
	if err != nil {
		return imported, err
	}
	defer func() { err = errors.Join(err, draft.Close(context.WithoutCancel(r.Context()))) }()
	options, err := readOptions(form)
	if err != nil {
		return imported, err
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return imported, fault.Invalidf("the form breaks off: %w", err)
		}
		if part.FormName() != filePart {
			return imported, fault.Invalidf("the form has a part %.80q after its options; only %q may follow", part.FormName(), filePart)
		}
		name, err := fileName(part.Header)
		if err != nil {
			return imported, err
		}
		if err := draft.Add(r.Context(), name, part); err != nil {
			return imported, err
		}
	}
	return c.commit(r.Context(), draft, options)
}

func (c *control) commit(ctx context.Context, draft *registry.Draft, o ImportOptions) (imported Imported, err error) {
	commit := registry.CommitOptions{
		By: o.By, Why: o.Why, Alias: o.Alias, NoAlias: o.NoAlias, Version: o.Version, Runtime: o.Runtime, Options: o.Options,
		DataDigest: o.Data, Params: o.Params, CodeRev: o.Code, Labels: o.Labels, Golden: o.Golden,
	}
	if o.Parent != "" {
		if commit.Parent, err = registry.ParseRef(o.Parent); err != nil {
			return imported, err
		}
	}
	imported.Version, imported.Created, err = draft.Commit(ctx, commit)
	if err != nil {
		return imported, err
	}
	model, err := c.Registry.Show(ctx, imported.Version.Model)
	if err != nil {
		return imported, err
	}
	imported.Aliases = aliasesOf(model.Summary, imported.Version.Number)
	return imported, nil
}

// readOptions reads the form's first part.
func readOptions(form *multipart.Reader) (o ImportOptions, err error) {
	part, err := form.NextPart()
	if err != nil || part.FormName() != optionsPart {
		return o, fault.Invalidf("the form's first part must be %q", optionsPart)
	}
	text, err := io.ReadAll(io.LimitReader(part, maxImportOptions+1))
	if err != nil {
		return o, fault.Invalidf("the form breaks off: %w", err)
	}
	if len(text) > maxImportOptions {
		return o, fault.Invalidf("the options of an import are larger than %d bytes", maxImportOptions).WithHint("give fewer golden rows")
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	d.UseNumber() // golden rows keep their digits
	if err := d.Decode(&o); err != nil {
		return o, fault.Invalidf("options of the import: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, fault.Invalidf("options of the import: more text after the value")
	}
	return o, nil
}

// fileName returns the path that a part gives. (multipart.Part.FileName would cut it down to its last element.)
func fileName(header textproto.MIMEHeader) (string, error) {
	_, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	if err != nil || params["filename"] == "" {
		return "", fault.Invalidf("a part of the form has no filename")
	}
	return params["filename"], nil
}

// schemaOf returns the schema of a type, kept with the others of the description.
func schemaOf[T any](h huma.API) *huma.Schema {
	return h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

func jsonOf[T any](h huma.API) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: schemaOf[T](h)}}
}
