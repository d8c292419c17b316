package registry

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
)

// Names are lower case only: they become parts of URLs, host names, metric labels and folders, where case is often lost. An alias
// begins with a letter, so that it never looks like a version's number.
var (
	modelName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	aliasName = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,62}$`)
)

// Champion is the alias of the version that serves; a model's first version gets it.
const Champion = "champion"

func checkModel(name string) error {
	if modelName.MatchString(name) {
		return nil
	}
	return nameError("model", name, "1 to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit", modelName)
}

func checkAlias(name string) error {
	if aliasName.MatchString(name) {
		return nil
	}
	return nameError("alias", name, "1 to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter", aliasName)
}

func nameError(what, name, rule string, good *regexp.Regexp) error {
	err := fault.Invalidf("%.80q is no name for a %s", name, what)
	if lower := strings.ToLower(name); good.MatchString(lower) {
		return err.WithHint("names are lower case: use %q", lower)
	}
	return err.WithHint("use %s", rule)
}

// maxNote bounds texts that people write: who, why, labels.
const maxNote = 1000

// checkNote refuses text that would garble a log or a table.
func checkNote(what, text string) error {
	switch {
	case len(text) > maxNote:
		return fault.Invalidf("%s has %d bytes; at most %d are allowed", what, len(text), maxNote)
	case !utf8.ValidString(text):
		return fault.Invalidf("%s is not valid UTF-8", what)
	case strings.ContainsFunc(text, isControl):
		return fault.Invalidf("%s holds a control character: %.80q", what, text)
	}
	return nil
}

func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// checkAuthor wants to know who it was: a history without names is worth little.
func checkAuthor(by, why string) error {
	if by == "" {
		return fault.Invalidf("it is not said who does this").WithHint("give a name; it is kept in the model's history")
	}
	if err := checkNote("the author's name", by); err != nil {
		return err
	}
	return checkNote("the reason", why)
}
