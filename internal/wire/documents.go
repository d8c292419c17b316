package wire

import (
	"math"
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/tensor"
)

// The documents of the Open Inference Protocol beside inference, each as JSON and as a protobuf message of package inference:
//
//	document               JSON                         protobuf
//	server live            AppendServerLive             AppendServerLiveProto
//	server ready           AppendServerReady            AppendServerReadyProto
//	server metadata        AppendServerMetadata         AppendServerMetadataProto
//	model list (KServe)    AppendModelList              -
//	model ready            AppendModelReady             AppendModelReadyProto
//	model metadata         AppendModelMetadata          AppendModelMetadataProto
//	model configuration    AppendModelConfig            AppendModelConfigProto
//	model statistics       AppendModelStatistics        AppendModelStatisticsProto
//	repository index       AppendRepositoryIndex        AppendRepositoryIndexProto
//	load, unload           nothing: empty               nothing: empty
//	streamed answer        -                            AppendStreamAnswerProto
//
// and readers of the requests for them:
//
//	model ready, metadata, configuration, statistics    -    ReadModelCallProto
//	repository index       ReadRepositoryQuery          ReadRepositoryQueryProto
//	load, unload           ReadRepositoryCall           ReadRepositoryCallProto

// The extensions of the protocol, as server metadata names them.
const (
	ExtensionBinary         = "binary_tensor_data"
	ExtensionClassification = "classification"
	ExtensionConfiguration  = "model_configuration"
	ExtensionRepository     = "model_repository"
	ExtensionStatistics     = "statistics"
)

// ServerInfo is what a server says of itself.
type ServerInfo struct {
	Name       string
	Version    string
	Extensions []string // those that it speaks, and no other
}

// ModelInfo is what a server says of a model.
type ModelInfo struct {
	Name      string
	Versions  []string // those that can be called
	Platform  string   // the format it was trained into
	Backend   string   // what runs it
	MaxRows   int      // the most rows of a request; 0 means DefaultRows
	Signature tensor.Signature
}

// The states of a model in a repository.
const (
	StateReady       = "READY"
	StateUnavailable = "UNAVAILABLE"
	StateLoading     = "LOADING"
	StateUnloading   = "UNLOADING"
)

// RepositoryEntry is one version of a model in a repository.
type RepositoryEntry struct {
	Name    string
	Version string
	State   string // one of the states above
	Reason  string // why it is not ready; "" for none
}

// AppendServerLive appends the document that says whether this server is alive.
func AppendServerLive(dst []byte, live bool) []byte {
	return append(strconv.AppendBool(append(dst, `{"live":`...), live), '}')
}

// AppendServerReady appends the document that says whether all models are ready.
func AppendServerReady(dst []byte, ready bool) []byte {
	return append(strconv.AppendBool(append(dst, `{"ready":`...), ready), '}')
}

// AppendModelReady appends the document that says whether one model is ready.
func AppendModelReady(dst []byte, name string, ready bool) []byte {
	dst = appendText(append(dst, `{"name":`...), name)
	dst = append(dst, `,"ready":`...)
	return append(strconv.AppendBool(dst, ready), '}')
}

// AppendServerMetadata appends what the server says of itself.
func AppendServerMetadata(dst []byte, s ServerInfo) []byte {
	dst = appendText(append(dst, `{"name":`...), s.Name)
	dst = appendText(append(dst, `,"version":`...), s.Version)
	dst = appendTexts(append(dst, `,"extensions":`...), s.Extensions)
	return append(dst, '}')
}

// AppendModelList appends KServe's list of models.
func AppendModelList(dst []byte, names []string) []byte {
	return append(appendTexts(append(dst, `{"models":`...), names), '}')
}

// AppendModelMetadata appends what a model takes and gives, with -1 where any size goes. Outputs on demand are among the outputs: a
// request may name them. What the protocol has no place for stands in a tensor's parameters, as MLServer has them there: on_demand, an
// output given to those alone who ask for it; columns, the names along the last dimension; labels, those of classes; absent_zero.
func AppendModelMetadata(dst []byte, m ModelInfo) []byte {
	dst = appendText(append(dst, `{"name":`...), m.Name)
	dst = appendTexts(append(dst, `,"versions":`...), m.Versions)
	dst = appendText(append(dst, `,"platform":`...), m.Platform)
	dst = appendSpecs(append(dst, `,"inputs":`...), m.Signature.Inputs, true)
	dst = appendSpecs(append(dst, `,"outputs":`...), m.Signature.Outputs, true)
	return append(dst, '}')
}

func appendSpecs(dst []byte, specs []tensor.Spec, parameters bool) []byte {
	dst = append(dst, '[')
	for i := range specs {
		p := &specs[i]
		dst = appendText(append(comma(dst, i), `{"name":`...), p.Name)
		dst = append(dst, `,"datatype":"`...)
		dst = append(dst, p.DType.String()...)
		dst = append(dst, `","shape":`...)
		dst = appendShape(dst, p.Shape)
		if parameters {
			dst = appendParameters(dst, p)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// The parameters of a tensor in model metadata.
const (
	onDemandKey   = "on_demand"
	absentZeroKey = "absent_zero"
	columnsKey    = "columns"
	labelsKey     = "labels"
)

// appendParameters appends what a tensor has beside name, type and shape, if anything.
func appendParameters(dst []byte, p *tensor.Spec) []byte {
	n := 0
	key := func(name string) {
		if n == 0 {
			dst = append(dst, `,"parameters":{`...)
		}
		dst = append(append(append(comma(dst, n), '"'), name...), `":`...)
		n++
	}
	if p.OnDemand {
		key(onDemandKey)
		dst = append(dst, "true"...)
	}
	if p.AbsentZero {
		key(absentZeroKey)
		dst = append(dst, "true"...)
	}
	if len(p.Columns) > 0 {
		key(columnsKey)
		dst = appendTexts(dst, p.Columns)
	}
	if len(p.Labels) > 0 {
		key(labelsKey)
		dst = appendTexts(dst, p.Labels)
	}
	if n > 0 {
		dst = append(dst, '}')
	}
	return dst
}

func appendTexts(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, text := range texts {
		dst = appendText(comma(dst, i), text)
	}
	return append(dst, ']')
}

// AppendModelConfig appends a model's configuration in Triton's form. Where all tensors start with a dimension of any size, that is the
// batch: it is left out of their dims, and max_batch_size tells how large it may be. Otherwise max_batch_size is 0.
func AppendModelConfig(dst []byte, m ModelInfo) []byte {
	dst = appendText(append(dst, `{"name":`...), m.Name)
	dst = appendText(append(dst, `,"platform":`...), m.Platform)
	dst = appendText(append(dst, `,"backend":`...), m.Backend)
	dst = append(dst, `,"version_policy":`...)
	if numbers := m.versionNumbers(); numbers != nil {
		dst = append(appendShape(append(dst, `{"specific":{"versions":`...), numbers), "}}"...)
	} else {
		dst = append(dst, `{"latest":{"num_versions":1}}`...)
	}
	batch := m.maxBatch()
	dst = strconv.AppendInt(append(dst, `,"max_batch_size":`...), int64(batch), 10)
	dst = appendConfigTensors(append(dst, `,"input":`...), m.Signature.Inputs, batch > 0)
	dst = appendConfigTensors(append(dst, `,"output":`...), m.Signature.Outputs, batch > 0)
	return append(dst, '}')
}

func appendConfigTensors(dst []byte, specs []tensor.Spec, batched bool) []byte {
	dst = append(dst, '[')
	for i, p := range specs {
		dst = appendText(append(comma(dst, i), `{"name":`...), p.Name)
		dst = append(dst, `,"data_type":"TYPE_`...)
		if p.DType == tensor.Bytes {
			dst = append(dst, "STRING"...)
		} else {
			dst = append(dst, p.DType.String()...)
		}
		dst = append(dst, `","dims":`...)
		dst = append(appendShape(dst, configDims(p.Shape, batched)), '}')
	}
	return append(dst, ']')
}

// configDims is a shape without its batch.
func configDims(shape []int, batched bool) []int {
	if batched {
		return shape[1:]
	}
	return shape
}

// maxBatch is the largest batch, 0 where a tensor has no dimension for it.
func (m ModelInfo) maxBatch() int {
	for _, specs := range [][]tensor.Spec{m.Signature.Inputs, m.Signature.Outputs} {
		if slices.ContainsFunc(specs, func(p tensor.Spec) bool { return len(p.Shape) == 0 || p.Shape[0] != anySize }) {
			return 0
		}
	}
	return min(Limits{Rows: m.MaxRows}.orDefault().Rows, math.MaxInt32)
}

// versionNumbers is the versions where all of them are numbers, as those of a registry are; nil otherwise.
func (m ModelInfo) versionNumbers() []int {
	numbers := make([]int, len(m.Versions))
	for i, v := range m.Versions {
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil
		}
		numbers[i] = n
	}
	return numbers
}

// AppendRepositoryIndex appends the list of what a repository holds.
func AppendRepositoryIndex(dst []byte, entries []RepositoryEntry) []byte {
	dst = append(dst, '[')
	for i, e := range entries {
		dst = appendText(append(comma(dst, i), `{"name":`...), e.Name)
		dst = appendText(append(dst, `,"version":`...), e.Version)
		dst = appendText(append(dst, `,"state":`...), e.State)
		dst = appendText(append(dst, `,"reason":`...), e.Reason)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
