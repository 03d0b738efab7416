// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command plugin builds reproducible archives of the kubectl plugin, with the licenses of the modules
// linked into it, and the Krew manifest that refers to them.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/vector-store-operator/vector-store-operator/hack/image/gobuild"
)

// name is the name of the program. kubectl and Krew omit the "kubectl-".
const name = "kubectl-vsfb"

// completion is the script that kubectl runs for shell completion.
const completion = "kubectl_complete-vsfb"

// options holds the parsed flags.
type options struct {
	root, program, tags, version, downloads, output string
	created                                         time.Time
	platforms                                       []string
}

// archive is the archive for one platform.
type archive struct{ File, Sum, OS, Architecture, Program string }

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "`directory` of the Go module")
	flag.StringVar(&o.program, "program", "./cmd/"+name, "`package` of the plugin")
	flag.StringVar(&o.tags, "tags", "", "build `tags`, separated by commas")
	flag.StringVar(&o.version, "version", "v0.0.0-dev", "`version` of the plugin")
	flag.StringVar(&o.downloads, "downloads", "https://github.com/vector-store-operator/vector-store-operator/releases/download", "`URL` of the releases; the manifest appends version and file name")
	flag.StringVar(&o.output, "o", "bin/plugin", "`directory` for the archives and the manifest")
	created := flag.Int64("created", 0, "modification time of the files, in `seconds` since the Unix epoch; use the time of the commit")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "`platforms` to build for, separated by commas")
	flag.Parse()
	o.created, o.platforms = time.Unix(*created, 0).UTC(), strings.Split(*platforms, ",")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin:", err)
		os.Exit(1)
	}
}

func (o options) run(ctx context.Context) error {
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return fmt.Errorf("creating the output directory: %w", err)
	}
	var archives []archive
	for _, platform := range o.platforms {
		a, err := o.build(ctx, platform)
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		archives = append(archives, a)
		fmt.Println(filepath.Join(o.output, a.File))
	}
	text, err := o.krewManifest(archives)
	if err != nil {
		return err
	}
	file := filepath.Join(o.output, "vsfb.yaml")
	fmt.Println(file)
	return os.WriteFile(file, text, 0o644) //nolint:gosec // it is published
}

// build builds the archive for a platform.
func (o options) build(ctx context.Context, platform string) (archive, error) {
	goos, goarch, _ := strings.Cut(platform, "/")
	a := archive{OS: goos, Architecture: goarch, Program: name, File: fmt.Sprintf("%s_%s_%s_%s.tar.gz", name, o.version, goos, goarch)}
	pack := packTarball
	if goos == "windows" {
		a.Program, a.File, pack = name+".exe", strings.TrimSuffix(a.File, ".tar.gz")+".zip", packZip
	}
	files, err := o.files(ctx, a)
	if err != nil {
		return archive{}, err
	}
	var content bytes.Buffer
	if err := pack(&content, files, o.created); err != nil {
		return archive{}, fmt.Errorf("packing: %w", err)
	}
	sum := sha256.Sum256(content.Bytes())
	a.Sum = hex.EncodeToString(sum[:])
	return a, os.WriteFile(filepath.Join(o.output, a.File), content.Bytes(), 0o644) //nolint:gosec // it is published
}

// files returns the content of an archive: the program, the completion script, and the licenses.
func (o options) files(ctx context.Context, a archive) ([]file, error) {
	program := gobuild.Program{Dir: o.root, Package: o.program, OS: a.OS, Architecture: a.Architecture, Tags: o.tags}
	binary, err := o.binary(ctx, program)
	if err != nil {
		return nil, err
	}
	files := []file{{a.Program, binary, 0o755}}
	script, err := os.ReadFile(filepath.Join(o.root, o.program, completion))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("reading %s: %w", completion, err)
	}
	if err == nil {
		files = append(files, file{completion, script, 0o755})
	}
	license, err := os.ReadFile(filepath.Join(o.root, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("reading the license: %w", err)
	}
	files = append(files, file{"LICENSE", license, 0o644})
	modules, err := program.Modules(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		for _, text := range m.Texts {
			files = append(files, file{path.Join("licenses", m.String(), text.Path), text.Content, 0o644})
		}
	}
	return files, nil
}

// binary builds the program and returns its content.
func (o options) binary(ctx context.Context, program gobuild.Program) ([]byte, error) {
	dir, err := os.MkdirTemp("", "plugin-")
	if err != nil {
		return nil, fmt.Errorf("creating a temporary directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	built := filepath.Join(dir, "program")
	if err := program.Build(ctx, o.version, built); err != nil {
		return nil, err
	}
	return os.ReadFile(built)
}

var manifest = template.Must(template.New("").Parse(`apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: vsfb
spec:
  version: {{.Version}}
  homepage: {{.Homepage}}
  shortDescription: Manage the file batches of OpenAI vector stores
  description: |
    Lists, watches, creates and cancels VectorStoreFileBatches, and shows which files failed and
    why. Requires the vector-store-operator in the cluster.
  caveats: |
    Needs the vector-store-operator in the cluster: {{.Homepage}}
    "create", "failures" and "check" call the OpenAI API with the key of a Secret, which you must be
    allowed to get, or with --from-env with that of the environment.
    Krew does not install the shell completion: copy kubectl_complete-vsfb from the archive to the PATH.
  platforms:
{{- range .Archives}}
  - selector:
      matchLabels:
        os: {{.OS}}
        arch: {{.Architecture}}
    uri: {{$.Downloads}}/{{$.Version}}/{{.File}}
    sha256: {{.Sum}}
    bin: {{.Program}}
{{- end}}
`))

// krewManifest returns the manifest for the Krew index.
func (o options) krewManifest(archives []archive) ([]byte, error) {
	var text bytes.Buffer
	err := manifest.Execute(&text, struct {
		Version, Downloads, Homepage string
		Archives                     []archive
	}{o.version, o.downloads, "https://github.com/vector-store-operator/vector-store-operator", archives})
	if err != nil {
		return nil, fmt.Errorf("writing the Krew manifest: %w", err)
	}
	return text.Bytes(), nil
}
