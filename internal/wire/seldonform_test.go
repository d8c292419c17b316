package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func typed(contentType string) Call { return parts{"header:Content-Type": {contentType}} }

// formPart is a field of a form; a file has a name.
type formPart struct{ name, file, text string }

const formBoundary = "b0undary"

func formOf(t testing.TB, fields ...formPart) []byte {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary(formBoundary); err != nil {
		t.Fatal(err)
	}
	for _, p := range fields {
		disposition := `form-data; name="` + p.name + `"`
		if p.file != "" {
			disposition += `; filename="` + p.file + `"`
		}
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {disposition}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(p.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

const formType = "multipart/form-data; boundary=" + formBoundary

func TestSeldonReadsAMessageWhateverItsContentTypeCallsIt(t *testing.T) {
	const message = `{"data":{"ndarray":[[1,2,3]]}}`
	form := url.Values{"json": {message}, "x": {"1"}}.Encode()
	want := of([]int{1, 3}, float32(1), 2, 3)
	for contentType, body := range map[string]string{
		"":                                message,
		"application/json":                message,
		"Application/JSON; charset=UTF-8": message,
		"application/vnd.seldon+json":     message,
		"application/octet-stream":        message,
		"text/plain":                      message,
		"text/json;charset=utf-8":         message,
		"application/x-www-form-urlencoded; charset=utf-8": form,
		"application/x-www-form-urlencoded":                " \n" + message,
	} {
		x, err := Seldon{}.DecodeCall([]byte(body), typed(contentType), score, Limits{})
		if err != nil {
			t.Errorf("%q: %v", contentType, err)
		} else if err := fits(x, want); err != nil {
			t.Errorf("%q: %v", contentType, err)
		}
	}
	if x, err := (Seldon{}).DecodeCall([]byte(message), nothing{}, score, Limits{}); err != nil || fits(x, want) != nil {
		t.Errorf("without a header: %v", err)
	}
	for contentType, want := range map[string]string{
		"application/xml": `the content type is "application/xml"`, "image/png": `"image/png"`, "application/x-protobuf": "x-protobuf", "multipart/mixed; boundary=x": "mixed",
	} {
		_, err := Seldon{}.DecodeCall([]byte(message), typed(contentType), score, Limits{})
		if !errors.Is(err, ErrUnsupportedMedia) || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
			t.Errorf("%s: got %v", contentType, err)
		}
	}
	for body, want := range map[string]string{
		"json=%zz": "the form is malformed", "a=b": "the form has no field json", "json=1&json=2": "twice", "": "no field json", "json=%7B": "the text ends",
	} {
		_, err := Seldon{}.DecodeCall([]byte(body), typed("application/x-www-form-urlencoded"), score, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

func TestSeldonReadsTheFieldsOfAForm(t *testing.T) {
	for name, tt := range map[string]struct {
		model  tensor.Signature
		fields []formPart
		want   []tensor.Tensor
	}{
		"data":            {score, []formPart{{"data", "", `{"ndarray":[[1,2,NaN]]}`}, {"meta", "", `{"puid":"p"}`}, {"other", "", "no JSON"}}, of([]int{1, 3}, float32(1), 2, nan32)},
		"data as a file":  {score, []formPart{{"data", "x.json", `{"tensor":{"shape":[3],"values":[1,2,3]}}`}, {"meta", "", `{"puid":"p"}`}}, of([]int{3}, float32(1), 2, 3)},
		"text":            {opinion, []formPart{{"strData", "", `"quoted", as it is`}, {"meta", "", `{"puid":"p"}`}}, of([]int{1}, `"quoted", as it is`)},
		"text of a file":  {opinion, []formPart{{"meta", "", `{"puid":"p"}`}, {"strData", "a.txt", "line\n"}}, of([]int{1}, "line\n")},
		"bytes":           {opinion, []formPart{{"meta", "", `{"puid":"p"}`}, {"binData", "", `"AP8="`}}, of([]int{1}, "\x00\xff")},
		"bytes of a file": {opinion, []formPart{{"binData", "a.bin", "\x00\xff\r\n--b0undar"}, {"meta", "", `{"puid":"p"}`}}, of([]int{1}, "\x00\xff\r\n--b0undar")},
		"JSON":            {opinion, []formPart{{"jsonData", "", `["a"]`}, {"meta", "", `{"puid":"p"}`}}, of([]int{1}, "a")},
	} {
		body := formOf(t, tt.fields...)
		x, err := Seldon{}.DecodeCall(body, typed(formType), tt.model, Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := fits(x, tt.want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if x.Request().ID != "p" {
			t.Errorf("%s: the puid is %q", name, x.Request().ID)
		}
		end := bytes.LastIndex(body, []byte("--")) // after which a form is whole
		for n := range end {
			if _, err := (Seldon{}).DecodeCall(body[:n], typed(formType), tt.model, Limits{}); err == nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%s, cut to %q: %v", name, body[:n], err)
			}
		}
	}
}

func TestSeldonRefusesFormsAndSaysWhich(t *testing.T) {
	data := formPart{"data", "", `{"ndarray":[[1,2,3]]}`}
	for want, fields := range map[string][]formPart{
		"the request has no data":                                 {{"meta", "", `{}`}},
		`form field "data": JSON at byte 0: the text ends`:        {{"data", "", ""}},
		`form field "data": data.ndarray, element 0`:              {{"data", "", `{"ndarray":[["x"]]}`}},
		`form field "data": JSON at byte 21: more text`:           {{"data", "", data.text + `,"meta":{}`}},
		`form field "data": JSON at byte 0: the key "data" is`:    {data, data},
		`form field "strData": the request holds both`:            {data, {"strData", "", "x"}},
		`form field "strData": strData is one text`:               {{"strData", "", "x"}},
		`form field "strData": it is not valid UTF-8`:             {{"strData", "", "\xff"}},
		`form field "customData": customData is not supported`:    {{"customData", "", `{}`}},
		`form field "meta": JSON at byte 8: meta.tags`:            {{"meta", "", `{"tags":1}`}},
		`form field "binData": binData is one text; input "input`: {{"binData", "x", ""}},
		"more than 100 parts":                                     slices.Repeat([]formPart{{"other", "", ""}}, maxParts+1),
	} {
		_, err := Seldon{}.DecodeCall(formOf(t, fields...), typed(formType), score, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	twice := formOf(t, formPart{"strData", "", "x"}, formPart{"strData", "", "y"})
	if _, err := (Seldon{}).DecodeCall(twice, typed(formType), opinion, Limits{}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a text twice: %v", err)
	}
	for _, header := range []string{"multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"", "multipart/form-data; boundary=other"} {
		if _, err := (Seldon{}).DecodeCall(formOf(t, data), typed(header), score, Limits{}); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", header, err)
		}
	}
	if _, err := (Seldon{Explain: true}).DecodeCall(formOf(t, data), typed(formType), score, Limits{}); !errors.Is(err, ErrCannotExplain) {
		t.Errorf("got %v", err)
	}
}

var nan32 = func() float32 { var zero float32; return zero / zero }()

// FuzzSeldonForm reads messages under any content type, for models of every kind.
func FuzzSeldonForm(f *testing.F) {
	models := slices.Sorted(maps.Keys(payloadModels))
	f.Fuzz(func(t *testing.T, body []byte, contentType string, model uint8) {
		s := payloadModels[models[int(model)%len(models)]]
		x, err := Seldon{}.DecodeCall(body, typed(contentType), s, Limits{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || !json.Valid(Seldon{}.Error(nil, 400, err)) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		wellFormed(t, x, len(body))
		o := tensor.New("o", []int{1}, []float32{1})
		answer, err := x.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{o}})
		if err != nil || !json.Valid(answer) {
			t.Fatalf("%q: the answer is %s, %v", body, answer, err)
		}
	})
}
