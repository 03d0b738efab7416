// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
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

	"github.com/vector-store-operator/vector-store-operator/hack/image/gobuild"
)

const (
	// user is the non-root user of distroless images. It is numeric, so that runAsNonRoot can verify
	// it.
	user = "65532:65532"
	// No file is writable, not even by user.
	programMode, textMode, dirMode = 0o555, 0o444, 0o555

	homepage = "https://github.com/vector-store-operator/vector-store-operator"
)

// platformImage is the image for one platform, with its content.
type platformImage struct {
	platform v1.Platform
	program  []byte
	modules  []gobuild.Module
	image    v1.Image
}

// pullSize returns the compressed size of the image, in bytes.
func (p platformImage) pullSize() (int64, error) {
	manifest, err := p.image.Manifest()
	if err != nil {
		return 0, fmt.Errorf("reading the manifest: %w", err)
	}
	size := manifest.Config.Size
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size, nil
}

// buildImage builds the program into a file, and its image.
func (o options) buildImage(ctx context.Context, platform v1.Platform, file string) (platformImage, error) {
	p := platformImage{platform: platform}
	program := gobuild.Program{
		Dir: o.root, Package: o.program, OS: platform.OS, Architecture: platform.Architecture, Tags: o.tags,
	}
	if err := program.Build(ctx, o.version, file); err != nil {
		return platformImage{}, err
	}
	var err error
	if p.program, err = os.ReadFile(file); err != nil {
		return platformImage{}, fmt.Errorf("reading the program: %w", err)
	}
	if p.modules, err = program.Modules(ctx); err != nil {
		return platformImage{}, err
	}
	info, err := buildinfo.Read(bytes.NewReader(p.program))
	if err != nil {
		return platformImage{}, fmt.Errorf("reading the build information of the program: %w", err)
	}
	if err := verifyModules(info, p.modules); err != nil {
		return platformImage{}, err
	}
	p.image, err = o.assemble(p)
	return p, err
}

// verifyModules compares the modules, which the licenses and the SBOM are generated from, with the
// build information that the linker wrote into the program.
func verifyModules(info *debug.BuildInfo, modules []gobuild.Module) error {
	linked := []string{info.Main.Path, gobuild.GoModule + "@" + strings.TrimPrefix(info.GoVersion, "go")}
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
		return fmt.Errorf("the program contains %v, but go list reports %v", linked, listed)
	}
	return nil
}

// assemble returns an image with the program and the license texts. The texts are the first layer:
// they change less often, so nodes pull it less often.
func (o options) assemble(p platformImage) (v1.Image, error) {
	name := "/" + path.Base(filepath.ToSlash(o.program))
	texts := map[string][]byte{}
	for _, m := range p.modules {
		for _, text := range m.Texts {
			texts[path.Join("licenses", m.String(), text.Path)] = text.Content
		}
	}
	licenses, err := o.layer(texts, textMode)
	if err != nil {
		return nil, err
	}
	program, err := o.layer(map[string][]byte{name[1:]: p.program}, programMode)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for i, layer := range []v1.Layer{licenses, program} {
		image, err = mutate.Append(image, mutate.Addendum{
			Layer:     layer,
			MediaType: types.OCILayer,
			History:   v1.History{Created: v1.Time{Time: o.created}, CreatedBy: "hack/image: " + []string{"licenses", name}[i]},
		})
		if err != nil {
			return nil, fmt.Errorf("adding a layer: %w", err)
		}
	}
	return o.configure(image, p.platform, name)
}

func (o options) configure(image v1.Image, platform v1.Platform, entrypoint string) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: o.created}
	config.Config = v1.Config{User: user, WorkingDir: "/", Entrypoint: []string{entrypoint}, Labels: o.labels()}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	annotated := mutate.Annotations(image, o.labels())
	result, isImage := annotated.(v1.Image)
	if !isImage {
		return nil, fmt.Errorf("annotating the image returned a %T", annotated)
	}
	return result, nil
}

// labels returns the OCI labels of the image.
func (o options) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         o.baseName(),
		"org.opencontainers.image.description":   o.description,
		"org.opencontainers.image.version":       o.version,
		"org.opencontainers.image.revision":      o.revision,
		"org.opencontainers.image.created":       o.created.Format("2006-01-02T15:04:05Z07:00"),
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.source":        homepage,
		"org.opencontainers.image.url":           homepage,
		"org.opencontainers.image.documentation": homepage + "/blob/main/README.md",
	}
}

// layer returns a layer with files that root owns. It is sorted, so that it is reproducible.
func (o options) layer(files map[string][]byte, mode int64) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, name := range withParents(files) {
		header := tar.Header{Name: name, ModTime: o.created, Format: tar.FormatPAX}
		content, isFile := files[name]
		if isFile {
			header.Typeflag, header.Mode, header.Size = tar.TypeReg, mode, int64(len(content))
		} else {
			header.Typeflag, header.Mode, header.Name = tar.TypeDir, dirMode, name+"/"
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
		return nil, fmt.Errorf("creating a layer: %w", err)
	}
	return layer, nil
}

// withParents returns the names of the files and of their directories. A directory precedes its
// content.
func withParents(files map[string][]byte) []string {
	var names []string
	for name := range files {
		for ; name != "."; name = path.Dir(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
