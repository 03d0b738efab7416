// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vector-store-operator/vector-store-operator/hack/image/inventory"
)

const (
	// user is nobody of the host's, the one that distroless images use, and stands as a number
	// for runAsNonRoot to see that it is not root.
	user = "65532:65532"
	// Nobody may write, also not the user that the program runs as.
	programMode, textMode, folderMode = 0o555, 0o444, 0o555

	home = "https://github.com/vector-store-operator/vector-store-operator"
)

// built is the image of one platform, and what is in it.
type built struct {
	platform v1.Platform
	program  []byte
	modules  []inventory.Module
	image    v1.Image
}

// size is how much of it has to be pulled, in bytes.
func (b built) size() (int64, error) {
	manifest, err := b.image.Manifest()
	if err != nil {
		return 0, fmt.Errorf("reading the manifest: %w", err)
	}
	size := manifest.Config.Size
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size, nil
}

// buildFor builds the program into a file, and an image of it.
func (s settings) buildFor(ctx context.Context, platform v1.Platform, file string) (built, error) {
	b := built{platform: platform}
	if err := s.compile(ctx, platform, file); err != nil {
		return built{}, err
	}
	var err error
	if b.program, err = os.ReadFile(file); err != nil {
		return built{}, fmt.Errorf("reading the program: %w", err)
	}
	if b.modules, err = inventory.Of(ctx, inventory.Program{
		Folder: s.root, Package: s.program, OS: platform.OS, Architecture: platform.Architecture, Tags: s.tags,
	}); err != nil {
		return built{}, err
	}
	info, err := buildinfo.Read(bytes.NewReader(b.program))
	if err != nil {
		return built{}, fmt.Errorf("asking the program what it is made of: %w", err)
	}
	if err := same(info, b.modules); err != nil {
		return built{}, err
	}
	b.image, err = s.assemble(b)
	return b, err
}

// compile builds the program with settings that do not depend on the machine.
func (s settings) compile(ctx context.Context, platform v1.Platform, file string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags="+s.tags,
		"-ldflags=-s -w -X main.version="+s.version, "-o", file, s.program)
	command.Dir = s.root
	command.Env = append(command.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture,
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", s.program, err, bytes.TrimSpace(output))
	}
	return nil
}

// same holds what the program says of itself against the list of what is linked into it: the
// licences and the bill of materials are made of the latter.
func same(info *debug.BuildInfo, modules []inventory.Module) error {
	linked := []string{info.Main.Path, inventory.GoModule + "@" + strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		linked = append(linked, m.Path+"@"+m.Version)
	}
	var listed []string
	for _, m := range modules {
		listed = append(listed, m.String())
	}
	slices.Sort(linked)
	slices.Sort(listed)
	if !slices.Equal(linked, listed) {
		return fmt.Errorf("the program is made of %v, and go list says %v", linked, listed)
	}
	return nil
}

// assemble puts the program into an image that has nothing else but texts. The texts come
// first: they change less often, so their layer is pulled less often.
func (s settings) assemble(b built) (v1.Image, error) {
	name := "/" + path.Base(filepath.ToSlash(s.program))
	texts := map[string][]byte{}
	for _, m := range b.modules {
		for _, text := range m.Texts {
			texts[path.Join("licenses", m.String(), text.Path)] = text.Content
		}
	}
	licenses, err := s.layer(texts, textMode)
	if err != nil {
		return nil, err
	}
	program, err := s.layer(map[string][]byte{name[1:]: b.program}, programMode)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for what, layer := range slices.All([]v1.Layer{licenses, program}) {
		image, err = mutate.Append(image, mutate.Addendum{
			Layer:     layer,
			MediaType: types.OCILayer,
			History:   v1.History{Created: v1.Time{Time: s.created}, CreatedBy: "hack/image: " + []string{"licenses", name}[what]},
		})
		if err != nil {
			return nil, fmt.Errorf("adding a layer: %w", err)
		}
	}
	return s.configure(image, b.platform, name)
}

func (s settings) configure(image v1.Image, platform v1.Platform, entrypoint string) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: s.created}
	config.Config = v1.Config{User: user, WorkingDir: "/", Entrypoint: []string{entrypoint}, Labels: s.labels()}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	annotated, isImage := mutate.Annotations(image, s.labels()).(v1.Image)
	if !isImage {
		return nil, errors.New("annotating the image gives something else")
	}
	return annotated, nil
}

// labels describe the image, under the names that OCI has for that.
func (s settings) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         s.base(),
		"org.opencontainers.image.description":   s.about,
		"org.opencontainers.image.version":       s.version,
		"org.opencontainers.image.revision":      s.revision,
		"org.opencontainers.image.created":       s.created.Format("2006-01-02T15:04:05Z07:00"),
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.source":        home,
		"org.opencontainers.image.url":           home,
		"org.opencontainers.image.documentation": home + "/blob/main/README.md",
	}
}

// layer holds files that belong to root, in their order, with nothing of this machine.
func (s settings) layer(files map[string][]byte, mode int64) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, name := range entries(files) {
		header := tar.Header{Name: name, ModTime: s.created, Format: tar.FormatPAX}
		content, isFile := files[name]
		if isFile {
			header.Typeflag, header.Mode, header.Size = tar.TypeReg, mode, int64(len(content))
		} else {
			header.Typeflag, header.Mode, header.Name = tar.TypeDir, folderMode, name+"/"
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, fmt.Errorf("writing a layer: %w", err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("writing a layer: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing a layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	return layer, nil
}

// entries are the files and the folders that they are in, each folder before what is in it.
func entries(files map[string][]byte) []string {
	var names []string
	for name := range files {
		for ; name != "."; name = path.Dir(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
