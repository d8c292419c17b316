package trees

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// mlflowFile is the file that makes a folder an MLflow model: https://mlflow.org/docs/latest/ml/model/#storage-format.
const mlflowFile = "MLmodel"

// mlflowKey is the key of that file whose value maps a model's flavours to what is known of each.
const mlflowKey = "flavors" //nolint:misspell // MLflow's own spelling

// mlflowFlavour is a flavour of MLflow whose data file is read here.
type mlflowFlavour struct {
	name string
	data string // the file where the flavour names none, as in folders of MLflow's first versions
	save string // how a model of the library saves what is read, in Python
}

var mlflowFlavours = []mlflowFlavour{
	{"xgboost", "model.xgb", "get_booster().save_model('model.ubj')"},
	{"lightgbm", "model.lgb", "booster_.save_model('model.txt')"},
}

// Decline implements predict.Decliner: an MLflow folder whose model is not read here says which flavours it has.
func (Runtime) Decline(a predict.Artefact) error {
	_, _, err := mlflowData(a)
	return err
}

var _ predict.Decliner = Runtime{}

// mlflowData returns the path of the model's file in an MLflow model folder, of the flavour xgboost or lightgbm. Found is false where a
// has no MLmodel. The error is Invalid where that says of no such flavour, or where its data is absent or can be read by Python alone;
// what the file holds otherwise is the reader's to say. Only the flavour counts: what python_function would make of its answers is
// Python code.
func mlflowData(a predict.Artefact) (data string, found bool, err error) {
	files := a.Files()
	if !slices.Contains(files, mlflowFile) {
		return "", false, nil
	}
	text, err := a.ReadFile(mlflowFile)
	if err != nil {
		return "", false, err
	}
	flavours, err := mlflowRead(text)
	if err != nil {
		return "", false, fault.Invalidf("%s: %w", mlflowFile, err)
	}
	at := slices.IndexFunc(mlflowFlavours, func(f mlflowFlavour) bool { _, ok := flavours[f.name]; return ok })
	if at < 0 {
		return "", false, fault.Invalidf("%s: the model's flavours are %s; xgboost and lightgbm are read", mlflowFile, mlflowNames(flavours)).
			WithHint("go on serving this model with `mlflow models serve`; of MLflow's flavours, Serin runs xgboost and lightgbm")
	}
	f := mlflowFlavours[at]
	data = f.data
	if named := flavours[f.name]; named != "" {
		data = path.Clean(named)
	}
	convert := fmt.Sprintf("save the booster where you trust the folder: python -c \"import mlflow.%s; "+
		"mlflow.%[1]s.load_model('FOLDER').%s\", and import the file that this writes", f.name, f.save)
	if !slices.Contains(files, data) {
		return "", false, fault.Invalidf("%s: the data of the flavour %s is %.80q, which is not in the folder", mlflowFile, f.name, data).
			WithHint("import the whole folder; if that file is a pickle, %s", convert)
	}
	content, err := a.ReadFile(data)
	if err != nil {
		return "", false, err
	}
	if form := mlflowPython(content); form != "" {
		return "", false, fault.Invalidf("%s: the data of the flavour %s, %.80q, is %s: a wrapper of scikit-learn's kind that Python alone can load",
			mlflowFile, f.name, data, form).WithHint("%s", convert)
	}
	return data, true, nil
}

// mlflowPython names the two formats in which MLflow keeps wrappers of scikit-learn's kind; "" for any other.
func mlflowPython(content []byte) string {
	switch {
	case len(content) > 1 && content[0] == 0x80 && content[1] >= 2 && content[1] <= 5: // PROTO, which begins every pickle from protocol 2 on
		return "a pickle"
	case bytes.HasPrefix(content, []byte("PK\x03\x04")):
		return "a skops file (a zip archive)"
	}
	return ""
}

// mlflowRead returns the flavours that an MLmodel names, each with its data, "" where it names none. MLflow writes the file with PyYAML,
// which breaks long text over lines, so that strictyaml does not read it; keys that nothing here knows of are MLflow's own affair. Nodes
// are looked at and never decoded: an alias is followed once, and cannot multiply.
func mlflowRead(text []byte) (map[string]string, error) {
	marks := 0
	for _, c := range text {
		if bytes.IndexByte([]byte("\n,:[{"), c) >= 0 {
			marks++
		}
	}
	if len(text) > strictyaml.MaxBytes || marks > strictyaml.MaxMarks {
		return nil, fault.Invalidf("the file is too large (%d bytes, %d lines, commas, colons and brackets)", len(text), marks).
			WithHint("at most %d bytes and %d marks are read; leave the signature out of it", strictyaml.MaxBytes, strictyaml.MaxMarks)
	}
	root, err := mlflowParse(text)
	if err != nil {
		return nil, fault.Invalidf("this is no YAML: %w", err).WithHint("import the folder as MLflow wrote it")
	}
	flavours := mlflowValue(root, mlflowKey)
	if flavours == nil || flavours.Kind != yaml.MappingNode || len(flavours.Content) == 0 {
		return nil, fault.Invalidf("it has no %s, as a file of MLflow has", mlflowKey).
			WithHint("import the folder as MLflow wrote it, or take %s out of it", mlflowFile)
	}
	names := map[string]string{}
	for i := 0; i+1 < len(flavours.Content); i += 2 {
		name := flavours.Content[i].Value
		names[name] = ""
		if data := mlflowValue(flavours.Content[i+1], "data"); data != nil && data.Kind == yaml.ScalarNode && data.Tag != "!!null" {
			names[name] = data.Value
		}
	}
	return names, nil
}

// mlflowParse reads the first document of a text; nil where there is none.
func mlflowParse(text []byte) (root *yaml.Node, err error) {
	// The parser panics on purpose where it finds a mistake of its own, which is no reason for a crash of ours.
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, fmt.Errorf("the YAML parser failed: %v", p)
		}
	}()
	var document yaml.Node
	limits := loaderlimits.New(loaderlimits.DepthValue(strictyaml.MaxDepth))
	l, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(limits))
	if err == nil {
		err = l.Load(&document)
	}
	if errors.Is(err, io.EOF) { // of an empty text
		return nil, nil
	}
	if err != nil || len(document.Content) == 0 {
		return nil, err
	}
	return document.Content[0], nil
}

// mlflowValue returns the value of a key of a mapping; nil where n is none or has no such key.
func mlflowValue(n *yaml.Node, key string) *yaml.Node {
	n = mlflowAnchor(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return mlflowAnchor(n.Content[i+1])
		}
	}
	return nil
}

// mlflowAnchor returns what an alias stands for.
func mlflowAnchor(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// mlflowNames lists the flavours for a message, the first eight of them.
func mlflowNames(flavours map[string]string) string {
	names := make([]string, 0, len(flavours))
	for name := range flavours {
		names = append(names, fmt.Sprintf("%.40s", name))
	}
	slices.Sort(names)
	if more := len(names) - 8; more > 0 {
		return strings.Join(names[:8], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}
