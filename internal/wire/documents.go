package wire

import (
	"strconv"

	"github.com/serin-ml/serin/internal/tensor"
)

// ServerLive returns the document that says this server is alive.
func ServerLive() []byte { return []byte(`{"live":true}`) }

// ServerReady returns the document that says whether all models are ready.
func ServerReady(ready bool) []byte {
	return append(strconv.AppendBool([]byte(`{"ready":`), ready), '}')
}

// ModelReady returns the document that says whether one model is ready.
func ModelReady(name string, ready bool) []byte {
	dst := appendText([]byte(`{"name":`), name)
	dst = append(dst, `,"ready":`...)
	return append(strconv.AppendBool(dst, ready), '}')
}

// ServerMetadata returns what the server says of itself. It names the extensions of the protocol that it speaks: none so far.
func ServerMetadata(name, version string) []byte {
	dst := appendText([]byte(`{"name":`), name)
	dst = append(dst, `,"version":`...)
	dst = appendText(dst, version)
	return append(dst, `,"extensions":[]}`...)
}

// ModelList returns KServe's list of models.
func ModelList(names []string) []byte {
	return append(appendTexts([]byte(`{"models":`), names), '}')
}

// ModelMetadata returns what a model takes and gives, with -1 where any size goes. Outputs on demand are among the outputs: a request
// may name them.
func ModelMetadata(name string, versions []string, platform string, signature tensor.Signature) []byte {
	dst := appendText([]byte(`{"name":`), name)
	dst = append(dst, `,"versions":`...)
	dst = appendTexts(dst, versions)
	dst = append(dst, `,"platform":`...)
	dst = appendText(dst, platform)
	dst = append(dst, `,"inputs":`...)
	dst = appendSpecs(dst, signature.Inputs)
	dst = append(dst, `,"outputs":`...)
	dst = appendSpecs(dst, signature.Outputs)
	return append(dst, '}')
}

func appendSpecs(dst []byte, specs []tensor.Spec) []byte {
	dst = append(dst, '[')
	for i, p := range specs {
		dst = append(comma(dst, i), `{"name":`...)
		dst = appendText(dst, p.Name)
		dst = append(dst, `,"datatype":"`...)
		dst = append(dst, p.DType.String()...)
		dst = append(dst, `","shape":`...)
		dst = append(appendShape(dst, p.Shape), '}')
	}
	return append(dst, ']')
}

func appendTexts(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, text := range texts {
		dst = appendText(comma(dst, i), text)
	}
	return append(dst, ']')
}
