package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

type modelImportCmd struct {
	Name    string            `arg:"" help:"Name of the model; it need not exist yet."`
	Path    string            `arg:"" help:"A model file, or a folder with the files and perhaps a model.yaml."`
	Alias   string            `placeholder:"ALIAS" help:"Point this alias at the new version (a model's first version becomes champion)."`
	NoAlias bool              `name:"no-alias" help:"Point no alias at it."`
	Why     string            `placeholder:"TEXT" help:"The reason, for the history."`
	Semver  string            `name:"version" placeholder:"X.Y.Z" help:"Its semantic version (default: computed from what changed)."`
	Parent  string            `placeholder:"REF" help:"The version it was made from (default: the newest)."`
	Runtime string            `placeholder:"NAME" help:"The runtime that opens it (default: told by content)."`
	Golden  string            `placeholder:"FILE" help:"JSON lines of rows whose answers are known; they are checked now and at every load."`
	Option  map[string]string `placeholder:"KEY=VALUE" help:"A setting for the runtime, such as iterations=best."`
	Data    string            `placeholder:"DIGEST" help:"Digest of the training data."`
	Param   map[string]string `placeholder:"KEY=VALUE" help:"What training was told."`
	Code    string            `placeholder:"REVISION" help:"Revision of the training code."`
	Label   map[string]string `placeholder:"KEY=VALUE" help:"A note beside the version."`
}

// Run imports.
func (m *modelImportCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	files, closeFiles, err := sources(m.Path)
	if err != nil {
		return err
	}
	defer closeFiles()
	o := api.ImportOptions{
		By: whoAmI(), Why: m.Why, Alias: m.Alias, NoAlias: m.NoAlias, Version: m.Semver, Parent: m.Parent, Runtime: m.Runtime,
		Options: m.Option, Data: m.Data, Params: m.Param, Code: m.Code, Labels: m.Label,
	}
	if m.Golden != "" {
		if o.Golden, err = readGolden(m.Golden); err != nil {
			return err
		}
	}
	in := c.options(say.errs)
	in.Create = true
	control, err := app.Writer(ctx, in)
	if err != nil {
		return err
	}
	defer control.Close()
	imported, err := control.Import(ctx, m.Name, o, files)
	if err != nil {
		return err
	}
	return say.answer(imported, func(w io.Writer) {
		v := imported.Version
		if imported.Created {
			fmt.Fprintf(w, "imported %s, %s, %s\n", versionName(v), v.Runtime, bytesText(v.Size()))
		} else {
			fmt.Fprintf(w, "%s holds exactly this content already; nothing is new, and files that were damaged are mended\n", versionName(v))
		}
		for _, alias := range imported.Aliases {
			fmt.Fprintf(w, "  %s -> %d\n", alias, v.Number)
		}
	})
}

// sources lists the files of a model: the file itself, or every file of a folder. Whatever else a folder holds (links, devices) is
// refused, and no link leads out of it.
func sources(path string) (files []api.Source, done func(), err error) {
	done = func() {}
	info, err := os.Stat(path)
	if err != nil {
		return nil, done, fault.NotFoundf("the model cannot be read: %w", err).WithHint("name a model file or a folder of files")
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, done, fault.Invalidf("%s is neither a plain file nor a folder", path).WithHint("name a model file or a folder of files")
	}
	if !info.IsDir() {
		open := func() (io.ReadCloser, error) { return os.Open(path) }
		return []api.Source{{Path: filepath.Base(path), Open: open}}, done, nil
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, done, fault.Invalidf("the folder cannot be read: %w", err)
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fault.Invalidf("the folder cannot be read: %w", err)
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			return fault.Invalidf("%s is not a plain file", filepath.Join(path, name)).WithHint("put the file itself in its place, or remove it")
		}
		files = append(files, api.Source{Path: name, Open: func() (io.ReadCloser, error) { return root.Open(name) }})
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fault.Invalidf("the folder %s holds no file", path)
	}
	if err != nil {
		root.Close()
		return nil, done, err
	}
	return files, func() { root.Close() }, nil
}

func readGolden(path string) (*registry.Golden, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.NotFoundf("golden rows: %w", err)
	}
	defer f.Close()
	golden, err := registry.ReadGolden(f)
	if err != nil {
		return nil, fault.Invalidf("%s: %w", path, err)
	}
	return &golden, nil
}
