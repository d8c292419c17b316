package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/registry"
)

// modelCmd is the commands of the registry.
type modelCmd struct {
	Import modelImportCmd `cmd:"" help:"Import a file or folder as a new version."`
	List   modelListCmd   `cmd:"" help:"List the models."`
	Show   modelShowCmd   `cmd:"" help:"Show a model with its history, or one version."`
	Alias  modelAliasCmd  `cmd:"" help:"Point an alias at a version, or remove it."`
	Verify modelVerifyCmd `cmd:"" help:"Read every byte again and report damage."`
	Export modelExportCmd `cmd:"" help:"Write a version into a new folder."`
	Rm     modelRmCmd     `cmd:"" help:"Remove a version for good."`
}

// aliasText lists aliases and the versions they point at.
func aliasText(aliases map[string]int) string {
	if len(aliases) == 0 {
		return "-"
	}
	var all []string
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		all = append(all, alias+"="+strconv.Itoa(aliases[alias]))
	}
	return strings.Join(all, ",")
}

// when is a time as people read it.
func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// bytesText is a size as people read it.
func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// versionName is how people call a version: number and semantic version.
func versionName(v registry.Version) string {
	return fmt.Sprintf("%s/%d (%s)", v.Model, v.Number, v.Semver)
}

// because appends a reason where there is one.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// line prints a label and a value, where there is a value.
func line(w io.Writer, label string, value any) {
	if text := fmt.Sprint(value); text != "" {
		fmt.Fprintf(w, "  %-10s %s\n", label, text)
	}
}
