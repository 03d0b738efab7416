// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command plugin builds the kubectl plugin for the usual platforms, packs each with the licences
// of what is linked into it, and writes the manifest with which Krew installs it. The same
// source and the same Go make the same archives.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/vector-store-operator/vector-store-operator/hack/image/inventory"
)

// name is what the plugin's program is called; kubectl and Krew know it without the "kubectl-".
const name = "kubectl-vsfb"

// completion is the script beside the program, by which kubectl completes words.
const completion = "kubectl_complete-vsfb"

// settings are what the flags say.
type settings struct {
	root, program, tags, version, downloads, output string
	created                                         time.Time
	platforms                                       []string
}

// archive is what was made for a platform.
type archive struct{ File, Sum, OS, Architecture, Program string }

func main() {
	var s settings
	flag.StringVar(&s.root, "root", ".", "the `folder` of the module")
	flag.StringVar(&s.program, "program", "./cmd/"+name, "the `package` of the plugin")
	flag.StringVar(&s.tags, "tags", "", "the build `tags`, separated by commas")
	flag.StringVar(&s.version, "version", "v0.0.0-dev", "the plugin's `version`")
	flag.StringVar(&s.downloads, "downloads", "https://github.com/vector-store-operator/vector-store-operator/releases/download", "the `URL` below which releases are, by their version")
	flag.StringVar(&s.output, "o", "bin/plugin", "the `folder` to write into")
	created := flag.Int64("created", 0, "when it was made, in `seconds` since 1970: the commit's time")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64", "the `platforms` to build for, separated by commas")
	flag.Parse()
	s.created, s.platforms = time.Unix(*created, 0).UTC(), strings.Split(*platforms, ",")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin:", err)
		os.Exit(1)
	}
}

func (s settings) run(ctx context.Context) error {
	if err := os.MkdirAll(s.output, 0o755); err != nil {
		return fmt.Errorf("making the folder for the archives: %w", err)
	}
	var archives []archive
	for _, platform := range s.platforms {
		a, err := s.build(ctx, platform)
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		archives = append(archives, a)
		fmt.Println(filepath.Join(s.output, a.File))
	}
	text, err := s.krew(archives)
	if err != nil {
		return err
	}
	file := filepath.Join(s.output, "vsfb.yaml")
	fmt.Println(file)
	return os.WriteFile(file, text, 0o644) //nolint:gosec // it is published
}

// build packs the plugin for a platform.
func (s settings) build(ctx context.Context, platform string) (archive, error) {
	goos, goarch, _ := strings.Cut(platform, "/")
	a := archive{OS: goos, Architecture: goarch, Program: name, File: fmt.Sprintf("%s_%s_%s_%s.tar.gz", name, s.version, goos, goarch)}
	pack := packTarball
	if goos == "windows" {
		a.Program, a.File, pack = name+".exe", strings.TrimSuffix(a.File, ".tar.gz")+".zip", packZip
	}
	files, err := s.files(ctx, a)
	if err != nil {
		return archive{}, err
	}
	var content bytes.Buffer
	if err := pack(&content, files, s.created); err != nil {
		return archive{}, fmt.Errorf("packing: %w", err)
	}
	sum := sha256.Sum256(content.Bytes())
	a.Sum = hex.EncodeToString(sum[:])
	return a, os.WriteFile(filepath.Join(s.output, a.File), content.Bytes(), 0o644) //nolint:gosec // it is published
}

// files are what is in an archive: the program, the script that completes words, and licences.
func (s settings) files(ctx context.Context, a archive) ([]file, error) {
	program, err := s.compile(ctx, a)
	if err != nil {
		return nil, err
	}
	files := []file{{a.Program, program, 0o755}}
	script, err := os.ReadFile(filepath.Join(s.root, s.program, completion))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("reading %s: %w", completion, err)
	}
	if err == nil {
		files = append(files, file{completion, script, 0o755})
	}
	license, err := os.ReadFile(filepath.Join(s.root, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("reading the licence: %w", err)
	}
	files = append(files, file{"LICENSE", license, 0o644})
	modules, err := inventory.Of(ctx, inventory.Program{Folder: s.root, Package: s.program, OS: a.OS, Architecture: a.Architecture, Tags: s.tags})
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

func (s settings) compile(ctx context.Context, a archive) ([]byte, error) {
	folder, err := os.MkdirTemp("", "plugin-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	built := filepath.Join(folder, a.Program)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags="+s.tags,
		"-ldflags=-s -w -X main.version="+s.version, "-o", built, s.program)
	command.Dir = s.root
	command.Env = append(command.Environ(), "CGO_ENABLED=0", "GOOS="+a.OS, "GOARCH="+a.Architecture,
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0")
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building: %w: %s", err, bytes.TrimSpace(output))
	}
	return os.ReadFile(built)
}

var manifest = template.Must(template.New("").Parse(`apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: vsfb
spec:
  version: {{.Version}}
  homepage: https://github.com/vector-store-operator/vector-store-operator
  shortDescription: Follow the file batches of OpenAI vector stores
  description: |
    Lists, watches, creates and cancels VectorStoreFileBatches, and shows which files failed and
    why. The cluster needs the operator for them.
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

// krew is the manifest that Krew's index takes.
func (s settings) krew(archives []archive) ([]byte, error) {
	var text bytes.Buffer
	err := manifest.Execute(&text, struct {
		Version, Downloads string
		Archives           []archive
	}{s.version, s.downloads, archives})
	if err != nil {
		return nil, fmt.Errorf("writing Krew's manifest: %w", err)
	}
	return text.Bytes(), nil
}
