package registry

import (
	"io/fs"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Bounds of a version's files.
const (
	maxFiles = 1000
	maxPath  = 255 // bytes; some file systems take no more for a name
)

// checkPath refuses paths that some system would resolve elsewhere, could not hold, or would show as something else. A path is
// refused as it stands, never mended: what is checked is what is used.
func checkPath(path string) error {
	const hint = "use a plain relative path such as model/trees.json: no .., no backslash, none of : * ? \" < > |, " +
		"and no dot or space at the end of a name"
	if len(path) > maxPath || path == "." || !fs.ValidPath(path) ||
		strings.ContainsAny(path, `\:*?"<>|`) || strings.ContainsFunc(path, isControl) {
		return fault.Invalidf("%.80q is no path for a file of a model", path).WithHint(hint)
	}
	for name := range strings.SplitSeq(path, "/") {
		if strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") || strings.HasPrefix(name, " ") {
			return fault.Invalidf("%.80q is no path for a file of a model", path).WithHint(hint)
		}
	}
	return nil
}

// pathSet holds paths that go together in one folder, also where case is ignored.
type pathSet struct {
	files   map[string]string // folded path -> path
	folders map[string]string // folded path of a folder -> a file in it
}

// add takes path in, or says why it cannot be beside the others.
func (s *pathSet) add(path string) error {
	if s.files == nil {
		s.files, s.folders = map[string]string{}, map[string]string{}
	}
	folded := strings.ToLower(path)
	if other, ok := s.files[folded]; ok && other == path {
		return fault.Conflictf("%q is given twice", path)
	} else if ok {
		return clash(path, other)
	}
	if other, ok := s.folders[folded]; ok {
		return clash(path, other)
	}
	for i, c := range folded {
		if c != '/' {
			continue
		}
		if other, ok := s.files[folded[:i]]; ok {
			return clash(path, other)
		}
	}
	s.files[folded] = path
	for i, c := range folded {
		if c == '/' {
			s.folders[folded[:i]] = path
		}
	}
	return nil
}

func clash(path, other string) error {
	return fault.Invalidf("%q and %q cannot both be in one folder on every system", path, other).WithHint("rename one of them")
}
